"""The plan's formulas against GATE's table, their own logic, and the judges that they plan for."""

import math
import operator
import random
from dataclasses import replace
from functools import partial

import pytest

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judge, JudgeState
from ringctl.core.learning import Past
from ringctl.core.policy import Check, FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates import power
from ringctl.gates.before_vs_after import BeforeVsAfter
from ringctl.gates.evidence import GRID_UP
from ringctl.gates.limit import Limit
from ringctl.gates.power import (
    Ceiling,
    Margin,
    Scale,
    effective,
    fewest,
    minutes_to_pass,
    minutes_to_see,
    nearest,
    sees_by,
    smallest_seen,
    until,
)
from ringctl.gates.split import Split
from tests.gates.checks import CEILING, ERRORS, OWN
from tests.gates.draws import poisson

TABLE = Scale(canary=0.5, control=4.5, margin=1.02, alpha=5e-4)
EQUALLY = (GRID_UP, [0.5 / len(GRID_UP)] * len(GRID_UP))  # as GATE stakes


@pytest.mark.parametrize(
    ("events", "phi", "minutes"),
    [
        (0.05, 1, (4745, 1311, 398, 134, 42)),
        (0.05, 5, (None, 6556, 1992, 668, 211)),
        (0.05, 15, (None, None, 5976, 2005, 633)),
        (0.5, 1, (475, 131, 40, 13, 4)),
        (0.5, 5, (2373, 656, 199, 67, 21)),
        (0.5, 15, (7118, 1967, 598, 201, 63)),
        (5.0, 1, (47, 13, 4, 1.3, None)),
        (5.0, 5, (237, 66, 20, 7, 2)),
        (5.0, 15, (712, 197, 60, 20, 6)),
    ],
)
def test_the_table_of_the_research(events: float, phi: float, minutes: tuple[float | None, ...]) -> None:
    scale = replace(TABLE, canary=events, control=9 * events, phi=phi)
    for ratio, wanted in zip((1.5, 2.0, 3.0, 5.0, 10.0), minutes, strict=True):
        found: float = until(partial(sees_by, scale, ratio=ratio, stakes=EQUALLY))
        if wanted is not None:
            assert found == pytest.approx(wanted, rel=0.03, abs=0.5)


@pytest.mark.parametrize(("share", "minutes"), [(0.1, 98), (0.25, 118), (0.5, 179), (0.75, 362), (0.9, 907)])
def test_a_control_that_shrinks_costs_time_as_the_research_says(share: float, minutes: float) -> None:
    scale = Scale(canary=0.5, control=0.5 * (1 - share) / share, alpha=0.01)
    found = until(lambda at: sees_by(scale, at, 2.0, EQUALLY))
    assert found == pytest.approx(minutes, rel=0.05)


def test_more_of_everything_helps() -> None:
    at = minutes_to_see(TABLE, 2.0, 2.0)
    assert minutes_to_see(replace(TABLE, canary=1.0, control=9.0), 2.0, 2.0) < at
    assert minutes_to_see(TABLE, 3.0, 2.0) < at < minutes_to_see(TABLE, 1.5, 2.0)
    assert minutes_to_see(replace(TABLE, phi=3.0), 2.0, 2.0) == pytest.approx(3 * at, rel=0.01)
    assert minutes_to_see(replace(TABLE, control=0.5), 2.0, 2.0) > at
    assert minutes_to_see(replace(TABLE, times=10.0), 2.0, 2.0) > at, "one account needs more"
    assert minutes_to_see(TABLE, 1.0, 2.0) == math.inf
    assert minutes_to_see(replace(TABLE, canary=0.0), 2.0, 2.0) == math.inf
    assert minutes_to_pass(replace(TABLE, control=0.0), 2.0) == math.inf
    assert minutes_to_see(TABLE, 0.1, 0.5) < minutes_to_see(TABLE, 0.5, 0.5)


def test_passing_takes_longer_with_a_smaller_harm_and_a_wider_margin() -> None:
    assert minutes_to_pass(TABLE, 2.0) == pytest.approx(60, rel=0.3)  # GATE 5.7's sentence
    assert minutes_to_pass(TABLE, 1.5) > minutes_to_pass(TABLE, 2.0) > minutes_to_pass(TABLE, 5.0)
    assert minutes_to_pass(replace(TABLE, margin=1.3), 2.0) > minutes_to_pass(TABLE, 2.0)
    assert minutes_to_pass(replace(TABLE, margin=3.0), 2.0) == math.inf
    assert minutes_to_pass(TABLE, 0.5) < math.inf


