"""What a plan says of counts: in both directions at the level that they share, and of what never happened."""

from dataclasses import replace

import pytest

from ringctl import bootstrap
from ringctl.cli.forecasts import sentence
from ringctl.core.policy import Check, Count, Counter, FailIf
from ringctl.core.timing import DAY, HOUR, MINUTE
from ringctl.engine.outlook import Forecast, Rate, Stand
from ringctl.engine.power import forecast
from tests.gates.checks import ERRORS, OWN

TRAFFIC = replace(ERRORS, measure=Count(of=Counter(name="requests")), fail_if=FailIf(increase=1.0))
WAVE = Stand(
    ring="first", wave="canary", members=("c1", "c2", "c3"), sizes=(10.0,) * 3, left=40, fleet=43, control_min=5,
    bake_us=HOUR, most_us=DAY, every_us=MINUTE,
)  # fmt: skip
ALONE = replace(WAVE, left=0)
BOTH, UP, DOWN = FailIf(increase=1.0, decrease=0.2), FailIf(increase=1.0), FailIf(decrease=0.2)
RATE = Rate(events=5.0, samples=1.0, phi=1.0, drift=1.0, past=14 * 24 * 60)


def planned(check: Check, rate: Rate = RATE, stand: Stand = WAVE) -> Forecast:
    return next(forecast(check, stand, 0.01, rate, bootstrap.Judges()))


def taken(check: Check, stand: Stand) -> tuple[float, float]:
    found = planned(check, stand=stand)
    assert found.sees is not None
    assert found.passes is not None
    return found.sees, found.passes


@pytest.mark.parametrize(("compare", "stand"), [("before-vs-after", WAVE), ("canary-vs-control", ALONE)])
def test_beside_the_past_both_directions_are_planned_and_share_the_level(compare: str, stand: Stand) -> None:
    check = replace(TRAFFIC, compare=compare)
    both, up, down = (taken(replace(check, fail_if=one), stand) for one in (BOTH, UP, DOWN))
    assert planned(replace(check, fail_if=BOTH), stand=stand).harm == 0.8, "the slower one"
    assert both[0] > down[0] > up[0], "at half of the level the fall takes longer"
    assert both[1] == down[1] > up[1], "PASS rules out both"


def test_without_control_unchanged_asks_for_a_rise_and_a_fall() -> None:
    rise = FailIf(increase=0.25)
    both = taken(replace(TRAFFIC, compare="unchanged", fail_if=rise), ALONE)
    one = taken(replace(TRAFFIC, fail_if=rise), ALONE)
    assert both[0] > one[0], "half of the level"
    assert both[1] > one[1], "PASS rules out the fall as well"


def test_the_fallback_is_planned_at_the_level_of_the_judge_that_falls_back() -> None:
    judges = bootstrap.Judges()

    def share(check: Check, name: str) -> float:
        parts = {one: judge.part for one, judge in judges.items() if judge.applies(check)}
        return parts[name] / sum(parts.values())

    rate, own = replace(RATE, events=0.5, samples=50.0), share(OWN, "before-vs-after")
    split = share(ERRORS, "split")
    assert split < 1
    fallback = planned(ERRORS, rate, ALONE)
    same = next(forecast(OWN, ALONE, 0.01 * split / own, rate, judges))
    assert fallback.sees == pytest.approx(same.sees)
    more = next(forecast(OWN, ALONE, 0.01 / own, rate, judges))
    assert more.sees != pytest.approx(same.sees)


# -- what never happened ---------------------------------------------------------------------------
NEVER = replace(RATE, events=0.0, samples=2.0)


def test_what_never_happened_is_seen_at_once_after_a_day_and_passes_after_enough_samples() -> None:
    found = planned(ERRORS, NEVER)
    assert (found.known, found.sees) == (True, 0.0)
    assert found.passes == pytest.approx(299.57 / 6, abs=0.1), "300 trials rule out 1 %, not `min_samples`"
    many = planned(replace(ERRORS, min_samples=600), NEVER)
    assert many.passes == pytest.approx(100.0)
    assert "the second one fails" in sentence(found)


@pytest.mark.parametrize(
    ("check", "rate", "stand"),
    [
        (ERRORS, replace(NEVER, past=2.0), WAVE),
        (TRAFFIC, NEVER, WAVE),
        (ERRORS, NEVER, ALONE),
    ],
)
def test_without_a_day_of_past_or_anything_beside_it_nothing_is_promised(
    check: Check, rate: Rate, stand: Stand
) -> None:
    found = planned(replace(check, baseline_us=0), rate, stand)
    assert (found.known, found.sees) == (False, None)
    assert found.passes is not None
    assert "the second one fails" not in sentence(found)
    short = replace(stand, most_us=round(found.passes * MINUTE) - MINUTE)
    assert found.decides
    assert not planned(replace(check, baseline_us=0), rate, short).decides


@pytest.mark.parametrize("fail_if", [DOWN, BOTH])
def test_what_never_happened_cannot_fall(fail_if: FailIf) -> None:
    found = planned(replace(TRAFFIC, fail_if=fail_if), NEVER)
    assert (found.known, found.sees, found.passes, found.decides) == (True, None, None, False)
    assert "cannot fall" in sentence(found)
