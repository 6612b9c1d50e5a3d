"""How long a judge needs: planned before anything is touched, with the formulas of GATE 5.7.

With mu, mu_k events a minute of the canary and of control when nothing is wrong, q = mu/(mu + mu_k), leaned by the
margin m to q' = m q/(m q + 1 - q), a true ratio r, and for each ratio g of the grid its share s_g of the first stake:
    a = ln g - ln(g q' + 1 - q'),   b = -ln(g q' + 1 - q')
    D = (mu r a + mu_k b)/phi,   V = (mu r a^2 + mu_k b^2)/phi,   B = ln(1/(s_g alpha))
    N = min over g of [ (z sqrt V + sqrt(z^2 V + 4 D B)) / (2 D) ]^2 minutes,   z = 1.645 for 95 %
D is the drift of the log likelihood ratio per minute, V its variance: N is when a normal walk with them is past B
with 95 %. PASS is planned alike, with the process of `absence`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ringctl.gates import absence
from ringctl.gates.evidence import FIRST_STAKE, grid, grid_down, leaning

Z95: Final = 1.645
MOST_RATIO: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What the plan rests on. `canary`, `control`: events a minute when nothing is wrong; `margin`: exp(1.28 se)."""

    canary: float
    control: float
    phi: float = 1.0
    margin: float = 1.0
    alpha: float = 0.01
    miss: float = 0.05

    def share(self, margin: float) -> float:
        """The canary's share of events, leaned by a margin."""
        return margin * self.canary / (margin * self.canary + self.control)


def minutes_to_see(scale: Scale, ratio: float, harm: float) -> float:
    """Minutes until a true `ratio` is seen with 95 % by a check that asks for `harm`; infinite when never."""
    if not (scale.canary > 0 and scale.control > 0):
        return math.inf
    up = harm > 1
    ratios = grid(harm - 1) if up else grid_down(1 - harm)
    q = scale.share(scale.margin if up else 1 / scale.margin)
    found = math.inf
    for g, share in zip(ratios, leaning(ratios, harm), strict=True):
        b = -math.log(g * q + 1 - q)
        a = math.log(g) + b
        found = min(found, _minutes(scale, ratio, a, b, math.log(1 / (FIRST_STAKE * share * scale.alpha))))
    return found


def minutes_to_pass(scale: Scale, harm: float) -> float:
    """Minutes until a healthy canary passes with 95 %; infinite when never."""
    if not (scale.canary > 0 and scale.control > 0):
        return math.inf
    q = scale.share(1 / scale.margin if harm > 1 else scale.margin)
    found = math.inf
    for r in absence.ratios(harm):
        b = math.log(harm * q + 1 - q) - math.log(r * q + 1 - q)
        a = math.log(r / harm) + b
        found = min(found, _minutes(scale, 1.0, a, b, math.log(len(absence.ratios(harm)) / scale.miss)))
    return found


def _minutes(scale: Scale, ratio: float, a: float, b: float, needed: float) -> float:
    drift = (scale.canary * ratio * a + scale.control * b) / scale.phi
    variance = (scale.canary * ratio * a * a + scale.control * b * b) / scale.phi
    if not drift > 0:
        return math.inf
    spread = Z95 * math.sqrt(variance)
    return float(((spread + math.sqrt(spread**2 + 4 * drift * needed)) / (2 * drift)) ** 2)


def smallest_seen(scale: Scale, minutes: float, harm: float) -> float | None:
    """The smallest rise (for a check on a fall: the least fall) seen with 95 % within so many minutes; or None."""
    extreme = MOST_RATIO if harm > 1 else 1 / MOST_RATIO
    if not minutes_to_see(scale, extreme, harm) <= minutes:
        return None
    return _between(1.0, extreme, lambda ratio: minutes_to_see(scale, ratio, harm) <= minutes)


def _between(near: float, far: float, good: Callable[[float], bool]) -> float:
    """Where `good` begins to hold between `near` (it may not) and `far` (it does), to three digits."""
    if good(near):
        return near
    for _ in range(40):
        middle = math.sqrt(near * far)
        near, far = (near, middle) if good(middle) else (middle, far)
        if abs(math.log(far / near)) < 1e-4:
            break
    return far
