"""Where measurements come from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ringctl.core.policy import Counter
from ringctl.core.timing import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Raw cumulative values per counter and account at one moment, as the source has them.

    An account without a series is absent from the mapping; NaN, infinities and duplicates that disagree
    are left out and named in `warnings`. `partial` is set when the source said that it answered in part:
    the caller treats the look as unanswered. `at_us` is the source's time of the values where it has one,
    `oldest_us` the time of the oldest sample behind them: events up to `at_us` may be missing from then on.
    """

    at_us: Instant | None
    values: Mapping[Counter, Mapping[str, float]]
    warnings: tuple[str, ...] = ()
    partial: bool = False
    queries: tuple[str, ...] = field(default=())
    oldest_us: Instant | None = None


class MetricSource(Protocol):
    """Reads cumulative counters per account. No I/O but in `read`; safe to use from several threads."""

    name: str

    def read(self, counters: Collection[Counter], timeout_s: float) -> Reading:
        """One reading of all counters. Raises SourceUnavailable with its RC8xxx code when there is none."""
        ...
