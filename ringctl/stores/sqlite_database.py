"""One SQLite file, WAL, full durability, one connection per thread.

Every write is `BEGIN IMMEDIATE .. COMMIT`: SQLite has one writer, so a writing transaction is exclusive and
no statement of it can meet a stale snapshot. The wait for that lock is short and repeated with jitter, so that
a writer that is paused inside a transaction delays the others by a bounded time and they say what they wait for.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from ringctl.core.errors import BugError
from ringctl.core.timing import Instant
from ringctl.stores.database import Row, Value
from ringctl.stores.migrations import (
    Applied,
    Migration,
    known_migrations,
    missing,
    needs_migration,
)
from ringctl.stores.sqlite_errors import is_busy, no_file, unavailable
from ringctl.stores.statements import Statements

ENGINE = "sqlite"
_WAIT_MS = 100
_INHERITED: list[object] = []
"""Connections that a forked child got from its parent: kept, never used and never closed there."""


class _Connection:
    """One thread's connection. Closed when the thread is gone, at the latest."""

    def __init__(self, path: Path, *, create: bool) -> None:
        mode = "rwc" if create else "rw"
        self.raw = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            timeout=0,
        )
        self.verified = False
        self.end = weakref.finalize(self, self.raw.close)
        for pragma in ("synchronous = full", "foreign_keys = on", "temp_store = memory",
                       "cache_size = -32768", "journal_size_limit = 67108864",
                       "wal_autocheckpoint = 4000", f"busy_timeout = {_WAIT_MS}"):  # fmt: skip
            self.raw.execute(f"pragma {pragma}")


class SQLiteTransaction:
    """One open transaction on one connection."""

    def __init__(
        self, raw: sqlite3.Connection, statements: Statements, clock: Callable[[], Instant] | None
    ) -> None:
        self._raw = raw
        self._statements = statements
        self._clock = clock

    def now_us(self) -> Instant:
        """The store's clock: this host's, as SQLite reads it, or the one that was handed in."""
        if self._clock is not None:
            return self._clock()
        now: Instant = self._raw.execute(self._statements["now"]).fetchone()[0]
        return now

    def numbers(self, kind: str, count: int) -> range:
        """See `Transaction.numbers`."""
        row = self.one("count_up", name=kind, count=count)
        assert row is not None
        return range(int(row[0]) - count + 1, int(row[0]) + 1)

    def run(self, statement: str, /, **parameters: Value) -> int:
        """See `Transaction.run`."""
        return self._raw.execute(self._statements[statement], parameters).rowcount

    def many(self, statement: str, rows: Iterable[Mapping[str, Value]], /) -> int:
        """See `Transaction.many`."""
        return self._raw.executemany(self._statements[statement], rows).rowcount

    def rows(self, statement: str, /, **parameters: Value) -> list[Row]:
        """See `Transaction.rows`."""
        return self._raw.execute(self._statements[statement], parameters).fetchall()

    def one(self, statement: str, /, **parameters: Value) -> Row | None:
        """See `Transaction.one`. All rows are fetched: a statement left half read would stay open."""
        found = self.rows(statement, **parameters)
        if len(found) > 1:
            raise BugError(f"{statement} gave {len(found)} rows, one was expected")
        return found[0] if found else None


class _Scope:
    """A transaction's beginning and end. A class: a generator would cost more than its statements."""

    __slots__ = ("_begin", "_database", "_own", "_raw", "_turn")

    def __init__(self, database: SQLiteDatabase, begin: str) -> None:
        self._database = database
        self._begin = begin
        self._own = False
        self._turn: threading.Lock | None = None

    def __enter__(self) -> SQLiteTransaction:
        database = self._database
        try:
            self._raw = database.ready()
            self._own = not self._raw.in_transaction
            if self._own:
                if self._begin == "begin_write":
                    self._turn = database.turn()
                database.begin(self._raw, self._begin)
            else:
                self._join()
            return SQLiteTransaction(self._raw, database.statements, database.clock)
        except BaseException as error:  # Ctrl-C too: nobody else would end what was begun
            if self._own:
                _end(self._raw)
            self._give_turn()
            if isinstance(error, sqlite3.Error):
                raise unavailable(error, database.path) from error
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        database = self._database
        if self._own:
            try:
                if kind is None:
                    self._raw.execute(database.statements["commit"])
            except sqlite3.Error as failed:
                raise unavailable(failed, database.path) from failed
            finally:
                _end(self._raw)
                self._give_turn()
        if isinstance(error, sqlite3.Error):
            raise unavailable(error, database.path) from error

    def _join(self) -> None:
        if self._begin == "begin_write":
            raise BugError("a writing transaction inside another one")

    def _give_turn(self) -> None:
        if self._turn is not None:
            self._turn.release()
            self._turn = None


