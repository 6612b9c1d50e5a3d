"""Where measurements come from."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from ringctl.core.policy import Counter
from ringctl.core.timing import Instant, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Raw cumulative values per counter and account at one moment, as the source has them.

    An account without a series is absent from the mapping; NaN, infinities, values below zero and duplicates
    that disagree are left out and named in `warnings`. `partial` is set when the source said that it answered in
    part: the caller treats the look as unanswered. `at_us` is the source's time of the values where it has one,
    `oldest_us` the time of the oldest sample behind them: events up to `at_us` may be missing from then on.
    `queries` are what was asked, for people; `asked` says which of them are a counter's, where a source can tell.
    """

    at_us: Instant | None
    values: Mapping[Counter, Mapping[str, float]]
    warnings: tuple[str, ...] = ()
    partial: bool = False
    queries: tuple[str, ...] = field(default=())
    oldest_us: Instant | None = None
    asked: Mapping[Counter, tuple[str, ...]] = field(default_factory=dict)

    def queries_of(self, counters: Collection[Counter]) -> tuple[str, ...]:
        """The queries behind some of the counters, each once: those in `asked`, else those whose text names one of
        them, else all (one address may serve everything)."""
        found = [query for counter in counters for query in self.asked.get(counter, ())]
        if not found:
            names = [re.compile(rf"(?<!\w){re.escape(counter.name)}(?!\w)") for counter in counters]
            found = [query for query in self.queries if any(name.search(query) for name in names)]
        return tuple(dict.fromkeys(found or self.queries))


class Track(NamedTuple):
    """One counter of one account in the past: time and raw cumulative value, oldest first.

    The times are those of the grid that was asked for; where there was no sample, or none that was fresh, there
    is no point. A value lower than the one before is a reset, as in a reading.
    """

    counter: Counter
    account: str
    points: tuple[tuple[Instant, float], ...]


class MetricSource(Protocol):
    """Reads cumulative counters per account. No I/O but in `read`; safe to use from several threads."""

    name: str

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading of all counters. Raises SourceUnavailable with its RC8xxx code when there is none.

        `accounts` are those that are wanted (None: all). A source may use them to ask for less, and may answer
        with more; of those wanted it leaves out none that has a series.
        """
        ...


@runtime_checkable
class RangeSource(Protocol):
    """A metric source that knows the past. Not every source does: ask with `isinstance`."""

    name: str

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
        """Every counter of every account at `from_us`, `from_us + step_us`, ... up to `to_us`.

        One track for each counter and account that has a point, in no order. Raises SourceUnavailable with its
        RC8xxx code, at the call or at any step of the iteration: what came before is then of no use either. An
        answer in part is no answer (RC8006).
        """
        ...
