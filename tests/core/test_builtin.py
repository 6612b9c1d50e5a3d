"""The built-in checks: a step far beyond its size class, and keys that existed already."""

import pytest

from ringctl.core import builtin, holds
from ringctl.core.facts import CheckState, Lasted
from ringctl.core.judging import Judgement
from ringctl.core.model import Hold
from ringctl.core.states import Verdict
from ringctl.core.timing import SECOND

NOW = 1_700_000_000 * SECOND


def ran(
    account: str, seconds: float, *, decade: int = 1, size: float = 50.0, running: bool = False
) -> Lasted:
    ended = None if running else NOW
    return Lasted(account, "encode", decade, size, NOW - round(seconds * SECOND), ended)


def look(
    *lasted: Lasted,
    state=None,
    hold: Hold | None = None,
    complete: bool = False,
    now_us: int = NOW,
    known=None,
):
    return builtin.overshoot(state or {}, known or {}, lasted, hold=hold, complete=complete, now_us=now_us)


def overs(found: Judgement) -> list[str]:
    rows = found.numbers.get("over", [])
    assert isinstance(rows, list)
    return [row[0] for row in rows]


THREE = tuple(ran(f"a{n}", 10.0 + n) for n in range(3))


@pytest.mark.parametrize(
    ("seconds", "running", "over"),
    [(32.9, False, False), (33.1, False, True), (33.1, True, True), (32.9, True, False)],
)
def test_beyond_three_times_its_class_counts_running_or_done(seconds, running, over) -> None:
    _, found = look(*THREE, ran("slow", seconds, running=running))
    assert overs(found) == (["slow"] if over else [])
    assert found.verdict is Verdict.INCONCLUSIVE


def test_it_names_account_step_and_times() -> None:
    _, found = look(*THREE, ran("eu/slow", 40, running=True))
    assert found.reason == "eu/slow: step encode has taken 40 s, at most 33 s was to be expected of its size"
    assert found.numbers["over"] == [["eu/slow", "encode", 40.0, 33.0]]
    assert found.worst == ("eu/slow",)


def test_nothing_is_said_without_three_of_a_class_nor_of_short_steps() -> None:
    assert overs(look(*THREE[:2], ran("slow", 1_000))[1]) == []
    short = tuple(ran(f"a{n}", 0.1) for n in range(3))
    assert overs(look(*short, ran("slow", 9.9))[1]) == []
    assert overs(look(*short, ran("slow", 10.2))[1]) == ["slow"]


def test_an_account_is_not_measured_by_itself() -> None:
    three_with_it = (*THREE[:2], ran("slow", 1_000))
    assert overs(look(*three_with_it)[1]) == []
    assert overs(look(*THREE, ran("slow", 34.0))[1]) == ["slow"]


@pytest.mark.parametrize(
    ("decade", "size", "allowed"),
    [
        (2, 500.0, 330.0),  # ten times as large as the class below: ten times as long is usual
        (0, 5.0, 33.0),  # smaller than the class: never less than it took
    ],
)
def test_other_sizes_are_scaled_up_and_never_down(decade, size, allowed) -> None:
    for seconds, over in ((allowed - 1, []), (allowed + 1, ["big"])):
        assert overs(look(*THREE, ran("big", seconds, decade=decade, size=size))[1]) == over


def test_the_nearest_smaller_class_counts_before_a_larger_one() -> None:
    known = {"encode": {0: (3, 3.0, 15.0), 3: (9, 9_000.0, 45_000.0)}}
    assert overs(look(ran("mid", 40, decade=1, size=50), known=known)[1]) == ["mid"]
    assert overs(look(ran("mid", 40, decade=1, size=50), known={"encode": {3: known["encode"][3]}})[1]) == []


def test_other_waves_count_for_the_class() -> None:
    known = {"encode": {1: (40, 400.0, 2_000.0)}}
    assert overs(look(ran("slow", 31), known=known)[1]) == ["slow"]
    assert overs(look(ran("fine", 29), known=known)[1]) == []


def a_hold(found: Judgement, since_us: int) -> Hold:
    state = CheckState(check="overshoot", verdict=found.verdict, reason=found.reason, at_us=since_us)
    return Hold(code="overshoot", reason=state.reason, owner="ringctl", since_us=since_us)


def test_what_a_hold_told_and_a_person_resumed_is_not_held_for_again() -> None:
    slow = (*THREE, ran("slow", 40, running=True))
    state, found = look(*slow)
    assert found.numbers["fresh"] is True
    hold = a_hold(found, NOW + 1)
    state, found = look(*slow, state=state, hold=hold, now_us=NOW + SECOND)
    assert found.numbers["fresh"] is False  # told
    assert found.verdict is Verdict.INCONCLUSIVE
    state, found = look(*slow, state=state, complete=True, now_us=NOW + 2 * SECOND)  # resumed
    assert found.verdict is Verdict.PASS
    state, found = look(*slow, ran("next", 50), state=state, now_us=NOW + 3 * SECOND)
    assert overs(found) == ["next"]
    assert found.numbers["fresh"] is True


def test_another_one_under_a_hold_is_told_too() -> None:
    state, found = look(*THREE, ran("slow", 40))
    hold = a_hold(found, NOW + 1)
    state, found = look(*THREE, ran("slow", 40), ran("next", 70), state=state, hold=hold, now_us=NOW + SECOND)
    assert found.numbers["fresh"] is True
    assert sorted(overs(found)) == ["next", "slow"]


def test_it_waits_for_nothing() -> None:
    assert look(complete=True)[1].verdict is Verdict.PASS
    assert look(complete=False)[1].verdict is Verdict.INCONCLUSIVE
    assert builtin.recreated({}, {}, complete=True)[1].verdict is Verdict.PASS
    assert builtin.recreated({}, {"a": 0.0}, complete=False)[1].verdict is Verdict.INCONCLUSIVE


def test_a_key_that_existed_fails_and_stays_failed() -> None:
    state, found = builtin.recreated({}, {"a": 0.0, "b": 1.0}, complete=False)
    assert (found.verdict, found.worst) == (Verdict.FAIL, ("b",))
    state, found = builtin.recreated(state, {}, complete=True)  # the step was retried, its outcome is gone
    assert found.verdict is Verdict.FAIL
    assert "created twice" in found.reason


def test_the_checks_take_no_part_of_the_promise_and_no_baseline() -> None:
    both = builtin.checks()
    assert list(both) == ["overshoot", "recreated"]
    assert all(
        builtin.is_builtin(check) and check.weight == 0 and check.baseline_us == 0 for check in both.values()
    )
    assert list(builtin.checks(("recreated",))) == ["recreated"]
    assert "overshoot" in holds.ENDS_WITH_REVISION
