"""The plan's formula against GATE's table, its own logic, and the judge that it plans for."""

import math
import random
from dataclasses import replace

import pytest

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, JudgeState
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates.power import Scale, minutes_to_pass, minutes_to_see, smallest_seen
from ringctl.gates.split import Split
from tests.gates.checks import ERRORS
from tests.gates.test_false_alarms import poisson

TABLE = Scale(canary=0.5, control=4.5, margin=1.02, alpha=5e-4)


@pytest.mark.parametrize(
    ("phi", "ratio", "minutes"),
    [(1, 1.5, 475), (1, 2, 131), (1, 3, 40), (1, 5, 13), (5, 2, 656), (15, 2, 1967), (5, 3, 199), (1, 10, 4)],
)
def test_the_table_of_the_research(phi: float, ratio: float, minutes: float) -> None:
    """GATE 5.7 divides the first stake equally; here it leans towards the harm asked about: a little sooner there,
    and a little later far from it."""
    assert minutes_to_see(replace(TABLE, phi=phi), ratio, 2.0) == pytest.approx(minutes, rel=0.25, abs=1)


def test_more_of_everything_helps() -> None:
    at = minutes_to_see(TABLE, 2.0, 2.0)
    assert minutes_to_see(replace(TABLE, canary=1.0, control=9.0), 2.0, 2.0) < at
    assert minutes_to_see(TABLE, 3.0, 2.0) < at < minutes_to_see(TABLE, 1.5, 2.0)
    assert minutes_to_see(replace(TABLE, phi=3.0), 2.0, 2.0) == pytest.approx(3 * at, rel=0.01)
    assert minutes_to_see(replace(TABLE, control=0.5), 2.0, 2.0) > at
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
    assert minutes_to_see(TABLE, found, 2.0) <= 131 < minutes_to_see(TABLE, found / 1.01, 2.0)
    assert smallest_seen(TABLE, 0.01, 2.0) is None
    fall = smallest_seen(TABLE, 200, 0.5)
    assert fall is not None
    assert 0 < fall < 1
    assert smallest_seen(replace(TABLE, canary=1e9, control=1e9), 1e9, 2.0) == pytest.approx(1.23, abs=0.2)


def test_the_judge_keeps_the_plan() -> None:
    """40 bakes with a true doubling: the predicted 95 % minute is met by nearly all."""
    check = replace(ERRORS, alike=True)
    scale = Scale(canary=0.5, control=4.5, alpha=0.01)
    planned = minutes_to_see(scale, 2.0, 2.0)
    met = 0
    for seed in range(40):
        rng = random.Random(seed)
        state: JudgeState = {}
        for number in range(math.ceil(planned)):
            touched = tuple(Cell(f"c{one}", 10.0, poisson(rng, 0.2), after=True) for one in range(5))
            control = tuple(Cell(f"k{one}", 45.0, poisson(rng, 0.45), after=False) for one in range(10))
            evidence = Evidence(
                at_us=number * MINUTE, interval_us=MINUTE, touched=touched, control=control, expected=5,
                intents=dict.fromkeys((cell.account for cell in touched), 0),
            )  # fmt: skip
            state, judgement = panel.look(check, {"split": Split()}, state, evidence, alpha=0.01)
        met += judgement.verdict is Verdict.FAIL
    assert met >= 35
