"""The default chooser: cover what is new with few accounts, then fill up in the given order."""

from collections.abc import Sequence

from ringctl.core.coverage import Exercised
from ringctl.core.model import Member

GREEDY_SIGNATURES = 2_000
"""With more different kinds of account than this, one pass in order replaces the greedy choice."""

News = frozenset[tuple[str, str]]


class Covering:
    """Smallest set that covers (greedily), sticky by seed: `candidates` come in the rollout's rank order."""

    name = "covering"

    def choose(self, candidates: Sequence[Member], count: int, exercised: Exercised) -> tuple[Member, ...]:
        """At most `count` members: first those that show trait values and size decades nobody showed
        before, then the next in order."""
        seen = set(exercised.traits) | {("size", str(decade)) for decade in exercised.decades}
        kinds: dict[News, Member] = {}
        for member in candidates:
            news = frozenset(_shown(member) - seen)
            if news and news not in kinds:
                kinds[news] = member
        chosen = _greedy(kinds, count) if len(kinds) <= GREEDY_SIGNATURES else _one_pass(kinds, count)
        taken = {member.account for member in chosen}
        for member in candidates:
            if len(chosen) >= count:
                break
            if member.account not in taken:
                chosen.append(member)
        return tuple(chosen)


def _shown(member: Member) -> set[tuple[str, str]]:
    return {*member.traits, ("size", str(member.decade))}


def _greedy(kinds: dict[News, Member], count: int) -> list[Member]:
    """Always the kind that shows most of what is still missing; the earlier one on a tie."""
    left = dict(kinds)
    missing = set().union(*left) if left else set()
    chosen: list[Member] = []
    while missing and len(chosen) < count:
        best = max(left, key=lambda news: len(news & missing))
        chosen.append(left.pop(best))
        missing -= best
    return chosen


def _one_pass(kinds: dict[News, Member], count: int) -> list[Member]:
    chosen: list[Member] = []
    covered: set[tuple[str, str]] = set()
    for news, member in kinds.items():
        if len(chosen) >= count:
            break
        if news - covered:
            chosen.append(member)
            covered |= news
    return chosen
