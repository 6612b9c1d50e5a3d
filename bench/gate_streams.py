"""Seeded streams of a bake: what accounts answered, minute by minute, and what they did in the days before (GATE 4).

S1 errors 1 %, 50 requests a minute of the canary, 450 of control; S2 0.1 %, 20 and 180; S3 = S1 with a drift common
to both (traffic +-70 %, rate +-50 % over a day); S4 empty answers 3 %, 10 and 90; S5 slower than the p95 before, 5 %,
50 and 450; S6 throughput by day and night with 15 % noise a cohort every 5 minutes. Their accounts are alike: few
will do. S7 and VSTS: see `gate_worlds`.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Protocol

from ringctl.core.learning import Past
from ringctl.core.timing import HOUR

START = 1_800_000_000_000_000 // HOUR * HOUR  # of all bakes
DAY = 1440
PAST_HOURS = 14 * 24
SLOW = 0.1015  # of log-normal requests (sigma 0.6) that are 25 % slower, beyond what was the p95

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """From minute `at` on: rates `factor` times as high, and `share` of what would have been good is bad as well.

    `accounts`: the chance of each canary account to be hit. `lasts`: minutes, from each account's own start.
    """

    at: int = 0
    factor: float = 1.0
    share: float = 0.0
    accounts: float = 1.0
    lasts: int = 10**9

    def rate(self, p: float) -> float:
        """The rate of a canary account that is hit."""
        worse = min(1.0, self.factor * p)
        return worse + (1 - worse) * self.share


NO_HARM = Harm()


class Bake(Protocol):
    """One bake of one stream. `starts`: canary account -> minute of its first intent."""

    @property
    def starts(self) -> Mapping[str, int]: ...

    @property
    def control(self) -> Sequence[str]: ...

    def past(self) -> list[Past]:
        """Hours before the bake, in the order of time."""
        ...

    def minutes(self) -> Iterator[tuple[Pairs, Pairs]]:
        """(n, y) of each canary account and of each control account."""
        ...

    def other_day(self) -> "Bake":
        """The same accounts on a day without harm."""
        ...


@lru_cache(maxsize=20_000)
def _table(n: int, p: float) -> list[float]:
    """The distribution function of the binomial, up to where nothing is left."""
    if p <= 0 or n == 0:
        return [1.0]
    if p >= 1:
        return [0.0] * n + [1.0]
    found, total, odds = [], 0.0, p / (1 - p)
    log = n * math.log1p(-p)
    for k in range(n + 1):
        total += math.exp(log)
        found.append(total)
        if total > 1 - 1e-13 and k > n * p:
            break
        log += math.log((n - k) / (k + 1) * odds) if k < n else 0.0
    return found


def tabled(rng: Random, n: int, p: float) -> int:
    """A binomial draw; fast where the same (n, p) comes again and again."""
    table = _table(n, p)
    return min(bisect_right(table, rng.random()), n)


def binomial(rng: Random, n: int, p: float) -> int:
    """A binomial draw, exact: halved by order statistics (Beta) until it is small, then waited for in leaps."""
    found = 0
    while n * min(p, 1 - p) > 12:
        k = n // 2 + 1
        x = rng.betavariate(k, n - k + 1)
        if x <= p:
            found, n, p = found + k, n - k, (p - x) / (1 - x)
        else:
            n, p = k - 1, p / x
    if p >= 1:
        return found + n
    if p <= 0 or n == 0:
        return found
    small = min(p, 1 - p)
    at, hits, leap = -1, 0, math.log1p(-small)
    while True:
        at += 1 + int(math.log(1 - rng.random()) / leap)
        if at >= n:
            return found + (hits if small == p else n - hits)
        hits += 1


def poisson(rng: Random, mean: float) -> int:
    """A Poisson draw, exact: split by Gamma waiting times until it is small."""
    found = 0
    while mean > 12:
        k = int(7 * mean / 8)
        x = rng.gammavariate(k, 1.0)
        if x > mean:
            return found + binomial(rng, k - 1, mean / x)
        found, mean = found + k, mean - x
    limit, product = math.exp(-mean), rng.random()
    while product > limit:
        found += 1
        product *= rng.random()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A stream whose accounts are alike. `per`: trials a minute of (canary, control), shared out over accounts."""

    name: str
    rate: float
    per: tuple[int, int] = (50, 450)
    accounts: tuple[int, int] = (5, 10)
    drift: bool = False
    flow: bool = False  # y counts requests themselves, n minutes

    @property
    def kappa(self) -> float:
        """Control samples to one of the canary."""
        return self.per[1] / self.per[0]

    def bake(self, seed: int, harm: Harm = NO_HARM) -> "PlainBake":
        """One bake, the same for the same seed."""
        rng = Random(f"{self.name} {seed}")
        return PlainBake(stream=self, rng=rng, harm=harm, phase=rng.randrange(DAY))


