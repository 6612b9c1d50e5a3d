"""Policy + fleet + seed -> Plan: which account goes in which ring, which wave, and what each wave meets first.

Everything is sticky by seed: the order of accounts is a hash of (seed, account id), so a plan made twice is
the same plan, and a changed policy moves as few accounts as possible. Pure and linear in the fleet (sorting
apart). The same `ring_waves` draws the waves of r1 at the start and those of every later revision, ring by ring.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ringctl.core.coverage import Exercised, carriers_to_split, late_meetings
from ringctl.core.digests import digest_lines, rank
from ringctl.core.drawing import Chooser, PlannedWave, canary_size, ring_waves
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.fleet import Account, Fleet
from ringctl.core.model import Member
from ringctl.core.policy import Policy
from ringctl.core.states import WaveKind

_SHARED_PAIRS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What a plan is made from, beside the fleet. `fix` splits late carriers off as lone waves."""

    policy: Policy
    bundle_digest: str
    seed: str
    fix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRing:
    """One ring: how many accounts, how many held in reserve, and its waves in order."""

    name: str
    accounts: int
    reserve: int
    waves: tuple[PlannedWave, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A value that can refuse: `unsafe` findings make `start` impossible; `warnings` are said and passed.

    `digest` covers policy, bundle, fleet, seed and every wave's exact members.
    """

    policy_digest: str
    bundle_digest: str
    fleet_digest: str
    seed: str
    accounts: int
    rings: tuple[PlannedRing, ...]
    reserve: tuple[PlannedWave, ...]
    unassigned: int
    unsafe: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    members: tuple[Member, ...] = field(default=(), repr=False)
    digest: str = ""

    @property
    def waves(self) -> tuple[PlannedWave, ...]:
        """All waves in the order they open, the reserve last."""
        return tuple(wave for ring in self.rings for wave in ring.waves) + self.reserve


def assign(policy: Policy, fleet: Fleet) -> tuple[dict[str, list[Account]], list[Account]]:
    """Accounts by ring, and those in no ring. Raises InvalidInput with the full lists.

    An account in two rings is always an error; in none, an error unless the policy says what to do with it.
    """
    rings: dict[str, list[Account]] = {ring.name: [] for ring in policy.rings}
    nowhere: list[Account] = []
    twice: list[str] = []
    for account in fleet.accounts:
        homes = [ring.name for ring in policy.rings if ring.select.matches(account)]
        if len(homes) > 1:
            twice.append(f"{account.id} ({', '.join(homes)})")
        elif homes:
            rings[homes[0]].append(account)
        else:
            nowhere.append(account)
    findings = _assignment_findings(policy, rings, nowhere, twice)
    if findings:
        raise InvalidInput(findings)
    if policy.inventory.unassigned == "last-ring":
        rings[policy.rings[-1].name].extend(nowhere)
        nowhere = []
    return rings, nowhere


def _assignment_findings(
    policy: Policy, rings: Mapping[str, list[Account]], nowhere: list[Account], twice: list[str]
) -> list[Finding]:
    findings = []
    if twice:
        findings.append(
            Finding(
                code="RC7021",
                message=f"{len(twice)} account(s) are in more than one ring",
                items=tuple(twice),
                hint="make the rings' `select` exclude each other",
            )
        )
    if nowhere and policy.inventory.unassigned == "error":
        findings.append(
            Finding(
                code="RC7020",
                message=f"{len(nowhere)} account(s) are in no ring",
                items=tuple(account.id for account in nowhere),
                hint="add a ring that selects them, or say `unassigned: last-ring` or `ignore` in the inventory",
            )
        )
    empty = [ring.name for ring in policy.rings if not rings[ring.name]]
    extra = policy.inventory.unassigned == "last-ring" and nowhere
    if empty and not (extra and empty == [policy.rings[-1].name]):
        findings.append(
            Finding(
                code="RC7022",
                message=f"ring(s) without any account: {', '.join(empty)}",
                items=tuple(empty),
                hint="an empty ring would pass without having shown anything; remove it or fix its `select`",
            )
        )
    return findings


def members_of(policy: Policy, fleet: Fleet, seed: str) -> tuple[dict[str, list[Member]], int]:
    """Members by ring in rank order (reserve not set yet), and how many accounts are in no ring."""
    rings, nowhere = assign(policy, fleet)
    result: dict[str, list[Member]] = {}
    pairs = _Pairs(fleet.traits)
    for ring in policy.rings:
        members = [_member(account, ring.name, pairs, seed) for account in rings[ring.name]]
        members.sort(key=lambda member: member.rank)
        result[ring.name] = members
    return result, len(nowhere)


class _Pairs:
    """(column, value) pairs, of which many accounts share most: each is kept once, not once per account."""

    def __init__(self, traits: Sequence[str]) -> None:
        self._traits = traits
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def of(self, account: Account) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """(traits in the fleet's order, all columns by name); an absent trait has the empty value."""
        known = self._known
        if len(known) < _SHARED_PAIRS:
            columns = tuple([known.setdefault(pair, pair) for pair in sorted(account.columns.items())])
        else:
            columns = tuple([known.get(pair, pair) for pair in sorted(account.columns.items())])
        values = dict(columns)
        traits = [(name, values.get(name, "")) for name in self._traits]
        return tuple([known.get(pair, pair) for pair in traits]), columns


def _member(account: Account, ring: str, pairs: _Pairs, seed: str) -> Member:
    traits, columns = pairs.of(account)
    return Member(
        account=account.id,
        ring=ring,
        size=account.size,
        decade=account.decade,
        reserve=False,
        # 63 bits: both stores keep signed 64-bit integers
        rank=rank(seed, account.id) >> 1,
        traits=traits,
        columns=columns,
    )


def reserve_size(policy: Policy, position: int, total: int) -> int:
    """How many accounts a ring holds back (DESIGN 12.6): rings 0 and 1, or a single ring its own;
    max(2, 20 %) if the ring keeps its canary plus one account, else none."""
    if position > 1:
        return 0
    wanted = max(2, math.ceil(round(policy.requalify.reserve * total, 9)))
    canary = canary_size(policy.rings[position].canary, total)
    return wanted if total - wanted >= canary + 1 else 0


def set_reserve(members: Sequence[Member], count: int) -> tuple[list[Member], list[Member]]:
    """(kept, reserve): the reserve takes decades in turn from the end of the rank order, so that it can
    stand for every size class the ring has more than one of."""
    if not count:
        return list(members), []
    by_decade: dict[int, list[Member]] = {}
    for member in members:
        by_decade.setdefault(member.decade, []).append(member)
    chosen: set[str] = set()
    while len(chosen) < count:
        before = len(chosen)
        for decade in sorted(by_decade):
            group = by_decade[decade]
            # the last account of a decade stays: the ring itself must be able to exercise it
            if len(group) > 1 and len(chosen) < count:
                chosen.add(group.pop().account)
        if len(chosen) == before:
            break
    kept = [member for member in members if member.account not in chosen]
    held = [replace(member, reserve=True) for member in members if member.account in chosen]
    return kept, held


def reserve_waves(policy: Policy, held: Mapping[str, Sequence[Member]]) -> tuple[PlannedWave, ...]:
    """The reserve's waves: one per ring that holds some, in ring order, last of all."""
    return tuple(
        PlannedWave(ring=ring.name, kind=WaveKind.RESERVE, members=tuple(held[ring.name]))
        for ring in policy.rings
        if held.get(ring.name)
    )


def plan_digest(parts: Iterable[str], waves: Iterable[PlannedWave]) -> str:
    """Digest over what the plan rests on and every wave's exact members."""

    def lines() -> Iterable[str]:
        yield from parts
        for wave in waves:
            yield f"{wave.ring}/{wave.kind}"
            yield from sorted(member.account for member in wave.members)

    return digest_lines(lines())


def make_plan(request: PlanRequest, fleet: Fleet, choose: Chooser) -> Plan:
    """The plan of the first revision. Raises InvalidInput when accounts and rings do not fit.

    The result may be unsafe (`Plan.unsafe`): it is still a plan to look at, but `start` refuses it.
    """
    by_ring, unassigned = members_of(request.policy, fleet, request.seed)
    kept, held, warnings = _hold_back(request.policy, by_ring)
    everyone = {member.account: member for members in by_ring.values() for member in members}
    split: frozenset[str] = frozenset()
    while True:
        rings = _draw_rings(request.policy, kept, held, choose, split)
        reserve = reserve_waves(request.policy, held)
        unsafe = _late(rings, reserve)
        if not (request.fix and unsafe):
            break
        # carriers stand in waves met in company, split ones alone: every round splits off new accounts
        split = split | carriers_to_split(unsafe, everyone)
        kept, held = _released(kept, held, split)
    waves = [wave for ring in rings for wave in ring.waves] + list(reserve)
    fleet_digest = fleet.digest
    parts = (request.policy.digest, request.bundle_digest, fleet_digest, request.seed)
    return Plan(
        policy_digest=request.policy.digest,
        bundle_digest=request.bundle_digest,
        fleet_digest=fleet_digest,
        seed=request.seed,
        accounts=len(everyone),
        rings=rings,
        reserve=reserve,
        unassigned=unassigned,
        unsafe=unsafe,
        warnings=warnings,
        members=tuple(m for ring in request.policy.rings for m in (*kept[ring.name], *held[ring.name])),
        digest=plan_digest(parts, waves),
    )


def _hold_back(
    policy: Policy, by_ring: Mapping[str, Sequence[Member]]
) -> tuple[dict[str, list[Member]], dict[str, list[Member]], tuple[Finding, ...]]:
    """(kept, reserve, warnings) by ring."""
    kept: dict[str, list[Member]] = {}
    held: dict[str, list[Member]] = {}
    warnings = []
    for position, ring in enumerate(policy.rings):
        members = by_ring[ring.name]
        count = reserve_size(policy, position, len(members))
        kept[ring.name], held[ring.name] = set_reserve(members, count)
        if position <= 1 and not held[ring.name]:
            warnings.append(
                Finding(
                    code="RC2103",
                    severity="warning",
                    message=f"ring {ring.name} is too small to hold accounts in reserve: after it is done, a "
                    "changed script can be requalified only on accounts of later rings",
                    hint="give the ring at least its canary, one account more, and two for the reserve",
                )
            )
    return kept, held, tuple(warnings)


def _released(
    kept: Mapping[str, Sequence[Member]], held: Mapping[str, Sequence[Member]], wanted: frozenset[str]
) -> tuple[dict[str, list[Member]], dict[str, list[Member]]]:
    """Reserve and ring with the wanted accounts taken out of the reserve: what only they carry must be met
    by a lone wave, not by the reserve at the end."""
    out: dict[str, list[Member]] = {}
    back: dict[str, list[Member]] = {}
    for ring, members in kept.items():
        freed = [replace(one, reserve=False) for one in held[ring] if one.account in wanted]
        out[ring] = sorted([*members, *freed], key=lambda member: member.rank)
        back[ring] = [one for one in held[ring] if one.account not in wanted]
    return out, back


def _draw_rings(
    policy: Policy,
    kept: Mapping[str, Sequence[Member]],
    held: Mapping[str, Sequence[Member]],
    choose: Chooser,
    split: frozenset[str],
) -> tuple[PlannedRing, ...]:
    exercised = Exercised()
    rings = []
    for ring in policy.rings:
        waves, exercised = ring_waves(
            ring, kept[ring.name], exercised, factor=policy.limits.size_factor, choose=choose, split=split
        )
        total = len(kept[ring.name]) + len(held[ring.name])
        rings.append(PlannedRing(name=ring.name, accounts=total, reserve=len(held[ring.name]), waves=waves))
    return tuple(rings)


def _late(rings: Sequence[PlannedRing], reserve: Sequence[PlannedWave]) -> tuple[Finding, ...]:
    waves = [wave for ring in rings for wave in ring.waves]
    exercised = Exercised()
    for wave in waves:
        exercised = exercised.plus(wave.members)
    rows = [(wave.ring, wave.kind, wave.meets, wave.members) for wave in waves]
    for wave in reserve:
        traits, _ = exercised.news(wave.members)
        rows.append((wave.ring, wave.kind, traits, wave.members))
        exercised = exercised.plus(wave.members)
    return late_meetings(rows)
