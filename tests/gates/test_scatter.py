"""How accounts scatter while the others bake: bursts are seen at the length that they have."""

import json
import random

import pytest

from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates import scatter
from ringctl.gates.scatter import Counts
from tests.gates.draws import poisson


def certain(account: str) -> float:
    """An account whose own rate is known exactly."""
    assert account
    return 0.0


def watched(*, minutes: int, lasts: int, burst: float = 0.5, accounts: int = 40) -> float:
    """phi of accounts with 2 events every 5 minutes, in bursts (Gamma of that shape) that last some minutes."""
    rng = random.Random(7)
    state: dict[str, object] = {}
    level: dict[str, float] = {}
    for at in range(5, minutes + 1, 5):
        if (at - 5) % lasts == 0:
            level = {f"k{one}": rng.gammavariate(burst, 1 / burst) for one in range(accounts)}
        counts: Counts = {name: (2.0, float(poisson(rng, 2 * times))) for name, times in level.items()}
        state = json.loads(json.dumps(scatter.added(state, at * MINUTE, counts, certain)))
    return scatter.phi(state)


def test_independent_events_are_known_as_such_the_sooner_the_more_accounts_there_are() -> None:
    assert watched(minutes=60, lasts=5, burst=1e6) == pytest.approx(1.3, abs=0.3)
    assert watched(minutes=960, lasts=5, burst=1e6, accounts=200) < 1.15
    assert watched(minutes=60, lasts=5, burst=1e6, accounts=3) > 1.5


@pytest.mark.parametrize(("lasts", "least"), [(60, 1 + 24 / 0.5), (240, 1 + 96 / 0.5)])
def test_a_burst_counts_with_all_the_events_that_it_brings(lasts: int, least: float) -> None:
    """phi = 1 + m/shape, with m the events of an account in the length of a burst."""
    assert least * 0.8 < watched(minutes=960, lasts=lasts) < least * 2.5
    assert watched(minutes=30, lasts=lasts) > 12


def test_little_seen_is_two() -> None:
    assert scatter.phi({}) == scatter.UNLEARNT_PHI
    one = scatter.added({}, MINUTE, {"a": (5.0, 9.0)}, certain)
    assert scatter.phi(one) == scatter.UNLEARNT_PHI
    quiet = scatter.added({}, MINUTE, {"a": (5.0, 0.0), "b": (5.0, 0.0)}, certain)
    assert scatter.phi(quiet) == scatter.UNLEARNT_PHI
    few = scatter.added({}, MINUTE, {"a": (1.0, 2.0), "b": (1.0, 1.0)}, certain)
    assert scatter.phi(few) >= scatter.UNLEARNT_PHI


def test_what_a_short_past_is_off_by_is_no_burst() -> None:
    counts = {f"k{one}": (100.0, 100.0 + (15 if one % 2 else -15)) for one in range(20)}
    sure = scatter.phi(scatter.added({}, HOUR, counts, certain))
    off = scatter.phi(scatter.added({}, HOUR, counts, lambda account: 0.02))
    assert (off, sure > 2) == (1, True)


def test_a_block_ends_with_its_hours() -> None:
    counts = {"a": (10.0, 20.0), "b": (10.0, 5.0)}
    first = scatter.added({}, HOUR, counts, certain)
    same = scatter.added(first, HOUR, {}, certain)
    assert same == first
    later = scatter.added(first, HOUR + MINUTE, {}, certain)
    assert later["60"] == {"block": 1, "sums": pytest.approx([112.5, 12.5, 1.0, 25.0]), "a": {}}
    assert later["240"] == first["240"]


def test_larger_accounts_scatter_more() -> None:
    rows: dict[str, object] = {"a": [100.0, 1.0], "b": [100.0, 1.0]}
    assert scatter.lopsided(rows, rows) == 1
    assert scatter.lopsided({}, rows) == scatter.lopsided(rows, {}) == 1
    assert scatter.lopsided({"a": [50.0, 1.0]}, rows) == 1
    large: dict[str, object] = {"c": [300.0, 1.0]}
    q = 300 / 500
    assert scatter.lopsided(large, rows) == pytest.approx((1 - q) * 3 + q)


def test_caution() -> None:
    assert scatter.caution(4) == pytest.approx(4 / 1.424, rel=1e-3)
    assert scatter.caution(1e6) == pytest.approx(1, rel=2e-3)
    assert scatter.caution(0.01) == pytest.approx(27)
