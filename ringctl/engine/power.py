"""What a check can see, with the rates that are known: for `gate plan`, `plan` and `gate backtest`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ringctl.core import spending
from ringctl.core.drawing import canary_size
from ringctl.core.learning import Learnt
from ringctl.core.policy import Check, Policy, RingPolicy
from ringctl.core.spending import Share
from ringctl.core.timing import MINUTE
from ringctl.gates import power
from ringctl.gates.exposure import CERTAIN, TAU, UNLEARNT_PHI, uncertainty
from ringctl.gates.power import Scale
from ringctl.gates.split import Split, counts_events, directions

SPLIT_SHARE = Split.part
"""The least share of a check's level that its comparison of counts is left with by the other judges."""


def scale_of(check: Check, learnt: Learnt, canary: float, control: float, alpha: float) -> Scale:
    """The plan's scale from what was learnt; `canary` and `control` are events a minute without harm."""
    phi = learnt.phi if learnt.phi is not None else UNLEARNT_PHI
    se = uncertainty(check, learnt, learnt.events, phi, TAU)
    return Scale(
        canary=canary,
        control=control,
        phi=phi,
        margin=math.exp(CERTAIN * se),
        alpha=alpha * SPLIT_SHARE,
        miss=check.miss,
    )


def plan_minutes(check: Check, learnt: Learnt, canary: float, control: float) -> float | None:
    """Minutes until the harm asked about is seen with 95 %; None when no rate is known, or it never is.

    `canary`, `control`: events a minute as seen in the recording; what was learnt before goes first, for the
    recording may hold the harm. An account that becomes empty is seen in three looks.
    """
    if check.fail_if.becomes_empty:
        return 3 * check.every_us / MINUTE
    harms = directions(check)
    if not counts_events(check) or not harms:
        return None
    if learnt.hours > 0 and min(learnt.events) > 0:
        canary, control = (one / (60 * learnt.hours) for one in learnt.events)
    scale = scale_of(check, learnt, canary, control, check.false_alarm)
    found = max(power.minutes_to_see(scale, harm, harm) for harm in harms)
    return round(found, 1) if found < math.inf else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one check can see on one wave. Minutes are None where it never can, or no rate is known (`known`)."""

    ring: str
    wave: str
    check: str
    accounts: int
    control: int
    judged: str
    alpha: float
    known: bool = False
    sees: float | None = None
    smallest: float | None = None
    passes: float | None = None
    bake: float = 0.0
    most: float = 0.0
    larger: int | None = None

    @property
    def decides(self) -> bool:
        """Whether it sees the harm asked about, and passes a healthy wave, before the bake's end at the latest."""
        return not self.known or (max(self.sees or math.inf, self.passes or math.inf) <= self.most)


def plan_checks(
    policy: Policy, rings: Mapping[str, int], rates: Mapping[str, float], phi: float
) -> list[Planned]:
    """Every check of every wave. `rings`: accounts per ring; `rates`: events a minute and account without harm."""
    fleet, touched, found = sum(rings.values()), 0, []
    for ring in policy.rings:
        total = rings.get(ring.name, 0)
        waves = _waves(ring, total)
        for label, accounts in waves:
            control = fleet - touched - accounts
            for check in policy.checks_of(ring):
                share = spending.planned_share(policy, ring.name, len(waves), check)
                found.append(
                    _planned(
                        check,
                        ring,
                        (label, accounts, control),
                        share,
                        (policy, fleet, rates.get(check.name), phi),
                    )
                )
            touched += accounts
    return found


def _waves(ring: RingPolicy, total: int) -> list[tuple[str, int]]:
    """A ring's waves with their accounts: the canary, then the shares."""
    if not total:
        return []
    done = canary_size(ring.canary, total)
    found = [("canary", done)]
    for amount in ring.waves:
        until = amount.of(total)
        if until > done:
            found.append((f"to {amount}", until - done))
            done = until
    return found


def _planned(
    check: Check,
    ring: RingPolicy,
    wave: tuple[str, int, int],
    share: Share,
    context: tuple[Policy, int, float | None, float],
) -> Planned:
    label, accounts, control = wave
    policy, fleet, rate, phi = context
    least = max(policy.limits.control_min, fleet // 10)
    compared = check.compare in {"canary-vs-control", "unchanged"}
    judged = check.compare if not compared or control >= least else check.without_control
    base = Planned(
        ring=ring.name, wave=label, check=check.name, accounts=accounts, control=control, judged=judged,
        alpha=share.alpha, bake=ring.bake.min_us / MINUTE, most=ring.bake.max_us / MINUTE,
    )  # fmt: skip
    harms = directions(check) if counts_events(check) else ()
    if check.fail_if.becomes_empty:
        return replace(base, judged="becomes-empty, by account", sees=3 * check.every_us / MINUTE)
    if rate is None or not harms or judged not in {"canary-vs-control", "unchanged"}:
        return base

    def scale(size: int) -> Scale:
        left = accounts + control - size
        return Scale(
            canary=rate * size, control=rate * min(left, 10 * size), phi=phi,
            alpha=share.alpha * SPLIT_SHARE, miss=check.miss,
        )  # fmt: skip

    harm = max(harms, key=lambda one: power.minutes_to_see(scale(accounts), one, one))
    return replace(
        base,
        known=True,
        sees=_finite(power.minutes_to_see(scale(accounts), harm, harm)),
        smallest=power.smallest_seen(scale(accounts), base.bake, harm),
        passes=_finite(max(power.minutes_to_pass(scale(accounts), one) for one in harms)),
        larger=_larger(scale, accounts, (accounts + control) // 2, harm, base.most),
    )


def _larger(scale: Callable[[int], Scale], least: int, most: int, harm: float, minutes: float) -> int | None:
    """The fewest accounts, at most half of all that are left, that would decide in time; None when none would."""

    def enough(size: int) -> bool:
        one = scale(size)
        return max(power.minutes_to_see(one, harm, harm), power.minutes_to_pass(one, harm)) <= minutes

    if most < least or not enough(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return most


def _finite(minutes: float) -> float | None:
    return round(minutes, 1) if minutes < math.inf else None
