"""Other ways to judge, on the same pooled counts: one minute in, whether it would stop the rollout out.

thresholds  rate > factor x the rate known before, over a window; Failed when measurements that failed number more
            than failureLimit, over the whole analysis (argo-rollouts, docs/features/analysis.md)
z           two proportions, pooled, one-sided, looked at each minute as if it were the only look
Kayenta     `gate_kayenta`
mSPRT       a one-sided asymptotic confidence sequence of the difference (a normal mixture; Johari et al. 2017,
            Howard et al. arXiv 1810.08240), as GrowthBook's sequential tests have it, N* = 5,000:
            rho = sqrt((-2 ln 2a + ln(1 - 2 ln 2a)) / N*)
            half width = sqrt(N V) sqrt(2 (N rho^2 + 1)/(N^2 rho^2) ln(1 + sqrt(N rho^2 + 1)/(2a)))
CUSUM       S = max(0, S + log L_2) of the split of a look's events; from ln(looks/a) on
SPRT        log L_2 of the canary's events with both rates known: a yardstick, nobody knows them
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Protocol

from bench.gate_kayenta import Repeated

ALPHA = 0.01
LOOKS = 1440
PLANNED = 5_000


class Peer(Protocol):
    """A judge of pooled counts."""

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        """One minute of canary and control: n trials, y of them bad. Whether it objects now."""
        ...


@dataclass(slots=True)
class Threshold:
    """A measurement every `window` looks over these looks; more than `limit` that failed is Failed."""

    limit_rate: float
    window: int = 1
    limit: int = 3
    looks: int = 0
    n: float = 0.0
    y: float = 0.0
    failed: int = 0

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        del n_k, y_k
        self.looks += 1
        self.n += n_c
        self.y += y_c
        if self.looks % self.window == 0:
            self.failed += self.y > self.limit_rate * self.n
            self.n = self.y = 0.0
        return self.failed > self.limit


@dataclass(slots=True)
class Sums:
    """Totals so far."""

    n_c: float = 0.0
    y_c: float = 0.0
    n_k: float = 0.0
    y_k: float = 0.0

    def add(self, n_c: float, y_c: float, n_k: float, y_k: float) -> None:
        self.n_c += n_c
        self.y_c += y_c
        self.n_k += n_k
        self.y_k += y_k


@dataclass(slots=True)
class Peeked:
    """A z test of two proportions, peeked at."""

    sums: Sums = field(default_factory=Sums)
    limit: float = NormalDist().inv_cdf(1 - ALPHA)

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        s = self.sums
        s.add(n_c, y_c, n_k, y_k)
        if not (s.n_c > 0 and s.n_k > 0 and s.y_c + s.y_k > 0):
            return False
        p = (s.y_c + s.y_k) / (s.n_c + s.n_k)
        variance = p * (1 - p) * (1 / s.n_c + 1 / s.n_k)
        return variance > 0 and s.y_c / s.n_c - s.y_k / s.n_k > self.limit * math.sqrt(variance)


@dataclass(slots=True)
class Mixture:
    """mSPRT/GAVI: the lower end of a confidence sequence of the difference is above 0."""

    planned: float = PLANNED
    sums: Sums = field(default_factory=Sums)

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        s = self.sums
        s.add(n_c, y_c, n_k, y_k)
        if not (s.n_c > 0 and s.n_k > 0 and s.y_c > 0):
            return False
        a, b = s.y_c / s.n_c, s.y_k / s.n_k
        n = s.n_c + s.n_k
        variance = (a * (1 - a) / s.n_c + b * (1 - b) / s.n_k) * n
        rho2 = (-2 * math.log(2 * ALPHA) + math.log(1 - 2 * math.log(2 * ALPHA))) / self.planned
        grown = n * rho2 + 1
        width = math.sqrt(2 * grown / (n * n * rho2) * math.log(1 + math.sqrt(grown) / (2 * ALPHA)))
        return a - b > math.sqrt(variance) * width


@dataclass(slots=True)
class Cusum:
    """Page's test on the split of each look's events, for a doubling."""

    ratio: float = 2.0
    limit: float = math.log(LOOKS / ALPHA)
    level: float = 0.0

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        if n_c > 0 and n_k > 0:
            q = n_c / (n_c + n_k)
            gain = y_c * math.log(self.ratio) - (y_c + y_k) * math.log(self.ratio * q + 1 - q)
            self.level = max(0.0, self.level + gain)
        return self.level >= self.limit


@dataclass(slots=True)
class Known:
    """Wald's SPRT for a doubling, the good rate known."""

    p0: float
    ratio: float = 2.0
    limit: float = math.log(1 / ALPHA)
    level: float = 0.0

    def look(self, n_c: float, y_c: float, n_k: float, y_k: float) -> bool:
        del n_k, y_k
        p1 = min(0.999, self.ratio * self.p0)
        self.level += y_c * math.log(p1 / self.p0) + (n_c - y_c) * math.log((1 - p1) / (1 - self.p0))
        return self.level >= self.limit


def peers(p0: float) -> Mapping[str, Callable[[], Peer]]:
    """All of them by name, for a rate of bad events that was p0 before."""
    return {
        "Argo: rate > 5 p0, 1 min, failureLimit 3": lambda: Threshold(5 * p0),
        "Argo: rate > 2 p0, 5 min, failureLimit 3": lambda: Threshold(2 * p0, window=5),
        "two-proportion z at 1 %, peeked": Peeked,
        "Kayenta hourly, all minutes so far": lambda: Repeated(60),
        "Kayenta each 10 min, last 60 min": lambda: Repeated(10, 60),
        "mSPRT/GAVI, N* = 5,000": Mixture,
        "CUSUM r = 2, h = ln(looks/alpha)": Cusum,
        "SPRT, both rates known (yardstick)": lambda: Known(p0),
    }


@dataclass(slots=True)
class Watched:
    """All peers over one bake: each one's first objection, as a look from 0; None: it made none."""

    p0: float
    first: dict[str, int | None] = field(default_factory=dict)
    going: dict[str, Peer] = field(default_factory=dict)
    looks: int = 0

    def __post_init__(self) -> None:
        self.going = {name: make() for name, make in peers(self.p0).items()}
        self.first = dict.fromkeys(self.going)

    def look(self, counts: tuple[float, float, float, float]) -> None:
        """One minute: (n_c, y_c, n_k, y_k)."""
        for name in [name for name, one in self.going.items() if one.look(*counts)]:
            self.first[name] = self.looks
            del self.going[name]
        self.looks += 1
