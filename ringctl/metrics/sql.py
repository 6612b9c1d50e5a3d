"""Source `sql`: counters out of a database, a query each.

options: url (sqlite:///PATH, postgresql://USER@HOST:PORT/DATABASE, or by reference {file | env}), timeout_us,
max_age_us, queries: {NAME: "SELECT account, total FROM ..."}.

A query's first column is the account, its second the raw cumulative value, and its third, where there is one, the
time at which that value was taken (seconds or milliseconds since 1970, a time with its zone, RFC 3339 text).
Account: text, a whole number or a UUID. Value: a number or its decimal text; NULL, NaN, below zero, or two rows that
disagree: the account is left out with a warning. Its age is by the database's clock; above `max_age` the account is
left out. Without a third column a value counts as of now: only that column can tell a table that is no longer
written from accounts that are idle.

All queries of a reading see one snapshot (one transaction, read-only), whose time is the reading's `at_us`. A query
is one statement and may only read; the source's time-out is the server's for the statement and ours for the rest. At
most 200,000 rows: more is no list of accounts. PostgreSQL needs `pip install 'ringctl[postgres]'`.
"""

import time
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND
from ringctl.metrics.asking import failed
from ringctl.metrics.options import (
    DEFAULT_MAX_AGE_US,
    DEFAULT_TIMEOUT_US,
    MALFORMED,
    TIMED_OUT,
    WRONG_OPTIONS,
    Options,
    checked,
)
from ringctl.metrics.sql_database import Database, Table
from ringctl.metrics.sql_sqlite import Sqlite
from ringctl.metrics.values import Found, account, count, few, instant
from ringctl.ports.metrics import Reading
from ringctl.settings.sources import POSTGRESQL, SQLITE

MOST_ROWS: Final = 200_000
WAY_OUT: Final = "write SELECT account, total FROM ... (and, third, the time of the value)"


class Sql:
    """Reads the queries named in the options."""

    def __init__(self, name: str, options: Mapping[str, object], *, folder: Path = Path()) -> None:
        self.name = name
        self._options = Options(source=name, given=options, folder=folder)
        self._options.only("url", "timeout_us", "max_age_us", "queries")
        self._timeout_s = self._options.span("timeout_us", DEFAULT_TIMEOUT_US)
        self._max_age_s = self._options.span("max_age_us", DEFAULT_MAX_AGE_US)
        self._queries = _queries(self._options)
        if not isinstance(options.get("url"), Mapping):
            self._database(self._options.address())

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading of all counters. Raises SourceUnavailable. Queries have all accounts: those wanted are kept."""
        wanted = checked(counters)
        queries = [self._query(counter) for counter in wanted]
        left_s = min(timeout_s, self._timeout_s)
        if not left_s > 0:
            raise failed(f"metrics.{self.name}: no time left to ask", TIMED_OUT)
        database = self._database(self._url())
        warnings: list[str] = []
        oldest: list[float] = []
        picked = None if accounts is None else frozenset(accounts)
        values: dict[Counter, dict[str, float]] = {}
        with database.snapshot(time.monotonic() + left_s) as snapshot:
            for counter, query in zip(wanted, queries, strict=True):
                table = snapshot.table(query, MOST_ROWS + 1)
                self._check(counter, table)
                found = Found(counter.name, warnings)
                self._gather(found, table, snapshot.at_s, picked, oldest)
                values[counter] = found.usable()
        return Reading(
            at_us=round(snapshot.at_s * SECOND),
            oldest_us=int(min(oldest) * SECOND) if oldest else None,
            values=values,
            warnings=few(warnings),
            queries=tuple(queries),
            asked={counter: (query,) for counter, query in zip(wanted, queries, strict=True)},
        )

    def _gather(
        self,
        found: Found,
        table: Table,
        now_s: float,
        picked: frozenset[str] | None,
        oldest: list[float],
    ) -> None:
        timed = len(table.columns) == 3
        for row in table.rows:
            one = account(row[0])
            if not one:
                found.say("a row has no account: left out")
                continue
            if picked is not None and one not in picked:
                continue
            if timed:
                at_s = instant(row[2])
                if not found.age(one, None if at_s is None else now_s - at_s, self._max_age_s):
                    continue
                oldest += [at_s] if at_s is not None else []
            found.add(one, count(row[1]))

    def _check(self, counter: Counter, table: Table) -> None:
        where = f"metrics.{self.name}.queries.{counter.name}"
        if len(table.columns) not in {2, 3}:
            message = f"{where} has {len(table.columns)} columns: {', '.join(table.columns) or 'none'}"
            raise failed(message, MALFORMED, hint=WAY_OUT)
        if len(table.rows) > MOST_ROWS:
            message = f"{where} gives more than {MOST_ROWS:,} rows"
            raise failed(message, MALFORMED, hint="one row an account: GROUP BY account")
        if table.rows and not any(account(row[0]) for row in table.rows):
            message = f"{where}: the first column, {table.columns[0]}, holds no account"
            raise failed(message, MALFORMED, hint=WAY_OUT)
        if table.rows and all(count(row[1]) is None and row[1] is not None for row in table.rows):
            message = f"{where}: the second column, {table.columns[1]}, holds no number of at least 0"
            raise failed(message, MALFORMED, hint=WAY_OUT)

    def _query(self, counter: Counter) -> str:
        instead = "write another query instead, with its WHERE"
        return self._options.named(counter, "queries", self._queries, instead)

    def _url(self) -> str:
        given = self._options.given.get("url")
        if not isinstance(given, Mapping):
            return self._options.address()
        where, url = self._options.secret("url", given)
        if not url:
            raise self._options.refused(f"{where} is empty or not there")
        return url

    def _database(self, url: str) -> Database:
        if url.startswith(SQLITE):
            path = url.removeprefix(SQLITE)
            return Sqlite(self._options.folder / path) if path else self._no_address()
        if url.startswith(POSTGRESQL):
            return _postgres(url)
        return self._no_address()

    def _no_address(self) -> Database:
        # the address itself is not shown: it may hold a password
        raise self._options.wrong(
            "`url` is no address of a database", "sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE"
        )


def _postgres(url: str) -> Database:
    try:
        library = import_module("ringctl.metrics.sql_postgres")  # psycopg is an extra, and costs 100 ms
    except ImportError as error:
        message = "source `sql` has no library for PostgreSQL"
        raise failed(message, WRONG_OPTIONS, hint="pip install 'ringctl[postgres]'") from error
    database: Database = library.Postgres(url)
    return database


def _queries(options: Options) -> dict[str, str]:
    given = options.given.get("queries")
    if not isinstance(given, Mapping) or not given:
        raise options.wrong("`queries` is missing", WAY_OUT)
    found: dict[str, str] = {}
    for name, query in given.items():
        if not isinstance(query, str) or not query.strip():
            raise options.wrong(f"`queries.{name}` must be a query", WAY_OUT)
        found[str(name)] = query
    return found
