"""Findings as rustc prints them: code, message, position, the line with carets, what is known, the way out."""

import re
from collections.abc import Iterable, Sequence

from ringctl.cli.style import Painter, clip, show, width
from ringctl.core.errors import Finding

ITEMS_SHOWN = 200
_COLOR = re.compile("\x1b\\[[0-9;]*m")
_BREAK = re.compile(r"(?<!\d) | (?!(?:%|ms?|[shd])(?!\w))")


def render(findings: Sequence[Finding], paint: Painter, columns: int = 100) -> str:
    """All findings, one after the other, each ended by a line break."""
    return "".join("\n".join(lines(finding, paint, columns)) + "\n" for finding in findings)


def lines(finding: Finding, paint: Painter, columns: int = 100) -> Iterable[str]:
    """The lines of one finding."""
    tone = {"error": "red", "warning": "yellow"}.get(finding.severity, "cyan")
    head = paint(f"{show(finding.severity, 20)}[{show(finding.code, 12)}]", "bold", tone)
    yield f"{head}: {show(finding.message, 2000)}"
    if finding.path:
        yield f"  {paint('-->', 'blue')} {show(finding.position, 500)}"
    hint = finding.hint or _guess(finding)
    if finding.source_line and finding.line:
        yield from _source(finding, hint, paint, columns)
        hint = ""
    yield from _items(finding.items, paint, columns)
    yield from _footer(finding, hint, paint, columns)


def _source(finding: Finding, hint: str, paint: Painter, columns: int) -> Iterable[str]:
    number = str(finding.line)
    gutter = " " * len(number)
    bar = paint("|", "blue")
    room = columns - len(number) - 3
    before, marked, after = _cut(finding, room)
    under = "^" * max(1, width(marked))
    yield f"{paint(number, 'blue')} {bar} {before}{marked}{after}"
    label = show(hint, 500)
    lead = f"{' ' * width(before)}{paint(under, 'bold', 'red')}"
    if label and width(before) + len(under) + 1 + width(label) <= room:
        yield f"{gutter} {bar} {lead} {label}"
        return
    yield f"{gutter} {bar} {lead}"
    if label:
        yield from wrapped(f"{gutter} {paint('=', 'blue')} ", label, columns)


def _cut(finding: Finding, room: int) -> tuple[str, str, str]:
    """The shown source line as before, marked, after; cut on both sides around the mark when too long."""
    start = max(0, finding.column - 1)
    source = finding.source_line.rstrip("\r\n")
    length = len(finding.text) if finding.text and source[start:].startswith(finding.text) else 1
    before = show(source[max(0, start - 2 * room) : start], 4 * room)
    marked = clip(show(source[start : start + length], room), max(8, room // 2))
    after = show(source[start + length : start + length + 2 * room], 4 * room)
    spare = room - width(marked)
    if width(before) + width(after) > spare:
        keep = max(spare // 2, spare - width(after))
        if width(before) > keep:
            before = "…" + before[len(before) - max(0, keep - 1) :]
        after = clip(after, max(0, spare - width(before)))
    return before, marked, after


def _items(items: Sequence[str], paint: Painter, columns: int) -> Iterable[str]:
    if not items:
        return
    more = len(items) - ITEMS_SHOWN
    text = ", ".join(show(item, 80) for item in items[:ITEMS_SHOWN])
    if more > 0:
        text += f", and {more:,} more (-o json lists every one)"
    yield from wrapped(f"   {paint('=', 'blue')} {len(items):,}: ", text, columns)


def _footer(finding: Finding, hint: str, paint: Painter, columns: int) -> Iterable[str]:
    sign = f"   {paint('=', 'blue')} "
    if hint:
        yield from wrapped(sign, show(hint, 1000), columns)
    more = f"more: ringctl explain {show(finding.code, 12)}"
    if not finding.known:
        yield f"{sign}{more}"
        return
    known = "known here: " + ", ".join(show(name, 60) for name in finding.known)
    if width(known) + 8 + len(more) + 5 <= columns:
        yield f"{sign}{known}        {more}"
        return
    yield from wrapped(sign, known, columns)
    yield f"{sign}{more}"


def wrapped(lead: str, text: str, columns: int) -> Iterable[str]:
    """`text` broken at spaces, but not between a number and its unit; later lines stand under the first."""
    plain = width(_COLOR.sub("", lead))
    line = ""
    head = lead
    for word in _BREAK.split(text):
        if line and plain + width(line) + 1 + width(word) > columns:
            yield f"{head}{line}"
            head, line = " " * plain, word
        else:
            line = f"{line} {word}" if line else word
    yield f"{head}{line}"


def _guess(finding: Finding) -> str:
    """A close match of what was written among what is known there."""
    if not finding.text or not finding.known:
        return ""
    from difflib import get_close_matches

    close = get_close_matches(finding.text.strip("\"' "), finding.known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def summary(findings: Sequence[Finding], files: int, after: str = "nothing was changed") -> str:
    """The last line: how many of what, in how many files."""
    counts = [
        (sum(1 for finding in findings if finding.severity == severity), severity)
        for severity in ("error", "warning", "hint")
    ]
    said = " and ".join(f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in counts if n) or "no errors"
    where = f" in {files:,} file{'' if files == 1 else 's'}" if files else ""
    return f"{said}{where}" + (f", {after}" if after else "")


def as_json(finding: Finding) -> dict[str, object]:
    """A finding for machines: the bytes as they are, nothing left out."""
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "path": finding.path,
        "line": finding.line,
        "column": finding.column,
        "text": finding.text,
        "known": list(finding.known),
        "hint": finding.hint or _guess(finding),
        "items": list(finding.items),
    }
