"""A gate without a rollout: live looks, and those made up for from what a source remembers."""

from dataclasses import replace

import pytest

from ringctl.bootstrap import Judges
from ringctl.core.errors import SourceUnavailable
from ringctl.core.observing import counters_of
from ringctl.core.policy import SourceSpec
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, SECOND
from ringctl.engine.backtest import alphas_of
from ringctl.engine.gate_check import GRACE_S, GateCheck
from ringctl.testing.clock import FakeClock
from tests.engine.remembering import CANARY, CONTROL, ZERO, Live, Remembering, steady
from tests.gates.checks import EMPTY, ERRORS

CHECK = replace(ERRORS, history_us=0)
SPECS = {"scrape": SourceSpec(name="scrape", type="prometheus")}


def gates(value, clock, *, since, checks=None, kind=Remembering):
    checks = checks or {"errors": CHECK}
    source = kind(value, least=-30, now=lambda: round(clock.now_us() / MINUTE) * MINUTE)
    return source, GateCheck(
        checks=checks, sources=SPECS, source=lambda _spec: source, judges=Judges(), alphas=alphas_of(checks),
        canary=CANARY, control=CONTROL, since_us=ZERO + since * MINUTE, clock=clock,
    )  # fmt: skip


def at(minutes):
    return FakeClock(ZERO + minutes * MINUTE - SECOND)  # the source's clock is a second ahead


@pytest.mark.parametrize(("harm", "verdict"), [(1, Verdict.PASS), (6, Verdict.FAIL)])
def test_it_looks_until_it_knows(harm, verdict) -> None:
    clock = at(0)
    _, gate = gates(steady(harm), clock, since=0, kind=Live)
    looks = list(gate.run(24 * 3600))
    assert looks[-1].verdict is verdict
    assert {one.verdict for one in looks[:-1]} == {Verdict.INCONCLUSIVE}
    assert clock.monotonic() == 60 * (len(looks) - 1)


def timeless(numbers):
    """Without the moments: the two looks' clocks are not the same to the microsecond."""
    return {
        name: timeless(value) if isinstance(value, dict) else value
        for name, value in numbers.items()
        if name != "since"
    }


@pytest.mark.parametrize("harm", [1, 3, 6])
def test_what_is_remembered_gives_the_evidence_of_having_looked(harm) -> None:
    """A source with a past, asked late, and one that was looked at all along come to the same."""
    for minutes in (12, 45, 90):
        clock = at(-10)
        _, live = gates(steady(harm), clock, since=0, kind=Live)
        seen = [live.look()]
        while clock.monotonic() < 60 * (minutes + 10):
            clock.sleep(60)
            seen.append(live.look())
        late = at(minutes)
        _, asked = gates(steady(harm), late, since=0)
        one, other = (found.judgements["errors"] for found in (seen[-1], next(asked.run(0))))
        assert (one.verdict, one.reason) == (other.verdict, other.reason)
        assert timeless(one.numbers) == timeless(other.numbers)


def test_a_past_that_begins_late_would_be_noticed(monkeypatch) -> None:
    """The comparison above can fail: with half of the looks left out the evidence is another."""
    late = at(45)
    _, whole = gates(steady(3), late, since=0)
    full = next(whole.run(0)).judgements["errors"].numbers
    monkeypatch.setattr("ringctl.engine.gate_check.MOST_LOOKS", 20)
    _, half = gates(steady(3), at(45), since=0)
    assert next(half.run(0)).judgements["errors"].numbers != full


def test_a_value_has_its_before_from_what_is_remembered() -> None:
    def value(counter, account, t):
        if counter.name == "items_total":
            return 1000.0 + 40 * (min(t, 5) if account == "c2" else t)
        return 1000.0 + 10 * t

    check = {"answers": replace(EMPTY, history_us=0)}
    _, gate = gates(value, at(12), since=2, checks=check)
    look = next(gate.run(0))
    assert look.verdict is Verdict.FAIL
    assert look.judgements["answers"].worst == ("c2",)
    _, blind = gates(value, at(12), since=2, checks=check, kind=Live)
    assert "no usable before" in next(blind.run(0)).judgements["answers"].reason