def day(minute: int) -> float:
    """Where in its daily wave a minute is: -1 to 1."""
    return math.sin(2 * math.pi * (minute % DAY) / DAY)


@dataclass(slots=True, kw_only=True)
class PlainBake:
    """One bake of a plain stream; `phase`: where in the day it begins."""

    stream: Plain
    rng: Random
    harm: Harm
    phase: int
    starts: dict[str, int] = field(init=False)
    control: list[str] = field(init=False)

    def __post_init__(self) -> None:
        canary, control = self.stream.accounts
        self.starts = {f"c{place:02d}": 0 for place in range(canary)}
        self.control = [f"k{place:02d}" for place in range(control)]

    def _now(self, minute: int) -> tuple[tuple[float, float], float]:
        """Trials a minute of one account of each side, and the rate."""
        one = self.stream
        wave = day(minute + self.phase) if one.drift or one.flow else 0.0
        traffic = 1 + 0.7 * wave
        per = tuple(per / count * traffic for per, count in zip(one.per, one.accounts, strict=True))
        return (per[0], per[1]), one.rate * (1 + 0.5 * wave if one.drift else 1.0)

    def past(self) -> list[Past]:
        cells = []
        for hour in range(-PAST_HOURS, 0):
            # from the middle of the hour: a wave of a day moves little in it
            per, rate = self._now(60 * hour + 30)
            at_us = START + (hour + 1) * HOUR
            noise = [sum(_noise(self.rng) for _ in range(12)) / 12 if self.stream.flow else 1.0 for _ in per]
            for names, trials, times in zip((self.starts, self.control), per, noise, strict=True):
                cells += [self._hour(at_us, name, 60 * trials * times, rate) for name in names]
        return cells

    def other_day(self) -> "PlainBake":
        other = Random(self.rng.random())
        return PlainBake(stream=self.stream, rng=other, harm=NO_HARM, phase=self.phase)

    def _hour(self, at_us: int, name: str, trials: float, rate: float) -> Past:
        if self.stream.flow:
            return Past(at_us, name, 60.0, poisson(self.rng, trials), 60.0)
        n = round(trials)
        return Past(at_us, name, n, tabled(self.rng, n, round(rate, 6)), 60.0)

    def minutes(self) -> Iterator[tuple[Pairs, Pairs]]:
        rng, harm = self.rng, self.harm
        hit = [rng.random() < harm.accounts for _ in self.starts]
        noise = [1.0, 1.0]
        for minute in range(DAY):
            per, p = self._now(minute)
            p = round(p, 6)
            on = harm.at <= minute < harm.at + harm.lasts
            if self.stream.flow:
                if minute % 5 == 0:
                    noise = [_noise(rng), _noise(rng)]
                fall = harm.factor if on else 1.0
                yield (
                    [(1.0, poisson(rng, per[0] * noise[0] * (fall if one else 1))) for one in hit],
                    [(1.0, poisson(rng, per[1] * noise[1])) for _ in self.control],
                )
                continue
            bad = round(harm.rate(p), 6) if on else p
            n_c, n_k = round(per[0]), round(per[1])
            yield (
                [(n_c, tabled(rng, n_c, bad if one else p)) for one in hit],
                [(n_k, tabled(rng, n_k, p)) for _ in self.control],
            )


def _noise(rng: Random) -> float:
    return rng.gammavariate(1 / 0.15**2, 0.15**2)


S1 = Plain(name="S1", rate=0.01)
S2 = Plain(name="S2", rate=0.001, per=(20, 180))
S3 = Plain(name="S3", rate=0.01, drift=True)
S4 = Plain(name="S4", rate=0.03, per=(10, 90))
S5 = Plain(name="S5", rate=0.05)
S6 = Plain(name="S6", rate=1.0, flow=True)
PLAIN = {one.name: one for one in (S1, S2, S3, S4, S5, S6)}
