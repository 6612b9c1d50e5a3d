"""One way to talk to an account's database, whether SQLite file or PostgreSQL database."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
SQLITE_SCHEME = "sqlite:///"
BUSY_SECONDS = 0.25
# lock not available, statement cancelled by its time-out, deadlock, serialisation failure
POSTGRES_BUSY = {"55P03", "57014", "40P01", "40001"}
SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

Row = tuple[Any, ...]


class DatabaseError(RuntimeError):
    """The database answered with an error: what the product's users see as a server error."""


class DatabaseBusy(DatabaseError):
    """The database is locked or cannot be reached right now; asking again may help."""


class Database(Protocol):
    """An open database in autocommit mode. Parameters are written `?`, on both engines."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement and return its rows; none for a statement that has no result."""
        ...

    def script(self, sql: str) -> None:
        """Run several statements in one transaction."""
        ...

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert many rows in one transaction."""
        ...

    def tables(self) -> set[str]:
        """The names of all tables."""
        ...

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns, in order."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def is_postgres(target: str) -> bool:
    """Whether a target names a PostgreSQL database."""
    return target.startswith(POSTGRES_SCHEMES)


def connect(target: str, *, busy: float = BUSY_SECONDS) -> Database:
    """Open a database: a `postgresql://` URL, or the path of a SQLite file. Raises DatabaseBusy."""
    if is_postgres(target):
        return _Postgres(target, busy)
    return _Sqlite(target.removeprefix(SQLITE_SCHEME), busy)


class _Sqlite:
    """A SQLite file. The connection may move between threads; its user takes care of one at a time."""

    def __init__(self, path: str, busy: float) -> None:
        try:
            self._connection = sqlite3.connect(
                path, timeout=busy, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise DatabaseBusy(f"{path}: {error}") from error

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _of_sqlite(error) from error

    def script(self, sql: str) -> None:
        try:
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\n;COMMIT;")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _of_sqlite(error) from error

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        places = ", ".join("?" for _ in columns)
        statement = " ".join(("INSERT INTO", table, f"({', '.join(columns)})", f"VALUES ({places})"))
        self._connection.execute("BEGIN")
        self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")

    def tables(self) -> set[str]:
        return {row[0] for row in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def columns(self, table: str) -> tuple[str, ...]:
        found = self.query("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))
        return tuple(row[0] for row in found)

    def close(self) -> None:
        self._connection.close()


def _of_sqlite(error: sqlite3.Error) -> DatabaseError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return DatabaseBusy(str(error)) if code in SQLITE_BUSY else DatabaseError(str(error))


class _Postgres:
    """A PostgreSQL database. psycopg is loaded only when one is opened."""

    def __init__(self, url: str, busy: float) -> None:
        import psycopg

        self._errors = psycopg.Error
        timeout = f"-c lock_timeout={round(busy * 1000)} -c statement_timeout=10000"
        try:
            # no server-side plans: a view that is replaced would break them
            self._connection = psycopg.connect(
                url, autocommit=True, prepare_threshold=None, options=timeout, connect_timeout=5
            )
        except psycopg.Error as error:
            raise DatabaseBusy(str(error)) from error

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        statement = sql.replace("?", "%s") if parameters else sql
        try:
            cursor = self._connection.execute(statement.encode(), tuple(parameters) or None)
            return cursor.fetchall() if cursor.description else []
        except self._errors as error:
            raise self._translated(error) from error

    def script(self, sql: str) -> None:
        try:
            with self._connection.transaction():
                self._connection.execute(sql.encode())
        except self._errors as error:
            raise self._translated(error) from error

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def tables(self) -> set[str]:
        found = self.query("SELECT table_name FROM information_schema.tables")
        return {row[0] for row in found}

    def columns(self, table: str) -> tuple[str, ...]:
        found = self.query(
            "SELECT column_name FROM information_schema.columns WHERE table_name = ?"
            " ORDER BY ordinal_position",
            (table,),
        )
        return tuple(row[0] for row in found)

    def close(self) -> None:
        self._connection.close()

    def _translated(self, error: Exception) -> DatabaseError:
        busy = self._connection.closed or getattr(error, "sqlstate", None) in POSTGRES_BUSY
        return DatabaseBusy(str(error)) if busy else DatabaseError(str(error))
