"""Streams of accounts that differ and misbehave in bursts: S7, and the incident of 2017 in small (GATE 4, 4.6).

S7: 200 accounts, log-normal sizes (mean 2.5 requests a minute), own rates with a coefficient of variation of 1 around
1 %, bursts of an hour (Gamma of shape 0.5) of each account for itself, traffic by day and night. The canary is drawn
at random, and all its accounts are begun at once.

VSTS: 200 accounts of 2.5 answers a minute, 3 % of them empty, the same bursts. 20 are upgraded, one started every ten
minutes; while an account's upgrade lasts (40 minutes for the edited script, 2 for the old one) its answers are all
empty. Status codes stay 200.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from bench.gate_streams import DAY, NO_HARM, PAST_HOURS, START, Harm, Pairs, binomial, day
from ringctl.core.learning import Past
from ringctl.core.timing import HOUR

SIGMA = 1.0  # of log sizes
BURST = 0.5
REUSED = 4  # bakes with other draws and other days out of one past: a past of 200 accounts is dear


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustered:
    """A fleet whose accounts differ. `every`: minutes between one start and the next."""

    name: str
    rate: float
    canary: int
    fleet: int = 200
    per: float = 2.5
    unequal: bool = True
    every: int = 0

    @property
    def kappa(self) -> float:
        """Control samples to one of the canary."""
        return (self.fleet - self.canary) / self.canary

    def bake(self, seed: int, harm: Harm = NO_HARM) -> "ClusteredBake":
        """One bake, the same for the same seed."""
        return ClusteredBake(
            stream=self, rng=Random(f"{self.name} {seed}"), harm=harm, world=_world(self, seed // REUSED)
        )


@dataclass(frozen=True, slots=True)
class World:
    """Accounts and their past: name -> (trials a minute, rate)."""

    own: dict[str, tuple[float, float]]
    past: list[Past]


@lru_cache(maxsize=2)
def _world(stream: Clustered, seed: int) -> World:
    rng = Random(f"world of {stream.name} {seed}")
    own = {}
    for place in range(stream.fleet):
        size = math.exp(SIGMA * rng.gauss(0, 1) - SIGMA**2 / 2) if stream.unequal else 1.0
        rate = rng.gammavariate(1.0, 1.0) if stream.unequal else 1.0
        own[f"a{place:03d}"] = (stream.per * size, min(0.5, stream.rate * rate))
    past = []
    for hour in range(-PAST_HOURS, 0):
        at_us = START + (hour + 1) * HOUR
        wave = 1 + 0.7 * day(60 * hour + 30) if stream.unequal else 1.0
        for name, (per, rate) in own.items():
            n = round(60 * per * wave)
            if n:
                past.append(Past(at_us, name, n, binomial(rng, n, burst(rng, rate)), 60.0))
    return World(own, past)


def burst(rng: Random, rate: float) -> float:
    """An account's rate in one hour."""
    return min(1.0, rate * rng.gammavariate(BURST, 1 / BURST))


@dataclass(slots=True, kw_only=True)
class ClusteredBake:
    """One bake: who is drawn, who is hit."""

    stream: Clustered
    rng: Random
    harm: Harm
    world: World
    starts: dict[str, int] = field(init=False)
    control: list[str] = field(init=False)

    def __post_init__(self) -> None:
        drawn = self.rng.sample(sorted(self.world.own), self.stream.canary)
        self.starts = {name: place * self.stream.every for place, name in enumerate(drawn)}
        self.control = [name for name in self.world.own if name not in self.starts]

    def past(self) -> list[Past]:
        return self.world.past

    def other_day(self) -> "ClusteredBake":
        other = Random(self.rng.random())
        bake = ClusteredBake(stream=self.stream, rng=other, harm=NO_HARM, world=self.world)
        bake.starts, bake.control = self.starts, self.control
        return bake

    def minutes(self) -> Iterator[tuple[Pairs, Pairs]]:
        harm, rng = self.harm, self.rng
        hit = {name for name in self.starts if rng.random() < harm.accounts}
        named = [*self.starts, *self.control]
        split = len(self.starts)
        carried = {
            name: rng.random() for name in named
        }  # the part of a request that a minute leaves to the next
        for hour in range(DAY // 60):
            grid = [self._hour(name, hour, name in hit, carried) for name in named]
            for at in range(60):
                cells = [one[at] for one in grid]
                yield cells[:split], cells[split:]

    def _hour(self, name: str, hour: int, hit: bool, carried: dict[str, float]) -> list[tuple[float, float]]:
        """(n, y) of 60 minutes. Trials come evenly; the bad ones are any of them."""
        rng, (per, rate) = self.rng, self.world.own[name]
        per *= 1 + 0.7 * day(60 * hour + 30) if self.stream.unequal else 1.0
        before = carried[name]
        ends = [int(before + per * (at + 1)) for at in range(60)]
        carried[name] = before + per * 60 - ends[-1]
        p, total = burst(rng, rate), ends[-1]
        bad = [0] * 60
        # without replacement: no request is bad twice
        for place in rng.sample(range(total), binomial(rng, total, p)):
            bad[bisect_right(ends, place)] += 1
        cells: list[tuple[float, float]] = []
        last = 0
        for end, y in zip(ends, bad, strict=True):
            cells.append((end - last, y))
            last = end
        return (
            [self._harmed(name, 60 * hour + at, cell, p) for at, cell in enumerate(cells)] if hit else cells
        )

    def _harmed(self, name: str, minute: int, cell: tuple[float, float], p: float) -> tuple[float, float]:
        """Good requests that turn bad, so that the account's rate is what the harm makes of it."""
        harm, (n, y) = self.harm, cell
        begun = self.starts[name] + harm.at
        if not begun <= minute < begun + harm.lasts or p >= 1:
            return cell
        return n, y + binomial(self.rng, int(n - y), (harm.rate(p) - p) / (1 - p))


S7 = {count: Clustered(name=f"S7, {count} canary accounts", rate=0.01, canary=count) for count in (5, 20, 50)}
SMALL = Clustered(name="30 unequal accounts", rate=0.02, canary=8, fleet=30)
VSTS = Clustered(name="VSTS", rate=0.03, canary=20, unequal=False, every=10)
EDITED = Harm(share=1.0, lasts=40)
OLD = Harm(share=1.0, lasts=2)
