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
from ringctl.core.learning import Learnt
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.gates.asked import directions

NEGLIGIBLE: Final = (
    0.01  # a share of bad ones, or events a minute and account, too small to hold a release for
)
LEAST_RATE: Final = 1e-4  # the same where much less was usual
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


def of_anything(check: Check, learnt: Learnt, n: float, numbers: Mapping[str, object]) -> Judgement:
    """No event was seen since the first intent, on neither side: a ratio of nothing to nothing says nothing.

    n trials without an event rule out every rate above ln(1/miss)/n, with a chance of at most `miss` to be wrong.
    PASS when that rate is the harm asked about times what was usual before, but no less than 0.01 %, or 1 % where
    nothing was ever seen (300 trials for a miss of 5 %). Zero events in real exposure are good evidence; in a handful
    of trials they are none.
    """
    both = directions(check)
    said = f"no event at all, in {n:.0f} samples of the wave or in control"
    if not min(both) > 1:  # where a fall is asked about, nothing at all is silence
        return Judgement(verdict=Verdict.INCONCLUSIVE, reason=said, numbers=numbers)
    usual = learnt.own.y / max(1.0, learnt.own.n)
    rate = min(NEGLIGIBLE, max(LEAST_RATE, max(both) * usual)) if usual > 0 else NEGLIGIBLE
    needed = math.log(1 / check.miss) / rate
    if n >= needed:
        return Judgement(verdict=Verdict.PASS, reason=f"{said}; {rate:.2%} is ruled out", numbers=numbers)
    reason = f"{said}; {needed:.0f} rule out {rate:.2%}"
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason, numbers=numbers)
