"""Source `prometheus`: the HTTP API of Prometheus and what speaks like it (Thanos, Mimir, VictoriaMetrics).

options: url, token: {file | env}, timeout_us, max_age_us, accounts: all | matchers | cohort,
cohort: {counter, account, match}.

A reading asks, by POST to /api/v1/query: `time()` once, and at that one evaluation time per counter
    sum by (ACCOUNT) (NAME{LABEL=~"...",...})              the raw cumulative value
    min by (ACCOUNT) (timestamp(NAME{LABEL=~"...",...}))   the time of its oldest sample
so that all counters belong to one moment, which is the reading's `at_us`. Raw values, not `increase()`,
which extrapolates (GATE 5.8): ringctl differences them. Results are mapped by the account label alone.

`accounts` says how a query is kept to the accounts that are wanted:
    all        not at all: every account the server knows, and the wanted ones are picked out
    matchers   by name, ACCOUNT=~"a|b|c", in pieces of at most 500 names and 32 KiB
    cohort     by ringctl's own series, so that no query lists names:
                   sum by (ACCOUNT) (NAME{...} and on (ACCOUNT) max by (account) (ringctl_cohort_info))
               ringctl exports `ringctl_cohort_info{rollout,account,cohort="canary|control"} 1` for each account
               of a rollout that is watched; `cohort` names another series, or one rollout's. Accounts wanted that
               have no such series (just drawn, not scraped yet) are asked for by name, with a warning.

Stale is not fresh: an instant query hands on samples up to five minutes old. The way chosen here is the age
of each account's oldest sample by the server's own clock (no clock of ours in it): above `max_age`
(default 60 s; two scrape intervals is a good value) the account is left out with a warning. The oldest
sample of what is left becomes `oldest_us`: the fold counts an interval as after an intent, or after
completion, only from there on.

The past (`history`) comes the same way from /api/v1/query_range, in pieces of time such that no answer holds more
than 11,000 points a series (the server's own limit) or 200,000 in all.

`warnings` of the server mean that it answered in part: the reading is `partial`. `infos` are only shown.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from ringctl.core.policy import Counter
from ringctl.core.timing import MILLISECOND, SECOND, Instant, Span
from ringctl.metrics.asking import failed
from ringctl.metrics.options import (
    DEFAULT_MAX_AGE_US,
    DEFAULT_TIMEOUT_US,
    PARTIAL,
    WRONG_OPTIONS,
    Options,
    checked,
)
from ringctl.metrics.prometheus_api import Asking
from ringctl.metrics.promql import COHORT, EVERYTHING, Narrowed, chunks, members, queries
from ringctl.metrics.values import Found, few, unfit
from ringctl.ports.metrics import Reading, Track

ALL, MATCHERS, BY_COHORT = "all", "matchers", "cohort"
WAYS: Final = (ALL, MATCHERS, BY_COHORT)
MOST_A_SERIES: Final = 11_000
MOST_POINTS: Final = 200_000
LEAST_GUESS: Final = 1_000
SHOWN_NAMES: Final = 3

Value = TypeVar("Value")


class Prometheus:
    """Reads counters by instant queries, and their past by range queries."""

    def __init__(self, name: str, options: Mapping[str, object], *, folder: Path = Path()) -> None:
        self.name = name
        self._options = Options(source=name, given=options, folder=folder)
        self._options.only("url", "token", "timeout_us", "max_age_us", "accounts", "cohort")
        self._url = self._options.url()
        self._timeout_s = self._options.span("timeout_us", DEFAULT_TIMEOUT_US)
        self._max_age_s = self._options.span("max_age_us", DEFAULT_MAX_AGE_US)
        self._way = options.get("accounts", ALL)
        if self._way not in WAYS:
            raise self._options.wrong(f"`accounts` must be one of {', '.join(WAYS)}")
        self._cohort = self._options.counter("cohort", COHORT)
        if "cohort" in options and self._way != BY_COHORT:
            raise self._options.wrong("`cohort` is for `accounts: cohort`")

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading of all counters. Raises SourceUnavailable."""
        wanted = checked(counters)
        asking = self._asking(min(timeout_s, self._timeout_s))
        at_s = asking.now()
        pieces = self._pieces(asking, accounts, at_s)
        picked = None if accounts is None else frozenset(accounts)
        values: dict[Counter, dict[str, float]] = {}
        oldest_s = at_s
        for counter in wanted:
            values[counter] = {}
            for piece in pieces:
                query, times = queries(counter, piece)
                sampled = asking.times(times, counter.account, at_s)
                found = asking.values(query, counter.account, at_s, counter.name)
                kept = _picked(found, picked)
                fresh = self._fresh(counter, kept, sampled, at_s, asking)
                values[counter] |= fresh
                oldest_s = min(oldest_s, min((sampled[account] for account in fresh), default=oldest_s))
        shown = {counter: tuple(_shown(counter, pieces)) for counter in wanted}
        return Reading(
            at_us=round(at_s * SECOND),
            oldest_us=round(oldest_s * SECOND),
            values=values,
            warnings=few(asking.warnings),
            partial=asking.partial,
            queries=tuple(query for of_counter in shown.values() for query in of_counter),
            asked=shown,
        )

    def history(
        self,
        counters: Collection[Counter],
        *,
        accounts: Collection[str] | None,
        from_us: Instant,
        to_us: Instant,
        step_us: Span,
        timeout_s: float,
    ) -> Iterator[Track]:
        """The counters' raw values at the times of a grid. `step_us` is whole milliseconds. Raises SourceUnavailable.

        `timeout_s` is for all of it, the source's own time-out for each answer. A point whose oldest sample was
        older than `max_age` then is left out, as in a reading.
        """
        wanted = checked(counters)
        if step_us <= 0 or step_us % MILLISECOND:
            raise failed("a step must be whole milliseconds, at least one", WRONG_OPTIONS)
        asking = self._asking(timeout_s)
        now_s = asking.now()
        picked = None if accounts is None else frozenset(accounts)
        pieces = self._pieces(asking, accounts, now_s, pinned=True)
        for counter in wanted:
            for piece in pieces:
                grid = (from_us, (to_us - from_us) // step_us + 1, step_us)
                found = self._past(asking, counter, piece, grid)
                if asking.partial:
                    said = "; ".join(few(asking.warnings))
                    raise failed(f"{self._url} answered in part: {said}", PARTIAL)
                for account, points in _picked(found, picked).items():
                    if points:
                        yield Track(counter, account, tuple(sorted(points.items())))

    def _asking(self, timeout_s: float) -> Asking:
        return Asking(self._url, self._options.token, timeout_s=timeout_s, each_s=self._timeout_s)

    def _pieces(
        self, asking: Asking, accounts: Collection[str] | None, at_s: float, *, pinned: bool = False
    ) -> list[Narrowed]:
        """What each counter is asked with: every piece is a query (and one for the ages)."""
        if self._way == BY_COHORT:
            return self._by_cohort(asking, accounts, at_s, pinned=pinned)
        if self._way == ALL or accounts is None:
            return [EVERYTHING]
        return [Narrowed(names=names) for names in chunks(accounts)]

    def _by_cohort(
        self, asking: Asking, accounts: Collection[str] | None, at_s: float, *, pinned: bool
    ) -> list[Narrowed]:
        cohort = self._cohort
        known = asking.values(members(cohort), cohort.account, at_s, cohort.name)
        joined = Narrowed(cohort=cohort, at_s=at_s if pinned else None)
        if accounts is None:
            if (
                not known
            ):  # nothing is joined with nothing: that would be an empty answer that stands for an error
                asking.partial = True
                asking.warn(f"there is no series {cohort.name}: does this Prometheus scrape ringctl?")
            return [joined]
        strangers = [account for account in dict.fromkeys(accounts) if account not in known]
        if strangers:
            of = len(frozenset(accounts))
            asking.warn(f"{cohort.name}: {len(strangers)} of {of} accounts have no series: asked by name")
        pieces = [Narrowed(names=names) for names in chunks(strangers)]
        return [joined, *pieces] if len(strangers) < len(frozenset(accounts)) else pieces

    def _fresh(
        self,
        counter: Counter,
        found: Mapping[str, float],
        sampled: Mapping[str, float],
        at_s: float,
        asking: Asking,
    ) -> dict[str, float]:
        """The values whose oldest sample is young enough."""
        fresh = Found(counter.name, asking.warnings)
        for account, value in found.items():
            age_s = at_s - sampled[account] if account in sampled else None
            if fresh.age(account, age_s, self._max_age_s):
                fresh.add(account, value)
        return fresh.usable()

    def _past(
        self, asking: Asking, counter: Counter, piece: Narrowed, grid: tuple[Instant, int, Span]
    ) -> dict[str, dict[Instant, float]]:
        """Account -> time -> value, for `grid`: first time, points, step."""
        from_us, points, step_us = grid
        query, times = queries(counter, piece)
        found: dict[str, dict[Instant, float]] = {}
        most = self._points_at_once(asking, query, piece, grid)
        for first in range(0, points, most):
            last = min(first + most, points) - 1
            span = (
                (from_us + first * step_us) / SECOND,
                (from_us + last * step_us) / SECOND,
                step_us / SECOND,
            )
            sampled = asking.tracks(times, counter.account, span)
            for account, values in asking.tracks(query, counter.account, span).items():
                ages, kept = sampled.get(account, {}), found.setdefault(account, {})
                for at_s, value in values.items():
                    age_s = at_s - ages[at_s] if at_s in ages else None
                    if not unfit(age_s, self._max_age_s):
                        place = round((at_s * SECOND - from_us) / step_us)
                        kept[from_us + place * step_us] = value
        return found

    @staticmethod
    def _points_at_once(asking: Asking, query: str, piece: Narrowed, grid: tuple[Instant, int, Span]) -> int:
        """How many grid times one answer may hold for all its series."""
        from_us, points, step_us = grid
        series = len(piece.names)
        if not series:
            ends_us = (from_us, from_us + max(0, points - 1) * step_us)
            series = max(LEAST_GUESS, *(asking.count(query, one / SECOND) for one in ends_us))
        return max(1, min(MOST_A_SERIES, MOST_POINTS // series))


def _picked(found: Mapping[str, Value], wanted: frozenset[str] | None) -> Mapping[str, Value]:
    return found if wanted is None else {one: found[one] for one in found if one in wanted}


def _shown(counter: Counter, pieces: Collection[Narrowed]) -> Iterator[str]:
    """The queries for people: of those that list names the first, with its first names."""
    named = [piece for piece in pieces if piece.names]
    for piece in pieces:
        if not piece.names:
            yield from queries(counter, piece)
    if named:
        total = sum(len(piece.names) for piece in named)
        more = f"  # and {total - SHOWN_NAMES} more names" if total > SHOWN_NAMES else ""
        first = Narrowed(names=named[0].names[:SHOWN_NAMES])
        yield from (f"{query}{more}" for query in queries(counter, first))