def test_the_smallest_harm_seen_is_the_one_seen_just_in_time() -> None:
    found = smallest_seen(TABLE, 131, 2.0)
    assert found is not None
    assert minutes_to_see(TABLE, found, 2.0) <= 131.2 < minutes_to_see(TABLE, found / 1.01, 2.0)
    assert smallest_seen(TABLE, 0.01, 2.0) is None
    assert smallest_seen(replace(TABLE, canary=0.0), 100, 2.0) is None
    fall = smallest_seen(TABLE, 200, 0.5)
    assert fall is not None
    assert 0 < fall < 1
    assert smallest_seen(replace(TABLE, canary=1e9, control=1e9), 1e9, 2.0) == pytest.approx(1.23, abs=0.2)


def test_beside_its_own_past_no_more_is_seen_than_the_past_can_tell() -> None:
    long, short = (replace(TABLE, past=past, margin=1.1) for past in (20_160.0, 30.0))
    assert minutes_to_see(long, 2.0, 2.0) < minutes_to_see(replace(long, past=300.0), 2.0, 2.0) < math.inf
    assert minutes_to_see(short, 2.0, 2.0) == math.inf
    assert minutes_to_see(short, 30.0, 2.0) < math.inf
    assert minutes_to_pass(short, 2.0) == math.inf
    assert minutes_to_see(replace(long, past=0.0), 2.0, 2.0) == math.inf


def test_a_margin_narrows_with_what_is_known_before_and_with_what_control_shows() -> None:
    new = Margin(before=(0.0, 0.0), accounts=(5.0, 50.0), rate=0.1, watched=True)
    assert new.at(1.0, 1.0) > new.at(100.0, 1.0) > new.at(10_000.0, 1.0) > 1.0
    assert replace(new, watched=False).at(100.0, 1.0) == new.at(0.0, 1.0)
    assert replace(new, accounts=(5.0, 2.0)).at(1e6, 1.0) == new.at(0.0, 1.0), (
        "two do not show how they differ"
    )
    known = replace(new, before=(1000.0, 10_000.0), watched=False)
    assert 1.0 < known.at(1.0, 1.0) < 1.05
    learning = replace(TABLE, margin=new)
    assert minutes_to_see(TABLE, 2.0, 2.0) < minutes_to_see(learning, 2.0, 2.0) < math.inf
    assert minutes_to_see(replace(TABLE, margin=known), 2.0, 2.0) < minutes_to_see(learning, 2.0, 2.0)


def test_a_ceiling_is_planned_by_how_far_the_share_is_from_it() -> None:
    ceiling = Ceiling(trials=50.0, share=0.01, limit=0.05)
    seen = [until(partial(power.sees_share_by, ceiling, share=share)) for share in (0.07, 0.1, 0.5)]
    assert seen == sorted(seen, reverse=True)
    assert until(lambda at: power.sees_share_by(ceiling, at, 0.05)) == math.inf
    near = until(lambda at: power.passes_limit_by(replace(ceiling, share=0.045), at))
    assert near > 20 * until(lambda at: power.passes_limit_by(ceiling, at))
    assert until(lambda at: power.passes_limit_by(replace(ceiling, share=0.06), at)) == math.inf


def test_searching() -> None:
    assert until(lambda at: at >= 12) == pytest.approx(12, rel=2e-3)
    assert nearest(100.0, lambda ratio: ratio >= 3) == pytest.approx(3, rel=2e-3)
    assert nearest(0.01, lambda ratio: ratio <= 0.3) == pytest.approx(0.3, rel=2e-3)
    assert nearest(100.0, lambda ratio: ratio > 200) is None
    assert [fewest(100, partial(operator.le, least)) for least in (1, 7, 100, 101)] == [
        1,
        7,
        100,
        None,
    ]
    assert fewest(0, lambda _: True) is None


