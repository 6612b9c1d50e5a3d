"""Every kind of missing has one defined outcome: the table in docs/explanation/gates.md, row by row.

Each row is a reading that follows a good one. What it must come to is said here; the seeded bugs below show that
taking a missing series for zero is seen by nearly every row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from ringctl.core import observing
from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.observing import (
    GONE_LOOKS,
    Watch,
    covered,
    fold,
    gone,
    longest_gap,
    series,
    step_evidence,
    withheld,
)
from ringctl.core.policy import Check, Count, Counter, FailIf, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, SECOND, Instant, Span

BAD = Counter(name="errors_total")
ALL = Counter(name="requests_total")
CHECK = Check(
    name="errors",
    source="s",
    measure=Ratio(y=BAD, n=ALL, of_counts=True),
    compare="canary-vs-control",
    fail_if=FailIf(increase=1.0),
)
T0 = 1_700_000_000 * SECOND
WATCH = Watch(
    touched={"a": T0 - MINUTE, "b": T0 - MINUTE}, control=("k",), all_done=True, last_done_us=T0 - MINUTE
)

Pair = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    values: observing.Values = field(default_factory=dict)
    at_us: Instant | None = None
    oldest_us: Instant | None = None
    partial: bool = False


def raw(**accounts: Pair) -> observing.Values:
    """Account = (y, n); None is no series."""
    return {
        BAD: {name: y for name, (y, _) in accounts.items() if y is not None},
        ALL: {name: n for name, (_, n) in accounts.items() if n is not None},
    }


GOOD: dict[str, Pair] = {"a": (1.0, 100.0), "b": (0.0, 50.0), "k": (2.0, 200.0)}
NEXT: dict[str, Pair] = {"a": (2.0, 160.0), "b": (0.0, 90.0), "k": (3.0, 300.0)}


def after(second: Read, *, gap: Span = MINUTE, check: Check = CHECK, watch: Watch = WATCH) -> Evidence:
    """The evidence of a reading that follows a good one by `gap`."""
    state, _ = fold(check, {}, Read(values=raw(**GOOD)), watch, T0)
    return fold(check, state, second, watch, T0 + gap)[1]


def cells(evidence: Evidence) -> Mapping[str, Pair]:
    return {cell.account: (cell.n, cell.y) for cell in (*evidence.touched, *evidence.control)}


def test_everything_there_is_everything_counted() -> None:
    found = after(Read(values=raw(**NEXT)))
    assert cells(found) == {"a": (60, 1), "b": (40, 0), "k": (100, 1)}
    assert (found.expected, found.complete, covered(found)) == (2, True, MINUTE)


MISSING: Mapping[str, dict[str, Pair]] = {
    "absent series": {"a": (None, None)},
    "absent part of a series": {"a": (None, 160.0)},
    "NaN": {"a": (2.0, math.nan)},
    "infinity": {"a": (math.inf, 160.0)},
    "more events than can be counted": {"a": (2.0, 1e308)},
    "more bad events than can be counted": {"a": (1e300, 160.0)},
    "a counter that was reset": {"a": (0.0, 20.0)},
    "a counter of bad events that was reset": {"a": (0.0, 160.0)},
    "bad events before their events": {"a": (2.0, 100.0)},
}


@pytest.mark.parametrize("what", MISSING)
def test_an_account_s_values_that_are_missing(what: str) -> None:
    """Missing for that account and look, never zero; the others count; nobody else's numbers change."""
    found = after(Read(values=raw(**{**NEXT, **MISSING[what]})))
    assert cells(found) == {"a": (None, None), "b": (40, 0), "k": (100, 1)}
    assert covered(found) == 0  # one of two accounts: time is credited as for a look, not as covered
    assert not found.error


NO_ANSWER = {
    "a partial response": (Read(values=raw(**NEXT), partial=True), "RC8006"),
    "a clock that is ahead": (Read(values=raw(**NEXT), at_us=T0 + MINUTE + 31 * SECOND), "RC8008"),
    "a clock that is behind": (Read(values=raw(**NEXT), at_us=T0 + MINUTE - 31 * SECOND), "RC8008"),
    "old samples": (Read(values=raw(**NEXT), oldest_us=T0 - longest_gap(MINUTE)), "RC8007"),
}


