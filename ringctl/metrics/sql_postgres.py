"""PostgreSQL as a source of measurements, by psycopg 3."""

import os
import socket
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Final, cast

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

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

LEAST_CONNECT_S: Final = 2  # the library's own
SETTINGS: Final = {"application_name": "ringctl gate", "client_encoding": "UTF8"}
_START: Final = "SELECT extract(epoch FROM now())::float8, set_config('statement_timeout', %s, false)"
_REFUSALS: Final = ("password", "pg_hba.conf", "role ", "authentication failed")
_CODES: Final[dict[type[psycopg.Error], str]] = {
    errors.QueryCanceled: TIMED_OUT,
    errors.LockNotAvailable: TIMED_OUT,
    errors.ConnectionTimeout: TIMED_OUT,
    errors.InsufficientPrivilege: NOT_LET_IN,
    errors.InvalidPassword: NOT_LET_IN,
    errors.InvalidAuthorizationSpecification: NOT_LET_IN,
    errors.ReadOnlySqlTransaction: WRONG_OPTIONS,
    errors.AdminShutdown: UNREACHABLE,
    errors.CrashShutdown: UNREACHABLE,
    errors.CannotConnectNow: UNREACHABLE,
    psycopg.DataError: SERVER_ERROR,
}
_HINTS: Final = {
    NOT_LET_IN: "check user and password; the user needs SELECT on what the query reads",
    WRONG_OPTIONS: "a query is one SELECT",
    TIMED_OUT: "raise the source's `timeout`, or make the query cheaper",
    SERVER_ERROR: "these are the database's own words: try the query there",
}


class Postgres:
    """One database."""

    def __init__(self, url: str) -> None:
        try:
            if url.count("@") > 1:
                raise psycopg.ProgrammingError
            given = conninfo_to_dict(url)
            self._conninfo = make_conninfo(**{key: str(value) for key, value in given.items()}, **SETTINGS)
        except (psycopg.Error, TypeError):  # their text quotes the address, and a password may be in it
            raise failed(
                "the address of the database cannot be read",
                WRONG_OPTIONS,
                hint="postgresql://USER@HOST:PORT/DATABASE; in user and password @ is %40, / is %2F, % is %25",
            ) from None
        self._where = f"{given.get('host') or 'localhost'}:{given.get('port') or 5432}"

    @contextmanager
    def snapshot(self, deadline: float) -> Iterator["_Snapshot"]:
        """One read-only transaction on a connection of its own. Raises SourceUnavailable."""
        late = threading.Event()
        try:
            wait_s = max(LEAST_CONNECT_S, ceil(deadline - time.monotonic()))
            # closed, not committed: there is nothing to commit, and a server that hangs would make us wait
            with closing(psycopg.connect(self._conninfo, connect_timeout=wait_s)) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                timer = threading.Timer(deadline - time.monotonic(), _cut, (connection, late))
                timer.daemon = True
                timer.start()
                try:
                    left_ms = max(1, round(1000 * (deadline - time.monotonic())))
                    row = connection.execute(_START, [f"{left_ms}"]).fetchone()
                    if row is None:  # no moment stands in for it: every age is measured by this one
                        raise failed(f"{self._where}: gave no time", MALFORMED)
                    yield _Snapshot(at_s=float(row[0]), connection=connection)
                finally:
                    timer.cancel()
        except UnicodeError as error:
            raise failed(f"{self._where}: {error}", MALFORMED) from error
        except psycopg.Error as error:
            raise self._error(error, late=late.is_set()) from None

    def _error(self, error: psycopg.Error, *, late: bool) -> SourceUnavailable:
        said = line(str(error).strip().partition("\n")[0].encode("utf-8", "replace"))
        code = TIMED_OUT if late else _code(error)
        return failed(f"{self._where}: {said or type(error).__name__}", code, hint=_HINTS.get(code, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    at_s: float
    connection: psycopg.Connection

    def table(self, query: str, most: int) -> Table:
        with self.connection.cursor() as cursor:
            # streamed: the extended protocol takes one statement only, and rows that are too many stay there
            with closing(cast("Generator[Sequence[object]]", cursor.stream(query.encode()))) as rows:
                found = list(islice(rows, most))
            if (
                not found
            ):  # an empty stream says nothing of its columns; the same snapshot has the same nothing
                cursor.execute(query.encode(), prepare=True)
            columns = tuple(column.name for column in cursor.description or ())
        return Table(columns=columns, rows=found)


def _code(error: psycopg.Error) -> str:
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    if error.sqlstate is not None:
        return WRONG_OPTIONS if "multiple commands" in str(error) else SERVER_ERROR
    if any(word in str(error) for word in _REFUSALS):  # a refusal at connect carries no class of its own
        return NOT_LET_IN
    if "FATAL" in str(error) and "starting up" not in str(error) and "shutting down" not in str(error):
        return SERVER_ERROR
    return UNREACHABLE if isinstance(error, psycopg.OperationalError) else SERVER_ERROR


def _cut(connection: psycopg.Connection, late: threading.Event) -> None:
    """End a connection whose server says nothing: the statement's own time-out is of no use then."""
    late.set()
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as standing:
            standing.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        return  # closed already: there is nothing left to cut
