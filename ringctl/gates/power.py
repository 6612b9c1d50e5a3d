"""How long a judge needs: planned before anything is touched, with the formulas of GATE 5.7.

Of accounts that have mu events a minute when nothing is wrong, compared with K(t) events elsewhere, after t minutes
of a true ratio r, for each ratio g that the judge stakes on with its share s_g of the stakes:
    q = m mu t/(m mu t + K),   a = ln g - ln(g q + 1 - q),   b = -ln(g q + 1 - q)
    D = (mu r t a + K b)/phi,   V = (mu r t a^2 + K b^2)/phi,   B = ln(1/(s_g alpha))
    seen with 95 % once D - z sqrt V >= B for one of them,   z = 1.645
D is the mean of the log likelihood ratio and V its variance: this is when a normal walk is past B with 95 %. Beside
control K = mu_k t, so all grows with t and N = [(z sqrt V1 + sqrt(z^2 V1 + 4 D1 B))/(2 D1)]^2 of one minute's D1, V1.
Beside the accounts' own past K = mu T stays what it is: there is a limit to what can ever be seen. PASS is planned
alike, with the process of `absence`, and a ceiling with one sample instead of two (`Ceiling`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.gates import absence
from ringctl.gates import limit as limits
from ringctl.gates.evidence import FIRST_STAKE, grid, grid_down, leaning
from ringctl.gates.exposure import CERTAIN, TAU

Z95: Final = 1.645
MOST_RATIO: Final = 1000.0
SHORTEST: Final = 1e-3  # minutes
LONGEST: Final = 1e6  # about two years
LEAST_CONTROL: Final = 3  # accounts, for how they differ to be known
GAUSS: Final = ((0.1127, 5 / 18), (0.5, 8 / 18), (0.8873, 5 / 18))
"""Places and weights that stand for the whole of a stretch, where the margin changes along it."""

Law = Callable[[float], tuple[float, float]]
"""The canary's share without harm -> the evidence of one event of the canary, and of one that it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How much the canary's rate may differ without harm, while that is being learnt (`exposure`).

    `before`: events of canary and control that are known when the wave begins; `accounts`: of both; `rate`: events a
    minute of one control account; `watched`: whether control goes on teaching how accounts differ.
    """

    before: tuple[float, float]
    accounts: tuple[float, float]
    rate: float
    watched: bool

    def at(self, minutes: float, phi: float) -> float:
        """exp(1.28 se) then, of accounts that do not differ (where they do, control shows it: a wider margin).

        What control shows is CV^2 = 2 phi sqrt(2/squares), its own noise, and b/(b+1)^2: accounts whose rate is known
        from b events seem to differ by that much (`exposure.difference`).
        """
        canary, control = self.accounts
        seen = self.rate * minutes
        tau = TAU
        if self.watched and control >= LEAST_CONTROL and seen > 0 and canary > 0:
            b = self.before[1] / control
            cv2 = 2 * phi * math.sqrt(2 / (control * seen * seen)) + b / (b + 1) ** 2
            tau = min(TAU, math.sqrt(cv2 * (1 / canary + 1 / control)))
        v = phi * sum(1 / (events + 1) for events in self.before)
        return math.exp(CERTAIN * math.sqrt(v / (1 + v / tau**2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What the plan of a comparison rests on.

    `canary`, `control`: events a minute when nothing is wrong; `past`: minutes that the canary's own events were
    watched before, where it is compared with them and not with control; `margin`: what is leaned by, or how it is
    learnt; `times`: how many times the evidence is needed (ten for a wave of one account).
    """

    canary: float
    control: float = 0.0
    past: float | None = None
    phi: float = 1.0
    margin: float | Margin = 1.0
    alpha: float = 0.01
    miss: float = 0.05
    times: float = 1.0

    @property
    def compared(self) -> bool:
        """Whether there is anything on both sides."""
        return self.canary > 0 and (self.control > 0 if self.past is None else self.past > 0)

    def parts(self, minutes: float) -> Iterator[tuple[float, float, float]]:
        """(events of the canary without harm, what they are compared with, margin) of stretches of the time."""
        if isinstance(self.margin, float):
            there = self.control * minutes if self.past is None else self.canary * self.past
            yield self.canary * minutes, there, self.margin
            return
        for place, weight in GAUSS:
            part = minutes * weight
            yield self.canary * part, self.control * part, self.margin.at(place * minutes, self.phi)

    def shown(self, minutes: float, ratio: float, lean: float, law: Law, needed: float) -> bool:
        """Whether evidence by a law of the canary's share is over `needed` by then with 95 %. `lean`: 1 or -1."""
        mean = variance = 0.0
        for here, there, margin in self.parts(minutes):
            m = margin**lean
            a, b = law(m * here / (m * here + there))
            mean += here * ratio * a + there * b
            variance += here * ratio * a * a + there * b * b
        return _certain(mean, variance, self.phi, needed)


def _certain(mean: float, variance: float, phi: float, needed: float) -> bool:
    return mean / phi - Z95 * math.sqrt(variance / phi) >= needed


def staked(scale: Scale, harm: float) -> tuple[Sequence[float], Sequence[float]]:
    """The ratios that the judge stakes on for a check that asks for `harm`, and the first stake on each."""
    ratios = grid(harm - 1) if harm > 1 else grid_down(1 - harm)
    if scale.past is not None:
        return ratios, [1 / len(ratios)] * len(ratios)
    return ratios, [FIRST_STAKE * share for share in leaning(ratios, harm)]


