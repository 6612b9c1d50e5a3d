"""A SQLite file as a target."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from ringctl.executors.databases import (
    Busy,
    CommitLost,
    Interrupted,
    KeyExists,
    Limits,
    Refused,
    Result,
    TargetError,
    Unreachable,
    Value,
)
from ringctl.executors.sqltext import SQLITE, split

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_KEY_EXISTS: Final = (
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
)


class SqliteDatabase:
    """One connection to a file that is there; a missing file is never created."""

    engine = SQLITE
    now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

    def __init__(self, path: str, seconds: float) -> None:
        uri = f"file:{quote(path)}?mode=rw"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=seconds, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise Unreachable(f"cannot open the database file: {error}") from error
        try:
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error as error:
            self._connection.close()
            found = _sorted(error)
            if isinstance(found, Busy):
                raise Unreachable(f"the database file is locked: {error}") from error
            raise found from error

    def begin(self, limits: Limits) -> None:
        """Take the write lock, waiting at most `lock_s`; statements are timed by the caller's watch."""
        with _meaning():
            self._connection.execute(f"PRAGMA busy_timeout = {max(1, int(limits.lock_s * 1000))}")
            self._connection.execute("BEGIN IMMEDIATE")

    def run(self, text: str, values: Mapping[str, Value]) -> Result:
        """Run one statement and read all its rows."""
        with _meaning():
            cursor = self._connection.execute(text.replace("{p}", "main."), dict(values))
            rows = tuple(tuple(row) for row in cursor.fetchall())
            return Result(rows=rows, count=cursor.rowcount)

    def script(self, text: str, values: Mapping[str, Value]) -> None:
        """Statement by statement: `executescript` would commit first."""
        with _meaning():
            for statement in split(text, SQLITE):
                for _ in self._connection.execute(statement.text, dict(values)):
                    pass

    def commit(self) -> None:
        """Commit; a commit that fails with the transaction still open is rolled back for certain."""
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            found = _sorted(error)
            if self._connection.in_transaction:
                self.rollback()
                raise found from error
            if isinstance(found, Busy | Interrupted):
                raise found from error
            raise CommitLost(f"the commit failed: {error}") from error

    def rollback(self) -> None:
        """Roll back what is open."""
        with contextlib.suppress(sqlite3.Error):  # also that it is closed already
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def transaction(self) -> str:
        """SQLite names no transactions: the checked script cannot have ended and begun one."""
        return "open" if self._connection.in_transaction else ""

    def has_table(self, name: str) -> bool:
        """Whether the file holds the table."""
        query = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = :name"
        return bool(self.run(query, {"name": name}).rows)

    def interrupt(self) -> None:
        """Stop the running statement; without one this does nothing."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.interrupt()

    def close(self) -> None:
        """Close; an open transaction is rolled back."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


@contextlib.contextmanager
def _meaning() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _sorted(error) from error
    except (OverflowError, ValueError) as error:  # a value or text that sqlite3 itself refuses
        raise Refused(str(error)) from error


def _sorted(error: sqlite3.Error) -> TargetError:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if extended in _KEY_EXISTS:
        return KeyExists(str(error))
    if code in _BUSY:
        return Busy(str(error))
    if code == sqlite3.SQLITE_INTERRUPT:
        return Interrupted("interrupted")
    if code == sqlite3.SQLITE_CANTOPEN:
        return Unreachable(str(error))
    return Refused(str(error))
