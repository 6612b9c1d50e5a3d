"""Source `sql`: columns, times, limits, and queries that would do more than read."""

import sqlite3
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND
from ringctl.metrics import sql, sql_postgres
from ringctl.metrics.sql import Sql
from ringctl.metrics.sql_database import Table
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy

X = Counter(name="x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "db")) as made, made:
        made.execute("CREATE TABLE c (account, total, at)")
    return tmp_path


def filled(folder: Path, *rows: tuple[object, ...]) -> None:
    with closing(sqlite3.connect(folder / "db")) as connection, connection:
        connection.execute("DELETE FROM c")
        connection.executemany(f"INSERT INTO c VALUES ({','.join('?' * len(rows[0]))})", rows)


def source(folder: Path, query: str, url: object = "sqlite:///db", **options: object) -> Sql:
    return Sql("db", {"url": url, "queries": {"x": query}, **options}, folder=folder)


def read(folder, query, **options):
    return source(folder, query, **options).read([X], 5)


def refused(folder: Path, query: str, **options: object) -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        read(folder, query, **options)
    return caught.value


def test_accounts_and_values_are_read_as_what_they_are(folder: Path) -> None:
    filled(
        folder,
        ("a", 1, None),
        (7, "12.5", None),
        (None, 3, None),
        (b"x", 4, None),
        ("", 5, None),
        ("t", "x", None),
    )
    reading = read(folder, "SELECT account, total FROM c;")
    assert reading.values == {X: {"a": 1.0, "7": 12.5}}
    assert [warning for warning in reading.warnings if "no account" in warning] == [
        "x: a row has no account: left out"
    ] * 3
    assert "t is NaN" in reading.warnings[-1]
    assert reading.queries == ("SELECT account, total FROM c;",)
    assert list(reading.asked.values()) == [reading.queries]
    assert reading.at_us is not None
    assert abs(reading.at_us - time.time() * SECOND) < 2 * SECOND
    assert reading.oldest_us is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT account FROM c", "has 1 columns: account"),
        ("SELECT account, total, at, 1 FROM c", "has 4 columns"),
        ("SELECT NULL, total FROM c", "holds no account"),
        ("SELECT total, account FROM c", "holds no number"),
        ("SELECT account, -1 AS total FROM c", "second column, total"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 200001) SELECT i, 1 FROM n",
            "200,000",
        ),
        ("SELECT CAST(x'ff' AS text), 1", "UTF-8"),
    ],
)
def test_columns_that_are_none(folder: Path, query: str, said: str) -> None:
    filled(folder, ("a", 1, None), ("b", 2, None))
    error = refused(folder, query)
    assert (error.code, said in error.message) == ("RC8003", True), error.message


def test_an_empty_table_is_no_error_but_its_columns_count(folder: Path) -> None:
    assert read(folder, "SELECT account, total FROM c").values == {X: {}}
    assert refused(folder, "SELECT account FROM c").code == "RC8003"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("DELETE FROM c", "RC8010"),
        ("DELETE FROM c RETURNING account, total", "RC8010"),
        ("SELECT account, total FROM c; DELETE FROM c", "RC8010"),
        ("ATTACH 'other' AS o", "RC8010"),
        ("PRAGMA query_only", "RC8010"),
        ("COMMIT", "RC8010"),
        ("SELECT account, total FROM c WHERE account = ?", "RC8010"),
        ("SELECT account, total FROM nothing", "RC8005"),
        ("SELEC", "RC8005"),
        ("SELECT load_extension('x'), 1", "RC8005"),
    ],
)
def test_a_query_reads_and_nothing_else(folder: Path, query: str, code: str) -> None:
    filled(folder, ("a", 1, None))
    assert refused(folder, query).code == code
    assert read(folder, "SELECT account, total FROM c").values == {X: {"a": 1.0}}
    assert sorted(path.name for path in folder.iterdir()) == ["db"]


