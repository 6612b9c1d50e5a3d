"""Kayenta's judge of an increase, written after its documentation: a rank-sum interval of points of a minute each.

High when the lower end of the interval for the shift between canary and control (Hodges and Lehmann; 98 %) lies above
a quarter of the estimated shift, and the ratio of means reaches the effect size asked for. Points are error rates in
per cent: its root finder stops at an absolute 1e-4, so that the unit decides (GATE 2).
"""

import math
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

TOLERANCE = 0.25
CONFIDENCE = 0.98
LEAST_RATIO = 1.0
ROOT = 1e-4
LEAST_POINTS = 50  # "at least 50 data points per time series" (its best practices)

Points = Sequence[float]


def high(control: Points, canary: Points) -> bool:
    """Whether its judge would say High of a metric of which an increase is bad."""
    if not control or not canary:
        return False  # Nodata
    if sorted(control) == sorted(canary) or len({*control, *canary}) == 1:
        return False
    low, estimate = interval(canary, control)
    return low > TOLERANCE * abs(estimate) and not _ratio(canary, control) < LEAST_RATIO


def interval(x: Points, y: Points) -> tuple[float, float]:
    """Lower end and estimate of how far x is shifted against y."""
    at = _standardised(x, y)
    least, most = min(x) - max(y), max(x) - min(y)
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2)

    def root(level: float) -> float:
        low, high = at(least) - level, at(most) - level
        if low <= 0:
            return least
        return most if high >= 0 else brent(lambda shift: at(shift) - level, least, most, low, high)

    return root(z), root(0.0)


def brent(f: Callable[[float], float], a: float, b: float, fa: float, fb: float) -> float:
    """A zero of f between a and b by Brent's method of 1973 (`zeroin`), as R and Kayenta have it: to within ROOT.

    On steps, which rank sums are, where it stops inside ROOT matters: bisection gives other ends.
    """
    c, fc = a, fa
    while True:
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        near, half, before = 2 * sys.float_info.epsilon * abs(b) + ROOT / 2, (c - b) / 2, b - a
        if abs(half) <= near or fb == 0:
            return b
        step = half
        if abs(before) >= near and abs(fa) > abs(fb):
            s = fb / fa
            if a == c:
                p, q = 2 * half * s, 1 - s
            else:
                r, t = fa / fc, fb / fc
                p, q = s * (2 * half * r * (r - t) - (b - a) * (t - 1)), (r - 1) * (t - 1) * (s - 1)
            p, q = (p, -q) if p > 0 else (-p, q)
            if p < 1.5 * half * q - abs(near * q) / 2 and p < abs(before * q / 2):
                step = p / q
        if abs(step) < near:
            step = math.copysign(near, step)
        a, fa = b, fb
        b += step
        fb = f(b)
        if fb * fc > 0:
            c, fc = a, fa


def _standardised(x: Points, y: Points) -> Callable[[float], float]:
    """z of the rank sum of x less a shift, against y: with ties, and a continuity correction of a half.

    Values repeat (a minute's rate is a count over about the same number): they are ranked with their multiplicity.
    """
    xs, ys = sorted(Counter(x).items()), sorted(Counter(y).items())
    values = [value for value, _ in ys]
    below = [0]
    for _, times in ys:
        below.append(below[-1] + times)
    n, m = len(x), len(y)
    own_ties, all_ties = sum(t**3 - t for _, t in ys), n + m

    def z(shift: float) -> float:
        u = ties = 0.0
        for value, times in xs:
            moved = value - shift
            left, right = bisect_left(values, moved), bisect_right(values, moved)
            same = below[right] - below[left]
            u += times * (below[left] + same / 2)
            # a tie group of `same` from y grows by `times`
            ties += (times + same) ** 3 - (times + same) - (same**3 - same)
        dz = u - n * m / 2
        variance = n * m / 12 * (n + m + 1 - (own_ties + ties) / (all_ties * (all_ties - 1)))
        if variance <= 0:
            return 0.0
        return (dz - math.copysign(0.5, dz) * (dz != 0)) / math.sqrt(variance)

    return z


def _ratio(canary: Points, control: Points) -> float:
    """Of the means; NaN where control's is 0, which its judge takes for one that is large enough."""
    mean = sum(control) / len(control)
    return sum(canary) / len(canary) / mean if mean else math.nan


@dataclass(slots=True)
class Repeated:
    """Judged every `every` looks on the last `last` points (0: all so far)."""

    every: int = 60
    last: int = 0
    looks: int = 0
    canary: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        """One minute; whether it is High now."""
        self.looks += 1
        if n_c > 0:
            self.canary.append(100 * y_c / n_c)
        if n_k > 0:
            self.control.append(100 * y_k / n_k)
        if self.looks % self.every or len(self.canary) < LEAST_POINTS:
            return False
        return high(self.control[-self.last :], self.canary[-self.last :])
