"""The fold from raw readings to evidence: what is missing is missing, what is after is after."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core import observing
from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.observing import Watch, fold, longest_gap, silent, step_evidence, withheld
from ringctl.core.policy import Check, Count, Counter, FailIf, Ratio, StepMeasure
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, SECOND, Instant

BAD = Counter(name="errors_total")
ALL = Counter(name="requests_total")
CHECK = Check(
    name="errors",
    source="s",
    measure=Ratio(y=BAD, n=ALL, of_counts=True),
    compare="canary-vs-control",
    fail_if=FailIf(increase=1.0),
    every_us=SECOND,
)
SUBSET = replace(
    CHECK,
    measure=Ratio(y=Counter(name="requests_total", match={"code": "5.."}), n=ALL, of_counts=True),
)
T0 = 1_700_000_000 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    values: observing.Values = field(default_factory=dict)
    at_us: Instant | None = None
    oldest_us: Instant | None = None
    partial: bool = False


def raw(check: Check = CHECK, /, **accounts: tuple[float | None, float]) -> observing.Values:
    """Account = (y, n)."""
    assert isinstance(check.measure, Ratio)
    bad = {name: pair[0] for name, pair in accounts.items() if pair[0] is not None}
    return {check.measure.y: bad, check.measure.n: {name: pair[1] for name, pair in accounts.items()}}


def looks(watch: Watch, *readings: Read | None, check: Check = CHECK) -> list[Evidence]:
    """One look a second; None is a look that did not happen."""
    state: JudgeState = {}
    found = []
    for number, reading in enumerate(readings):
        if reading is not None:
            state, evidence = fold(check, state, reading, watch, T0 + number * SECOND)
            state = json.loads(json.dumps(state, allow_nan=False))
            found.append(evidence)
    return found


def pairs(evidence: Evidence) -> Mapping[str, tuple[float | None, float | None]]:
    return {cell.account: (cell.n, cell.y) for cell in (*evidence.touched, *evidence.control)}


BOTH = Watch(touched={"a": None}, control=("k",))


def test_who_has_numbers_that_cannot_be_used_is_named_and_who_has_none_is_not() -> None:
    watch = Watch(touched=dict.fromkeys("abcde"), control=("k", "z"))
    sound = Read(values=raw(**dict.fromkeys("abcdek", (1, 10))))
    odd = raw(a=(2, math.inf), b=(math.nan, 20), c=(2.0, 1e16), d=(1e300, 20), k=(2, 1e-10), x=(2, 1e308))
    _, found, after = looks(watch, sound, Read(values=odd), sound)
    assert set(pairs(found).values()) == {(None, None)}
    assert found.reason == "NaN, negative or too large a number of a, b, c and 2 more: missing"
    assert (found.error, after.reason) == ("", "")
    judged = withheld(Judgement(verdict=Verdict.PASS, reason="well"), found, {})
    assert (judged.verdict, judged.reason) == (Verdict.PASS, f"well ({found.reason})")


def test_amounts_may_be_larger_than_counts() -> None:
    check = replace(CHECK, measure=Ratio(y=BAD, n=ALL, of_counts=False))
    watch = Watch(touched={"a": None, "b": None}, control=("k",))
    first, second = (raw(a=(y, 10 * t), b=(b, 10 * t), k=(y, n)) for t, y, b, n in (
        (1, 0.0, 0.0, 1.0), (2, 1e100, 1.1e100, 1e16),
    ))  # fmt: skip
    _, found = looks(watch, Read(values=first), Read(values=second), check=check)
    assert pairs(found) == {"a": (10, 1e100), "b": (None, None), "k": (None, None)}


def test_a_plain_count_has_the_bounds_of_events() -> None:
    check = replace(CHECK, measure=Count(of=ALL))
    first, second = ({ALL: {"a": 1.0, "k": 1.0}}, {ALL: {"a": 5.0, "k": 1e16}})
    _, found = looks(BOTH, Read(values=first), Read(values=second), check=check)
    assert {name: y for name, (_, y) in pairs(found).items()} == {"a": 4.0, "k": None}
    assert found.reason == "NaN, negative or too large a number of k: missing"


def test_the_first_reading_is_missing_and_the_second_a_difference() -> None:
    first, second = looks(
        BOTH, Read(values=raw(a=(1, 100), k=(0, 7))), Read(values=raw(a=(3, 150), k=(0, 7)))
    )
    assert pairs(first) == {"a": (None, None), "k": (None, None)}
    assert first.interval_us == 0
    assert second.touched == (Cell(account="a", n=50, y=2, after=False),)
    assert second.control == (Cell(account="k", n=0, y=0, after=False),)  # idle, not silent
    assert (second.interval_us, second.expected, second.complete) == (SECOND, 1, False)


@pytest.mark.parametrize("dropped", [(0, 120), (2, 90)])
def test_a_value_that_dropped_is_missing_and_the_new_base(dropped: tuple[float, float]) -> None:
    y, n = dropped
    _, reset, later = looks(
        BOTH,
        Read(values=raw(a=(1, 100))),
        Read(values=raw(a=dropped)),
        Read(values=raw(a=(y + 1, n + 10))),
    )
    assert pairs(reset)["a"] == (None, None)
    assert pairs(later)["a"] == (10, 1)


@pytest.mark.parametrize("gone", [{}, {"a": (1.0, math.nan)}, {"a": (math.inf, 1e6)}, {"a": (None, 200.0)}])
def test_an_absent_or_unusable_series_is_missing_and_the_next_look_spans_it(
    gone: Mapping[str, tuple[float | None, float]],
) -> None:
    _, absent, later = looks(
        BOTH, Read(values=raw(a=(1, 100))), Read(values=raw(CHECK, **gone)), Read(values=raw(a=(4, 130)))
    )
    assert pairs(absent)["a"] == (None, None)
    assert pairs(later)["a"] == (30, 3)


def test_bad_events_that_are_a_subset_of_all_may_have_no_series_yet() -> None:
    _, none, some, gone = looks(
        BOTH,
        Read(values=raw(SUBSET, a=(None, 100))),
        Read(values=raw(SUBSET, a=(None, 140))),
        Read(values=raw(SUBSET, a=(2, 150))),
        Read(values=raw(SUBSET, a=(None, 160))),
        check=SUBSET,
    )
    assert pairs(none)["a"] == (40, 0)
    assert pairs(some)["a"] == (10, 2)
    assert pairs(gone)["a"] == (None, None)  # it was there: that is a reset, not zero


@pytest.mark.parametrize(
    "measure",
    [
        Ratio(y=Counter(name="x", account="tenant"), n=Counter(name="x"), of_counts=True),
        Ratio(y=Counter(name="x"), n=Counter(name="x", match={"path": "/"}), of_counts=True),
        Ratio(y=Counter(name="x", match={"code": "5.."}), n=Counter(name="x"), of_counts=False),
    ],
)
def test_otherwise_no_series_is_missing(measure: Ratio) -> None:
    check = replace(CHECK, measure=measure)
    values = {measure.n: {"a": 5.0}}
    _, second = looks(BOTH, Read(values=values), Read(values={measure.n: {"a": 9.0}}), check=check)
    assert pairs(second)["a"] == (None, None)


def test_bad_events_before_their_events_wait_for_the_next_look() -> None:
    _, early, later = looks(
        BOTH, Read(values=raw(a=(1, 100))), Read(values=raw(a=(2, 100))), Read(values=raw(a=(2, 101)))
    )
    assert pairs(early)["a"] == (None, None)
    assert pairs(later)["a"] == (1, 1)


def test_cells_lie_before_or_after_the_intent_and_straddling_ones_are_dropped() -> None:
    watch = Watch(touched={"a": T0 + SECOND + SECOND // 2, "b": None, "c": T0 + SECOND})
    found = looks(watch, *(Read(values=raw(a=(0, n), b=(0, n), c=(0, n))) for n in range(4)))
    sides = [{cell.account: cell.after for cell in one.touched} for one in found]
    assert sides == [
        {"a": False, "b": False, "c": False},
        {"a": False, "b": False, "c": False},  # (0 s, 1 s]: ends at c's intent
        {"b": False, "c": True},  # (1 s, 2 s]: a's intent lies within
        {"a": True, "b": False, "c": True},
    ]


def test_an_account_missed_in_between_is_judged_on_its_whole_interval() -> None:
    watch = Watch(touched={"a": T0 + SECOND // 2})
    *_, later = looks(watch, Read(values=raw(a=(0, 1))), Read(values=raw()), Read(values=raw(a=(0, 9))))
    assert later.touched == ()  # its interval began before the intent


def test_control_is_never_after() -> None:
    watch = Watch(touched={}, control=("k",))
    *_, last = looks(watch, Read(values=raw(k=(0, 1))), Read(values=raw(k=(1, 5))))
    assert last.control == (Cell(account="k", n=4, y=1, after=False),)


def test_complete_needs_all_done_and_whole_intervals_after_that() -> None:
    done = Watch(touched={"a": T0, "b": T0}, all_done=True, last_done_us=T0 + SECOND)
    readings = [Read(values=raw(a=(0, n), b=(0, n))) for n in range(4)]
    assert [one.complete for one in looks(done, *readings)] == [False, False, True, True]
    assert not any(one.complete for one in looks(replace(done, all_done=False), *readings))
    assert not any(one.complete for one in looks(replace(done, last_done_us=None), *readings))
    lagging = [*readings[:1], Read(values=raw(a=(0, 1))), *readings[2:]]
    assert [one.complete for one in looks(done, *lagging)] == [False, False, False, True]


def test_samples_older_than_the_reading_count_from_their_own_time() -> None:
    watch = Watch(touched={"a": T0 + SECOND}, all_done=True, last_done_us=T0 + SECOND)

    def read(number: int) -> Read:
        at_us = T0 + number * SECOND
        return Read(values=raw(a=(0, number)), at_us=at_us, oldest_us=at_us - SECOND // 2)

    found = looks(watch, *(read(number) for number in range(4)))
    assert [[cell.after for cell in one.touched] for one in found] == [[False], [False], [], [True]]
    assert [one.complete for one in found] == [False, False, False, True]


def test_a_gap_that_is_too_long_starts_again() -> None:
    assert longest_gap(SECOND) == 15 * MINUTE
    assert longest_gap(10 * MINUTE) == 30 * MINUTE
    state, _ = fold(CHECK, {}, Read(values=raw(a=(0, 1))), BOTH, T0)
    for gap_us, expected in ((15 * MINUTE, (8, 1)), (15 * MINUTE + 1, (None, None))):
        _, evidence = fold(CHECK, state, Read(values=raw(a=(1, 9))), BOTH, T0 + gap_us)
        assert pairs(evidence)["a"] == expected
    done = replace(BOTH, touched={"a": T0 - SECOND}, all_done=True, last_done_us=T0 - SECOND)
    _, evidence = fold(CHECK, state, Read(values=raw(a=(1, 9))), done, T0 + 16 * MINUTE)
    assert (evidence.complete, evidence.interval_us) == (False, 0)


def test_a_clock_that_stands_still_or_went_back_is_no_answer_and_far_back_starts_again() -> None:
    state, _ = fold(CHECK, {}, Read(values=raw(a=(0, 1))), BOTH, T0)
    for now_us in (T0, T0 - SECOND):
        same, evidence = fold(CHECK, state, Read(values=raw(a=(1, 9))), BOTH, now_us)
        assert (evidence.error, evidence.touched, same) == ("RC8007", (), state)
    again, evidence = fold(CHECK, state, Read(values=raw(a=(1, 9))), BOTH, T0 - 20 * MINUTE)
    assert pairs(evidence)["a"] == (None, None)
    assert not evidence.error
    _, evidence = fold(CHECK, again, Read(values=raw(a=(1, 19))), BOTH, T0 - 19 * MINUTE)
    assert pairs(evidence)["a"] == (10, 0)


@pytest.mark.parametrize(
    ("reading", "code"),
    [
        (Read(partial=True), "RC8006"),
        (Read(at_us=T0 + 31 * SECOND), "RC8008"),
        (Read(at_us=T0 - 31 * SECOND), "RC8008"),
    ],
)
def test_readings_that_are_no_answer_leave_the_state(reading: Read, code: str) -> None:
    state, _ = fold(CHECK, {}, Read(values=raw(a=(0, 1))), BOTH, T0 - SECOND)
    same, evidence = fold(CHECK, state, reading, BOTH, T0)
    assert evidence.error == code
    assert evidence.reason
    assert (evidence.touched, evidence.control, evidence.complete) == ((), (), False)
    assert same == state


def test_silent_says_why() -> None:
    state, evidence = silent({"t": 1}, BOTH, T0, error="RC8001", reason="unreachable")
    assert state == {"t": 1}
    assert (evidence.error, evidence.reason, evidence.expected) == ("RC8001", "unreachable", 1)


def test_a_measure_without_counters_has_no_cells_with_numbers() -> None:
    check = replace(CHECK, measure=StepMeasure(name="duration"))
    _, second = looks(BOTH, Read(), Read(), check=check)
    assert pairs(second) == {"a": (None, None), "k": (None, None)}


def test_step_evidence_is_a_snapshot() -> None:
    watch = Watch(touched={"a": T0, "b": T0, "c": T0}, control=("k",), all_done=True, last_done_us=T0)
    evidence = step_evidence({"a": 3.5, "b": math.nan, "k": 9.0}, watch, T0)
    assert pairs(evidence) == {"a": (1.0, 3.5), "b": (None, None), "c": (None, None)}
    assert all(cell.after for cell in evidence.touched)
    assert evidence.complete
    assert evidence.expected == 3


def test_activity_counts_touched_samples_after_the_intent() -> None:
    cells = (
        Cell(account="a", n=5.0, y=0, after=True),
        Cell(account="b", n=None, y=None, after=True),
        Cell(account="c", n=7.0, y=0, after=False),
    )
    assert observing.activity(Evidence(at_us=T0, interval_us=SECOND, touched=cells, control=cells)) == 5


def test_the_state_is_compact_and_forgets_accounts_that_left() -> None:
    state, _ = fold(CHECK, {}, Read(values=raw(a=(0.5, 1), k=(0, 7))), BOTH, T0)
    assert json.dumps(state, separators=(",", ":")) == f'{{"t":{T0},"a":{{"a":[0.5,1,0],"k":[0,7,0]}}}}'
    later, _ = fold(CHECK, state, Read(values=raw(a=(1, 2), k=(0, 8))), Watch(touched={"a": T0}), T0 + 1)
    assert set(later["a"]) == {"a"}  # type: ignore[call-overload]
    assert fold(CHECK, {"t": T0}, Read(values=raw(a=(1, 2))), BOTH, T0 + 1)[1].touched[0].n is None


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=30))
def test_nothing_is_counted_twice_or_lost(steps: list[tuple[int, bool]]) -> None:
    """Whatever is absent in between, the differences add up to the rise between first and last reading."""
    total, seen, readings = 100, [], []
    for rise, there in steps:
        total += rise
        readings.append(Read(values=raw(a=(total, total)) if there else {}))
        seen += [total] if there else []
    counted = sum(pairs(one)["a"][0] or 0 for one in looks(BOTH, *readings))
    assert counted == (seen[-1] - seen[0] if seen else 0)


def test_good_ones_are_counted_and_the_others_are_bad() -> None:
    fast = Counter(name="requests_total", match={"le": "0.5"})
    slow = replace(CHECK, measure=Ratio(y=fast, n=ALL, of_counts=True, good=True))
    seen = looks(
        BOTH,
        Read(values=raw(slow, a=(8, 10), k=(9, 10))),
        Read(values=raw(slow, a=(14, 20), k=(19, 20))),
        Read(values=raw(slow, a=(27, 30), k=(None, 30))),
        Read(values=raw(slow, a=(29, 40), k=(38, 40))),
        check=slow,
    )
    assert pairs(seen[1]) == {"a": (10, 4), "k": (10, 0)}
    assert pairs(seen[2]) == {"a": (None, None), "k": (None, None)}, "13 good ones of 10; no good one at all"
    assert pairs(seen[3]) == {"a": (20, 5), "k": (20, 1)}, "from the last reading that could be used on"


def test_a_counter_that_nobody_has_is_named() -> None:
    fast = Counter(name="seconds_bucket", match={"le": "0.7"})
    slow = replace(CHECK, measure=Ratio(y=fast, n=ALL, of_counts=True, good=True))
    seen = looks(BOTH, Read(values={ALL: {"a": 1.0, "k": 1.0}}), Read(values={}), check=slow)
    assert seen[0].reason == 'no series of seconds_bucket{le=~"0.7"}'
    assert looks(BOTH, Read(values={}))[0].reason == "no series of errors_total"
    assert looks(BOTH, Read(values={}), check=SUBSET)[0].reason == "no series of requests_total"