def test_a_query_that_takes_too_long_is_ended(folder: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT 'a', count(*) FROM n"
    began = time.monotonic()
    assert refused(folder, endless, timeout_us=SECOND // 5).code == "RC8004"
    assert time.monotonic() - began < 2


def of_two_counters(folder: Path, url: str) -> tuple[Sql, Counter]:
    """A source with the same query twice, and its second counter."""
    query = "SELECT account, total FROM c"
    return Sql("db", {"url": url, "queries": {"x": query, "y": query}}, folder=folder), Counter(name="y")


def meanwhile(both: Sql, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Change the database between the source's queries."""
    original = both._check

    def changed(counter: Counter, table: Table) -> None:
        change()
        original(counter, table)

    monkeypatch.setattr(both, "_check", changed)


def test_all_queries_of_a_reading_see_one_snapshot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(folder, ("a", 1, None))
    with closing(sqlite3.connect(folder / "db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    both, y = of_two_counters(folder, "sqlite:///db")
    meanwhile(both, monkeypatch, lambda: filled(folder, ("a", 2, None)))
    assert both.read([X, y], 5).values == {X: {"a": 1.0}, y: {"a": 1.0}}
    assert both.read([X], 5).values == {X: {"a": 2.0}}


def test_old_values_are_left_out_by_their_time(folder: Path) -> None:
    now = time.time()
    rfc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 30))
    filled(
        folder,
        ("seconds", 1, now - 5), ("milliseconds", 2, round(1000 * (now - 6))), ("text", 3, rfc),
        ("old", 4, now - 61), ("zoneless", 5, rfc[:-1]), ("nothing", 6, None), ("words", 7, "yesterday"),
        ("ahead", 8, now + 5), ("future", 9, now + 3600),
    )  # fmt: skip
    reading = read(folder, "SELECT account, total, at FROM c")
    assert reading.values == {X: {"seconds": 1.0, "milliseconds": 2.0, "text": 3.0, "ahead": 8.0}}
    assert sum("RC8007" in warning for warning in reading.warnings) == 5
    assert any("future is 3600 s in the future" in warning for warning in reading.warnings)
    assert reading.oldest_us is not None
    assert abs(reading.oldest_us - (now - 30) * SECOND) < 2 * SECOND
    longer = read(folder, "SELECT account, total, at FROM c", max_age_us=120 * SECOND)
    assert longer.values[X].keys() == {"seconds", "milliseconds", "text", "old", "ahead"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "sqlite:///db"}, "`queries` is missing"),
        ({"url": "sqlite:///db", "queries": {}}, "`queries` is missing"),
        ({"url": "sqlite:///db", "queries": {"x": " "}}, "must be a query"),
        ({"url": "sqlite:///db", "queries": {"x": 5}}, "must be a query"),
        ({"queries": {"x": "SELECT 1, 2"}}, "`url` is missing"),
        ({"url": "mysql://u:s3cret@h/d", "queries": {"x": "SELECT 1, 2"}}, "no address of a database"),
        ({"url": "sqlite:///", "queries": {"x": "SELECT 1, 2"}}, "no address of a database"),
        ({"url": "postgresql://u:s3@cret@h/d", "queries": {"x": "SELECT 1, 2"}}, "cannot be read"),
        ({"url": "postgresql://u:s3cret@h/d?nonsense=1", "queries": {"x": "SELECT 1, 2"}}, "cannot be read"),
        (
            {"url": "sqlite:///db", "queries": {"x": "SELECT 1, 2"}, "token": {"env": "X"}},
            "no option `token`",
        ),
    ],
)
def test_options_that_are_wrong(options: dict[str, object], said: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        Sql("db", options)
    error = caught.value
    assert (error.code, said in error.message) == ("RC8010", True), error.message
    assert "cret" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    ("counter", "said"),
    [
        (Counter(name="y"), "has no `y`"),
        (Counter(name="x", match={"code": "5.."}), "leave out `match`"),
        (Counter(name="x", account="tenant"), "`account`"),
    ],
)
def test_counters_that_have_no_query(folder: Path, counter: Counter, said: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        source(folder, "SELECT account, total FROM c").read([counter], 5)
    assert (caught.value.code, said in caught.value.message) == ("RC8010", True)


def test_the_address_is_read_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = source(folder, "SELECT account, total FROM c", url={"env": "RINGCTL_TEST_DB"})
    for url, code in ((None, "RC8002"), (" ", "RC8002"), ("mysql://x:s3cret@h/d", "RC8010")):
        monkeypatch.delenv("RINGCTL_TEST_DB", raising=False)
        if url is not None:
            monkeypatch.setenv("RINGCTL_TEST_DB", url)
        with pytest.raises(SourceUnavailable) as caught:
            by_name.read([X], 5)
        assert caught.value.code == code
        assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("RINGCTL_TEST_DB", "sqlite:///db\n")
    assert by_name.read([X], 5).values == {X: {}}


def test_without_the_library_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ringctl.metrics.sql_postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SourceUnavailable) as caught:
        source(folder, "SELECT 1, 2", url="postgresql://h/d")
    assert (caught.value.code, "ringctl[postgres]" in caught.value.hint) == ("RC8010", True)


def test_only_postgresql_imports_psycopg() -> None:
    assert "psycopg" not in vars(sql)


# -- postgresql ----------------------------------------------------------------------------------------
@pytest.fixture
def database(postgres_database: str) -> str:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE c (account text, total numeric, at timestamptz)")
    return postgres_database


def execute(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement, values or None)


