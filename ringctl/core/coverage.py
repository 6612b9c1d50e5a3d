"""What has been exercised, what a wave meets first, and what must not be met late (DESIGN 6, promise I6)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ringctl.core.errors import Finding
from ringctl.core.model import Member
from ringctl.core.states import WaveKind

SAFE_TO_MEET: frozenset[WaveKind] = frozenset({WaveKind.CANARY, WaveKind.REQUALIFICATION, WaveKind.LONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercised:
    """Trait values and sizes that accounts done (or planned earlier) under a revision have shown.

    `decades` counts accounts per size decade, `largest` is the size watermark's base (0: nothing yet).
    """

    traits: frozenset[tuple[str, str]] = frozenset()
    decades: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    largest: float = 0.0

    def plus(self, members: Iterable[Member]) -> "Exercised":
        """With these members done as well."""
        traits = set(self.traits)
        decades = dict(self.decades)
        largest = self.largest
        for member in members:
            traits.update(member.traits)
            decades[member.decade] = decades.get(member.decade, 0) + 1
            largest = max(largest, member.size)
        return Exercised(traits=frozenset(traits), decades=decades, largest=largest)

    def news(self, members: Iterable[Member]) -> tuple[tuple[tuple[str, str], ...], tuple[int, ...]]:
        """Trait values and decades that these members would show for the first time."""
        traits: dict[tuple[str, str], None] = {}
        decades: dict[int, None] = {}
        for member in members:
            for value in member.traits:
                if value not in self.traits:
                    traits[value] = None
            if member.decade not in self.decades:
                decades[member.decade] = None
        return tuple(traits), tuple(sorted(decades))

    def reaches(self, member: Member, factor: float) -> bool:
        """Whether the member may go in company: under the size watermark, and its decade has been seen.

        A decade is first met alone (or in a canary); as lone waves follow in size order after everything
        smaller, the ladder (two accounts of the decade below, or all that exist) holds by construction.
        """
        return member.size <= self.largest * factor and member.decade in self.decades


def late_meetings(
    waves: Sequence[tuple[str, WaveKind, tuple[tuple[str, str], ...], tuple[Member, ...]]],
) -> tuple[Finding, ...]:
    """Findings for trait values first met in a wave that is no canary, requalification or lone wave.

    Each waves entry: (ring, kind, what it meets first, members). The carriers are listed in full.
    """
    findings = []
    for ring, kind, meets, members in waves:
        if kind in SAFE_TO_MEET:
            continue
        for trait, value in meets:
            carriers = tuple(m.account for m in members if (trait, value) in m.traits)
            findings.append(
                Finding(
                    code="RC2101",
                    message=f"{trait}={value or '(empty)'} is first met in an {kind} wave of ring {ring}, "
                    f"by {len(carriers)} account(s) at once",
                    items=carriers,
                    hint="move a carrier into an earlier ring, or run with --fix: one carrier goes first, alone",
                )
            )
    return tuple(findings)


def carriers_to_split(findings: Iterable[Finding], members: Mapping[str, Member]) -> frozenset[str]:
    """For `--fix`: the smallest carrier of each value that would be met late."""
    chosen: set[str] = set()
    for finding in findings:
        if not chosen & set(finding.items):
            chosen.add(min(finding.items, key=lambda name: (members[name].size, members[name].rank)))
    return frozenset(chosen)


def first_met(
    rings: Sequence[tuple[str, Sequence[Member]]],
) -> dict[tuple[str, str], tuple[str, int]]:
    """For every trait value (and `size` decade): the first ring that has it, and how many accounts carry it.

    Works before any release exists: it reads rings, not waves (`ringctl accounts coverage`).
    """
    result: dict[tuple[str, str], tuple[str, int]] = {}
    for ring, members in rings:
        for member in members:
            for key in (*member.traits, ("size", decade_label(member.decade))):
                home, count = result.get(key, (ring, 0))
                result[key] = (home, count + 1)
    return result


def decade_label(decade: int) -> str:
    """A size decade for people: `<1`, `1-9`, `10-99`, `100-999`, `1e3-1e4`, ..."""
    if decade < 0:
        return "<1"
    if decade < 3:
        return f"{10**decade}-{10 ** (decade + 1) - 1}"
    return f"1e{decade}-1e{decade + 1}"
