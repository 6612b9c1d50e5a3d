"""The PostgreSQL harness: crashes recover, a pair streams, a fail-over loses what it must and no more."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import ReplicatedPair, Server, children, living, other_servers, until

VERSIONS: dict[str, Path | None] = {"wheel": None, **other_servers()}


@pytest.fixture(scope="module", params=list(VERSIONS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(programs=VERSIONS[request.param]) as made:
        made.ask("create table t (n int primary key)")
        yield made


@pytest.mark.postgres
def test_a_killed_server_is_gone_with_its_children_and_recovers(server: Server) -> None:
    server.ask("insert into t values (1)")
    family = [server.pid, *children(server.pid)]
    assert len(family) > 3
    connection = psycopg.connect(server.dsn(), autocommit=True)
    server.kill()
    assert not any(living(pid) for pid in family)
    assert not server.answers()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
    server.start()
    server.wait_ready()
    assert server.ask("select count(*) from t") == 1
    server.ask("delete from t")
    server.crash()
    assert server.ask("select count(*) from t") == 0


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_closes_every_connection(server: Server, mode: str) -> None:
    connection = psycopg.connect(server.dsn(), autocommit=True)
    before = server.pid
    server.restart("fast" if mode == "fast" else "immediate")
    server.wait_ready()
    assert server.pid != before
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()


@pytest.mark.postgres
def test_each_version_is_the_one_asked_for(server: Server) -> None:
    assert f"{server.major}" in {"18", *other_servers()}
    folder = server.programs.parent.name
    assert not folder.isdigit() or server.major == int(folder)


def written(pair: ReplicatedPair, rows: range) -> int:
    """Rows whose commit was answered, one commit each, within a second and a half each."""
    answered = 0
    options = "-c statement_timeout=0"
    with psycopg.connect(pair.primary.dsn(), autocommit=True, options=options) as connection:
        for n in rows:
            connection.execute("insert into t values (%s)", (n,))
            answered += 1
    return answered


@pytest.mark.postgres
def test_an_asynchronous_fail_over_loses_what_was_answered_while_the_standby_lagged() -> None:
    with ReplicatedPair(synchronous=False) as pair:
        pair.primary.ask("create table t (n int primary key)")
        assert written(pair, range(10)) == 10
        until(pair.caught_up, "the standby has all")
        pair.pause_sending()
        assert written(pair, range(10, 30)) == 20
        old = pair.primary.timeline
        new = pair.fail_over()
        assert new.ask("select count(*) from t") == 10, "the oracle of a loss sees one"
        assert (old, new.timeline) == (1, 2)
        again = pair.bring_back()
        assert again.timeline == 1
        assert again.ask("select count(*) from t") == 30
        again.ask("insert into t values (99)")  # nobody fenced it


@pytest.mark.postgres
def test_a_synchronous_fail_over_loses_nothing_that_was_answered() -> None:
    with ReplicatedPair(synchronous=True) as pair:
        pair.primary.ask("create table t (n int primary key)")
        assert written(pair, range(10)) == 10
        pair.pause_sending()
        raw = psycopg.connect(pair.primary.dsn(), autocommit=True)
        raw.pgconn.send_query(b"insert into t values (10)")  # its commit waits for the standby
        waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
        until(lambda: pair.primary.ask(waiting) == 1, "the commit waits")
        new = pair.fail_over()
        raw.close()
        assert new.ask("select count(*) from t") == 10
        with psycopg.connect(pair.dsn(), autocommit=True) as connection:
            assert connection.info.port == new.port
        back = pair.bring_back()
        assert back.timeline < new.timeline
        assert os.path.isdir(back.data)
