"""Control: accounts not touched yet that are like a wave's, chosen once for the wave and kept.

A canary is drawn for coverage, not at random: what it is compared with has to be like it, or what differs between
regions and sizes looks like harm. For each stratum of the wave (all traits, size decade) accounts are taken in
the order of their rank, which the rollout's seed gives: every node, and a node that starts again, finds the same.
Where a stratum has too few, the same traits in other decades stand in, nearest first; accounts of other traits only
where there would be next to none. The list is frozen at the wave's first look: accounts that are touched leave
it, and none is added back, for one that came in the middle would bring no past.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.core.facts import Stratum
from ringctl.core.model import Member

RATIO: Final = 10
"""Control accounts per account of the wave: more adds next to nothing to what a comparison sees (GATE 5.7)."""
LEAST: Final = 200
"""Asked for however small the wave is: one account's bad hour must not be a tenth of the control."""
MOST: Final = 2_000
"""Most control accounts of a wave: read, folded and kept at every look."""
LEAST_LIKE: Final = 20
"""With fewer accounts of the wave's traits, those of other traits stand in up to this many."""
COUNTED: Final = 4
"""How many times what must remain is counted, so that what is left later can be told from it."""
MOST_READ: Final = 200_000
"""Most candidates looked at; by rank, so that these are a random sample of a larger fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A wave's control. `like`: of the wave's own strata; `kin`: of its traits, in another size decade.

    `untouched`: candidates that were counted (at least: counting ends where it is enough); `reason` says why there
    is no control, or is empty.
    """

    accounts: tuple[str, ...] = ()
    like: int = 0
    kin: int = 0
    untouched: int = 0
    reason: str = ""

    def row(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "accounts": list(self.accounts), "like": self.like, "kin": self.kin, "untouched": self.untouched,
            "reason": self.reason,
        }  # fmt: skip

    @classmethod
    def of(cls, row: Mapping[str, object]) -> "Control":
        """What `row` was made of."""
        accounts = row["accounts"]
        assert isinstance(accounts, Sequence)
        return cls(
            accounts=tuple(accounts),
            like=int(str(row["like"])),
            kin=int(str(row["kin"])),
            untouched=int(str(row["untouched"])),
            reason=str(row["reason"]),
        )

    def __str__(self) -> str:
        if not self.accounts:
            return f"no control: {self.reason}"
        others = len(self.accounts) - self.like - self.kin
        parts = [f"{self.like} of the wave's traits and size"]
        parts += [f"{self.kin} of its traits and another size"] if self.kin else []
        parts += [f"{others} of other traits"] if others else []
        return f"{len(self.accounts)} accounts not touched yet: {', '.join(parts)}"


def strata_of(members: Iterable[Member]) -> Mapping[Stratum, int]:
    """How many of the members have which traits and size decade."""
    return Counter((member.traits, member.decade) for member in members)


def enough(fleet: int, control_min: int) -> int:
    """How many untouched accounts must remain for a comparison: `control_min`, or a tenth of the fleet (DESIGN
    12.22); of a very large fleet half of what is ever read."""
    return max(control_min, min(fleet // 10, MOST // 2))


def choose(
    strata: Mapping[Stratum, int], candidates: Iterable[Member], *, fleet: int, control_min: int
) -> Control:
    """The control of a wave with these strata. `candidates` come in the order of rank, without the wave's own; they
    are read only as far as needed. `fleet`: accounts of the rollout."""
    found = _Found(strata)
    least = enough(fleet, control_min)
    for member in candidates:
        found.add(member)
        if found.seen >= MOST_READ or (found.full and found.seen >= COUNTED * least):
            break
    if found.seen < least:
        return Control(untouched=found.seen, reason=_too_few(found.seen, least))
    return found.control(max(LEAST_LIKE, control_min))


def remaining(
    control: Control, left: Sequence[str], *, fleet: int, control_min: int
) -> tuple[tuple[str, ...], str]:
    """Those of the control that still serve, and why none does. `left`: those not touched yet.

    The list is a sample of what was untouched when it was made, so what is left of it tells how much of that is.
    """
    if not control.accounts:
        return (), control.reason
    kept = set(left)
    serving = tuple(account for account in control.accounts if account in kept)
    needed = enough(fleet, control_min)
    share = len(serving) / len(control.accounts)
    if len(serving) < control_min or (share < 1 and share * control.untouched < needed):
        return (), _too_few(len(serving), needed)
    return serving, ""


def _too_few(left: int, needed: int) -> str:
    return f"{left} untouched accounts are left to compare with, {needed} are needed"


class _Found:
    """Candidates by how like they are, as many of each as could be wanted."""

    def __init__(self, strata: Mapping[Stratum, int]) -> None:
        total = sum(strata.values())
        wanted = min(MOST, max(LEAST, RATIO * total))
        self.seen = 0
        self.quotas = {one: max(1, wanted * count // total) for one, count in strata.items()}
        self.open = set(self.quotas)
        self.like: dict[Stratum, list[Member]] = {one: [] for one in self.quotas}
        self.kin: dict[Stratum, list[Member]] = {}
        self.rest: list[Member] = []
        self.traits: Counter[tuple[tuple[str, str], ...]] = Counter()
        for (traits, _), quota in self.quotas.items():
            self.traits[traits] += quota

    @property
    def full(self) -> bool:
        return not self.open

    def add(self, member: Member) -> None:
        self.seen += 1
        stratum = (member.traits, member.decade)
        if stratum in self.open:
            self.like[stratum].append(member)
            if len(self.like[stratum]) >= self.quotas[stratum]:
                self.open.discard(stratum)
        elif member.traits in self.traits:
            # what its own stratum does not want any more may stand in for a neighbour
            others = self.kin.setdefault(stratum, [])
            if len(others) < self.traits[member.traits]:
                others.append(member)
        elif len(self.rest) < LEAST:
            self.rest.append(member)

    def control(self, floor: int) -> Control:
        chosen = [member for members in self.like.values() for member in members]
        like = len(chosen)
        for stratum in sorted(self.open):
            short = self.quotas[stratum] - len(self.like[stratum])
            for near in self._nearest(stratum):
                taken, self.kin[near] = self.kin[near][:short], self.kin[near][short:]
                chosen += taken
                short -= len(taken)
        kin = len(chosen) - like
        if len(chosen) < floor:
            chosen += self.rest[: floor - len(chosen)]
        chosen.sort(key=lambda member: member.rank)
        return Control(
            accounts=tuple(member.account for member in chosen[:MOST]),
            like=like,
            kin=kin,
            untouched=self.seen,
        )

    def _nearest(self, stratum: Stratum) -> list[Stratum]:
        """Strata of the same traits that have some to spare, the nearest size first."""
        traits, decade = stratum
        spare = [one for one, members in self.kin.items() if one[0] == traits and members]
        return sorted(spare, key=lambda one: (abs(one[1] - decade), one[1]))
