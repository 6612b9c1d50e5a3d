"""What a source remembers becomes lines that are judged as live looks would have been."""

import json
from dataclasses import replace

import pytest

from ringctl.bootstrap import Judges
from ringctl.core.errors import SourceUnavailable, UsageError
from ringctl.core.policy import Count, Counter
from ringctl.core.states import Verdict
from ringctl.core.timing import DAY, HOUR, MINUTE
from ringctl.engine import backtest
from ringctl.engine.backtest import Outcome, alphas_of
from ringctl.engine.recorded import parse
from ringctl.engine.rerecord import Memory, remember
from tests.engine.remembering import CANARY, CONTROL, ZERO, Remembering, steady
from tests.gates.checks import ERRORS

CHECKS = {"errors": ERRORS}


def memory(minutes=120, *, since=0, canary=CANARY, control=CONTROL):
    return Memory(
        canary=canary, control=control, from_us=ZERO, to_us=ZERO + minutes * MINUTE,
        since_us=ZERO + since * MINUTE, step_us=MINUTE,
    )  # fmt: skip


def lines(value, asked, checks=None):
    checks = checks or CHECKS
    sources = dict.fromkeys((check.source for check in checks.values()), Remembering(value))
    return list(remember(checks, sources, asked, zero_us=asked.from_us))


def rows(found):
    return [one for one in found if "event" not in one]


def outcome(found):
    recording = parse([json.dumps(one) for one in found], "x", CHECKS)
    *_, last = backtest.run(CHECKS, Judges(), alphas_of(CHECKS), recording)
    assert isinstance(last, Outcome)
    return last


def test_counters_become_what_happened_in_each_minute() -> None:
    found = rows(lines(steady(), memory(3, since=1, canary=("c1",), control=("k1",))))
    assert [(one["t"], one["account"], one["cohort"], one["n"], one["y"]) for one in found] == [
        (1, "c1", "control", 20, 1), (1, "k1", "control", 20, 1),
        (2, "c1", "canary", 20, 1), (2, "k1", "control", 20, 1),
        (3, "c1", "canary", 20, 1), (3, "k1", "control", 20, 1),
    ]  # fmt: skip
    assert lines(steady(), memory(3, since=1, canary=("c1",)))[0] == {
        "t": 1, "account": "c1", "event": "start"
    }  # fmt: skip


def test_resets_and_absences_are_missing_and_idle_is_not() -> None:
    def value(counter, account, t):
        if account == "c1":  # restarts at minute 5
            return 0.0 if t == 5 else 20 * t
        if account == "c2":  # no series from minute 3 to 5
            return None if 3 <= t <= 5 else 20 * t
        return 100.0  # idle

    found = rows(lines(value, memory(8, canary=("c1", "c2", "c3"), control=())))
    by = {name: {one["t"]: one["n"] for one in found if one["account"] == name} for name in CANARY}
    assert sorted(by["c1"]) == [1, 2, 3, 4, 6, 7, 8]
    assert by["c1"][6] == 120  # from 0: what came between is not known
    assert sorted(by["c2"]) == [1, 2, 6, 7, 8]
    assert by["c2"][6] == 80  # since its last reading
    assert set(by["c3"].values()) == {0}


def test_an_interval_that_the_change_lies_in_is_left_out() -> None:
    asked = replace(memory(3), since_us=ZERO + 90_000_000)
    found = rows(lines(steady(), asked))
    assert sorted(one["t"] for one in found if one["account"] == "c1") == [1, 3]


def test_a_count_of_a_longer_time_is_no_line() -> None:
    checks = {"errors": replace(ERRORS, measure=Count(of=Counter(name="r")))}

    def value(counter, account, t):
        return None if 3 <= t <= 5 else 20 * t

    found = rows(lines(value, memory(8, canary=("c1",), control=()), checks))
    assert [(one["t"], one["y"]) for one in found] == [(1, 20), (2, 20), (7, 20), (8, 20)]
    assert "n" not in found[0]


@pytest.mark.parametrize(("harm", "final"), [(1, Verdict.PASS), (6, Verdict.FAIL)])
def test_the_lines_are_judged(harm, final) -> None:
    found = lines(steady(harm, since=30), memory(200, since=30))
    last = outcome(found)
    assert last.final is final
    assert last.at is not None
    assert last.at > 30


def test_hours_before_are_lines_of_the_baseline() -> None:
    asked = memory(60, since=10).past(DAY)
    assert (asked.from_us, asked.to_us, asked.step_us) == (ZERO - DAY, ZERO, HOUR)
    found = list(
        remember(CHECKS, {"scrape": Remembering(steady(), least=-20_000)}, asked, zero_us=ZERO)
    )  # fmt: skip
    assert [one["t"] for one in found if one["account"] == "c1"] == [-60 * hour for hour in range(23, -1, -1)]
    assert {one["cohort"] for one in found if one["account"] in CANARY} == {"canary"}
    assert {one["cohort"] for one in found if one["account"] in CONTROL} == {"control"}


def test_a_source_without_a_past_or_an_answer() -> None:
    with pytest.raises(UsageError, match="knows no past"):
        list(remember(CHECKS, {"scrape": Silent()}, memory(), zero_us=ZERO))
    source = Remembering(steady())
    source.broken = "too slow"
    with pytest.raises(SourceUnavailable, match="too slow"):
        list(remember(CHECKS, {"scrape": source}, memory(), zero_us=ZERO))


class Silent:
    name = "app"

    def read(self, counters, timeout_s, *, accounts=None):
        raise AssertionError("nobody asks")
