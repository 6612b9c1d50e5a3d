"""PostgreSQL through psycopg 3, synchronous, one connection per open transaction.

Writing transactions are READ COMMITTED: every write names the version or claim it believes in, and what is read to
decide on is locked by its statement (sql/postgresql/statements.sql). Reading ones see one snapshot.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, cast

import psycopg
from psycopg import errors

from ringctl.core.errors import BugError
from ringctl.core.timing import Instant
from ringctl.stores.database import Row, Value
from ringctl.stores.migrations import Applied, Migration, known_migrations, missing, needs_migration
from ringctl.stores.postgres_connections import Connection, Connections
from ringctl.stores.postgres_errors import in_doubt, is_gone, rolled_back, unavailable
from ringctl.stores.statements import Statements

ENGINE = "postgresql"
_NAMED: Final = re.compile(r"(?<!:):([a-z_]\w*)")
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_NUMBERS: Final = {"fence": "next_fences", "member": "next_members", "task": "next_tasks"}
SLOTS: Final = 16
"""Rows that the threads of one node spread their counts over: a row is locked until its commit is on disk."""
RETRIES: Final = 2
CHANNEL: Final = "ringctl"
_FENCE_BITS: Final = 40
"""A fence is the server's timeline above a sequence: it rises over a fail-over that lost the last numbers."""


@lru_cache(maxsize=512)
def in_psycopg(text: str) -> str:
    """A statement with `:name` parameters as psycopg writes it."""
    return _NAMED.sub(r"%(\1)s", _COMMENT.sub("", text).replace("%", "%%"))


class PostgresTransaction:
    """One open transaction on one connection."""

    def __init__(self, raw: Connection, database: PostgresDatabase) -> None:
        self._raw = raw
        self._database = database

    def now_us(self) -> Instant:
        """The server's clock, or the one that was handed in."""
        clock = self._database.clock
        if clock is not None:
            return clock()
        row = self.one("now")
        assert row is not None
        return int(row[0])

    def numbers(self, kind: str, count: int) -> Sequence[int]:
        """See `Transaction.numbers`."""
        epoch = self._database.epoch() if kind == "fence" else 0
        return [row[0] for row in self.rows(_NUMBERS[kind], epoch=epoch, count=count)]

    def _execute(self, statement: str, parameters: Mapping[str, Value]) -> psycopg.Cursor[Row]:
        text = in_psycopg(self._database.statements[statement])
        return self._raw.execute(cast(Any, text), parameters)

    def run(self, statement: str, /, **parameters: Value) -> int:
        """See `Transaction.run`."""
        return self._execute(statement, parameters).rowcount

    def many(self, statement: str, rows: Iterable[Mapping[str, Value]], /) -> int:
        """See `Transaction.many`. Sent in one go."""
        text = in_psycopg(self._database.statements[statement])
        with self._raw.cursor() as cursor:
            cursor.executemany(cast(Any, text), rows)
            return cursor.rowcount

    def rows(self, statement: str, /, **parameters: Value) -> list[Row]:
        """See `Transaction.rows`."""
        return self._execute(statement, parameters).fetchall()

    def one(self, statement: str, /, **parameters: Value) -> Row | None:
        """See `Transaction.one`."""
        found = self.rows(statement, **parameters)
        if len(found) > 1:
            raise BugError(f"{statement} gave {len(found)} rows, one was expected")
        return found[0] if found else None


class _Scope:
    """A transaction's beginning and end."""

    __slots__ = ("_begin", "_database", "_own")

    def __init__(self, database: PostgresDatabase, begin: str) -> None:
        self._database = database
        self._begin = begin
        self._own: Connection | None = None

    def __enter__(self) -> PostgresTransaction:
        database = self._database
        outer: PostgresTransaction | None = database.local.__dict__.get("tx")
        if outer is not None:
            if self._begin != "begin_read":
                raise BugError("a writing transaction inside another one")
            return outer
        self._own = database.begun(self._begin)
        inner = database.local.tx = PostgresTransaction(self._own, database)
        return inner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        database, own = self._database, self._own
        if own is None:
            return
        del database.local.tx
        try:
            if kind is None:
                database.commit(own, reading=self._begin == "begin_read")
            else:
                _roll_back(own)
        finally:
            database.connections.give(own)
        if isinstance(error, psycopg.Error):
            raise unavailable(error, database.connections.where) from error