def test_silence_is_no_pass_and_names_its_code() -> None:
    source, gate = gates(steady(), at(0), since=0, kind=Live)
    source.broken = "too slow"
    *_, last = gate.run(300)
    assert last.verdict is Verdict.INCONCLUSIVE
    assert last.errors == {"errors": "RC8004"}
    assert "RC8004: too slow" in last.judgements["errors"].reason
    assert last.unknown == ()


def test_a_past_that_cannot_be_read_is_said_and_does_not_stop_it() -> None:
    source, gate = gates(steady(), at(0), since=0)
    source.broken = "too slow"
    first = next(gate.run(0))
    assert first.notes == {"errors": "RC8004: too slow"}
    source.broken = ""
    assert gate.look().notes == {}


def test_accounts_that_no_source_knows_are_named() -> None:
    def value(counter, account, t):
        return None if account in {"c2", "k7"} else steady()(counter, account, t)

    _, gate = gates(value, at(0), since=0, kind=Live)
    assert gate.look().unknown == ("c2", "k7")


WAVE = tuple(f"c{one}" for one in range(1, 11))  # nine of ten are a quorum


def large(value, clock, *, canary=WAVE, control=CONTROL, **more):
    source, gate = gates(value, clock, since=0, kind=Live, **more)
    return source, replace(gate, canary=canary, control=control)


def without(*names, by=None):
    return lambda counter, account, t: (
        None if account in names and by in {None, counter.name} else steady()(counter, account, t)
    )


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ((), ""),
        (("c9",), "c9 never had data that can be used"),
        (("k3",), "k3 never had data that can be used"),
        (("c9", "k1", "k2", "k3"), "c9, k1, k2 and 1 more never had data that can be used"),
    ],
)
def test_an_account_that_was_named_and_never_heard_keeps_it_from_passing(gone, said) -> None:
    _, gate = large(without(*gone), at(0))
    *looks, last = gate.run(3600 * 4)
    assert last.verdict is (Verdict.INCONCLUSIVE if gone else Verdict.PASS)
    assert said in last.judgements["errors"].reason
    if gone:
        assert any(look.judgements["errors"].reason == said for look in looks), "nothing else is in the way"


def test_who_was_heard_once_is_not_called_never_heard() -> None:
    value = lambda counter, account, t: None if account == "c9" and t < 9 else steady()(counter, account, t)  # noqa: E731
    _, gate = large(value, at(0))
    *looks, last = gate.run(3600 * 4)
    assert "c9 never had" in looks[5].judgements["errors"].reason
    assert last.verdict is Verdict.PASS


def test_of_control_it_is_enough_that_one_gate_has_heard_it() -> None:
    checks = {"errors": CHECK, "answers": replace(EMPTY, history_us=0)}
    items = next(iter(counters_of(EMPTY))).name

    def said(*names):
        _, gate = large(without(*names, by=items), at(0), checks=checks)
        gate.look()
        gate.clock.advance(60)
        return "never had" in gate.look().judgements["answers"].reason

    assert (said("k3"), said("c3")) == (False, True)


def test_a_harm_is_told_although_somebody_was_never_heard() -> None:
    value = steady(20)
    _, gate = large(lambda counter, one, t: None if one == "c9" else value(counter, one, t), at(0))
    *_, last = gate.run(3600 * 4)
    assert last.verdict is Verdict.FAIL


