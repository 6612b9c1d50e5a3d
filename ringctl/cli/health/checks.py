"""One check's result, and what the database under a store says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Mark(StrEnum):
    """How a check came out."""

    WELL = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at. `remedy` is what to do, "" where nothing has to be done."""

    name: str
    mark: Mark
    text: str
    remedy: str = ""


def passed(name: str, text: str) -> Check:
    """All is well."""
    return Check(name=name, mark=Mark.WELL, text=text)


def warned(name: str, text: str, remedy: str) -> Check:
    """It works, and it may bite."""
    return Check(name=name, mark=Mark.WARN, text=text, remedy=remedy)


def failed(name: str, text: str, remedy: str) -> Check:
    """It must be mended before the store is trusted."""
    return Check(name=name, mark=Mark.FAIL, text=text, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: rows (an estimate where `Database.estimated`), bytes with its indexes, dead rows not yet swept."""

    name: str
    rows: int
    size: int | None = None
    dead: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """What `db stats` shows. Sizes are bytes; `oldest_s` is the age of the oldest open transaction in seconds."""

    engine: str
    size: int
    tables: tuple[Table, ...]
    estimated: bool = False
    oldest_s: float | None = None
    more: Mapping[str, object] = field(default_factory=dict)