class PostgresDatabase:
    """The server, its connections and its schema."""

    def __init__(self, url: str, *, clock: Callable[[], Instant] | None = None) -> None:
        self.connections = Connections(url)
        self.statements = Statements.load(ENGINE)
        self.clock = clock
        self.local = threading.local()
        self._known = known_migrations(ENGINE)
        self._verified = False
        self._slots = itertools.count()
        self._seen = 0

    @property
    def where(self) -> str:
        """The server and database, without a secret."""
        return self.connections.where

    def epoch(self) -> int:
        """What is added to a fence's sequence number."""
        return self.connections.timeline << _FENCE_BITS

    def slot(self) -> str:
        """What the calling thread adds to its session's name where it counts: see `postgres_hot.SLOTS`."""
        slot: str | None = getattr(self.local, "slot", None)
        if slot is None:
            slot = self.local.slot = f"/{next(self._slots) % SLOTS}"
        return slot

    # -- transactions ------------------------------------------------------------------------------
    def statement(self, name: str, **parameters: object) -> tuple[list[Row], bool]:
        """Run one statement as a transaction of its own. One that the server undid, or whose answer was lost, is sent
        again; returns its rows, and whether it had been sent before (and may have been carried out then).

        `now` is added. Raises StoreUnavailable when there is no answer to the second one either.
        """
        self._verify()
        now = self.clock() if self.clock is not None else None
        text = cast(Any, in_psycopg(self.statements[name]))
        repeated = False
        for left in range(RETRIES, -1, -1):
            raw = self.connections.take()
            try:
                return raw.execute(text, {"now": now, **parameters}).fetchall(), repeated
            except psycopg.Error as error:
                if not left or not (is_gone(error) or rolled_back(error)):
                    raise unavailable(error, self.where) from error
                if is_gone(error):
                    repeated = True
                    raw.close()
                    self.connections.drop_idle()
            finally:
                self.connections.give(raw)
        raise BugError("unreachable")

    def ask(self, statement: str, /, **parameters: Value) -> list[Row]:
        """See `Database.ask`."""
        return self.statement(statement, **parameters)[0]

    def write(self) -> _Scope:
        """A transaction that may write."""
        return _Scope(self, "begin_write")

    def read(self) -> _Scope:
        """A transaction on one snapshot; inside an open one it is that one."""
        return _Scope(self, "begin_read")

    def begun(self, begin: str) -> Connection:
        """A connection inside a new transaction. One that the server closed meanwhile is replaced: nothing had
        begun."""
        self._verify()
        for last in (False, True):
            raw = self.connections.take()
            try:
                raw.execute(cast(Any, self.statements[begin]), prepare=False)
            except psycopg.Error as error:
                raw.close()
                if last or not is_gone(error):
                    raise unavailable(error, self.connections.where) from error
                self.connections.drop_idle()
            else:
                return raw
        raise BugError("unreachable")

    def commit(self, raw: Connection, *, reading: bool = False) -> None:
        """End a transaction. A writing one whose answer is lost is in doubt (RC5113)."""
        try:
            raw.execute(cast(Any, self.statements["commit"]), prepare=False)
        except psycopg.Error as error:
            raw.close()
            where = self.connections.where
            sure = reading or not is_gone(error)  # a refusal with words of its own undid it
            raise (unavailable if sure else in_doubt)(error, where) from error

    watch_every_s = 1.0

    def watch(self) -> ServerWatch:
        """See `Database.watch`."""
        return ServerWatch(self.connections.open())

    def close(self) -> None:
        """Close idle connections."""
        self.connections.close()

    # -- schema ------------------------------------------------------------------------------------
    def _missing(self, raw: Connection) -> tuple[Migration, ...]:
        def asked(name: str) -> list[Row]:
            return raw.execute(cast(Any, self.statements[name]), prepare=False).fetchall()

        if not asked("may_use_schema"):
            raise unavailable(errors.InsufficientPrivilege("no USAGE on the schema ringctl"), self.where)
        applied = asked("applied_migrations") if asked("has_migration_table") else []
        reach: dict[int, int] = dict(asked("all_reaches")) if asked("has_reach_table") else {}
        done = [Applied(number=n, name=m, checksum=c, works_with=reach.get(n)) for n, m, c in applied]
        return missing(self._known, done, where=self.connections.where)

    def _verify(self) -> None:
        if self._verified:
            return
        raw = self.connections.take()
        try:
            lacking = self._missing(raw)
        except psycopg.Error as error:
            raise unavailable(error, self.connections.where) from error
        finally:
            self.connections.give(raw)
        if lacking:
            known = len(self._known)
            raise needs_migration(self.connections.where, known - len(lacking), known)
        self._verified = True

    def seen(self, newest: int) -> None:
        """The newest migration that a beat saw: one that this version does not know is looked at before anything
        else is done. Raises StoreUnavailable (RC5105) when this version may not work beside it."""
        if newest > len(self._known) and newest != self._seen:
            self._verified = False
            self._verify()
            self._seen = newest

    def check(self) -> tuple[int, int]:
        """See `Store.check`."""
        self._verify()
        return len(self._known), len(self._known)

    def migrate(self, *, dry_run: bool) -> tuple[str, ...]:
        """See `Store.migrate`. All missing migrations in one transaction, one node at a time."""
        where = self.connections.where
        raw = self.connections.take()
        try:
            lacking = self._missing(raw)
            if lacking and not dry_run:
                lacking = self._migrate(raw)
        except psycopg.Error as error:
            _roll_back(raw)
            raise unavailable(error, where) from error
        finally:
            self.connections.give(raw)
        return tuple(migration.name for migration in lacking)

    def _migrate(self, raw: Connection) -> tuple[Migration, ...]:
        raw.execute(cast(Any, self.statements["begin_migration"]), prepare=False)
        lacking = self._missing(raw)
        tx = PostgresTransaction(raw, self)
        tx.run("migration_table")
        tx.run("reach_table")
        for migration in lacking:
            raw.execute(cast(Any, migration.text), prepare=False)
            reach = {"number": migration.number, "works_with": migration.works_with}
            tx.run("add_reach", **reach)
            row: dict[str, Value] = {"number": migration.number, "name": migration.name}
            tx.run("add_migration", checksum=migration.checksum, now=tx.now_us(), **row)
        self.commit(raw)
        return lacking


class ServerWatch:
    """Hears what the journal's writers tell (`pg_notify` in their transaction)."""

    def __init__(self, raw: Connection) -> None:
        self._raw = raw
        raw.execute(f"listen {CHANNEL}")

    def wait(self, seconds: float) -> bool:
        """See `Watch.wait`."""
        return any(True for _ in self._raw.notifies(timeout=seconds, stop_after=1))

    def close(self) -> None:
        """See `Watch.close`."""
        self._raw.close()


def _roll_back(raw: Connection) -> None:
    """Undo what is open. A connection on which that fails is closed: the server undoes it then."""
    try:
        raw.rollback()
    except psycopg.Error:
        raw.close()