@pytest.mark.parametrize("what", NO_ANSWER)
def test_a_reading_that_is_no_answer(what: str) -> None:
    """Inconclusive with its code, no cells, nothing credited, the state as it was."""
    reading, code = NO_ANSWER[what]
    found = after(reading)
    assert (found.error, found.touched, found.control, found.complete) == (code, (), (), False)
    assert found.reason


def test_a_source_that_repeats_its_last_time_is_stale() -> None:
    state, _ = fold(CHECK, {}, Read(values=raw(**GOOD), at_us=T0), WATCH, T0)
    same, found = fold(CHECK, state, Read(values=raw(**NEXT), at_us=T0), WATCH, T0 + 20 * SECOND)
    assert (found.error, same) == ("RC8007", state)


def test_what_was_scraped_late_is_in_the_next_look() -> None:
    """The interval begins at the oldest sample, so nothing from before the intent is taken for what came after."""
    intent = T0 + MINUTE
    watch = Watch(touched={"a": intent})
    state: JudgeState = {}
    sides = []
    for number, lag in enumerate((0, 0, 30, 0)):
        at = T0 + number * MINUTE
        reading = Read(values=raw(a=(0, 10.0 * number)), at_us=at, oldest_us=at - lag * SECOND)
        state, found = fold(CHECK, state, reading, watch, at)
        sides.append([(cell.n, cell.after) for cell in found.touched])
    assert sides == [[(None, False)], [(10, False)], [(10, True)], [(10, True)]]
    late = Read(values=raw(a=(0, 90.0)), at_us=T0 + 4 * MINUTE, oldest_us=T0 + 3 * MINUTE)
    done = replace(watch, all_done=True, last_done_us=T0 + 3 * MINUTE + SECOND)
    state, found = fold(CHECK, state, late, done, T0 + 4 * MINUTE)
    assert not found.complete
    state, found = fold(
        CHECK, state, Read(values=raw(a=(0, 95.0)), at_us=T0 + 5 * MINUTE), done, T0 + 5 * MINUTE
    )
    assert not found.complete  # its earlier reading may miss what came before the last account was done


def test_a_gap_is_differenced_up_to_its_limit_and_then_begins_anew() -> None:
    short, long = longest_gap(MINUTE), longest_gap(MINUTE) + 1
    assert covered(after(Read(values=raw(**NEXT)), gap=short)) == short
    found = after(Read(values=raw(**NEXT)), gap=long)
    assert set(cells(found).values()) == {(None, None)}
    assert (covered(found), found.complete) == (0, False)


def test_an_idle_account_is_no_missing_one() -> None:
    found = after(Read(values=raw(**{**NEXT, "a": GOOD["a"]})))
    assert cells(found)["a"] == (0, 0)
    assert covered(found) == MINUTE


def test_an_account_that_is_not_of_the_wave_changes_nothing() -> None:
    assert after(Read(values=raw(**NEXT, x=(9.0, 10.0)))) == after(Read(values=raw(**NEXT)))


def test_series_are_counted() -> None:
    there = Read(values=raw(**NEXT))
    assert series(CHECK, there, WATCH) == (4, 4)
    assert series(CHECK, Read(values=raw(a=(None, 5.0))), WATCH) == (1, 4)
    part = replace(
        CHECK, measure=Ratio(y=Counter(name="requests_total", match={"code": "5.."}), n=ALL, of_counts=True)
    )
    assert series(part, Read(values={ALL: {"a": 1.0, "b": 2.0}}), WATCH) == (2, 2)  # none bad yet is no gap
    assert series(replace(CHECK, measure=Count(of=ALL)), there, WATCH) == (2, 2)


