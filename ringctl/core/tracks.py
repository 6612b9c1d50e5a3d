"""From recorded tracks of raw counters to cells of the past: differenced as live looks are (DESIGN 12.21).

A track is one counter of one account at grid times, raw and cumulative. A counter that went down was reset: the
interval is missing, not negative. So is one with a gap: nothing is spread over hours that were not seen.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from ringctl.core.learning import Past
from ringctl.core.magnitudes import countable, measurable
from ringctl.core.policy import Check, Count, Counter, Ratio
from ringctl.core.timing import MINUTE, Instant, Span


class RawTrack(Protocol):
    """What is needed of a track (`ringctl.ports.metrics.Track` has it)."""

    @property
    def counter(self) -> Counter:
        """Which counter."""
        ...

    @property
    def account(self) -> str:
        """Whose."""
        ...

    @property
    def points(self) -> Sequence[tuple[Instant, float]]:
        """Time and raw cumulative value."""
        ...


def from_tracks(check: Check, tracks: Iterable[RawTrack], step_us: Span) -> list[Past]:
    """The cells of a check's measure, in the order of time (then of account)."""
    found: dict[str, dict[Counter, Sequence[tuple[Instant, float]]]] = {}
    for track in tracks:
        found.setdefault(track.account, {})[track.counter] = track.points
    cells: list[Past] = []
    for account, counters in found.items():
        cells += _cells(check, account, counters, step_us)
    cells.sort(key=lambda cell: (cell.at_us, cell.account))
    return cells


def _cells(
    check: Check, account: str, counters: Mapping[Counter, Sequence[tuple[Instant, float]]], step_us: Span
) -> list[Past]:
    measure = check.measure
    if isinstance(measure, Count):
        grown = _grown(counters.get(measure.of, ()), step_us, countable)
        return [Past(at, account, span / MINUTE, y, span / MINUTE) for at, (y, span) in sorted(grown.items())]
    if not isinstance(measure, Ratio):
        return []
    points, bads = counters.get(measure.n, ()), counters.get(measure.y, ())
    every = _grown(points, step_us, countable)
    bad = _grown(
        _with_zeros(points, bads) if measure.subset else bads,
        step_us,
        countable if measure.of_counts else measurable,
    )
    cells = []
    for at, (n, span) in sorted(every.items()):
        y = measure.bad(n, bad[at][0]) if at in bad else None
        if y is not None and n > 0:
            cells.append(Past(at, account, n, y, span / MINUTE))
    return cells


def _with_zeros(
    points: Sequence[tuple[Instant, float]], bads: Sequence[tuple[Instant, float]]
) -> Sequence[tuple[Instant, float]]:
    """The series of bad events with a zero wherever all events were counted before it began, as in a live look."""
    first_us = bads[0][0] if bads else math.inf
    return (*((at, 0.0) for at, _ in points if at < first_us), *bads)


def _grown(
    points: Sequence[tuple[Instant, float]], step_us: Span, sound: Callable[[float], bool]
) -> dict[Instant, tuple[float, Span]]:
    """Time -> growth since the point before, and how long that took. A point that is not `sound` is none."""
    found = {}
    for (before_us, before), (at_us, value) in pairwise(points):
        span = at_us - before_us
        if value >= before and 0 < span <= 2 * step_us and sound(value) and sound(before):
            found[at_us] = (value - before, span)
    return found
