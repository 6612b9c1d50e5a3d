"""`ndjson`: accounts as one JSON object a line."""

import json
from pathlib import Path
from typing import TextIO

from ringctl.core.fleet import Fleet
from ringctl.core.policy import InventorySpec
from ringctl.inventories.files import opened
from ringctl.inventories.rows import COLUMN_TWICE, MALFORMED, Layout, Reading, Spot
from ringctl.ports.inventory import Inventory

MAX_LINE = 1024 * 1024


class _Malformed(ValueError):
    """A line that is JSON, but no account."""

    def __init__(self, code: str, message: str, text: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.text = text


class NdjsonInventory(Inventory):
    """Reads newline-delimited JSON: numbers and true/false become their text, null an empty cell."""

    name = "ndjson"

    def read(self, spec: InventorySpec, base: Path) -> Fleet:
        """Every account of the file, in its order. Raises InvalidInput with every mistake."""
        path = base / spec.path
        with opened(path) as file:
            reading = Reading(spec=spec, path=path)
            _read_lines(reading, file)
        return reading.fleet()


def _read_lines(reading: Reading, file: TextIO) -> None:
    decoder = json.JSONDecoder(
        parse_int=str, parse_float=str, parse_constant=_constant, object_pairs_hook=_pairs
    )
    layouts: dict[tuple[str, ...], Layout | None] = {}
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            reading.note(MALFORMED, f"the line has over {MAX_LINE} characters", number, 1)
            return
        text = line.strip()
        if not text:
            continue
        try:
            cells = _cells(decoder.decode(text))
        except _Malformed as error:
            column = line.find(error.text) + 1 if error.text else 1
            reading.note(error.code, str(error), number, column or 1, text=error.text, source_line=text)
            continue
        except json.JSONDecodeError as error:
            reading.note(MALFORMED, f"not JSON: {error.msg}", number, error.colno, source_line=text)
            continue
        except RecursionError:
            reading.note(MALFORMED, "not an account: nested too deep", number, 1)
            continue
        columns = tuple(cells)
        if columns not in layouts:
            layouts[columns] = reading.layout(columns, number)
        layout = layouts[columns]
        if layout is not None:
            reading.add(layout, tuple(cells.values()), number, _spots(line, columns))


def _spots(line: str, columns: tuple[str, ...]) -> Spot:
    """Where a key stands in the line, for messages."""

    def begins(index: int) -> tuple[int, str]:
        return line.find(json.dumps(columns[index], ensure_ascii=False)) + 1 or 1, line

    return begins


def _constant(text: str) -> str:
    raise _Malformed(MALFORMED, f"`{text}` is not a usable number", text)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Malformed(COLUMN_TWICE, f"`{name[:80]}` is given twice", name)
            seen.add(name)
    return found


def _cells(value: object) -> dict[str, str]:
    """The object's values as text, as read."""
    if not isinstance(value, dict):
        raise _Malformed(MALFORMED, "the line is not a JSON object")
    cells: dict[str, str] = {}
    for name, one in value.items():
        if isinstance(one, str):
            cells[name] = one
        elif one is None:
            cells[name] = ""
        elif isinstance(one, bool):
            cells[name] = "true" if one else "false"
        else:
            raise _Malformed(MALFORMED, f"`{name[:80]}` is not a single value", name)
        if not cells[name].isprintable() and not _is_unicode(cells[name]):
            raise _Malformed(MALFORMED, f"`{name[:80]}` holds half a character", name)
    if not _is_unicode("".join(cells)):
        raise _Malformed(MALFORMED, "a key holds half a character")
    return cells


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
