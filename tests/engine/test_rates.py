"""Rates that sources show: from what they remember, or from two looks; unknown where they show none."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Count, Counter, FailIf, Ratio, SourceSpec
from ringctl.core.timing import HOUR, MINUTE
from ringctl.engine.rates import Asking, measured
from ringctl.ports.metrics import Reading, Track
from ringctl.testing.clock import FakeClock
from tests.engine.remembering import CANARY, CONTROL, ZERO, Live, Remembering, steady
from tests.gates.checks import EMPTY, ERRORS

ERROR_RATE = replace(ERRORS, source="app")
TRAFFIC = replace(ERROR_RATE, name="traffic", measure=Count(of=Counter(name="http_requests_total")),
                  fail_if=FailIf(decrease=0.5))  # fmt: skip
ANSWERS = replace(EMPTY, source="app", measure=Ratio(y=Counter(name="items_total"), n=Counter(name="queries_total"),
                                                     of_counts=False))  # fmt: skip
SPECS = {"app": SourceSpec(name="app", type="scrape")}


def asking(source: Live, clock: FakeClock, apart_us: int = 0) -> Asking:
    return Asking(canary=CANARY, others=CONTROL, source=lambda _: source, clock=clock, apart_us=apart_us)


def clock_at(minutes: float) -> FakeClock:
    return FakeClock(round(ZERO + minutes * MINUTE))


def test_a_source_that_remembers_shows_rates_and_how_events_cluster() -> None:
    clock = clock_at(24 * 60)
    checks = {"errors": ERROR_RATE, "traffic": TRAFFIC, "answers": ANSWERS}
    found = measured(checks, SPECS, asking(Remembering(steady()), clock))
    assert found["errors"].events == pytest.approx(1.0, rel=0.01)
    assert found["errors"].samples == pytest.approx(20.0, rel=0.01)
    assert found["errors"].phi == 1.0
    assert found["errors"].past == pytest.approx(23 * 60, abs=61)
    assert found["errors"].weights[CANARY[0]] == pytest.approx(1.0)
    assert "11 accounts over" in found["errors"].said
    assert found["traffic"].events == pytest.approx(20.0, rel=0.01)
    assert found["traffic"].samples == 1.0
    assert found["answers"].events is None
    assert found["answers"].samples == pytest.approx(20.0, rel=0.01)


def test_busy_accounts_weigh_more() -> None:
    def value(counter: Counter, account: str, t: float) -> float:
        per_minute = 90.0 if account == CANARY[0] else 10.0
        return float(int(per_minute * t * (0.05 if counter.match else 1.0)))

    found = measured({"errors": ERROR_RATE}, SPECS, asking(Remembering(value), clock_at(600)))["errors"]
    assert found.weights[CANARY[0]] == pytest.approx(90 / (90 + 100) * 11, rel=0.01)
    assert found.events == pytest.approx(0.05 * 190 / 11, rel=0.01)


def test_a_source_without_a_past_is_looked_at_twice_when_there_is_time() -> None:
    clock = clock_at(60)
    source = Live(steady(), now=clock.now_us)
    found = measured({"errors": ERROR_RATE}, SPECS, asking(source, clock, 2 * MINUTE))["errors"]
    assert found.events == pytest.approx(1.0)
    assert found.samples == pytest.approx(20.0)
    assert found.past == pytest.approx(2.0)
    none = measured({"errors": ERROR_RATE}, SPECS, asking(source, clock))["errors"]
    assert none.events is None
    assert "--watch 2m" in none.said
    forgets = measured(
        {"errors": replace(ERROR_RATE, history_us=0)}, SPECS, asking(Remembering(steady()), clock)
    )
    assert "knows no past" in forgets["errors"].said


def test_what_a_source_does_not_say_stays_unknown() -> None:
    clock = clock_at(60)
    checks = {"errors": ERROR_RATE}
    broken = Remembering(steady())
    broken.broken = "gone"
    assert "gone" in measured(checks, SPECS, asking(broken, clock))["errors"].said
    silent = Live(steady(), now=clock.now_us)
    silent.broken = "gone"
    assert "RC8004" in measured(checks, SPECS, asking(silent, clock, MINUTE))["errors"].said
    empty = measured(checks, SPECS, asking(Remembering(lambda *_: None), clock))["errors"]
    assert empty.events is None
    assert "nothing of these accounts" in empty.said
    late = Live(steady(), now=lambda: clock.now_us() - HOUR, zero=ZERO - HOUR)
    off = measured(checks, SPECS, asking(late, clock, MINUTE))["errors"]
    assert off.events is None
    assert off.said


def test_a_source_whose_past_is_too_short_is_looked_at_as_well() -> None:
    """Prometheus that was started a minute ago: asked for hours, it has none yet."""
    clock = clock_at(60)
    young = Remembering(steady(), now=clock.now_us, least=59.5)
    said = measured({"errors": ERROR_RATE}, SPECS, asking(young, clock))["errors"].said
    assert "not long enough: --watch 2m looks at it twice" in said
    found = measured({"errors": ERROR_RATE}, SPECS, asking(young, clock, 2 * MINUTE))["errors"]
    assert found.events == pytest.approx(1.0)


class InPart(Live):
    def read(self, *_: object, **__: object) -> Reading:
        return Reading(at_us=None, values={}, partial=True)


def test_a_partial_answer_is_none() -> None:
    found = measured({"errors": ERROR_RATE}, SPECS, asking(InPart(steady()), clock_at(60), MINUTE))["errors"]
    assert "RC8006" in found.said


def test_steps_have_no_rate() -> None:
    from tests.gates.checks import DURATION

    assert measured({"slow": DURATION}, SPECS, asking(Live(steady()), clock_at(0))) == {}


WITHOUT = replace(ERROR_RATE, history_us=0)


def test_a_check_without_history_is_not_answered_from_a_past_that_was_asked_for_another() -> None:
    """Only `all` was asked for there: that no bad one is in it says nothing."""
    clock = clock_at(24 * 60)
    source = Remembering(steady(), now=clock.now_us)
    checks = {"errors": WITHOUT, "traffic": TRAFFIC}
    unknown = measured(checks, SPECS, asking(source, clock))
    assert unknown["errors"].events is None
    assert "--watch 2m" in unknown["errors"].said
    assert unknown["traffic"].events == pytest.approx(20.0, rel=0.01)
    found = measured(checks, SPECS, asking(source, clock, 2 * MINUTE))
    assert found["errors"].events == pytest.approx(1.0)
    assert found["errors"].past == pytest.approx(2.0)
    assert found["traffic"].past > 20 * 60


class Forgets(Remembering):
    def history(self, *_: object, **__: object) -> Iterator[Track]:
        raise SourceUnavailable("no past today", code="RC8005")


def test_a_past_that_fails_is_said_of_its_own_checks_alone() -> None:
    clock = clock_at(24 * 60)
    source = Forgets(steady(), now=clock.now_us)
    found = measured({"errors": WITHOUT, "traffic": TRAFFIC}, SPECS, asking(source, clock, 2 * MINUTE))
    assert "no past today" in found["traffic"].said
    assert found["errors"].events == pytest.approx(1.0)


def test_a_check_s_past_is_the_same_whatever_stands_beside_it() -> None:
    clock, source = clock_at(24 * 60), Remembering(steady(), least=-20 * 24 * 60)
    short = replace(TRAFFIC, name="short", history_us=12 * HOUR)
    alone = measured({"short": short}, SPECS, asking(source, clock))["short"]
    beside = measured({"errors": ERROR_RATE, "short": short}, SPECS, asking(source, clock))
    assert beside["short"] == alone
    assert alone.past == pytest.approx(12 * 60, abs=6)
    assert beside["errors"].past > 5 * 24 * 60