def test_a_verdict_says_who_was_heard_and_what_was_asked() -> None:
    source, gate = large(without("c9"), at(0))
    real = source.read
    source.read = lambda *a, **k: replace(real(*a, **k), warnings=("odd",), queries=("GET /metrics",))
    gate.look()
    gate.clock.advance(60)
    numbers = gate.look().judgements["errors"].numbers
    assert (numbers["accounts"], numbers["missing"]) == ([9, 10], ["c9"])
    assert numbers["series"] == [18, 19]
    assert (numbers["warnings"], numbers["queries"]) == (["odd"], ["GET /metrics"])
    assert numbers["control_accounts"] == len(CONTROL)
    source.read = lambda *a, **k: replace(real(*a, **k), warnings=("store-7 is down",), partial=True)
    one = gate.look().judgements["errors"]
    assert one.reason == "RC8006: the source answered in part: store-7 is down"
    assert one.numbers["accounts"] == [0, 10]


class Hanging(Remembering):
    """Answers nothing until the time for it is over."""

    def __init__(self, clock):
        super().__init__(steady(), now=clock.now_us)
        self.clock = clock

    def read(self, counters, timeout_s, *, accounts=None):
        self.clock.advance(timeout_s)
        raise SourceUnavailable("no answer in time", code="RC8004")

    def history(self, counters, *, timeout_s, **asked):
        self.clock.advance(timeout_s)
        raise SourceUnavailable("no answer in time", code="RC8004")


@pytest.mark.parametrize("timeout_s", [0, 9, 60])
def test_a_source_that_hangs_does_not_outlast_the_time(timeout_s) -> None:
    clock = at(5)
    _, gate = gates(steady(), clock, since=0)
    hanging = Hanging(clock)
    two = {"errors": CHECK, "other": replace(CHECK, name="other", source="second")}
    gate = replace(
        gate, checks=two, alphas=alphas_of(two), source=lambda _spec: hanging,
        sources={**SPECS, "second": replace(SPECS["scrape"], name="second")},
    )  # fmt: skip
    *_, last = gate.run(timeout_s)
    assert (last.verdict, set(last.errors.values())) == (Verdict.INCONCLUSIVE, {"RC8004"})
    assert clock.monotonic() <= timeout_s + GRACE_S


@pytest.mark.parametrize("timeout_s", [3, 9])
def test_history_and_what_is_made_up_for_are_within_the_time_too(timeout_s) -> None:
    clock = at(60)
    source, gate = gates(steady(), clock, since=0, checks={"errors": ERRORS})
    real, asked = source.history, []

    def slow(counters, *, timeout_s, **more):
        asked.append(timeout_s)
        for track in real(counters, timeout_s=timeout_s, **more):
            clock.advance(0.2)
            yield track

    source.history = slow
    *_, last = gate.run(timeout_s)
    assert asked
    assert all(one <= timeout_s + GRACE_S for one in asked)
    assert clock.monotonic() <= timeout_s + GRACE_S + 1
    assert last.verdict is Verdict.INCONCLUSIVE


def test_an_account_that_falls_silent_keeps_it_from_passing() -> None:
    def value(counter, account, t):
        return None if account == "c2" and t > 5 else steady()(counter, account, t)

    _, gate = gates(value, at(0), since=0, kind=Live)
    *_, last = gate.run(3600 * 4)
    assert last.verdict is Verdict.INCONCLUSIVE
    assert "c2" in last.judgements["errors"].reason


def test_hours_after_the_change_are_no_past() -> None:
    """However long ago the change was: what it did since is not what was usual before."""
    days, clock = 24 * 60, at(5 * 24 * 60)
    source, gate = gates(
        steady(6), clock, since=0, checks={"errors": replace(ERRORS, history_us=14 * days * MINUTE)}
    )
    source.least, ends, real = -20 * days, [], source.history

    def asked(counters, *, to_us, **more):
        ends.append(to_us)
        return real(counters, to_us=to_us, **more)

    source.history = asked
    first = next(gate.run(0))
    assert first.verdict is Verdict.FAIL
    assert any(one <= ZERO for one in ends), "the past was asked for"
    assert all(one <= ZERO for one in ends[1:]), (
        "the first question is that for the looks that are made up for"
    )
