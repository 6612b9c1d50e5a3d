"""A gate without a rollout: live looks, and those made up for from what a source remembers."""

from dataclasses import replace

import pytest

from ringctl.bootstrap import Judges
from ringctl.core.policy import SourceSpec
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, SECOND
from ringctl.engine.backtest import alphas_of
from ringctl.engine.gate_check import GateCheck
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


def test_an_account_that_falls_silent_keeps_it_from_passing() -> None:
    def value(counter, account, t):
        return None if account == "c2" and t > 5 else steady()(counter, account, t)

    _, gate = gates(value, at(0), since=0, kind=Live)
    *_, last = gate.run(3600 * 4)
    assert last.verdict is Verdict.INCONCLUSIVE
    assert "c2" in last.judgements["errors"].reason
