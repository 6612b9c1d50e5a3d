"""The cost that is promised of a state beside its accounts: a figure that can be too large, or none."""

import pytest

from bench.gate_cost import FEW, beside_accounts


@pytest.mark.parametrize("fixed", [0.0, 1.5, 400.0])
def test_what_belongs_to_no_account_is_found(fixed: float) -> None:
    assert beside_accounts(lambda touched, control: fixed + 0.35 * touched + 0.25 * control) == pytest.approx(
        fixed, abs=1e-9
    )


def test_no_figure_is_no_small_one() -> None:
    assert beside_accounts(lambda touched, _control: 5.0 if touched == FEW else 50.0) is None
