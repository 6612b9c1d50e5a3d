"""Rows of a file turned into accounts: every row understood, or every mistake said with its position.

A fleet may have a million accounts: columns are shared tuples, and cells that repeat are one string.
"""

import math
import re
import unicodedata
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.core.closest import did_you_mean
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.fleet import Account, Fleet
from ringctl.core.policy import InventorySpec

DUPLICATE_ID = "RC7001"
EMPTY_ID = "RC7002"
MISSING_COLUMN = "RC7003"
BAD_SIZE = "RC7004"
ROW_LENGTH = "RC7005"
ENCODING = "RC7006"
BAD_ID = "RC7007"
NO_ACCOUNTS = "RC7008"
COLUMN_TWICE = "RC7009"
SHARED_DATABASE = "RC7010"
MALFORMED = "RC7011"
UNREADABLE = "RC7012"

MAX_ID = 256
MAX_SIZE = 1e18
DATABASE = "database"

_SIZE = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REORDER = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INTERNED = 20_000

Spot = Callable[[int], tuple[int, str]]
"""Where a cell of the row begins, and the source line; asked only when a message needs it."""


class Row(Mapping[str, str]):
    """The cells of one account by column. Many rows share one tuple of columns."""

    __slots__ = ("_cells", "_places")

    def __init__(self, places: Mapping[str, int], cells: tuple[str, ...]) -> None:
        self._places = places
        self._cells = cells

    def __getitem__(self, column: str) -> str:
        return self._cells[self._places[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def items(self) -> ItemsView[str, str]:
        """In one go: digests and plans ask for every cell of every account."""
        return dict(zip(self._places, self._cells, strict=True)).items()

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the columns that mean something stand in the cells of a row."""

    id: int
    size: int | None
    target: tuple[int, ...]
    database: int | None
    kept: tuple[int, ...]
    places: Mapping[str, int]


@dataclass(slots=True, kw_only=True)
class Reading:
    """One read of a whole file."""

    spec: InventorySpec
    path: Path
    findings: list[Finding] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    _lines: dict[str, int] = field(default_factory=dict)
    _twice: dict[str, list[int]] = field(default_factory=dict)
    _databases: dict[str, int] = field(default_factory=dict)
    _shared: dict[str, list[int]] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)

    def note(self, code: str, message: str, line: int = 0, column: int = 0, **more: str) -> None:
        """Note one mistake. `more`: text, source_line, hint."""
        self.findings.append(_finding(self.path, code, message, (line, column), more))

    def _note_cell(self, code: str, message: str, line: int, at: tuple[int, str], text: str) -> None:
        column, source_line = at
        self.note(code, message, line, column, text=text, source_line=source_line)

    def layout(self, columns: Sequence[str], line: int) -> Layout | None:
        """The layout of rows with these columns; None (and findings) when one that is needed is missing."""
        spec = self.spec
        places = {name: place for place, name in enumerate(columns)}
        wanted = {spec.id: "inventory.id", **dict.fromkeys(spec.traits, "inventory.traits")}
        wanted.update(dict.fromkeys(spec.target, "inventory.target"))
        if spec.size:
            wanted.setdefault(spec.size, "inventory.size")
        missing = [name for name in wanted if name not in places]
        for name in missing:
            hint = did_you_mean(name, columns)
            if name == spec.size:
                hint = hint or "`inventory.size: false` where accounts have no size"
            self.findings.append(
                Finding(
                    code=MISSING_COLUMN,
                    message=f"there is no column `{name}`, which `{wanted[name]}` names",
                    path=str(self.path),
                    line=line,
                    column=1,
                    text=name,
                    known=tuple(columns),
                    hint=hint,
                )
            )
        if missing:
            return None
        size = places[spec.size] if spec.size else None
        kept = tuple(place for place in range(len(columns)) if place not in {places[spec.id], size})
        return Layout(
            id=places[spec.id],
            size=size,
            target=tuple(places[name] for name in spec.target),
            database=places[DATABASE] if DATABASE in spec.target else None,
            kept=kept,
            places={columns[place]: index for index, place in enumerate(kept)},
        )

    def add(self, layout: Layout, cells: Sequence[str], line: int, spot: Spot) -> None:
        """Take one row."""
        name = cells[layout.id]
        size = 0.0
        if layout.size is not None:
            size = self._size(cells[layout.size], line, spot, layout.size)
        self._check_id(name, line, spot, layout.id)
        for place in layout.target:
            if not cells[place].isprintable():
                self._check_text(cells[place], line, spot(place), "a target")
        if layout.database is not None:
            self._check_database(cells[layout.database], line)
        intern = self._intern
        kept = tuple([intern(cells[place]) for place in layout.kept])
        self.accounts.append(Account(id=name, size=size, columns=Row(layout.places, kept)))

    def _intern(self, text: str) -> str:
        texts = self._texts
        found = texts.get(text)
        if found is None:
            if len(texts) < _INTERNED:
                texts[text] = text
            return text
        return found

    def _size(self, text: str, line: int, spot: Spot, place: int) -> float:
        if text.isdecimal() and text.isascii() and len(text) < 16:
            return float(text)
        if _SIZE.fullmatch(text):
            size = float(text)
            if math.isfinite(size) and size <= MAX_SIZE:
                return size
        message = f"the size `{text[:40]}` is not a number of at least 0"
        if not text:
            message = "the size is empty"
        self._note_cell(BAD_SIZE, message, line, spot(place), text)
        return 0.0

    def _check_id(self, name: str, line: int, spot: Spot, place: int) -> None:
        if not name.strip():
            self._note_cell(EMPTY_ID, "the account has no id", line, spot(place), name)
            return
        if len(name) > MAX_ID:
            message = f"the id has {len(name)} characters, at most {MAX_ID} are allowed"
            self._note_cell(BAD_ID, message, line, spot(place), name)
        elif not name.isprintable():
            self._check_text(name, line, spot(place), "the id")
        if name != name.strip():
            message = "the id begins or ends with a blank"
            self._note_cell(BAD_ID, message, line, spot(place), name)
        first = self._lines.setdefault(name, line)
        if first != line:
            self._twice.setdefault(name, [first]).append(line)

    def _check_text(self, text: str, line: int, at: tuple[int, str], subject: str) -> None:
        """Control characters would break argument lists, logs and terminals."""
        if _REORDER.search(text) or any(unicodedata.category(one) in _CONTROL for one in text):
            self._note_cell(BAD_ID, f"{subject} holds a control character", line, at, ascii(text))

    def _check_database(self, database: str, line: int) -> None:
        if not database:
            return
        first = self._databases.setdefault(database, line)
        if first != line:
            self._shared.setdefault(database, [first]).append(line)

    def fleet(self) -> Fleet:
        """The whole fleet. Raises InvalidInput with every mistake."""
        self._repeated(DUPLICATE_ID, self._twice, "the id `{}` stands in {} rows")
        self._repeated(
            SHARED_DATABASE, self._shared, "the database `{}` belongs to {} accounts: they would share a step"
        )
        if not self.accounts and not self.findings:
            self.note(NO_ACCOUNTS, "there are no accounts")
        if self.findings:
            places = sorted(self.findings, key=lambda one: (one.line, one.column))
            first = places[0]
            more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
            raise InvalidInput(places, message=f"{first.position}: {first.message}{more}")
        return Fleet(
            accounts=tuple(self.accounts),
            traits=self.spec.traits,
            target=self.spec.target,
            source=self.spec.source,
        )

    def _repeated(self, code: str, found: Mapping[str, list[int]], message: str) -> None:
        for text, lines in found.items():
            self.findings.append(
                Finding(
                    code=code,
                    message=message.format(text[:80], len(lines)),
                    path=str(self.path),
                    line=lines[1],
                    column=1,
                    text=text[:MAX_ID],
                    items=tuple(f"line {line}" for line in lines),
                )
            )


def _finding(path: Path, code: str, message: str, place: tuple[int, int], more: Mapping[str, str]) -> Finding:
    assert more.keys() <= {"text", "source_line", "hint"}
    line, column = place
    return Finding(
        code=code,
        message=message,
        path=str(path),
        line=line,
        column=column,
        text=more.get("text", "")[:200],
        source_line=more.get("source_line", "").rstrip("\r\n")[:200],
        hint=more.get("hint", ""),
    )


def refused(path: Path, code: str, message: str, line: int = 0, column: int = 0, **more: str) -> InvalidInput:
    """The whole file is refused for one reason."""
    return InvalidInput([_finding(path, code, message, (line, column), more)])


def bad_bytes(path: Path) -> InvalidInput:
    """Where a file is not UTF-8. Only called when it is known not to be."""
    with path.open("rb") as file:
        for number, content in enumerate(file, start=1):
            if number == 1 and content.startswith((b"\xff\xfe", b"\xfe\xff")):
                return refused(path, ENCODING, "the file is UTF-16", 1, 1, hint="save it as UTF-8")
            try:
                content.decode()
            except UnicodeDecodeError as error:
                column = len(content[: error.start].decode()) + 1
                text = f"0x{content[error.start]:02x}"
                message = "the file is not UTF-8"
                return refused(path, ENCODING, message, number, column, text=text, hint="save it as UTF-8")
    return refused(path, ENCODING, "the file is not UTF-8", hint="it changed while it was read")
