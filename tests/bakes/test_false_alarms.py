"""Seeded bakes without any harm: how often do the judges ring? The promise is 1 % a bake."""

import math
import random
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence, Judge
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates.before_vs_after import BeforeVsAfter
from ringctl.gates.split import Split
from ringctl.testing.judge_suite import sit
from tests.gates.checks import ERRORS, OWN
from tests.gates.draws import poisson
from tests.support.scale import scaled

BAKES = scaled(150, 2000)
LOOKS = 240


def fails(judge: Judge, check: Check, seed: int, harm: float, *, drift: bool) -> int | None:
    """The look of the FAIL in one bake: 4 canary and 12 control accounts, 12 answers a minute, 1 % errors.

    With `drift` the common error rate swings between 0.3 and 3 %.
    """
    rng = random.Random(seed)
    state: dict[str, object] = {}
    for number in range(LOOKS):
        rate = 0.01 * (math.exp(1.1 * math.sin(number / 20)) if drift else 1.0)
        after = number >= 30

        def cell(name: str, p: float, *, after: bool) -> Cell:
            return Cell(account=name, n=12.0, y=float(poisson(rng, 12 * p)), after=after)

        evidence = Evidence(
            at_us=number * MINUTE,
            interval_us=MINUTE,
            touched=tuple(cell(f"c{one}", rate * (harm if after else 1.0), after=after) for one in range(4)),
            control=tuple(cell(f"k{one}", rate, after=False) for one in range(12)),
            expected=4,
            complete=number > 40,
            intents={f"c{one}": 29 * MINUTE if after else None for one in range(4)},
        )
        folded, judgement = sit(judge, check, state, evidence)
        state = dict(folded)
        if judgement.verdict is Verdict.FAIL:
            return number - 29
    return None


@pytest.mark.parametrize(
    ("judge", "check", "drift"),
    [
        (Split(), ERRORS, False),
        (Split(), ERRORS, True),
        (BeforeVsAfter(), OWN, False),
    ],
)
def test_false_alarms_stay_within_the_promise(judge: Judge, check: Check, drift: bool) -> None:
    rung = sum(fails(judge, check, seed, 1.0, drift=drift) is not None for seed in range(BAKES))
    # 1 % of the bakes, and three standard deviations of that many
    assert rung <= 0.01 * BAKES + 3 * math.sqrt(0.01 * 0.99 * BAKES), f"{rung} of {BAKES}"


@pytest.mark.parametrize(("judge", "check"), [(Split(), ERRORS), (BeforeVsAfter(), OWN)])
def test_strong_harm_is_seen_within_a_few_looks(judge: Judge, check: Check) -> None:
    delays = sorted(
        fails(judge, replace(check, false_alarm=0.001), seed, 30.0, drift=False) or LOOKS
        for seed in range(40)
    )
    assert delays[len(delays) // 2] <= 3
    assert delays[-1] <= 8
