"""What a command answers, in the format that was asked for.

A command builds one `View`: its object for machines, and functions for the rest, called only when
their format is the one asked for. Nothing else in the command line writes to standard output.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ringctl.cli.invocation import current
from ringctl.cli.machine import Suite, dumped, json_text, junit
from ringctl.cli.style import Painter, clip, columns_of, pad, show, wants_color, width
from ringctl.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A table's column. `right`: numbers. `shrink`: may be cut when the table is too wide."""

    name: str
    right: bool = False
    shrink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table. Cells are shown texts already: `cell` makes them. `indent` spaces before each line."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    indent: int = 2
    styles: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text with an optional style. The text is safe already."""

    text: str
    style: str = ""


Block = str | Line | Grid


def columns(*names: str) -> list[Column]:
    """Columns by name: `>` before one puts it to the right, `~` lets it shrink."""
    return [
        Column(name=name.lstrip("~>"), right=name.startswith(">"), shrink=name.startswith("~"))
        for name in names
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An answer. `records` are the lines of NDJSON (default: the object as one line)."""

    document: Callable[[], Mapping[str, object]]
    blocks: Callable[[], Iterable[Block]]
    records: Callable[[], Iterable[Mapping[str, object]]] | None = None
    suites: Callable[[], Sequence[Suite]] | None = None


def cell(value: object) -> str:
    """A value as a table's cell: nothing is `-`, numbers get thousands, the rest goes through `show`."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return show(value)


def emit(view: View) -> None:
    """Write the answer to standard output in the current format. Raises UsageError where it has none."""
    output = current().output
    if output in {"json", "yaml"}:
        sys.stdout.write(dumped(view.document(), output))
    elif output == "ndjson":
        records = view.records() if view.records else [view.document()]
        for record in records:
            sys.stdout.write(json_text(record) + "\n")
    elif output == "junit":
        if view.suites is None:
            raise UsageError("this answer has no -o junit; known here: table, json, yaml, ndjson, markdown")
        sys.stdout.write(junit(view.suites()))
    elif output == "markdown":
        sys.stdout.write(markdown(view.blocks()))
    else:
        paint = Painter(on=wants_color(current().color, sys.stdout))
        for text in plain(view.blocks(), paint, columns_of()):
            sys.stdout.write(text + "\n")
    sys.stdout.flush()


def plain(blocks: Iterable[Block], paint: Painter, room: int = 100) -> Iterable[str]:
    """Blocks as lines of text."""
    for block in blocks:
        if isinstance(block, Grid):
            yield from grid_lines(block, paint, room)
        elif isinstance(block, Line):
            yield paint(clip(block.text, room), *block.style.split())
        else:
            yield clip(block, room)


def grid_lines(grid: Grid, paint: Painter, room: int) -> Iterable[str]:
    """A table, aligned; what may shrink is cut until it fits."""
    widths = [
        max([width(column.name), *(width(row[index]) for row in grid.rows)])
        for index, column in enumerate(grid.columns)
    ]
    gap = 2
    over = grid.indent + sum(widths) + gap * (len(widths) - 1) - room
    while over > 0:
        able = [i for i, one in enumerate(grid.columns) if one.shrink and widths[i] > 8]
        if not able:
            break
        widest = max(able, key=lambda index: widths[index])
        cut = min(over, widths[widest] - 8, max(1, widths[widest] // 4))
        widths[widest] -= cut
        over -= cut
    indent = " " * grid.indent
    head = [pad(column.name, widths[i], right=column.right) for i, column in enumerate(grid.columns)]
    yield indent + paint((" " * gap).join(head).rstrip(), "bold")
    for number, row in enumerate(grid.rows):
        cells = [
            pad(clip(text, widths[i]), widths[i], right=grid.columns[i].right) for i, text in enumerate(row)
        ]
        line = (" " * gap).join(cells).rstrip()
        yield indent + paint(line, *grid.styles.get(number, "").split())


def markdown(blocks: Iterable[Block]) -> str:
    """Blocks as Markdown: tables as tables, lines as paragraphs."""
    parts = []
    for block in blocks:
        if isinstance(block, Grid):
            names = [_mark(column.name) for column in block.columns]
            rule = ["---:" if column.right else "---" for column in block.columns]
            rows = [[_mark(text) for text in row] for row in block.rows]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in [names, rule, *rows]) + "\n")
        else:
            text = _mark(block.text if isinstance(block, Line) else block).strip()
            parts.append(f"{text}\n" if text else "")
    return "\n".join(part for part in parts if part)


def _mark(text: str) -> str:
    for char in "\\`*_[]<>|#":
        text = text.replace(char, f"\\{char}")
    return text


def note(text: str) -> None:
    """A message for people on standard error; silent under `-q`. The text is safe already."""
    if not current().quiet:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class Busy:
    """Says on standard error what takes longer than a second; nothing before, and nothing under `-q`."""

    def __init__(self, what: str) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.what = what
        self.said = False
        self._timer = threading.Timer(1.0, self._say)
        self._timer.daemon = True

    def _say(self) -> None:
        self.said = True
        sys.stderr.write(f"{self.what} ..." + ("" if self.live else "\n"))
        sys.stderr.flush()

    def __enter__(self) -> None:
        if not current().quiet:
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.said and self.live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def write_file(path: str, content: str) -> None:
    """Write a file that a person named. Raises UsageError, never a traceback."""
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot write {show(path)}: {reason}") from error