def test_unequal_accounts_are_worth_fewer() -> None:
    assert effective([3.0] * 7) == pytest.approx(7)
    assert effective([100.0, 1.0, 1.0, 0.0]) == pytest.approx(1.04, abs=0.01)
    assert effective([0.0, 0.0]) == 0


def one_look(
    number: int, touched: tuple[Cell, ...], control: tuple[Cell, ...] = (), *, begun: bool
) -> Evidence:
    return Evidence(
        at_us=number * MINUTE, interval_us=MINUTE, touched=touched, control=control, expected=len(touched),
        intents=dict.fromkeys((cell.account for cell in touched), 0 if begun else None), complete=begun,
    )  # fmt: skip


def failed_at(check: Check, judge: Judge, looks: int, seed: int) -> float:
    """The minute at which a bake of five accounts fails whose 0.5 errors a minute have doubled; infinite: not yet.

    Beside control it was watched for two hours, beside its past it is known from ten days.
    """
    rng = random.Random(seed)
    alone = judge.name == BeforeVsAfter.name
    state: JudgeState = {}
    if alone:
        hours = [(hour, f"c{one}") for hour in range(1, 241) for one in range(5)]
        state = panel.feed(
            {}, [Past(hour * HOUR, name, 600.0, poisson(rng, 6.0), 60.0) for hour, name in hours], FIVE
        )
    for number in range(0 if alone or check.alike else -120, looks):
        rate = 0.1 if number < 0 else 0.2
        touched = tuple(Cell(name, 10.0, poisson(rng, rate), number >= 0) for name in FIVE)
        control = tuple(
            Cell(f"k{one}", 10.0, poisson(rng, 0.1), after=False) for one in range(0 if alone else 20)
        )
        evidence = one_look(number + 20_000, touched, control, begun=number >= 0)
        state, judgement = panel.look(check, {judge.name: judge}, state, evidence, alpha=0.01)
        if judgement.verdict is Verdict.FAIL:
            return number + 1
    return math.inf


FIVE = {f"c{one}": None for one in range(5)}
BAKES = 16
LEARNING = Margin(before=(60.0, 240.0), accounts=(5.0, 20.0), rate=0.1, watched=True)


@pytest.mark.bakes
@pytest.mark.parametrize(
    ("check", "judge", "scale"),
    [
        (replace(ERRORS, alike=True), Split(), Scale(canary=0.5, control=2.0)),
        (ERRORS, Split(), Scale(canary=0.5, control=2.0, margin=LEARNING, phi=2.0)),
        (OWN, BeforeVsAfter(), Scale(canary=0.5, past=14_400.0, margin=1.1, phi=2.0)),
    ],
    ids=["alike", "learning", "own past"],
)
def test_the_judges_keep_the_plan(check: Check, judge: Judge, scale: Scale) -> None:
    """Of bakes in which errors double nearly all are failed by the minute that the plan says for 95 %; and few long
    before: a plan that is far too long says nothing."""
    planned = math.ceil(minutes_to_see(scale, 2.0, 2.0))
    minutes = [failed_at(check, judge, planned, seed) for seed in range(BAKES)]
    assert sum(at <= planned for at in minutes) >= 0.85 * BAKES
    assert sum(at <= planned / 6 for at in minutes) <= 0.5 * BAKES


@pytest.mark.bakes
def test_the_limit_keeps_the_plan() -> None:
    check = replace(CEILING, fail_if=FailIf(ceiling=0.05))
    scale = Ceiling(trials=50.0, share=0.01, limit=0.05, phi=2.0)
    planned = math.ceil(until(lambda at: power.sees_share_by(scale, at, 0.1)))
    seen = 0
    for seed in range(BAKES):
        rng = random.Random(seed)
        state: JudgeState = {}
        verdict = Verdict.INCONCLUSIVE
        for number in range(planned):
            touched = tuple(Cell(f"c{one}", 10.0, float(sum(rng.random() < 0.1 for _ in range(10))), after=True)
                            for one in range(5))  # fmt: skip
            evidence = one_look(number, touched, begun=True)
            state, judgement = panel.look(check, {"limit": Limit()}, state, evidence, alpha=0.01)
            verdict = judgement.verdict
        seen += verdict is Verdict.FAIL
    assert seen >= 0.85 * BAKES