class SQLiteDatabase:
    """The file, its connections and its schema."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], Instant] | None = None,
        jitter: Callable[[], float] | None = None,
        patience_ms: int = 10_000,
    ) -> None:
        self.path = path
        self.statements = Statements.load(ENGINE)
        self.clock = clock
        self._jitter = jitter or _random
        self._patience_ms = patience_ms
        self._known = known_migrations(ENGINE)
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._turns = threading.Lock()
        self._local = threading.local()
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()

    # -- connections -------------------------------------------------------------------------------
    def _connection(self, *, create: bool = False) -> _Connection:
        """The connection of the calling thread. A connection never crosses a fork: a child opens its own."""
        if os.getpid() != self._pid:
            for inherited in self._open:
                inherited.end.detach()
                _INHERITED.append(inherited)
            self._forget()
        known: _Connection | None = getattr(self._local, "connection", None)
        if known is not None and known.end.alive:
            return known
        if not create and not self.path.exists():
            raise no_file(self.path)
        opened = _Connection(self.path, create=create)
        self._local.connection = opened
        with self._lock:
            self._open.add(opened)
        return opened

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.end()

    # -- transactions ------------------------------------------------------------------------------
    def write(self) -> _Scope:
        """A transaction that holds the one write lock from its beginning."""
        return _Scope(self, "begin_write")

    def ask(self, statement: str, /, **parameters: Value) -> list[Row]:
        """See `Database.ask`."""
        with self.read() as tx:
            now = tx.now_us() if ":now" in self.statements[statement] else None
            return tx.rows(statement, now=now, **parameters)

    def read(self) -> _Scope:
        """A transaction on one snapshot; inside an open one it is that one."""
        return _Scope(self, "begin_read")

    def ready(self) -> sqlite3.Connection:
        """The calling thread's connection, once it is known that the schema fits."""
        connection = self._connection()
        if not connection.verified:
            self._verify(connection.raw)
            connection.verified = True
        return connection.raw

    def turn(self) -> threading.Lock | None:
        """A thread's turn to write. SQLite's own lock is polled with growing pauses, which costs the threads of
        one process most of their time. It guards nothing: after a short wait (None) SQLite's lock is asked.
        """
        turns = self._turns
        return turns if turns.acquire(timeout=_WAIT_MS / 1000) else None

    def begin(self, raw: sqlite3.Connection, begin: str) -> None:
        """Begin, waiting for the lock in short turns until patience ends."""
        waited = 0
        while True:
            try:
                raw.execute(self.statements[begin])
            except sqlite3.OperationalError as error:
                waited += _WAIT_MS
                if not is_busy(error) or waited >= self._patience_ms:
                    raise
                # SQLite itself waited; another length for the next turn, so that two waiters part
                raw.execute(f"pragma busy_timeout = {int(_WAIT_MS * (0.5 + self._jitter()))}")
            else:
                return

    # -- changes -----------------------------------------------------------------------------------
    watch_every_s = 0.2

    def watch(self) -> FileWatch:
        """See `Database.watch`."""
        return FileWatch(self.path, self.statements["last_told"])

    # -- schema ------------------------------------------------------------------------------------
    def _missing(self, raw: sqlite3.Connection) -> tuple[Migration, ...]:
        applied: list[Row] = []
        if raw.execute(self.statements["has_migration_table"]).fetchone():
            applied = raw.execute(self.statements["applied_migrations"]).fetchall()
        reach: dict[int, int] = {}
        if len(applied) > len(self._known) and raw.execute(self.statements["has_reach_table"]).fetchone():
            reach = dict(raw.execute(self.statements["all_reaches"]).fetchall())
        done = [Applied(number=n, name=m, checksum=c, works_with=reach.get(n)) for n, m, c in applied]
        return missing(self._known, done, where=str(self.path))

    def _verify(self, raw: sqlite3.Connection) -> None:
        lacking = self._missing(raw)
        if lacking:
            known = len(self._known)
            raise needs_migration(str(self.path), known - len(lacking), known)

    def check(self) -> tuple[int, int]:
        """See `Store.check`."""
        with self.read():
            return len(self._known), len(self._known)

    def migrate(self, *, dry_run: bool) -> tuple[str, ...]:
        """See `Store.migrate`. All missing migrations in one transaction: all of them or none."""
        try:
            if dry_run and not self.path.exists():
                return tuple(migration.name for migration in self._known)
            raw = self._connection(create=not dry_run).raw
            if dry_run:
                return tuple(migration.name for migration in self._missing(raw))
            if raw.execute("pragma journal_mode").fetchone()[0] != "wal":
                raw.execute("pragma journal_mode = wal")
            self.begin(raw, "begin_write")
            try:
                lacking = self._missing(raw)
                tx = SQLiteTransaction(raw, self.statements, self.clock)
                for migration in lacking:
                    _apply(tx, raw, migration)
                raw.execute(self.statements["commit"])
            finally:
                _end(raw)
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        return tuple(migration.name for migration in lacking)


def _random() -> float:
    """A number in [0, 1), another one in each process."""
    return int.from_bytes(os.urandom(4), "big") / (1 << 32)


def _end(raw: sqlite3.Connection) -> None:
    """Roll back what was not committed."""
    if raw.in_transaction:
        raw.rollback()


def _apply(tx: SQLiteTransaction, raw: sqlite3.Connection, migration: Migration) -> None:
    """Run a migration's statements one by one: `executescript` would commit the open transaction."""
    tx.run("migration_table")
    tx.run("reach_table")
    tx.run("add_reach", number=migration.number, works_with=migration.works_with)
    statement = ""
    for line in migration.text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            raw.execute(statement)
            statement = ""
    tx.run(
        "add_migration",
        number=migration.number,
        name=migration.name,
        checksum=migration.checksum,
        now=tx.now_us(),
    )


class FileWatch:
    """Sees that somebody else wrote a journal entry: SQLite counts commits in shared memory, asking costs no I/O."""

    def __init__(self, path: Path, last_told: str) -> None:
        self._connection = _Connection(path, create=False)
        self._pause = threading.Event()
        self._last_told = last_told
        self._commits = self._asked("pragma data_version")
        self._told = self._asked(last_told)

    def _asked(self, statement: str) -> int:
        number: int = self._connection.raw.execute(statement).fetchone()[0]
        return number

    def wait(self, seconds: float) -> bool:
        """See `Watch.wait`."""
        self._pause.wait(seconds)
        commits, self._commits = self._commits, self._asked("pragma data_version")
        if commits == self._commits:
            return False
        told, self._told = self._told, self._asked(self._last_told)
        return told != self._told

    def close(self) -> None:
        """See `Watch.close`."""
        self._connection.end()
