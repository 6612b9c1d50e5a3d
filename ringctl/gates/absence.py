"""PASS asks for evidence that harm of the size asked about is absent: not finding it is no evidence (GATE 5.6).

An e-process against "the ratio is h or more", from looks after the last account was done:
    E_pass = mean over r in R of prod [ (r/h)^y_c ((h q + 1 - q)/(r q + 1 - q))^(y_c + y_k) ]^(1/phi)
with q the least share of events that the canary may have without harm; PASS from E_pass >= 1/miss on. R holds 1 (no
change) and one ratio between 1 and h, so that a small harmless change may pass as well. By Ville's inequality a harm
of h passes with a chance of at most `miss`, however often it is looked at. For a fall, h < 1, everything is mirrored.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ringctl.core.judging import Judgement
from ringctl.core.policy import Check
from ringctl.core.states import Verdict

NEGLIGIBLE: Final = (
    0.01  # a share of bad ones, or events a minute and account, too small to hold a release for
)
BETWEEN: Final = 0.38  # R's second ratio is h^0.38: 1.3 for h = 2 (GATE 5.6)
MOST: Final = 600.0  # a log beyond which evidence is not told apart


def ratios(harm: float) -> tuple[float, float]:
    """R: the ratios thought harmless, for a harmful one of `harm`."""
    return 1.0, harm**BETWEEN


def added(logs: Sequence[float], harm: float, q: float, y_c: float, y_k: float) -> list[float]:
    """The logs of the products with one more look, phi still 1. `q`: the least favourable share (see above)."""
    bad = math.log(harm * q + 1 - q)
    found = []
    for log, r in zip(logs, ratios(harm), strict=True):
        gain = y_c * math.log(r / harm) + (y_c + y_k) * (bad - math.log(r * q + 1 - q))
        found.append(log + gain)
    return found


def evidence(logs: Sequence[float], phi: float = 1.0) -> float:
    """E_pass. All of it is tempered by the phi that is known now."""
    return sum(math.exp(max(-MOST, min(MOST, log / phi))) for log in logs) / len(logs)


def of_anything(check: Check, n: float, where: str, numbers: Mapping[str, object]) -> Judgement:
    """No event was ever seen, on neither side: a ratio of nothing to nothing says nothing.

    n trials without an event rule out every rate above ln(1/miss)/n, with a chance of at most `miss` to be wrong.
    PASS from 1 % on: 300 trials for a miss of 5 %. Zero events in real exposure are good evidence; in a handful of
    trials they are none.
    """
    needed = math.log(1 / check.miss) / NEGLIGIBLE
    if n >= needed:
        reason = f"no event at all, {where}, in {n:.0f} samples of the canary; {NEGLIGIBLE:.0%} is ruled out"
        return Judgement(verdict=Verdict.PASS, reason=reason, numbers=numbers)
    reason = (
        f"no event at all, {where}, in {n:.0f} samples of the canary; {needed:.0f} rule out {NEGLIGIBLE:.0%}"
    )
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason, numbers=numbers)
