"""Counts against the same accounts before, at their edges."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ringctl.core import panel
from ringctl.core.judging import JudgeState
from ringctl.core.learning import Past, learnt
from ringctl.core.policy import Count, Counter, FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates.before_vs_after import BeforeVsAfter
from ringctl.testing.judge_suite import Case, Story, conform, run, stream
from tests.gates.checks import OWN
from tests.gates.looks import after, before, last

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def test_it_needs_a_before_and_more_than_one_bad_account() -> None:
    assert last(BeforeVsAfter(), OWN, after(a=(50.0, 25.0), b=(50.0, 25.0))).verdict is OPEN
    three = before(a=(50.0, 0.5), b=(50.0, 0.5), c=(50.0, 0.5))
    judgement = last(BeforeVsAfter(), OWN, [*three, *after(a=(50.0, 25.0), b=(50.0, 0.5), c=(50.0, 0.5))])
    assert (judgement.verdict, judgement.worst[0]) == (OPEN, "a")
    assert "one account alone" in judgement.reason
    few = last(BeforeVsAfter(), OWN, [*before(1, a=(50.0, 0.5)), *after(9, a=(50.0, 0.5))])
    assert "50 samples before" in few.reason
    assert few.needs_before
    judgement = last(
        BeforeVsAfter(), OWN,
        [*before(a=(50.0, 0.5), b=(50.0, 0.5)), *after(4, a=(50.0, 1.3), b=(50.0, 1.3))],
    )  # fmt: skip
    assert (judgement.verdict, "not ruled out" in judgement.reason) == (OPEN, True)


def test_a_wave_of_one_account_may_fail_by_its_own_past() -> None:
    both = [*before(80, a=(50.0, 0.5)), *after(60, a=(50.0, 3.0))]
    found = [judgement for _, judgement in run(BeforeVsAfter(), replace(OWN, min_samples=100), both)]
    first = next(place for place, one in enumerate(found) if one.verdict is FAIL)
    e, level = (float(str(found[first].numbers[name])) for name in ("e", "level"))
    assert e >= 10 * level
    assert any(float(str(one.numbers.get("e", 0.0))) >= level for one in found[:first]), (
        "but not on the usual"
    )


def test_nothing_before_and_nothing_after_passes_on_the_samples_asked_for() -> None:
    judgement = last(BeforeVsAfter(), OWN, [*before(a=(50.0, 0.0)), *after(a=(50.0, 0.0))])
    assert (judgement.verdict, "no event at all" in judgement.reason) == (PASS, True)


def state_drift(state: JudgeState) -> float:
    """The drift that was learnt."""
    past = state["past"]
    assert isinstance(past, dict)
    drift = learnt(past).drift
    assert drift is not None
    assert drift > 1
    return drift


def test_hours_of_history_say_how_the_rate_drifts() -> None:
    hours = [Past((n + 1) * HOUR, one, 3000.0, 30.0 + 12 * (n % 2), 60.0) for n in range(48) for one in "abc"]
    state: JudgeState = panel.feed({}, hours, dict.fromkeys("abc"))
    verdict = Verdict.INCONCLUSIVE
    numbers: Mapping[str, object] = {}
    for one in after(400, a=(50.0, 0.5), b=(50.0, 0.5), c=(50.0, 0.5)):
        seen = replace(one, at_us=one.at_us + 48 * HOUR)
        state, judgement = panel.look(OWN, {"x": BeforeVsAfter()}, state, seen, alpha=0.01)
        verdict, numbers = judgement.verdict, judgement.numbers
    assert verdict is PASS
    assert numbers["phi"] == state_drift(state)


@pytest.mark.bakes
def test_traffic_against_the_hours_before() -> None:
    check = replace(
        OWN, measure=Count(of=Counter(name="requests")), fail_if=FailIf(decrease=0.5), min_samples=20
    )
    story = Story(before=60, running=2, done=60, every_us=MINUTE)

    def made(rate: float) -> Case:
        healthy = stream(story, accounts=3, control=0, before=(1.0, 20.0), after=(1.0, 20.0))
        harmful = stream(story, accounts=3, control=0, before=(1.0, 20.0), after=(1.0, rate))
        return Case(judge=BeforeVsAfter(), check=check, healthy=healthy, harmful=harmful)

    conform(made(4.0))
