"""Prometheus text exposition (0.0.4), and OpenMetrics as far as counters go.

Formats: prometheus.io/docs/instrumenting/exposition_formats and the OpenMetrics specification. A whole
page or none: a line that cannot be read refuses the page (RC8003, with its number), since what else is
wrong there is not known.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ringctl.core.errors import SourceUnavailable
from ringctl.metrics.asking import MOST_BYTES
from ringctl.metrics.options import MALFORMED
from ringctl.metrics.values import few

_SERIES = re.compile(
    r"[ \t]*+([a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]*+"
    r'(?:\{((?:[^"}\n]|"(?:[^"\\\n]|\\.)*+")*+)\}[ \t]*+)?'
    r"(?<![a-zA-Z0-9_:])"  # a name without labels ends at white space
    r"([^ \t\r]++)(?:[ \t]++([^ \t\r#]++))?[ \t]*+(?:#.*+)?\r?",
    re.ASCII,
)
_LABEL = re.compile(
    r'[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\\n]|\\.)*+)"[ \t]*+(?:,|\Z)', re.ASCII
)
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity)|nan", re.ASCII | re.IGNORECASE)
_TYPE = re.compile(r"#[ \t]+TYPE[ \t]+([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]+([a-z]+)[ \t]*\r?", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final[Mapping[str, str]] = {"n": "\n", "\\": "\\", '"': '"'}

Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One line. `labels` are sorted by name; `at_ms` is its timestamp, where it has one."""

    name: str
    labels: Labels
    value: float
    at_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """A page. Of two lines for the same series one stays if they agree, else none (and a warning)."""

    samples: tuple[Sample, ...]
    types: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def parse(body: bytes, *, openmetrics: bool = False) -> Exposition:
    """Read a page. Raises SourceUnavailable RC8003, naming the line, and nothing else.

    `openmetrics`: timestamps are in seconds, not in milliseconds.
    """
    if len(body) > MOST_BYTES:
        raise SourceUnavailable(f"the page has more than {MOST_BYTES} bytes", code=MALFORMED)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at_line = body.count(b"\n", 0, error.start) + 1
        raise SourceUnavailable(f"line {at_line}: not UTF-8", code=MALFORMED) from None
    types: dict[str, str] = {}
    seen: dict[tuple[str, Labels], Sample | None] = {}
    warnings: list[str] = []
    known: dict[str, Labels] = {"": ()}
    scale = 1000.0 if openmetrics else 1.0
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip(" \t\r")
        if not stripped:
            continue
        if stripped[0] == "#":
            typed = _TYPE.fullmatch(line)
            if typed:
                types[typed[1]] = typed[2]
            continue
        sample = _sample(line, number, known, scale)
        key = (sample.name, sample.labels)
        if key not in seen:
            seen[key] = sample
        elif (before := seen[key]) is not None and not _agree(before.value, sample.value):
            seen[key] = None
            warnings.append(f"line {number}: {shown(sample)} is there twice with different values")
    samples = tuple(sample for sample in seen.values() if sample is not None)
    return Exposition(samples=samples, types=types, warnings=few(warnings))


def shown(sample: Sample) -> str:
    """The series as people write it."""
    inside = ",".join(f'{name}="{escaped(value)}"' for name, value in sample.labels)
    return f"{sample.name}{{{inside}}}" if inside else sample.name


def escaped(value: str) -> str:
    """A label value as it stands between quotes, in an exposition as in PromQL."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _sample(line: str, number: int, known: dict[str, Labels], scale: float) -> Sample:
    found = _SERIES.fullmatch(line)
    if found is None:
        raise _malformed(number, line)
    name, inside, value, at = found.groups()
    inside = inside or ""
    labels = known.get(inside)
    if labels is None:
        labels = known[inside] = _labels(inside, number, line)
    if not _NUMBER.fullmatch(value) or not (at is None or _NUMBER.fullmatch(at)):
        raise _malformed(number, line)
    at_ms = None if at is None else float(at) * scale
    if at_ms is not None and not math.isfinite(at_ms):
        raise _malformed(number, line)
    return Sample(name, labels, float(value), at_ms)


def _labels(inside: str, number: int, line: str) -> Labels:
    labels: dict[str, str] = {}
    at, end = 0, len(inside.rstrip(" \t"))
    while at < end:
        label = _LABEL.match(inside, at)
        if label is None or label[1] in labels:
            raise _malformed(number, line)
        labels[label[1]] = _ESCAPE.sub(_unescape, label[2])
        at = label.end()
    return tuple(sorted(labels.items()))


def _unescape(found: re.Match[str]) -> str:
    # an escape that the format does not know stands for itself, as Prometheus reads it
    return _ESCAPES.get(found[1], found[0])


def _agree(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _malformed(number: int, line: str) -> SourceUnavailable:
    said = line if len(line) <= 80 else f"{line[:77]}..."
    return SourceUnavailable(f"line {number} cannot be read: {said!r}", code=MALFORMED)
