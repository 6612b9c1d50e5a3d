"""The proxy before a real server: each kind of damage is what it says, and is counted."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from tests.support.postgres import PostgresServer
from tests.support.proxy import Counts, Proxy
from tests.support.wire import Backend, Frontend, Message

pytestmark = pytest.mark.postgres
UPDATE = "update t set n = n + 1 where id = %s"


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", postgres.port)) as made:
        yield made


@pytest.fixture
def url(proxy: Proxy, postgres_database: str) -> str:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("create table t (id int primary key, n int not null default 0)")
        connection.execute("insert into t (id) values (1), (2)")
    return proxy.url(postgres_database)


def holding_more(proxy: Proxy, than: int) -> bool:
    return proxy.counts.held_bytes > than


def value(database: str) -> int:
    """What is in the row, asked behind the proxy's back."""
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute("select n from t where id = 1").fetchone()
    assert row is not None
    return int(row[0])


def attempts(url: str, count: int, *, autocommit: bool) -> tuple[int, int]:
    """(answered, not answered) of `count` transactions of one update each; a broken connection is opened again."""
    answered = broken = 0
    connection: psycopg.Connection | None = None
    for _ in range(count):
        try:
            if connection is None:
                connection = psycopg.connect(url, autocommit=autocommit)
            connection.execute(UPDATE, (1,), prepare=True)
            if not autocommit:
                connection.commit()
            answered += 1
        except psycopg.OperationalError:
            broken += 1
            assert connection is not None
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
    return answered, broken


@pytest.mark.parametrize("autocommit", [False, True], ids=["commit", "statement"])
def test_cut_after_the_commit_it_is_done_and_nobody_was_told(
    proxy: Proxy, url: str, postgres_database: str, autocommit: bool
) -> None:
    rule = proxy.cut_after_commit(n=3)
    assert attempts(url, 5, autocommit=autocommit) == (4, 1)
    assert value(postgres_database) == 5
    assert (rule.seen, len(rule.hits), proxy.counts.cut_after) == (5, 1, 1)
    assert rule.hits[0].lower().startswith("update" if autocommit else "commit")


@pytest.mark.parametrize("autocommit", [False, True], ids=["commit", "statement"])
def test_cut_before_the_commit_it_is_not_done(
    proxy: Proxy, url: str, postgres_database: str, autocommit: bool
) -> None:
    proxy.cut_before_commit(every=2, times=2)
    assert attempts(url, 5, autocommit=autocommit) == (3, 2)
    assert value(postgres_database) == 3
    assert (proxy.counts.cut_before, proxy.counts.cut_after) == (2, 0)


def test_what_did_not_write_is_not_cut(proxy: Proxy, url: str) -> None:
    rule = proxy.cut_after_commit()
    with psycopg.connect(url) as connection:
        connection.execute("select n from t where id = 1 for update")
        connection.commit()
        connection.execute(UPDATE, (99,))
        connection.commit()
        connection.execute(UPDATE, (1,))
        connection.rollback()
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("insert into nowhere values (1)")
        connection.rollback()
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("with w as (update t set n = 1 / 0 returning 1) select * from w")
        connection.commit()  # which PostgreSQL answers with ROLLBACK
    assert (rule.seen, proxy.counts.commits) == (0, 0)


def test_a_writing_with_counts_and_a_text_may_be_chosen(
    proxy: Proxy, url: str, postgres_database: str
) -> None:
    writing = "with w as (update t set n = n + 1 where id = 1 returning n) select n from w"
    rule = proxy.cut_after_commit(n=2)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(writing)
        with pytest.raises(psycopg.OperationalError):
            connection.execute(writing)
    assert proxy.wait_for_cut(rule)
    assert value(postgres_database) == 2
    chosen = proxy.cut_after_commit(text=r"select id from t where n = \$1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select n from t")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select id from t where n = %s", (2,))
    assert chosen.spent


