"""Tables for the terminal and for docs, and the few numbers they are made of."""

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

Row = Sequence[str]


@dataclass
class Table:
    """One result: a title, what it says in a sentence or two, and rows."""

    title: str
    text: str
    head: Row
    rows: list[Row] = field(default_factory=list)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and lowest to highest."""
    middle = statistics.median(values)
    if len(values) == 1:
        return f"{middle:.{digits}f} (once)"
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def machine() -> str:
    """The class of machine: nothing that names it."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def plain(table: Table) -> str:
    """The table for the terminal."""
    rows = [table.head, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([f"== {table.title}", *lines, ""])


def document(tables: Sequence[Table], before: str) -> str:
    """The page `docs/reference/benchmarks.md`: sections that were not measured now stay as they are in `before`."""
    sections = {part.split("\n", 1)[0]: part for part in before.split("\n## ")[1:]}
    for table in tables:
        sections[table.title] = _section(table)
    lines = [
        "# Benchmarks",
        "",
        "Written by `./do bench`. Cells are medians with the lowest and the highest of the runs; ratios are to a",
        "bound that was measured beside them, in turns, in the same run. The machine is small and shared: compare",
        "ratios.",
    ]
    return "\n".join(lines) + "\n" + "".join(f"\n## {sections[title].rstrip()}\n" for title in sections)


def _section(table: Table) -> str:
    day = datetime.now(UTC).date().isoformat()
    lines = [table.title, "", table.text, "", f"{day}: {machine()}.", "", f"| {' | '.join(table.head)} |"]
    lines += ["|" + " --- |" * len(table.head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table.rows)])
