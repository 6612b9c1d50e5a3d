"""What is learnt from before: how events cluster, how two groups compare, what each account did."""

import json
import random

import pytest

from ringctl.core import learning
from ringctl.core.learning import NOTHING, Past, fold, freeze, learnt
from ringctl.core.timing import HOUR, MINUTE

TOUCHED = {"c1": None, "c2": None}


def hours(count: int, *, canary: float = 1.0, bursts: float = 0.0, seed: int = 1) -> list[Past]:
    """Hours of two touched and four control accounts: 1,000 trials and about 10 events each."""
    rng = random.Random(seed)
    cells = []
    for hour in range(1, count + 1):
        for one in ("c1", "c2", "k1", "k2", "k3", "k4"):
            mean = 10.0 * (canary if one[0] == "c" else 1.0) * (1 + bursts * rng.choice((-1, 1)))
            cells.append(Past(hour * HOUR, one, 1000.0, float(rng.gauss(mean, mean**0.5) // 1), 60.0))
    return cells


def test_nothing_is_known_at_the_start() -> None:
    assert learnt({}) == NOTHING
    assert freeze({})["frozen"] == [1.0, None, None, None, 0.0, 0.0, 0.0]
    assert learnt(freeze({})).source == "nothing"


def test_the_median_of_chi_squared_is_that_of_the_tables() -> None:
    assert [round(learning.median_chi2(d), 2) for d in (1, 3, 10, 100)] == [0.47, 2.38, 9.35, 99.33]


def test_ratio_and_dispersion_come_from_hours() -> None:
    alike = learnt(fold({}, hours(96), TOUCHED, learning.HISTORY))
    assert (alike.source, alike.long, alike.hours) == ("history", True, 96)
    assert alike.rho == pytest.approx(1, abs=0.05)
    assert alike.phi is not None
    assert alike.phi < 1.5
    double = learnt(fold({}, hours(96, canary=2.0), TOUCHED))
    assert double.rho == pytest.approx(2, rel=0.1)
    assert double.source == "baseline"
    bursts = learnt(fold({}, hours(96, bursts=0.8), TOUCHED))
    assert bursts.phi is not None
    assert bursts.phi > 3
    assert bursts.drift is not None
    assert bursts.drift > 3
    assert "phi" in bursts.note


def test_a_short_past_says_that_longer_bursts_are_not_known() -> None:
    cells = [
        Past(minute * MINUTE, one, 50.0, float((minute + place) % 3), 1.0)
        for minute in range(1, 31)
        for place, one in enumerate(("c1", "k1", "k2"))
    ]
    found = learnt(fold({}, cells, TOUCHED))
    assert not found.long
    assert found.phi is not None
    assert "longer bursts are not known" in found.note
    few = learnt(fold({}, cells[:6], TOUCHED))
    assert few.phi is None
    assert "too short" in few.note


def test_one_group_alone_gives_no_ratio() -> None:
    found = learnt(fold({}, [one for one in hours(10) if one.account[0] == "c"], TOUCHED))
    assert (found.rho, found.phi) == (1.0, None)
    assert found.drift is not None


def test_it_is_frozen_and_only_accounts_not_begun_go_on() -> None:
    state = fold({}, hours(96), TOUCHED, learning.HISTORY)
    before = learnt(state)
    frozen = freeze(state)
    assert freeze(frozen) == frozen
    assert frozen["rows"] == []
    later = fold(frozen, [Past(97 * HOUR, "c2", 1000.0, 900.0, 60.0)], TOUCHED)
    after = learnt(later)
    assert (after.rho, after.phi, after.hours, after.note) == (before.rho, before.phi, 96, before.note)
    assert after.own["c2"].worst == 0.9
    assert after.own["c1"]._replace(peaks=()) == before.own["c1"]._replace(peaks=())


def test_an_account_knows_its_worst_run_of_hours_with_enough_trials() -> None:
    cells = [
        Past(1 * HOUR, "c1", 10.0, 9.0, 60.0),  # too few by themselves: they are judged with the next hour
        Past(2 * HOUR, "c1", 10.0, 1.0, 60.0),
        Past(3 * HOUR, "c1", 100.0, 0.0, 60.0),
        Past(4 * HOUR, "c1", 0.0, 0.0, 60.0),  # no trials, no look
        Past(5 * HOUR, "c1", 5.0, 5.0, 60.0),  # never enough
    ]
    own = learnt(fold({}, cells, TOUCHED)).own["c1"]
    assert own[:6] == (125.0, 15.0, 4, 1, 240.0, 0.5)
    assert learnt(fold({}, cells[:1], TOUCHED)).own["c1"].worst is None
    assert list(learnt(fold({}, cells, TOUCHED)).own) == ["c1"]
    assert len(learnt(fold({}, cells, TOUCHED)).own) == 1


def test_a_long_past_is_kept_in_few_rows_and_folds_the_same_in_parts() -> None:
    cells = [
        Past(minute * MINUTE, one, 10.0, float(minute % 2), 1.0)
        for minute in range(1, 40 * 60 + 1)
        for one in ("c1", "k1")
    ]
    whole = fold({}, cells, TOUCHED)
    rows = whole["rows"]
    assert isinstance(rows, list)
    assert len(rows) <= learning.MOST_ROWS
    parts: dict[str, object] = {}
    for start in range(0, len(cells), 100):
        parts = json.loads(json.dumps(fold(parts, cells[start : start + 100], TOUCHED)))
    assert parts == json.loads(json.dumps(whole))
    assert learnt(parts) == learnt(whole) or learnt(parts).note == learnt(whole).note
    assert learnt(whole).hours == 40
