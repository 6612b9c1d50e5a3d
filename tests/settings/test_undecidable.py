"""Gates of values that a ring's bake can never give enough looks to are refused, with what would do."""

import pytest

from ringctl.core.errors import Finding, InvalidInput
from ringctl.settings import policy_from_text
from tests.settings.support import POLICY

SHIFT = POLICY.replace("{becomes_empty: true, shift: 50%}", "{shift: 50%}")


def refused(text: str) -> list[Finding]:
    try:
        policy_from_text(text.encode(), "policy.yaml")
    except InvalidInput as error:
        return [one for one in error.findings if one.code == "RC1002"]
    return []


def of_ring(text: str, bake: str) -> str:
    return text.replace("min: 15m, activity: 200, max: 4h", bake)


@pytest.mark.parametrize("text", [POLICY, SHIFT])
def test_a_bake_too_short_for_the_looks_is_refused_and_the_one_that_is_named_is_not(text: str) -> None:
    found = refused(of_ring(text, "min: 90s, max: 90s"))
    assert found
    assert "the canary of ring `internal`" in found[0].message
    assert found[0].line
    way = max(
        (one.hint for one in found), key=lambda hint: int(hint.partition("max: ")[2].partition("s}")[0])
    )
    needed = way.partition("max: ")[2].partition("}")[0]
    assert not refused(of_ring(text, f"min: 90s, max: {needed}"))


def test_a_level_that_no_number_of_looks_reaches_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringctl.gates.ideal.MOST", 2)
    some = refused(SHIFT)
    assert {one.hint for one in some} == {
        "canary: {accounts: 3}",
        "a longer `baseline`, or a larger change in `fail_if`",
    }
    assert "no number of looks up to 2 is enough" in some[0].message


def test_a_value_with_a_fixed_limit_is_none_of_it() -> None:
    text = POLICY.replace(
        "fail_if: {becomes_empty: true, shift: 50%}", "compare: threshold\n    fail_if: {above: 5}"
    )
    assert not refused(of_ring(text, "min: 1s, max: 1s"))
