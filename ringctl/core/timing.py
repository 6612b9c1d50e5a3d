"""Instants and spans as integer microseconds.

Integers compare, add and serialise exactly on every node and in both stores; they become RFC 3339
text only at the edges (`ringctl.cli.render`, the journal's `at`).
"""

from datetime import UTC, datetime, timedelta

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z."""

Span = int
"""A length of time in microseconds."""

MILLISECOND: Span = 1_000
SECOND: Span = 1_000_000
MINUTE: Span = 60 * SECOND
HOUR: Span = 60 * MINUTE
DAY: Span = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(at_us: Instant) -> str:
    """`at_us` as RFC 3339 text in UTC with microseconds and `Z`."""
    moment = _EPOCH + timedelta(microseconds=at_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}Z"


def parsed(text: str) -> Instant:
    """An RFC 3339 time with its zone. Raises ValueError for anything else."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return round((found - _EPOCH) / timedelta(microseconds=1))


def human(span_us: Span) -> str:
    """A span as people write it: `45 s`, `1 m 10 s`, `2 h 05 m`, `3 d 04 h`; under 10 s with a tenth."""
    if span_us < 10 * SECOND:
        return f"{span_us / SECOND:.1f} s"
    seconds = span_us // SECOND
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} m {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} m"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"
