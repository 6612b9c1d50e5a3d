"""What a changed bundle forces (DESIGN 5, 12.5, 12.6, 12.23): the requalification subset.

Candidates come as a stream in (ring, size, rank) order, so the first account seen of a stratum is its smallest
one in the lowest ring: exactly the one that represents it. One pass, constant memory per stratum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringctl.core.drawing import PlannedWave
from ringctl.core.model import Member
from ringctl.core.policy import Policy
from ringctl.core.states import TaskState, WaveKind

Stratum = tuple[str, str]
HALF_DONE: Stratum = ("state", "half-done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An account not done: the state of its latest task, and the last step begun there ("" if none)."""

    member: Member
    state: TaskState | None
    last_step: str = ""

    @property
    def half_done(self) -> bool:
        """Whether a step was begun and the task did not get to its end."""
        return self.state in {TaskState.UNKNOWN, TaskState.FAILED} and bool(self.last_step)


class _Strata:
    """First account and number of accounts ahead per stratum."""

    def __init__(self) -> None:
        self.first: dict[Stratum, Member] = {}
        self.ahead: dict[Stratum, int] = {}
        self.to_go = 0


class _Reach:
    """The size watermark while candidates stream by, lowest ring first."""

    def __init__(self, largest: float, factor: float) -> None:
        self.largest = largest
        self.factor = factor
        self.lowest: str | None = None

    def holds(self, member: Member) -> bool:
        """Whether the member is small enough to be drawn."""
        if self.largest and self.lowest is None:
            return member.size <= self.largest * self.factor
        if self.lowest is None:
            self.lowest = member.ring
        if member.ring == self.lowest:
            self.largest = max(self.largest, member.size)
            return True
        return member.size <= self.largest * self.factor


def drawable(candidate: Candidate, from_step: Mapping[str, str]) -> bool:
    """Whether the account may receive the new revision: untouched, or half done at a step that the bundle's
    `from_step` names (otherwise it waits for a person)."""
    return not candidate.half_done or candidate.last_step in from_step


def resume_at(candidates: Iterable[Candidate], from_step: Mapping[str, str]) -> dict[str, str]:
    """Where half-done accounts start under the new revision."""
    return {c.member.account: from_step[c.last_step] for c in candidates if c.half_done}


def strata_of(candidate: Candidate) -> tuple[Stratum, ...]:
    """The strata an account stands for."""
    member = candidate.member
    kinds = (*member.traits, ("size", str(member.decade)))
    return (HALF_DONE, *kinds) if candidate.half_done else kinds


def requalification_waves(
    policy: Policy,
    candidates: Iterable[Candidate],
    from_step: Mapping[str, str],
    *,
    largest: float,
    reserve_first: bool = False,
) -> tuple[PlannedWave, ...]:
    """The subset as waves of at most the policy's cap, every stratum still ahead represented once.

    `largest`: the largest account touched in this rollout under any revision; accounts above
    `size_factor` times that are never drawn here. When nothing was touched (0), the largest account of the
    lowest ring stands in for it. `reserve_first` (from the third revision on, DESIGN 12.6): in the lowest
    ring an account in reserve stands for its strata before any other. Empty when no account can be drawn.
    """
    reach = _Reach(largest, policy.limits.size_factor)
    strata = _Strata()
    of: dict[str, Candidate] = {}
    for candidate in candidates:
        if not drawable(candidate, from_step):
            continue
        strata.to_go += 1
        within = reach.holds(candidate.member)
        for stratum in strata_of(candidate):
            strata.ahead[stratum] = strata.ahead.get(stratum, 0) + 1
            if within and _stands_for(candidate.member, strata.first.get(stratum), reserve_first):
                strata.first[stratum] = candidate.member
                of[candidate.member.account] = candidate
    chosen = _representatives(strata, of)
    cap = policy.requalify.cap(strata.to_go)
    return tuple(
        PlannedWave(ring=wave[0].ring, kind=WaveKind.REQUALIFICATION, members=wave)
        for wave in (tuple(chosen[start : start + cap]) for start in range(0, len(chosen), cap))
    )


def _stands_for(member: Member, current: Member | None, reserve_first: bool) -> bool:
    """Whether the member stands for a stratum instead of the one found so far."""
    if current is None:
        return True
    better = member.reserve and not current.reserve and member.ring == current.ring
    return reserve_first and better


def _representatives(strata: _Strata, of: Mapping[str, Candidate]) -> list[Member]:
    """One account per stratum, half-done first, then by accounts ahead; one may stand for several."""
    order = sorted(strata.first, key=lambda s: (s != HALF_DONE, -strata.ahead[s], s))
    covered: set[Stratum] = set()
    chosen: list[Member] = []
    for stratum in order:
        if stratum not in covered:
            member = strata.first[stratum]
            chosen.append(member)
            covered.update(strata_of(of[member.account]))
    return chosen


def seen_share(accounts: int, confidence: float = 0.95) -> float:
    """The smallest share of accounts that a defect must hit for `accounts` clean ones to have shown it with
    `confidence`: 1 - (1 - confidence)^(1/n) (UPGRADE 5.4). 1.0 for no account at all."""
    return 1.0 if accounts <= 0 else 1.0 - (1.0 - confidence) ** (1.0 / accounts)