@pytest.mark.postgres
def test_postgresqls_types(database: str, tmp_path: Path) -> None:
    one = uuid.uuid4()
    execute(
        database,
        "INSERT INTO c VALUES ('a', 12345678901234567890, now()), ('n', 'NaN', now()), (NULL, 1, now()),"
        " ('i', 'Infinity', now()), ('old', 1, now() - interval '2 min'), ('z', 0, NULL)",
    )
    reading = read(tmp_path, "SELECT account, total FROM c", url=database)
    assert reading.values == {X: {"a": 12345678901234567890.0, "old": 1.0, "z": 0.0}}
    assert reading.at_us is not None
    assert abs(reading.at_us - time.time() * SECOND) < 5 * SECOND
    timed = read(tmp_path, "SELECT account, total, at FROM c", url=database)
    assert timed.values == {X: {"a": 12345678901234567890.0}}
    assert timed.oldest_us is not None
    assert read(tmp_path, f"SELECT '{one}'::uuid, 5::bigint", url=database).values == {X: {str(one): 5.0}}
    assert read(tmp_path, "SELECT 17::int, 2.5::real", url=database).values == {X: {"17": 2.5}}
    assert refused(tmp_path, "SELECT ARRAY[1], 5", url=database).code == "RC8003"
    assert refused(tmp_path, "SELECT account FROM c WHERE false", url=database).code == "RC8003"
    assert read(tmp_path, "SELECT account, total FROM c WHERE false", url=database).values == {X: {}}


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("DELETE FROM c RETURNING account, total", "RC8010"),
        ("CREATE TABLE d (x int)", "RC8010"),
        ("SELECT account, total FROM c; DELETE FROM c", "RC8010"),
        ("COMMIT; DELETE FROM c", "RC8010"),
        ("SELECT account, nothing FROM c", "RC8005"),
        ("SELECT account, 1 / 0 FROM c", "RC8005"),
        ("SELECT i, 1 FROM generate_series(1, 200001) AS i", "RC8003"),
        ("SELECT 'a', count(*) FROM generate_series(1, 10000000000)", "RC8004"),
        ("SELECT pg_sleep(60), 1", "RC8004"),
    ],
)
def test_a_query_of_postgresql_reads_and_nothing_else(
    database: str, tmp_path: Path, query: str, code: str
) -> None:
    execute(database, "INSERT INTO c VALUES ('a', 1, now())")
    began = time.monotonic()
    error = refused(tmp_path, query, url=database, timeout_us=2 * SECOND)
    assert (error.code, bool(error.hint)) == (code, True), error.message
    assert time.monotonic() - began < 4
    assert read(tmp_path, "SELECT account, total FROM c", url=database).values == {X: {"a": 1.0}}


@pytest.mark.postgres
def test_a_server_that_falls_silent_during_a_query_is_given_up(
    database: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as pool, Proxy(("127.0.0.1", postgres.port)) as proxy:
        slow = source(tmp_path, "SELECT pg_sleep(60), 1", url=proxy.url(database), timeout_us=2 * SECOND)
        began = time.monotonic()
        answer = pool.submit(slow.read, [X], 5)
        assert proxy.wait(lambda: proxy.counts.statements >= 1)  # the server's own time-out will not be heard
        proxy.partition("to_client")
        error = answer.exception(timeout=20)
        assert isinstance(error, SourceUnavailable)
        assert error.code == "RC8004"
        assert time.monotonic() - began < 4


@pytest.mark.postgres
def test_all_queries_of_postgresql_see_one_snapshot(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database, "INSERT INTO c VALUES ('a', 1, now())")
    both, y = of_two_counters(tmp_path, database)
    meanwhile(both, monkeypatch, lambda: execute(database, "UPDATE c SET total = 2"))
    assert both.read([X, y], 5).values == {X: {"a": 1.0}, y: {"a": 1.0}}
    assert both.read([X], 5).values == {X: {"a": 2.0}}


@pytest.mark.postgres
def test_values_from_the_future_are_left_out(database: str, tmp_path: Path) -> None:
    execute(database, "INSERT INTO c VALUES ('a', 1, now()), ('future', 2, now() + interval '1 hour')")
    reading = read(tmp_path, "SELECT account, total, at FROM c", url=database)
    assert reading.values == {X: {"a": 1.0}}
    assert "s in the future: stale (RC8007)" in reading.warnings[0]


@pytest.mark.postgres
def test_without_the_databases_time_no_value_is_fresh(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database, "INSERT INTO c VALUES ('a', 1, now())")
    monkeypatch.setattr(sql_postgres, "_START", "SELECT 0::float8 WHERE %s = 'never'")
    error = refused(tmp_path, "SELECT account, total FROM c", url=database)
    assert (error.code, "no time" in error.message) == ("RC8003", True), error.message


@pytest.mark.postgres
def test_nothing_is_left_standing(database: str, tmp_path: Path) -> None:
    read(tmp_path, "SELECT account, total FROM c", url=database)
    refused(tmp_path, "SELECT pg_sleep(60), 1", url=database, timeout_us=SECOND // 2)
    gate = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'ringctl gate' AND datname = current_database()"
    )
    deadline = time.monotonic() + 10
    with psycopg.connect(database, autocommit=True) as connection:
        while (row := connection.execute(gate).fetchone()) != (0,):
            assert time.monotonic() < deadline, row
            time.sleep(0.05)
