"""SQLite as a source of measurements: a file, opened read-only; a query can read and nothing else."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ringctl.core.errors import SourceUnavailable
from ringctl.metrics.asking import failed, line
from ringctl.metrics.options import (
    MALFORMED,
    NOT_LET_IN,
    SERVER_ERROR,
    TIMED_OUT,
    UNREACHABLE,
    WRONG_OPTIONS,
)
from ringctl.metrics.sql_database import Table

STEPS_BETWEEN: Final = 10_000
ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_CODES: Final = {
    sqlite3.SQLITE_BUSY: TIMED_OUT,
    sqlite3.SQLITE_LOCKED: TIMED_OUT,
    sqlite3.SQLITE_INTERRUPT: TIMED_OUT,
    sqlite3.SQLITE_CANTOPEN: UNREACHABLE,
    sqlite3.SQLITE_IOERR: UNREACHABLE,
    sqlite3.SQLITE_NOTADB: MALFORMED,
    sqlite3.SQLITE_CORRUPT: MALFORMED,
    sqlite3.SQLITE_PERM: NOT_LET_IN,
    sqlite3.SQLITE_AUTH: WRONG_OPTIONS,
    sqlite3.SQLITE_READONLY: WRONG_OPTIONS,
}
_HINTS: Final = {
    WRONG_OPTIONS: "a query is one SELECT",
    MALFORMED: "is this the right file?",
    TIMED_OUT: "raise the source's `timeout`, or make the query cheaper",
}


class Sqlite:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def snapshot(self, deadline: float) -> Iterator["_Snapshot"]:
        """One read transaction on a connection of its own. Raises SourceUnavailable."""
        if self._path.exists() and not os.access(self._path, os.R_OK):
            raise failed(f"{self._path} may not be read", NOT_LET_IN, hint="see the file's permissions")
        wait_s = max(0.0, deadline - time.monotonic())
        try:
            opened = sqlite3.connect(
                f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=wait_s, isolation_level=None
            )
            with closing(opened) as connection:
                # the clock first: the snapshot is taken at the first read, so it is never older than it says
                (at_s,) = connection.execute("SELECT (julianday('now') - 2440587.5) * 86400.0").fetchone()
                connection.execute("BEGIN")
                connection.set_authorizer(_only_reads)
                connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN)
                yield _Snapshot(at_s=at_s, connection=connection)
        except sqlite3.Error as error:
            raise _error(self._path, error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    at_s: float
    connection: sqlite3.Connection

    def table(self, query: str, most: int) -> Table:
        with closing(self.connection.execute(query)) as cursor:
            columns = tuple(column[0] for column in cursor.description or ())
            return Table(columns=columns, rows=cursor.fetchmany(most))


def _only_reads(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY


def _error(path: Path, error: sqlite3.Error) -> SourceUnavailable:
    said = line(str(error).encode("utf-8", "replace"))
    number = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.Warning) and number is None:
        code = WRONG_OPTIONS  # more than one statement, a NUL, placeholders
    elif number is None:
        code = MALFORMED  # text that is not UTF-8 has no number of its own
    else:
        code = _CODES.get(number & 0xFF, SERVER_ERROR)
    return failed(f"{path}: {said}", code, hint=_HINTS.get(code, ""))
