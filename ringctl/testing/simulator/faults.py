"""What may go wrong, how often: rates are drawn per seed, so that some worlds are calm and some are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ringctl.core.errors import StoreUnavailable
from ringctl.core.timing import SECOND
from ringctl.testing.simulator.chance import Chance
from ringctl.testing.simulator.world import Owner, World

HOT = 8.0
"""How much likelier a process is stopped or killed at a moment at which that hurts: between an intent and its
step, between a step and its result, between a beat and its answer."""

WARM = 4.0
"""The same while a step runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Probabilities per switch point (`stop`, `crash`, `slow`) and per call of the store (`lost`: not executed,
    `unanswered`: executed, and nobody hears of it), and per reading of metrics (`missing`: no answer, `absent`: one
    without series). Times in seconds."""

    stop: float = 0.0
    crash: float = 0.0
    lost: float = 0.0
    unanswered: float = 0.0
    slow: float = 0.0
    slowest_s: float = 0.0
    missing: float = 0.0
    absent: float = 0.0
    busy: float = 0.3


CALM = Rates()


def drawn(random: Chance) -> Rates:
    """The rates of one world."""
    return Rates(
        stop=random.choice([0.0, 0.001, 0.002, 0.004]),
        crash=random.choice([0.0, 0.0003, 0.001]),
        lost=random.choice([0.0, 0.002, 0.01, 0.04]),
        unanswered=random.choice([0.0, 0.004, 0.01, 0.03]),
        slow=random.choice([0.0, 0.003, 0.01]),
        slowest_s=random.choice([2.0, 5.0, 12.0]),
        missing=random.choice([0.0, 0.05, 0.3]),
        absent=random.choice([0.0, 0.0, 0.2, 0.8]),
        busy=random.choice([0.1, 0.3, 0.6]),
    )


class Faults:
    """The hand of fate at every switch point."""

    def __init__(self, world: World, rates: Rates) -> None:
        self.world = world
        self.rates = rates
        self.listeners: list[tuple[Owner, Callable[[], None]]] = []
        self.points = 0
        self.stops = 0
        self.crashes = 0
        self.refused = 0

    def tell(self) -> None:
        """A decision was saved: who listens hears of it after a moment, or not at all. It is a hint only."""
        random = self.world.random
        for owner, told in self.listeners:
            if not owner.dead and random.random() < 0.7:
                self.world.after(random.exponential(0.05), told)

    def calm(self) -> None:
        """From now on nothing goes wrong; everybody is awake."""
        self.rates = replace(CALM, busy=self.rates.busy)

    def point(self, heat: float = 1.0) -> None:
        """A switch point: the process may die or be stopped here, others may go on first, time may pass."""
        world = self.world
        world.check()
        fiber = world.current
        assert fiber is not None, "only actors pass switch points"
        self.points += 1
        rates, owner, chance = self.rates, fiber.owner, world.random.random
        if owner.mortal and (rates.crash or rates.stop):
            luck = chance()
            if luck < rates.crash * heat:
                self.crashes += 1
                world.kill(owner)
                world.check()
            elif luck < (rates.crash + rates.stop) * heat:
                self.stops += 1
                owner.stopped_until_us = world.now_us + round(self.stop_s() * SECOND)
                world.park(world.now_us)
                return
        luck = chance()
        if luck < rates.slow:
            world.sleep(world.random.uniform(0.0, rates.slowest_s))
        elif luck > 1.0 - rates.busy:
            world.sleep(world.random.exponential(0.005))

    def stop_s(self) -> float:
        """How long a process stands still."""
        short, near, lost, long = (0.5, 5.0), (8.0, 22.0), (22.0, 45.0), (45.0, 120.0)
        low, high = self.world.random.choice([short, near, lost, lost, long])
        return self.world.random.uniform(low, high)

    def lose(self, what: str) -> None:
        """Raise StoreUnavailable for a call that never reached the store."""
        if self.rates.lost and self.world.random.random() < self.rates.lost:
            self.refused += 1
            raise StoreUnavailable(f"{what}: simulated: the request was lost")

    def keep_answer(self, what: str) -> None:
        """Raise StoreUnavailable for a call that was executed and whose answer is lost."""
        if self.rates.unanswered and self.world.random.random() < self.rates.unanswered:
            self.refused += 1
            raise StoreUnavailable(f"{what}: simulated: the answer was lost")
