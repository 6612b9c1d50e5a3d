"""Rates, waves and forecasts as values: what `engine.power` plans with, and what comes out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringctl.core.timing import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one account does in a minute when all is well; None: not known. `events`: bad ones, or of a count all.

    `samples`: all of which the bad ones are a part, or answers. `phi`, `drift`: see `Learnt`; `past`: minutes of
    history that the judges will have; `weights`: accounts that are known and their part of events, 1 the mean;
    `said`: where it comes from, for people.
    """

    events: float | None = None
    samples: float | None = None
    phi: float | None = None
    drift: float | None = None
    past: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    said: str = ""


UNKNOWN = Rate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a recording shows of the canary, since it was begun, and of control: `accounts` of each, `trials` of each
    a minute, and the `events` of control a minute."""

    accounts: tuple[int, int] = (0, 0)
    trials: tuple[float, float] = (0.0, 0.0)
    events: float = 0.0

    @property
    def healthy(self) -> tuple[float, float]:
        """Events a minute of the canary, had it control's rate, and of control; 0 where that has none."""
        canary, control = self.trials
        return (self.events * canary / control if control > 0 else 0.0), self.events


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """One wave as its checks find it: who is in it, how many untouched accounts are left, and how long it bakes."""

    ring: str
    wave: str
    members: tuple[str, ...]
    sizes: tuple[float, ...]
    left: int
    fleet: int
    control_min: int
    bake_us: Span
    most_us: Span
    every_us: Span

    @property
    def accounts(self) -> int:
        """Accounts of the wave."""
        return len(self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What one judge of a check can see on one wave. Times in minutes; None: never, or (`known` false) not known.

    `equal`: how many equal accounts it is worth; `asked`: the harm asked about in words, or `harm`, its ratio;
    `sees`: until that is seen with 95 %; `doubles`: until twice (or half) the rate is; `smallest`: the ratio nearest
    to 1 that is seen within `bake.min`; `passes`: until a healthy wave passes; `needs`, `clears`: events of the wave
    until harm is seen, and until health is, at best; `larger`: accounts that would decide in time; `caution`: what it
    takes for harm besides.
    """

    ring: str
    wave: str
    check: str
    accounts: int
    equal: float
    control: int
    judged: str
    alpha: float
    known: bool = False
    events: float | None = None
    phi: float | None = None
    harm: float | None = None
    asked: str = ""
    sees: float | None = None
    doubles: float | None = None
    smallest: float | None = None
    passes: float | None = None
    needs: float | None = None
    clears: float | None = None
    bake: float = 0.0
    most: float = 0.0
    larger: int | None = None
    note: str = ""
    caution: str = ""

    @property
    def decides(self) -> bool:
        """Whether it sees the harm asked about, and passes a healthy wave, before the bake's end at the latest; of
        what is not known, whether it might."""
        taken = [one for one in (self.sees, self.passes) if self.known or one is not None]
        return all(one is not None and one <= self.most for one in taken)

    @property
    def longest(self) -> float:
        """Minutes until it has decided, whichever way."""
        return max(math.inf if one is None else one for one in (self.sees, self.passes))
