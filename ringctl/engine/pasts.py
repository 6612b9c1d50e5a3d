"""What a source knows of the time before a wave: asked once, before the wave is touched, and never needed.

A source without a past, or one that fails to tell it, costs nothing but sight: the failure is noted with the verdict,
and what was normal is learnt from the recorded baseline alone. It is asked again at the next two looks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ringctl.core import panel
from ringctl.core.errors import SourceUnavailable
from ringctl.core.judging import JudgeState
from ringctl.core.observing import counters_of
from ringctl.core.policy import Check, Counter
from ringctl.core.timing import HOUR, MINUTE, Instant, Span
from ringctl.core.tracks import from_tracks
from ringctl.ports.clock import Clock
from ringctl.ports.metrics import MetricSource, RangeSource, Track

TRIES: Final = 3
MOST_PAST: Final = 400
"""Accounts of the wave, and of its control, whose past is asked for: fourteen days of hours of two counters of 800
accounts are half a million points. Of the others only the baseline is known."""
COARSE: Final[Span] = HOUR
FINE: Final[Span] = 5 * MINUTE
FINE_UP_TO: Final[Span] = 12 * HOUR
Asked = tuple[str, Span]
"""Source, and how long a past."""
SLOW_S: Final = 20.0
"""How long the whole answer may take, unless somebody is in a hurry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was asked of one source: its tracks, or why there are none. `step_us`: the grid's."""

    tracks: Sequence[Track] = ()
    step_us: Span = COARSE
    error: str = ""


def wanted(check: Check, state: JudgeState) -> bool:
    """Whether the check's past is still to be asked for: it may have one, and nothing is frozen yet."""
    asked = state.get("history")
    tries = asked.get("tries", 0) if isinstance(asked, Mapping) else 0
    past = state.get("past")
    frozen = isinstance(past, Mapping) and past.get("frozen") is not None
    return check.history_us > 0 and bool(counters_of(check)) and not frozen and tries < TRIES


def names(wave: Collection[str], control: Collection[str]) -> list[str]:
    """Whose past is asked for: `MOST_PAST` of the wave, and of its control."""
    return [*islice(wave, MOST_PAST), *islice(control, MOST_PAST)]


def counters(checks: Iterable[Check]) -> tuple[Counter, ...]:
    """All that the checks read, each once, in their order."""
    return tuple(dict.fromkeys(counter for check in checks for counter in counters_of(check)))


def alike(checks: Iterable[Check]) -> dict[Asked, list[Check]]:
    """The checks whose pasts are asked for together: what a check learns is not to depend on its neighbours, so they
    have one source and one length (and therefore one grid)."""
    found: dict[Asked, list[Check]] = {}
    for check in checks:
        found.setdefault(asked_as(check), []).append(check)
    return found


def asked_as(check: Check) -> Asked:
    """Source and length of the check's past."""
    return check.source, check.history_us


def ask(
    source: MetricSource,
    checks: Collection[Check],
    accounts: Collection[str],
    until_us: Instant,
    clock: Clock,
    *,
    within_s: float = SLOW_S,
) -> Past | None:
    """The past of what checks that are `alike` count, up to `until_us`, or why not; None where there is none to tell.

    `within_s`: how long the whole answer may take.
    """
    if not isinstance(source, RangeSource):
        return None
    span = max(check.history_us for check in checks)
    step_us = FINE if span <= FINE_UP_TO else COARSE
    to_us = until_us // step_us * step_us  # the same grid for every node and every try
    deadline = clock.monotonic() + within_s
    try:
        tracks = source.history(
            counters(checks),
            accounts=accounts,
            from_us=to_us - span // step_us * step_us,
            to_us=to_us,
            step_us=step_us,
            timeout_s=min(SLOW_S / 2, within_s),
        )
        return Past(tracks=tuple(_in_time(tracks, deadline, clock, within_s)), step_us=step_us)
    except SourceUnavailable as error:
        return Past(error=f"{error.code}: {error.message}")


def learnt(
    check: Check, state: JudgeState, past: Past, touched: Mapping[str, object]
) -> Mapping[str, object]:
    """The check's state with its past, or with the note of why there is none.

    A past that comes at a later look takes the place of the minutes that were recorded meanwhile: cells are learnt
    in the order of time.
    """
    asked = state.get("history")
    tries = int(asked.get("tries", 0)) + 1 if isinstance(asked, Mapping) else 1
    cells = [] if past.error else from_tracks(check, past.tracks, past.step_us)
    said = past.error or ("" if cells else "the source has no history of these accounts")
    if said:
        return {**state, "history": {"tries": tries, "error": said}}
    fed = panel.feed({**state, "past": {}}, cells, touched)
    return {**fed, "history": {"tries": TRIES, "cells": len(cells)}}


def note(state: JudgeState) -> str:
    """Why there is no history, or "" where nothing failed."""
    asked = state.get("history")
    return str(asked.get("error", "")) if isinstance(asked, Mapping) else ""


def _in_time(tracks: Iterator[Track], deadline: float, clock: Clock, within_s: float) -> Iterator[Track]:
    for track in tracks:
        if clock.monotonic() > deadline:
            raise SourceUnavailable(f"its history took longer than {within_s:.0f} s", code="RC8004")
        yield track
