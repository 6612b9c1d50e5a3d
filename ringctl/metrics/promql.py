"""PromQL, built: nothing that a user, a fleet or a server wrote gets in unquoted.

The names of metrics and labels are checked before (`ringctl.metrics.options.checked`); values are quoted here,
and where they stand in a regular expression, escaped for RE2 first.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.core.policy import Counter
from ringctl.metrics.exposition import escaped

MOST_NAMES: Final = 500
MOST_BYTES: Final = 32 * 1024
COHORT: Final = Counter(name="ringctl_cohort_info")

_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """How a query is kept to the accounts wanted: by their names, by a cohort's series, or (neither) not at all.

    `at_s`: the moment at which the cohort's series are read, where that is not the query's own.
    """

    names: tuple[str, ...] = ()
    cohort: Counter | None = None
    at_s: float | None = None


EVERYTHING: Final = Narrowed()


def selector(counter: Counter, names: Sequence[str] = ()) -> str:
    """`NAME{LABEL=~"EXPRESSION",...,ACCOUNT=~"NAME|NAME"}`, every value quoted."""
    matchers = [f'{label}=~"{escaped(pattern)}"' for label, pattern in sorted(counter.match.items())]
    if names:
        matchers.append(f'{counter.account}=~"{escaped("|".join(map(literal, names)))}"')
    return f"{counter.name}{{{','.join(matchers)}}}" if matchers else counter.name


def queries(counter: Counter, narrowed: Narrowed = EVERYTHING) -> tuple[str, str]:
    """The two queries of a counter: raw value, and time of the oldest sample."""
    selected, by = selector(counter, narrowed.names), counter.account
    # the join is outside of `timestamp`, which knows a sample's time only of a bare selector
    join = "" if narrowed.cohort is None else f" and on ({by}) {_cohort(narrowed.cohort, by, narrowed.at_s)}"
    return f"sum by ({by}) ({selected}{join})", f"min by ({by}) (timestamp({selected}){join})"


def members(cohort: Counter) -> str:
    """The query for the accounts of a cohort: one series each."""
    return f"max by ({cohort.account}) ({selector(cohort)})"


def literal(name: str) -> str:
    """A regular expression (RE2) that matches this text alone."""
    return _META.sub(r"\\\g<0>", name)


def chunks(accounts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The accounts in pieces that one query can name: at most 500 names and 32 KiB.

    Each once. Left out are the empty text, which would match series without the label, and what is no Unicode:
    neither can be the value of a label.
    """
    piece: list[str] = []
    size = 0
    for account in dict.fromkeys(accounts):
        length = _bytes(account)
        if not length:
            continue
        if piece and (len(piece) == MOST_NAMES or size + length > MOST_BYTES):
            yield tuple(piece)
            piece, size = [], 0
        piece.append(account)
        size += length
    if piece:
        yield tuple(piece)


def _bytes(account: str) -> int:
    """How long the account's expression is in a query; 0 when it can be no label's value."""
    try:
        return len(f"{escaped(literal(account))}|".encode()) if account else 0
    except UnicodeEncodeError:
        return 0


def _cohort(cohort: Counter, by: str, at_s: float | None) -> str:
    """The cohort's accounts, under the label that the counter has for them."""
    at = "" if at_s is None else f" @ {at_s:.3f}"
    found = f"max by ({cohort.account}) ({selector(cohort)}{at})"
    if cohort.account == by:
        return found
    return f'max by ({by}) (label_replace({found}, "{by}", "$1", "{cohort.account}", "(?s)(.*)"))'
