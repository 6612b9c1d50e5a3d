"""SQLite's errors as ours: each with its code and the way out."""

import sqlite3
from pathlib import Path
from typing import Final

from ringctl.core.errors import BugError, RingctlError, StoreUnavailable

_PRIMARY: Final = 0xFF  # the low byte of an extended error code
_KNOWN: Final = {
    sqlite3.SQLITE_BUSY: (
        "RC5102",
        "is locked by another process for too long",
        "look for a stopped or hanging ringctl process on this file",
    ),
    sqlite3.SQLITE_LOCKED: (
        "RC5102",
        "is locked by another process for too long",
        "look for a stopped or hanging ringctl process on this file",
    ),
    sqlite3.SQLITE_FULL: (
        "RC5103",
        "cannot grow: the disk is full",
        "make room; nothing was half written, ringctl goes on where it stopped",
    ),
    sqlite3.SQLITE_NOTADB: (
        "RC5104",
        "is not a SQLite database",
        "name another file with --state; ringctl does not touch this one",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "RC5104",
        "is damaged",
        "put back a copy; `sqlite3 FILE 'pragma integrity_check'` shows what is wrong",
    ),
    sqlite3.SQLITE_READONLY: (
        "RC5107",
        "is read-only for this process",
        "give this user write access to the file and its directory",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "RC5101",
        "cannot be opened",
        "check that its directory exists and that this user may write there",
    ),
}


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another one holds the lock."""
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def unavailable(error: sqlite3.Error, path: Path) -> RingctlError:
    """What to raise for an error of SQLite."""
    if isinstance(error, sqlite3.IntegrityError):
        return BugError(f"{path}: {error}")
    known = _KNOWN.get(_code(error))
    if known is not None:
        code, what, way_out = known
        return StoreUnavailable(f"{path} {what}", code=code, hint=way_out)
    return StoreUnavailable(f"{path}: {error}", code="RC5101")


def no_file(path: Path) -> StoreUnavailable:
    """The refusal of a file that is not there: opening never makes one."""
    return StoreUnavailable(
        f"{path} does not exist",
        code="RC5108",
        hint="run `ringctl db migrate` to make it",
    )
