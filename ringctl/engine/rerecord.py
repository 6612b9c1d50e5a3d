"""What a source remembers, as recorded lines: for judging a time that is over, and for keeping it.

The source's counters at the times of a grid go through the very fold that live looks go through (`core.observing`):
resets, gaps and first readings are what they are there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ringctl.core.errors import UsageError
from ringctl.core.judging import JudgeState
from ringctl.core.observing import Watch, fold
from ringctl.core.policy import Check, Count, Counter
from ringctl.core.timing import HOUR, MINUTE, Instant, Span
from ringctl.engine import pasts
from ringctl.engine.backtest import short
from ringctl.ports.metrics import MetricSource, RangeSource, Reading

TIMEOUT_S = 300.0
"""For all that is asked of one source."""

Line = dict[str, object]
Values = dict[Instant, dict[Counter, dict[str, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Whom and when: a line every `step_us` from `from_us` to `to_us`; `canary` was touched at `since_us`."""

    canary: Sequence[str]
    control: Sequence[str]
    from_us: Instant
    to_us: Instant
    since_us: Instant
    step_us: Span

    def past(self, span_us: Span) -> "Memory":
        """The hours before, up to `span_us` of them."""
        from_us = self.from_us - span_us // HOUR * HOUR
        since_us = max(self.since_us, self.from_us + 1)
        return replace(self, from_us=from_us, to_us=self.from_us, since_us=since_us, step_us=HOUR)


def remember(
    checks: Mapping[str, Check], sources: Mapping[str, MetricSource], memory: Memory, *, zero_us: Instant
) -> Iterator[Line]:
    """The lines of the checks, `t` in minutes since `zero_us`. Raises SourceUnavailable, and UsageError for a source
    that knows no past. `sources` are those of the checks, by name."""
    by_source: dict[str, list[Check]] = {}
    for check in checks.values():
        by_source.setdefault(check.source, []).append(check)
    for account in memory.canary:
        if memory.from_us <= memory.since_us < memory.to_us:
            yield {"t": _minutes(memory.since_us - zero_us), "account": account, "event": "start"}
    for name, of_source in by_source.items():
        source = sources[name]
        if not isinstance(source, RangeSource):
            message = f"the source {source.name} knows no past"
            raise UsageError(
                message, hint="one of type prometheus does; or give recorded lines with --series"
            )
        values = raw_values(source, of_source, memory)
        for check in of_source:
            yield from _lines(check, values, memory, zero_us)


def raw_values(
    source: RangeSource, checks: Sequence[Check], memory: Memory, *, timeout_s: float = TIMEOUT_S
) -> Values:
    """Time -> counter -> account -> raw value, of all that the checks read. Raises SourceUnavailable."""
    found: Values = {}
    tracks = source.history(
        pasts.counters(checks),
        accounts=[*memory.canary, *memory.control],
        from_us=memory.from_us,
        to_us=memory.to_us,
        step_us=memory.step_us,
        timeout_s=timeout_s,
    )
    for track in tracks:
        for at_us, value in track.points:
            found.setdefault(at_us, {}).setdefault(track.counter, {})[track.account] = value
    return found


def _lines(check: Check, values: Values, memory: Memory, zero_us: Instant) -> Iterator[Line]:
    watch = Watch(touched=dict.fromkeys(memory.canary, memory.since_us), control=tuple(memory.control))
    canary = frozenset(memory.canary)
    state: JudgeState = {}
    counting = isinstance(check.measure, Count)
    wide = replace(check, every_us=memory.step_us)
    for at_us in sorted(values):
        reading = Reading(at_us=at_us, values=values[at_us])
        state, evidence = fold(wide, state, reading, watch, at_us)
        for cell in (*evidence.touched, *evidence.control):
            if cell.n is None or cell.y is None:
                continue
            if counting and abs(cell.n - memory.step_us / MINUTE) > 1e-6:
                continue  # events of a longer time, which a line cannot say
            touched = cell.account in canary and (cell.after or memory.since_us > memory.to_us)
            line: Line = {
                "t": _minutes(at_us - zero_us),
                "account": cell.account,
                "cohort": "canary" if touched else "control",
                "check": check.name,
            }
            yield (
                {**line, "y": short(cell.y)} if counting else {**line, "n": short(cell.n), "y": short(cell.y)}
            )


def _minutes(span_us: Span) -> float:
    return short(round(span_us / MINUTE, 6))
