"""PostgreSQL: a server that refuses, goes away, loses answers, or is not the one it was."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringctl import bootstrap
from ringctl.core.errors import RingctlError, StoreUnavailable
from ringctl.core.states import EffectState, TaskState
from ringctl.ports.records import Result
from ringctl.stores.postgres import PostgresStore
from ringctl.stores.postgres_connections import Connections
from ringctl.testing.store_scene import Scene
from ringctl.testing.values import TestClock, bundle_of, policy_of
from tests.support.postgres import PostgresServer, Server, Standby, free_port
from tests.support.proxy import Proxy

pytestmark = pytest.mark.postgres


OPENED: list[PostgresStore] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def store_at(url: str) -> Any:
    store = PostgresStore(url, decode_policy=policy_of, decode_bundle=bundle_of, clock=TestClock())
    OPENED.append(store)
    return store


def refusal(url: str, act: Callable[[Any], object] = lambda store: store.rollouts()) -> StoreUnavailable:
    store = store_at(url)
    with pytest.raises(StoreUnavailable) as caught:
        act(store)
    assert caught.value.hint
    assert "secret" not in str(caught.value)
    return caught.value


# -- refusals --------------------------------------------------------------------------------------


def test_wrong_addresses_are_told_apart(postgres: PostgresServer, postgres_database: str):
    with_user = f"postgresql://nobody:secret@127.0.0.1:{postgres.port}/postgres"
    nowhere = f"postgresql://postgres:secret@127.0.0.1:{free_port()}/postgres"
    assert refusal(with_user).code == "RC5111"
    assert refusal(nowhere).code == "RC5110"
    assert refusal(postgres.dsn("nosuch")).code == "RC5111"
    with pytest.raises(StoreUnavailable, match="cannot be read") as caught:
        store_at("postgresql://user:secret@host/x?nosuch=1")
    assert "secret" not in caught.value.message


def test_a_schema_that_does_not_fit_is_refused(postgres_database: str):
    assert refusal(postgres_database).code == "RC5108"  # nothing there: opening makes nothing
    store = store_at(postgres_database)
    assert store.migrate(dry_run=True) == store.migrate()
    assert store.migrate() == ()
    future = "insert into ringctl.migration values (99, '0099_future', 'x', 0)"
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute(future)
    assert refusal(postgres_database).code == "RC5105"
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("insert into ringctl.migration_reach values (99, 1)")
    assert store_at(postgres_database).rollouts() == ()  # it only adds, and says so
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("update ringctl.migration set checksum = 'x' where number = 1")
    assert refusal(postgres_database).code == "RC5106"


def test_a_user_who_may_not_write_is_told_so(postgres: PostgresServer, postgres_database: str):
    store_at(postgres_database).migrate()
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("drop role if exists reader")
        raw.execute("create role reader login password 'r'")
        raw.execute("grant usage on schema ringctl to reader")
        raw.execute("grant select on all tables in schema ringctl to reader")
    reader = postgres_database.replace(f"postgres:{postgres.password}@", "reader:r@")
    assert store_at(reader).rollouts() == ()
    refused = refusal(reader, lambda store: store.open_session("n", lease_us=1_000_000))
    assert refused.code == "RC5107"
    assert refusal(reader, lambda store: store.put_bundle("d", "m", {})).code == "RC5107"
    assert store_at(postgres_database).nodes() == ()  # nothing half written
    stranger = postgres.create_database("strange")
    refused = refusal(stranger.replace(f"postgres:{postgres.password}@", "reader:r@"), lambda s: s.migrate())
    assert refused.code == "RC5107"
    postgres.drop_database("strange")


def test_a_full_disk_is_said_and_survived(postgres_database: str):
    """The server's own words for a full disk, raised by it inside the transaction; the real one is in multinode."""
    store = store_at(postgres_database)
    store.migrate()
    scene = Scene(store, TestClock())
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute(
            "create function ringctl.full() returns trigger language plpgsql as $$ begin"
            " raise exception 'could not extend file' using errcode = '53100'; end $$"
        )
        raw.execute("create trigger t before insert on ringctl.outbox execute function ringctl.full()")
    with pytest.raises(StoreUnavailable, match="disk is full") as caught:
        scene.create()
    assert caught.value.code == "RC5103"
    assert store.rollouts() == ()
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("drop trigger t on ringctl.outbox")
    scene.create()
    assert store.verify() == ()


# -- fail-over -------------------------------------------------------------------------------------


def test_a_standby_and_an_old_primary_are_refused(tmp_path: Path):
    with Server() as primary:
        url = primary.create_database("ringctl")
        store_at(url).migrate()
        with Standby(primary) as standby:
            assert refusal(standby.dsn("ringctl")).code in {"RC5110", "RC5115"}
            connections = Connections(standby.dsn("ringctl") + "?target_session_attrs=any")
            with pytest.raises(StoreUnavailable) as caught:
                connections.take()
            assert caught.value.code == "RC5115"
        connections = Connections(url)
        connections.timeline = 7
        with pytest.raises(StoreUnavailable) as caught:
            connections.take()
        assert caught.value.code == "RC5114"


# -- answers lost ----------------------------------------------------------------------------------


