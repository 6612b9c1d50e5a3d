"""A plan's waves as its checks will find them, and what each check can see there: `gate plan`, `plan`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ringctl.core import spending
from ringctl.core.builtin import is_builtin
from ringctl.core.drawing import Chooser, PlannedWave
from ringctl.core.fleet import Fleet
from ringctl.core.judging import Judge
from ringctl.core.model import Member
from ringctl.core.planning import Plan, PlanRequest, make_plan
from ringctl.core.policy import Bake, Check, Policy, looks_every
from ringctl.core.spending import RESERVE, Share
from ringctl.core.states import WaveKind
from ringctl.engine.outlook import UNKNOWN, Forecast, Rate, Stand
from ringctl.engine.power import forecast

AGAIN = "requalify", "after a change"
"""Stands for ring and wave: what a changed script would be forced back to, were it changed after the first ring."""

LONE_SHOWN = 20
"""Lone waves of a ring that are planned one by one, the first and the last ones."""


def foresee(
    policy: Policy, plan: Plan, rates: Mapping[str, Rate], judges: Mapping[str, Judge]
) -> list[Forecast]:
    """Every check of the policy's own on every wave of the plan, in the order they open."""
    found: list[Forecast] = []
    for stand, check, share in watched(policy, plan):
        found += forecast(check, stand, share.alpha, rates.get(check.name, UNKNOWN), judges)
    return found


def planned(policy: Policy, fleet: Fleet, choose: Chooser) -> Plan:
    """The waves that a bundle without a name would be given."""
    return make_plan(PlanRequest(policy=policy, bundle_digest="", seed="gate-plan"), fleet, choose)


def watched(policy: Policy, plan: Plan) -> Iterator[tuple[Stand, Check, Share]]:
    """Each wave with each check that watches it, and the check's part of the promise there."""
    touched = 0
    for ring in plan.rings:
        labels = _labels(ring.waves)
        left_out = _left_out(ring.waves)
        for number, (label, wave) in enumerate(zip(labels, ring.waves, strict=True)):
            touched += len(wave.members)
            if number in left_out:
                continue
            stand = _stand(policy, plan, (ring.name, label, wave.members), touched)
            for check in _own(policy, ring.name):
                yield stand, check, spending.planned_share(policy, ring.name, len(ring.waves), check)
    for wave in plan.reserve:
        touched += len(wave.members)
        stand = _stand(policy, plan, (wave.ring, str(wave.kind), wave.members), touched)
        for check in _own(policy, wave.ring):
            yield stand, check, _share(policy, wave.ring, check, RESERVE / len(policy.rings))
    yield from _again(policy, plan)


def _again(policy: Policy, plan: Plan) -> Iterator[tuple[Stand, Check, Share]]:
    """The requalification wave of a second revision. Its accounts are drawn when it comes: the first not touched."""
    if not plan.rings:
        return
    first = plan.rings[0]
    done = sum(len(wave.members) for wave in first.waves)
    later = [member for ring in plan.rings[1:] for wave in ring.waves for member in wave.members]
    pool = later or [member for wave in plan.reserve for member in wave.members]
    members = pool[: policy.requalify.cap(max(1, plan.accounts - done))]
    if not members:
        return
    named = (first.name, AGAIN[1], members)
    stand = _stand(policy, plan, named, done + len(members), bake=policy.requalify.bake)
    stand = replace(stand, ring=AGAIN[0])
    for name in dict.fromkeys(name for ring in policy.rings for name in ring.gates):
        check = policy.checks[name]
        if not is_builtin(check):
            part = _share(policy, first.name, check, spending.REQUALIFICATION)
            yield stand, check, replace(part, revision=0.25)


def _share(policy: Policy, ring: str, check: Check, part: float) -> Share:
    weight = spending.weight(policy, ring, check)
    return Share(promised=check.false_alarm, revision=0.5, ring=part, wave=1.0, check=weight)


def _own(policy: Policy, ring: str) -> list[Check]:
    return [check for check in policy.checks_of(policy.ring(ring)) if not is_builtin(check)]


def _stand(
    policy: Policy,
    plan: Plan,
    wave: tuple[str, str, Sequence[Member]],
    touched: int,
    bake: Bake | None = None,
) -> Stand:
    ring, label, members = wave
    rules = policy.ring(ring)
    bake = bake or rules.bake
    return Stand(
        ring=ring,
        wave=label,
        members=tuple(member.account for member in members),
        sizes=tuple(member.size for member in members),
        left=plan.accounts - touched,
        fleet=plan.accounts,
        control_min=policy.limits.control_min,
        bake_us=bake.min_us,
        most_us=bake.max_us,
        every_us=looks_every(policy.checks_of(rules), bake),
    )


def _left_out(waves: Sequence[PlannedWave]) -> frozenset[int]:
    """Lone waves in the middle of many: they are like those around them."""
    lone = [number for number, wave in enumerate(waves) if wave.kind is WaveKind.LONE]
    return frozenset(lone[LONE_SHOWN // 2 : -LONE_SHOWN // 2]) if len(lone) > LONE_SHOWN else frozenset()


def _labels(waves: Sequence[PlannedWave]) -> list[str]:
    """The waves' kinds, numbered where a ring has several of one."""
    many = {kind for kind in WaveKind if sum(wave.kind is kind for wave in waves) > 1}
    count: dict[WaveKind, int] = {}
    labels = []
    for wave in waves:
        count[wave.kind] = count.get(wave.kind, 0) + 1
        labels.append(f"{wave.kind} {count[wave.kind]}" if wave.kind in many else str(wave.kind))
    return labels
