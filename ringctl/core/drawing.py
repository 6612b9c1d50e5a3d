"""Drawing a ring's waves: canary subset, expansion shares, lone waves for what is larger.

The same function draws the waves of r1 when the plan is made and those of every later revision, ring by ring.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ringctl.core.coverage import Exercised, carriers_to_split, late_meetings
from ringctl.core.fleet import Account
from ringctl.core.model import Member
from ringctl.core.policy import Canary, RingPolicy
from ringctl.core.states import WaveKind

Chooser = Callable[[Sequence[Member], int, Exercised], tuple[Member, ...]]
"""A strategy: (candidates in rank order, how many, what earlier waves exercised) -> the subset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWave:
    """A wave before it is drawn into a rollout. `meets` is what it exercises first."""

    ring: str
    kind: WaveKind
    members: tuple[Member, ...]
    meets: tuple[tuple[str, str], ...] = ()
    new_decades: tuple[int, ...] = ()

    @property
    def largest(self) -> float:
        """Size of its largest account."""
        return max((member.size for member in self.members), default=0.0)


def canary_size(canary: Canary, total: int) -> int:
    """How many accounts a canary subset has out of `total`."""
    size = canary.accounts.of(total)
    return min(size, canary.at_most) if canary.at_most is not None else size


class _Drawing:
    """Progress while a ring's waves are drawn: what is exercised so far, and the waves."""

    def __init__(self, ring: RingPolicy, exercised: Exercised, factor: float) -> None:
        self.ring = ring
        self.exercised = exercised
        self.factor = factor
        self.waves: list[PlannedWave] = []

    def add(self, kind: WaveKind, members: Sequence[Member]) -> None:
        if not members:
            return
        traits, decades = self.exercised.news(members)
        self.waves.append(
            PlannedWave(
                ring=self.ring.name, kind=kind, members=tuple(members), meets=traits, new_decades=decades
            )
        )
        self.exercised = self.exercised.plus(members)

    def reachable(self, member: Member) -> bool:
        return self.exercised.reaches(member, self.factor)


def ring_waves(
    ring: RingPolicy,
    members: Sequence[Member],
    exercised: Exercised,
    *,
    factor: float,
    choose: Chooser,
    split: frozenset[str] = frozenset(),
) -> tuple[tuple[PlannedWave, ...], Exercised]:
    """The waves of one ring over `members` (rank order, reserve left out), and what is exercised after them.

    Order: canary subset; lone waves for `split` accounts (`--fix`); expansion shares over the accounts that
    the size watermark and ladder reach; then, in size order, lone waves for the next larger account, each
    followed by the accounts it makes reachable (DESIGN 6, 12.5, 12.23). The first wave of a revision has no
    watermark of its own: it *is* where exercising starts; it never holds an account `size_factor` times
    above the smaller half of the ring.
    """
    drawing = _Drawing(ring, exercised, factor)
    eligible = [m for m in members if _drawable(ring, m) and m.account not in split]
    eligible = _within_reach(eligible, exercised, factor)
    count = canary_size(ring.canary, len(members))
    canary = choose(_preferred(ring, eligible), count, exercised) if eligible else ()
    drawing.add(WaveKind.CANARY, canary)
    taken = {member.account for member in canary}
    for member in sorted((m for m in members if m.account in split), key=lambda m: m.size):
        drawing.add(WaveKind.LONE, [member])
        taken.add(member.account)
    rest = [member for member in members if member.account not in taken]
    _expand(drawing, rest, total=len(members), done=len(taken))
    return tuple(drawing.waves), drawing.exercised


def covered_ring_waves(
    ring: RingPolicy, members: Sequence[Member], exercised: Exercised, *, factor: float, choose: Chooser
) -> tuple[tuple[PlannedWave, ...], Exercised]:
    """`ring_waves` for a later revision: whatever would be met late goes first as a lone wave (promise I6)."""
    by_name = {member.account: member for member in members}
    split: frozenset[str] = frozenset()
    while True:
        waves, after = ring_waves(ring, members, exercised, factor=factor, choose=choose, split=split)
        late = late_meetings([(wave.ring, wave.kind, wave.meets, wave.members) for wave in waves])
        wanted = split | carriers_to_split(late, by_name)
        if wanted == split:
            return waves, after
        split = wanted


def _drawable(ring: RingPolicy, member: Member) -> bool:
    exempt = ring.canary.exempt
    return exempt is None or not exempt.matches(_as_account(member))


def _as_account(member: Member) -> Account:
    return Account(id=member.account, size=member.size, columns=dict(member.columns))


def _preferred(ring: RingPolicy, members: Sequence[Member]) -> list[Member]:
    """Preferred accounts first, rank order within."""
    if not ring.canary.prefer.terms:
        return list(members)
    return sorted(members, key=lambda m: not ring.canary.prefer.matches(_as_account(m)))


def _within_reach(members: list[Member], exercised: Exercised, factor: float) -> list[Member]:
    """Canary candidates: under the watermark and of no larger decade than was seen, once anything was; in the
    first ring within `factor` of the smaller half. What is larger follows as lone waves, smallest first."""
    if not members:
        return members
    top = max(exercised.decades, default=None)
    ceiling = exercised.largest * factor
    if top is None:
        top = max(member.decade for member in members)
        sizes = sorted(member.size for member in members)
        ceiling = max(sizes[(len(sizes) - 1) // 2], 1.0) * factor
    within = [member for member in members if member.size <= ceiling and member.decade <= top]
    # nothing small enough: the smallest account alone opens the ring
    return within or [min(members, key=lambda m: (m.size, m.rank))]


def _expand(drawing: _Drawing, rest: list[Member], *, total: int, done: int) -> None:
    reachable: list[Member] = []
    beyond: list[Member] = []
    for member in rest:
        (reachable if drawing.reachable(member) else beyond).append(member)
    start = done
    for amount in drawing.ring.waves:
        upto = min(amount.of(total), done + len(reachable))
        if upto > start:
            drawing.add(WaveKind.EXPANSION, reachable[start - done : upto - done])
            start = upto
    drawing.add(WaveKind.EXPANSION, reachable[start - done :])
    beyond.sort(key=lambda member: (member.size, member.rank))
    while beyond:
        drawing.add(WaveKind.LONE, [beyond.pop(0)])
        now = [member for member in beyond if drawing.reachable(member)]
        drawing.add(WaveKind.EXPANSION, now)
        gone = {member.account for member in now}
        beyond = [member for member in beyond if member.account not in gone]