@pytest.fixture
def proxied(postgres: PostgresServer, postgres_database: str) -> Iterator[tuple[Scene, Proxy]]:
    with Proxy(("127.0.0.1", postgres.port)) as proxy:
        store = store_at(proxy.url(postgres_database))
        store.migrate()
        yield Scene(store, TestClock()), proxy


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer_is_asked_for_again(proxied: tuple[Any, Proxy], *, after: bool):
    """Intent, result and end under a claim: whether it was carried out or not, it is in the end, once."""
    scene, proxy = proxied
    scene.start(inner=2)
    claim = scene.claim_one(scene.node())
    cut = proxy.cut_after_commit if after else proxy.cut_before_commit
    rule = cut(n=1, times=1)
    scene.intent(claim)
    assert rule.hits
    rule = cut(n=1, times=1)
    scene.store.result(claim, "readers", EffectState.DONE, {}, lines=["one", "two"])
    assert rule.hits
    scene.intent(claim, "encode")
    rule = cut(n=1, times=1)
    last = Result(step="encode", state=EffectState.DONE, outcome={"rows": 1})
    scene.store.finish(claim, TaskState.DONE, lines=["three"], last=last)
    assert rule.hits
    assert [line for _, line in scene.store.task_log("ro-1", claim.account)] == ["one", "two", "three"]
    assert scene.states()["done"] == 1
    assert scene.store.tallies() == {}
    assert scene.store.verify() == ()


def test_a_lost_answer_to_a_decision_is_in_doubt(proxied: tuple[Any, Proxy]):
    scene, proxy = proxied
    scene.start(inner=2)
    rule = proxy.cut_after_commit(n=1, times=1)
    with pytest.raises(StoreUnavailable) as caught:
        scene.store.record("ro-1", "noted", {}, actor="ana")
    assert (bool(rule.hits), caught.value.code) == (True, "RC5113")
    assert [entry.kind for entry in scene.store.journal("ro-1")][-1] == "noted"


def test_a_server_that_came_back_is_used_again(proxied: tuple[Any, Proxy]):
    scene, proxy = proxied
    scene.start(inner=2)
    proxy.refuse()
    proxy.close_all()
    with pytest.raises(StoreUnavailable) as caught:
        scene.load()
    assert caught.value.code == "RC5110"
    proxy.heal()
    assert scene.load().id == "ro-1"


def test_a_claim_in_doubt_is_given_up(proxied: tuple[Any, Proxy]):
    """The node never got to know it: the beat lists it, and `abandon` frees the task at once."""
    scene, proxy = proxied
    scene.start(inner=2)
    node, rollout = scene.node(), scene.load()
    proxy.cut_after_commit(n=1, times=1)
    with pytest.raises(StoreUnavailable) as caught:
        scene.store.claim(node, rollout, rollout.wave(1), limit=1)
    assert caught.value.code == "RC5113"
    (held,) = scene.store.beat(node).held
    assert scene.store.abandon(node, keep=[held.claim]) == 0
    assert scene.store.abandon(node, keep=[]) == 1
    assert scene.states()["pending"] == 2


def test_a_lost_answer_to_an_end_without_a_step_is_no_lost_claim(proxied: tuple[Any, Proxy]):
    scene, proxy = proxied
    scene.start(inner=2)
    claim = scene.claim_one(scene.node())
    rule = proxy.cut_after_commit(n=1, times=1)
    scene.store.finish(claim, TaskState.UNKNOWN, "nobody knows", lines=["one"])
    assert rule.hits
    assert [line for _, line in scene.store.task_log("ro-1", claim.account)] == ["one"]
    with scene.store.database.read() as tx:
        assert tx._raw.execute("select count(*) from late_log").fetchone() == (0,)
    assert scene.store.tallies() == {}


# -- schema ----------------------------------------------------------------------------------------


def test_nodes_that_migrate_at_the_same_time_wait_for_each_other(postgres_database: str):
    stores = [store_at(postgres_database) for _ in range(4)]
    gate = threading.Barrier(4)
    answers: list[object] = []

    def migrate(store: Any) -> None:
        gate.wait()
        try:
            answers.append(len(store.migrate()))
        except StoreUnavailable as error:
            answers.append(error)

    threads = [threading.Thread(target=migrate, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(str, answers)) == ["0", "0", "0", "3"]


def test_a_beat_notices_that_the_schema_moved(postgres_database: str):
    """Without it a node would work on in a schema that it does not know."""
    store = store_at(postgres_database)
    store.migrate()
    node = store.open_session("n", lease_us=60_000_000)
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("insert into ringctl.migration values (98, '0098_x', 'x', 0)")
        raw.execute("insert into ringctl.migration_reach values (98, 1)")
    assert store.beat(node).held == ()  # it says that this version may go on
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("insert into ringctl.migration values (99, '0099_x', 'x', 0)")
    for act in (lambda: store.beat(node), store.rollouts):
        with pytest.raises(StoreUnavailable) as caught:
            act()
        assert caught.value.code == "RC5105"


def test_the_owner_of_the_schema_needs_nothing_more(postgres: PostgresServer, postgres_database: str):
    with psycopg.connect(postgres_database, autocommit=True) as raw:
        raw.execute("drop role if exists owner")
        raw.execute("create role owner login password 'o'")
        raw.execute("create schema ringctl authorization owner")
        raw.execute("drop role if exists stranger")
        raw.execute("create role stranger login password 's'")
    owner = postgres_database.replace(f"postgres:{postgres.password}@", "owner:o@")
    assert len(store_at(owner).migrate()) == 3
    stranger = postgres_database.replace(f"postgres:{postgres.password}@", "stranger:s@")
    assert refusal(stranger).code == "RC5107"


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@h:5/d",
        "postgresql://h/d?user=u&password=secret",
        "postgresql://u:top%secret@h/d",
        "postgresql://u:top@secret/ret@h/d",
        "host=h password=secret",
        "mysql://u:secret@h/d",
    ],
)
def test_a_password_is_never_shown(url: str):
    assert "secret" not in bootstrap.public(url)
    said = ""
    try:
        bootstrap.open_store(url).close()
    except RingctlError as error:
        said = f"{error.message} {error.hint}"
    assert "secret" not in said