@pytest.mark.parametrize("pipelined", [False, True], ids=["plain", "pipeline"])
def test_a_conversation_passes_unharmed(proxy: Proxy, url: str, pipelined: bool) -> None:
    """Rows, errors, COPY, a big answer and a notification that nobody waits for."""
    with psycopg.connect(url, autocommit=True) as connection:
        if pipelined:
            with connection.pipeline():
                cursors = [connection.execute("select %s::int", (n,)) for n in range(20)]
            assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(20)]
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1 / 0")
        with connection.cursor().copy("copy t (id) from stdin") as copy:
            copy.write_row((3,))
        big = connection.execute("select repeat('x', 1000) from generate_series(1, 10000)").fetchall()
        assert len(big) == 10000
        connection.execute("listen news")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("notify news, 'hello'")
        assert [note.payload for note in connection.notifies(timeout=10, stop_after=1)] == ["hello"]
    assert proxy.counts.connections == 2


def test_a_partition_holds_back_and_healing_delivers(proxy: Proxy, url: str, postgres_database: str) -> None:
    connection = psycopg.connect(url, autocommit=True)
    for direction, executed in (("to_server", 0), ("to_client", 2)):
        proxy.partition("to_server" if direction == "to_server" else "to_client")
        done = threading.Event()

        def write(done: threading.Event = done) -> None:
            connection.execute(UPDATE, (1,))
            done.set()

        writer = threading.Thread(target=write)
        before = proxy.counts.held_bytes
        writer.start()
        assert proxy.wait(partial(holding_more, proxy, before))
        assert not done.is_set()
        assert value(postgres_database) == executed, "done behind the partition, or not"
        proxy.heal()
        assert done.wait(30)
        writer.join()
    proxy.partition()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(url, connect_timeout=2)
    proxy.heal()
    connection.close()


def test_closing_refusing_delaying(proxy: Proxy, url: str) -> None:
    connection = psycopg.connect(url, autocommit=True)
    proxy.delay(0.2)
    began = time.monotonic()
    connection.execute("select 1")
    assert time.monotonic() - began >= 0.4, "there and back"
    proxy.heal()
    assert proxy.close_all() == 1
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    proxy.heal()
    psycopg.connect(url).close()
    assert proxy.counts == Counts(
        connections=2, statements=1, closed=1, refused=proxy.counts.refused, delayed=2
    )
    assert proxy.counts.refused >= 1


def test_a_server_that_went_away_is_seen_and_its_place_may_be_taken(
    proxy: Proxy, url: str, postgres: PostgresServer
) -> None:
    connection = psycopg.connect(url, autocommit=True)
    postgres.restart("immediate")
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
    right, proxy.target = proxy.target, ("127.0.0.1", 1)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    proxy.target = right
    psycopg.connect(url).close()


def test_messages_are_seen_whatever_the_pieces_they_come_in() -> None:
    """Pure: byte by byte, and all at once."""
    opening = b"\x00\x00\x00\x08\x00\x03\x00\x00"
    sent = opening + b"Q\x00\x00\x00\x0bcommit\x00" + b"S\x00\x00\x00\x04"
    whole, single = Frontend(), Frontend()
    expected = [Message("", opening), Message("Q", sent[8:20]), Message("S", sent[20:])]
    assert whole.feed(sent) == expected
    assert [m for n in range(len(sent)) for m in single.feed(sent[n : n + 1])] == expected
    assert [whole.runs(message) for message in expected[1:]] == ["commit", None]
    backend = Backend()
    backend.expect(("update t set n = 1",))
    answer = b"C\x00\x00\x00\x0dUPDATE 3\x00" + b"Z\x00\x00\x00\x05I"
    seen = [backend.see(m) for n in range(len(answer)) for m in backend.feed(answer[n : n + 1])]
    assert seen[0] is None
    assert seen[1] is not None
    assert (seen[1].rows_written, seen[1].committed) == (3, True)