def test_a_plain_count_has_minutes_and_an_absent_one_is_missing() -> None:
    check = replace(CHECK, measure=Count(of=ALL))
    state, _ = fold(check, {}, Read(values={ALL: {"a": 10.0, "b": 5.0}}), WATCH, T0)
    _, found = fold(check, state, Read(values={ALL: {"a": 40.0}}), WATCH, T0 + 90 * SECOND)
    assert cells(found)["b"] == (None, None)
    minutes, events = cells(found)["a"]
    assert minutes == pytest.approx(1.5)
    assert events == 30


# -- an account that had series and has them no more -------------------------------------------------------------
PASS = Judgement(verdict=Verdict.PASS, reason="no harm")


def away(looks: int, *, back: bool = False) -> tuple[JudgeState, Evidence]:
    state, evidence = fold(CHECK, {}, Read(values=raw(**GOOD)), WATCH, T0)
    for number in range(1, looks + 1):
        now = T0 + number * MINUTE
        state, evidence = fold(CHECK, state, Read(values=raw(b=(0.0, 50.0 + number))), WATCH, now)
    if back:
        later = T0 + (looks + 1) * MINUTE
        state, evidence = fold(CHECK, state, Read(values=raw(**NEXT)), WATCH, later)
    return state, evidence


def test_an_account_that_went_silent_is_named_and_keeps_the_check_from_passing() -> None:
    state, evidence = away(GONE_LOOKS - 1)
    assert withheld(PASS, evidence, gone(state)) == PASS
    state, evidence = away(5)
    found = withheld(PASS, evidence, gone(state))
    assert (found.verdict, found.reason) == (
        Verdict.INCONCLUSIVE,
        "a had data and has been absent for 5 looks",
    )
    failed = replace(PASS, verdict=Verdict.FAIL)
    assert withheld(failed, evidence, gone(state)) is failed


def test_it_is_remembered_beyond_the_longest_gap_and_forgotten_when_it_is_back() -> None:
    looks = longest_gap(MINUTE) // MINUTE + 5
    state, _ = away(looks)
    assert gone(state) == {"a": looks}
    assert gone(away(5, back=True)[0]) == {}


def test_an_account_that_never_had_series_is_missing_and_not_gone() -> None:
    watch = replace(WATCH, touched={**WATCH.touched, "new": T0})
    state: JudgeState = {}
    for number in range(6):
        state, _ = fold(CHECK, state, Read(values=raw(**GOOD)), watch, T0 + number * MINUTE)
    assert gone(state) == {}


def test_of_a_large_wave_one_in_a_hundred_may_be_gone_and_is_named() -> None:
    evidence = Evidence(at_us=T0, interval_us=MINUTE, expected=250, strict=False)
    found = withheld(PASS, evidence, {"a1": 4, "a2": 3})
    assert found.verdict is Verdict.PASS
    assert "a1 had data and has been absent for 4 looks" in found.reason
    assert withheld(PASS, evidence, {"a1": 4, "a2": 3, "a3": 3}).verdict is Verdict.INCONCLUSIVE
    assert withheld(PASS, replace(evidence, strict=True), {"a1": 4}).verdict is Verdict.INCONCLUSIVE


def test_what_a_person_settled_is_not_waited_for() -> None:
    watch = replace(WATCH, settled=frozenset({"a"}))
    found = step_evidence({"b": 1.0}, watch, T0)
    assert [cell.account for cell in found.touched] == ["b"]
    assert (found.expected, found.complete) == (1, True)


# -- seeded bugs -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["absent series", "NaN"])
def test_missing_taken_for_zero_is_seen(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(check: Check, values: observing.Values, at_us: Instant) -> dict[str, tuple[float, float]]:
        found = real(check, values, at_us)
        return {name: found.get(name, (GOOD[name][0] or 0.0, GOOD[name][1] or 0.0)) for name in GOOD}

    real = observing._raw
    monkeypatch.setattr(observing, "_raw", zeros)
    with pytest.raises(AssertionError):
        test_an_account_s_values_that_are_missing(what)
    with pytest.raises(AssertionError):
        test_an_account_that_went_silent_is_named_and_keeps_the_check_from_passing()
