"""`csv`: accounts in a comma-separated file with a header."""

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ringctl.core.fleet import Fleet
from ringctl.core.policy import InventorySpec
from ringctl.inventories.files import opened
from ringctl.inventories.rows import (
    COLUMN_TWICE,
    MALFORMED,
    NO_ACCOUNTS,
    ROW_LENGTH,
    Layout,
    Reading,
    Spot,
    refused,
)
from ringctl.ports.inventory import Inventory


class CsvInventory(Inventory):
    """Reads a CSV file (RFC 4180, UTF-8, with or without byte order mark)."""

    name = "csv"

    def read(self, spec: InventorySpec, base: Path) -> Fleet:
        """Every account of the file, in its order. Raises InvalidInput with every mistake."""
        path = base / spec.path
        with opened(path) as file:
            reading = Reading(spec=spec, path=path)
            _read_rows(reading, file)
        return reading.fleet()


def _read_rows(reading: Reading, file: TextIO) -> None:
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    try:
        header = next((row for row in reader if row), None)
        if header is None:
            raise refused(reading.path, NO_ACCOUNTS, "the file is empty: not even a header")
        layout = _header(reading, header, lines)
        if layout is None:
            return
        width = len(header)
        start = reader.line_num + 1
        for row in reader:
            line, start = start, reader.line_num + 1
            if len(row) == width:
                reading.add(layout, row, line, _spots(lines, line))
            elif row:
                message = f"the row has {len(row)} cells, the header has {width}"
                hint = _quote_hint(row, width)
                reading.note(ROW_LENGTH, message, line, 1, source_line=lines.last, hint=hint)
    except csv.Error as error:
        message = f"not CSV: {error}"
        hint = ""
        if "unexpected end of data" in str(error):
            hint = "a quote is not closed, or the file is cut off"
        raise refused(
            reading.path, MALFORMED, message, reader.line_num, 1, source_line=lines.last, hint=hint
        ) from None


class _Lines(Iterator[str]):
    """The file's lines; remembers the last one, for messages."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.last = ""
        self.number = 0

    def __next__(self) -> str:
        self.last = next(self._file)
        self.number += 1
        return self.last


def _header(reading: Reading, header: Sequence[str], lines: _Lines) -> Layout | None:
    spot = _spots(lines, lines.number)
    seen: set[str] = set()
    for index, name in enumerate(header):
        if name in seen or not name.strip():
            what = f"two columns are called `{name}`" if name.strip() else "a column has no name"
            reading.note(COLUMN_TWICE, what, lines.number, spot(index)[0], text=name, source_line=lines.last)
        seen.add(name)
    if reading.findings:
        return None
    layout = reading.layout(header, lines.number)
    if layout is None and len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        hint = "columns must be separated by commas"
        reading.note(MALFORMED, "the header is one column", lines.number, 1, text=header[0], hint=hint)
    return layout


def _spots(lines: _Lines, first: int) -> Spot:
    """Where the cells of the row that was just read begin."""

    def begins(index: int) -> tuple[int, str]:
        if lines.number != first:
            return 1, ""  # the row spans lines: its first line is named, the column is not counted
        column, quoted, cell = 1, False, 0
        for letter in itertools.islice(lines.last, 100_000):
            if cell == index:
                break
            if letter == '"':
                quoted = not quoted
            elif letter == "," and not quoted:
                cell += 1
            column += 1
        return column, lines.last

    return begins


def _quote_hint(row: Sequence[str], width: int) -> str:
    return "a cell with a comma must be quoted" if len(row) > width else ""