def sees_by(
    scale: Scale, minutes: float, ratio: float, stakes: tuple[Sequence[float], Sequence[float]]
) -> bool:
    """Whether a true `ratio` is seen with 95 % within so many minutes."""
    for g, stake in zip(*stakes, strict=True):
        needed = math.log(scale.times / (stake * scale.alpha))
        if scale.shown(minutes, ratio, 1 if g > 1 else -1, _law(g, 1.0), needed):
            return True
    return False


def passes_by(scale: Scale, minutes: float, harm: float) -> bool:
    """Whether a healthy canary passes with 95 % within so many minutes."""
    needed = math.log(len(absence.ratios(harm)) / scale.miss)
    lean = -1 if harm > 1 else 1
    return any(scale.shown(minutes, 1.0, lean, _law(r, harm), needed) for r in absence.ratios(harm))


def _law(r: float, other: float) -> Law:
    """The log likelihood ratio of a ratio of r against another, for an event of the canary and one elsewhere."""

    def law(q: float) -> tuple[float, float]:
        b = math.log(other * q + 1 - q) - math.log(r * q + 1 - q)
        return math.log(r / other) + b, b

    return law


def minutes_to_see(scale: Scale, ratio: float, harm: float) -> float:
    """Minutes until a true `ratio` is seen with 95 % by a check that asks for `harm`; infinite when never."""
    if not scale.compared:
        return math.inf
    stakes = staked(scale, harm)
    return until(lambda minutes: sees_by(scale, minutes, ratio, stakes))


def minutes_to_pass(scale: Scale, harm: float) -> float:
    """Minutes until a healthy canary passes with 95 %; infinite when never."""
    return until(lambda minutes: passes_by(scale, minutes, harm)) if scale.compared else math.inf


def smallest_seen(scale: Scale, minutes: float, harm: float) -> float | None:
    """The smallest rise (for a check on a fall: the least fall) seen with 95 % within so many minutes; or None."""
    if not scale.compared:
        return None
    extreme = MOST_RATIO if harm > 1 else 1 / MOST_RATIO
    stakes = staked(scale, harm)
    return nearest(extreme, lambda ratio: sees_by(scale, minutes, ratio, stakes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What the plan of a limit rests on: `trials` a minute, `share` of them bad when nothing is wrong, the limit."""

    trials: float
    share: float
    limit: float
    phi: float = 1.0
    alpha: float = 0.01
    miss: float = 0.05
    times: float = 1.0

    def shown(self, minutes: float, share: float, against: float, needed: float) -> bool:
        """Whether `against` is likelier than the limit by `needed` with 95 % by then, at a true `share`."""
        n = self.trials * minutes
        bad = limits.log_ratio(against, self.limit, 1, 1)
        good = limits.log_ratio(against, self.limit, 1, 0)
        mean = n * (share * bad + (1 - share) * good)
        return _certain(mean, n * share * (1 - share) * (bad - good) ** 2, self.phi, needed)


def sees_share_by(ceiling: Ceiling, minutes: float, share: float) -> bool:
    """Whether a true `share` of bad ones, above the limit, is seen with 95 % within so many minutes."""
    needed = math.log(ceiling.times * len(limits.ABOVE) / (FIRST_STAKE * ceiling.alpha))
    return any(ceiling.shown(minutes, share, one, needed) for one in limits.rates_above(ceiling.limit))


def passes_limit_by(ceiling: Ceiling, minutes: float) -> bool:
    """Whether a canary with its usual share passes with 95 % within so many minutes."""
    needed = math.log(len(limits.BELOW) / ceiling.miss)
    return any(ceiling.shown(minutes, ceiling.share, times * ceiling.limit, needed) for times in limits.BELOW)


def until(good: Callable[[float], bool]) -> float:
    """The first minute at which `good` holds, to a thousandth; infinite when it never does."""
    late = SHORTEST
    while not good(late):
        late *= 1.5
        if late > LONGEST:
            return math.inf
    early = late / 1.5
    while late / early > 1.001:
        middle = math.sqrt(early * late)
        early, late = (early, middle) if good(middle) else (middle, late)
    return late


def nearest(extreme: float, good: Callable[[float], bool]) -> float | None:
    """The ratio nearest to 1 for which `good` holds, to a thousandth; None when not even `extreme` does."""
    if not good(extreme):
        return None
    near, far = 1.0, extreme
    while abs(math.log(far / near)) > 1e-3:
        middle = math.sqrt(near * far)
        near, far = (near, middle) if good(middle) else (middle, far)
    return far


def fewest(most: int, good: Callable[[int], bool]) -> int | None:
    """The fewest accounts, of at most `most`, for which `good` holds (it holds for more, then); None when never."""
    if most < 1 or not good(most):
        return None
    least = 1
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if good(middle) else (middle + 1, most)
    return most


def effective(sizes: Iterable[float]) -> float:
    """How many equal accounts are worth as much: (sum s)^2 / sum s^2; 0 where all are 0."""
    known = [size for size in sizes if size > 0]
    squares = sum(size * size for size in known)
    return sum(known) ** 2 / squares if squares > 0 else 0.0
