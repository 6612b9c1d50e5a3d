"""`doctor`, `db stats` and `db backup`: each check passes on a good store and fails on a bad one, with a remedy."""

import os
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from ringctl.bootstrap import open_parts
from ringctl.cli.health import host, postgres, sqlite, state
from ringctl.cli.health.checks import Mark, Table
from ringctl.core.timing import SECOND
from ringctl.demo.postgres import installed_programs
from ringctl.executors.supervised import supervise
from ringctl.ports.records import Node
from tests.cli.conftest import Ring

PG = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "synchronous_standby_names": ""}


def marks(answer: Any) -> dict[str, str]:
    return {check["name"]: check["mark"] for check in answer.json["checks"]}


# -- doctor ---------------------------------------------------------------------------------------
def test_a_fresh_store_is_well(fleet: Path, begun: str, ring: Ring) -> None:
    answer = ring("doctor", "-o", "json")
    assert answer.json["schema"] == "ringctl/doctor/v1"
    assert set(marks(answer).values()) == {"pass"}, answer.out
    assert {"schema", "clock", "shim", "work-dir", "double-claims", "sessions"} <= marks(answer).keys()
    assert (answer.code, answer.json["ok"]) == (0, True)
    said = ring("doctor")
    assert (said.code, said.out.count("pass")) == (0, len(marks(answer)))
    assert "0 failed" in said.out


def test_a_store_that_is_not_there_is_69_and_is_not_made(fleet: Path, ring: Ring) -> None:
    answer = ring("doctor", "-o", "json")
    assert (answer.code, marks(answer)["state"], answer.json["ok"]) == (69, "fail", False)
    assert sorted(fleet.glob("*ringctl*")) == []


def test_a_server_that_is_not_there_is_69_without_the_password(fleet: Path, ring: Ring) -> None:
    answer = ring("--state", "postgresql://u:hunter2@127.0.0.1:9/x", "doctor")
    assert (answer.code, "hunter2" in answer.out + answer.err) == (69, False)


def test_tallies_and_lost_nodes_are_told(fleet: Path, begun: str, ring: Ring) -> None:
    with open_parts("sqlite:///ringctl.db", environ={}) as parts:
        parts.store.add_tally("fenced_writes", 3)
    warned = ring("doctor", "-o", "json")
    assert (warned.code, marks(warned)["fenced-writes"]) == (0, "warn")
    with open_parts("sqlite:///ringctl.db", environ={}) as parts:
        parts.store.add_tally("double_claims")
    answer = ring("doctor", "-o", "json")
    assert (answer.code, marks(answer)["double-claims"]) == (1, "fail")
    remedies = [check["remedy"] for check in answer.json["checks"] if check["mark"] != "pass"]
    assert all(remedies)


def test_a_work_directory_that_cannot_be_written_fails(
    fleet: Path, begun: str, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fleet / "file").write_text("")
    monkeypatch.setattr(host, "existing", lambda _: fleet / "file")
    answer = ring("doctor", "-o", "json")
    assert (answer.code, marks(answer)["work-dir"]) == (1, "fail")


def test_a_shim_that_does_not_kill_is_found(
    fleet: Path, begun: str, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded bug: the step outlives its right."""

    def unkilled(command: Any, control: Any) -> Any:
        end = supervise(command, control)
        end.killed = ""
        return end

    monkeypatch.setattr(host, "supervise", unkilled)
    assert marks(ring("doctor", "-o", "json"))["shim"] == "fail"
    assert host.alive(os.getpgid(0))
    assert not host.alive(0)


def test_a_real_server(postgres_database: str, fleet: Path, ring: Ring) -> None:
    assert ring("--state", postgres_database, "doctor").code == 69  # no schema yet
    ring("--state", postgres_database, "db", "migrate")
    answer = ring("--state", postgres_database, "doctor", "-o", "json")
    found = marks(answer)
    for name in (
        "writes",
        "commit",
        "idle-limit",
        "pooler",
        "connections",
        "old-transaction",
        "dead-rows",
        "clock",
    ):
        assert found[name] == "pass", name
    assert found["fsync"] == "fail"  # the tests' server keeps nothing over a crash of the machine
    assert answer.code == 1


def test_a_user_that_may_not_write_is_found(postgres_database: str, fleet: Path, ring: Ring) -> None:
    """A node with it would end at its first beat: doctor must not call such a store well."""
    import psycopg

    ring("--state", postgres_database, "db", "migrate")
    role = f"reader_{os.getpid()}"
    address = urlsplit(postgres_database)
    url = urlunsplit(address._replace(netloc=f"{role}:secret@{address.hostname}:{address.port}"))
    with psycopg.connect(postgres_database, autocommit=True) as owner:
        owner.execute(f"create role {role} login password 'secret'")
        try:
            owner.execute(f"grant usage on schema ringctl to {role}")
            owner.execute(f"grant select on all tables in schema ringctl to {role}")
            answer = ring("--state", url, "doctor", "-o", "json")
            (found,) = [one for one in answer.json["checks"] if one["name"] == "writes"]
            assert (answer.code, found["mark"]) == (1, "fail")
            assert "RC5107" in found["text"]
            assert "grant" in found["remedy"]
            owner.execute(f"grant insert, update, delete on all tables in schema ringctl to {role}")
            for table, verb in (("migration", "insert"), ("journal", "delete, update")):  # no node does that
                owner.execute(f"revoke {verb} on ringctl.{table} from {role}")
            assert marks(ring("--state", url, "doctor", "-o", "json"))["writes"] == "fail"  # the sequences
            owner.execute(f"grant usage on all sequences in schema ringctl to {role}")
            assert marks(ring("--state", url, "doctor", "-o", "json"))["writes"] == "pass"
            owner.execute(f"alter role {role} set default_transaction_read_only = on")
            answer = ring("--state", url, "doctor", "-o", "json")  # the store does not open then
            assert (answer.code, marks(answer)["state"]) == (69, "fail")
        finally:
            owner.execute(f"drop owned by {role}")
            owner.execute(f"drop role {role}")


def test_a_file_that_may_not_be_written_is_found(
    fleet: Path, begun: str, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert marks(ring("doctor", "-o", "json"))["writes"] == "pass"
    with sqlite3.connect("ringctl.db", isolation_level=None) as other:
        other.execute("begin immediate")  # somebody else is writing: so it can be written
        assert sqlite.writes(Path("ringctl.db")).mark is Mark.WELL
        other.execute("rollback")
    opened = sqlite3.connect

    def read_only(name, **more):
        return opened(name.replace("mode=rw", "mode=ro"), **more)

    monkeypatch.setattr("sqlite3.connect", read_only)
    answer = ring("doctor", "-o", "json")
    assert (answer.code, marks(answer)["writes"]) == (1, "fail")


def test_an_old_transaction_is_found(
    postgres_database: str, fleet: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    ring("--state", postgres_database, "db", "migrate")
    monkeypatch.setattr(postgres, "OLD_S", 0.0)
    with psycopg.connect(postgres_database) as other:
        other.execute("select 1")
        answer = ring("--state", postgres_database, "doctor", "-o", "json")
    assert marks(answer)["old-transaction"] == "warn"


@pytest.mark.parametrize(
    ("changed", "name", "mark"),
    [
        ({}, "fsync", Mark.WELL),
        ({"fsync": "off"}, "fsync", Mark.FAIL),
        ({"full_page_writes": "off"}, "fsync", Mark.WARN),
        ({}, "commit", Mark.WELL),
        ({"synchronous_commit": "local"}, "commit", Mark.WARN),
        ({"synchronous_commit": "remote_write"}, "commit", Mark.WARN),
    ],
)
def test_durability(changed: dict[str, str], name: str, mark: Mark) -> None:
    found = {check.name: check for check in postgres.durability({**PG, **changed})}
    assert found[name].mark is mark
    assert bool(found[name].remedy) is (mark is not Mark.WELL)


def test_replication_is_told_for_what_it_is() -> None:
    assert postgres.replication(PG, []).mark is Mark.WELL
    slow = postgres.replication(PG, [("a", "async", 0.4), ("b", "async", 3.26)])
    assert (slow.mark, "up to 3.3 s of tasks may repeat" in slow.text) == (Mark.WARN, True)
    assert "may repeat" in postgres.replication(PG, [("a", "async", 0.0)]).text
    named = {**PG, "synchronous_standby_names": "b"}
    assert postgres.replication(named, [("a", "async", 9.0), ("b", "sync", 0.0)]).mark is Mark.WELL
    assert postgres.replication(named, []).mark is Mark.FAIL


def test_limits_room_offset_and_dead_rows() -> None:
    assert postgres.idle_limit("2s").mark is Mark.WELL
    assert postgres.idle_limit("0").mark is Mark.FAIL
    assert postgres.room(50, 3).mark is Mark.WELL
    assert postgres.room(5, 3).mark is Mark.WARN
    assert [state.offset(s, 0.1).mark for s in (0.2, -6.0, 31.0)] == [Mark.WELL, Mark.WARN, Mark.FAIL]
    assert postgres.dead_rows((Table(name="task", rows=100_000, dead=9_000),)).mark is Mark.WELL
    assert postgres.dead_rows((Table(name="task", rows=10, dead=90_000),)).mark is Mark.WARN


def test_a_pooler_in_transaction_mode_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two open sessions that share one server process; and one session that changes its process."""

    def session(*pids: int) -> Any:
        left = list(pids)
        answer = SimpleNamespace(fetchone=lambda: (left.pop(0),))
        return SimpleNamespace(execute=lambda text: answer)

    class Opened:
        def __init__(self, *pids: int) -> None:
            self.pids = pids

        def __enter__(self) -> Any:
            return session(*self.pids)

        def __exit__(self, *_: object) -> None:
            pass

    for first, second, pooled in (((1, 1), (2,), False), ((1, 1), (1,), True), ((1, 3), (2,), True)):
        monkeypatch.setattr(postgres, "_asked", lambda _, pids=second: Opened(*pids))
        assert postgres._pooled("", session(*first)) is pooled


def node(**changes: Any) -> Node:
    plain = {"session": "s1", "node": "n", "started_us": 0, "lease_until_us": 10, "dead": False, "held": 0}
    return Node(**{**plain, **changes})


@pytest.mark.parametrize(
    ("nodes", "mark"),
    [
        ([], Mark.WELL),
        ([node()], Mark.WELL),
        ([node(dead=True, ended=True)], Mark.WELL),
        ([node(), node(dead=True)], Mark.WARN),
        ([node(lease_until_us=1)], Mark.WARN),
        ([node(), node(dead=True, held=2)], Mark.WARN),
    ],
)
def test_sessions(nodes: list[Node], mark: Mark) -> None:
    assert [check.mark for check in state.sessions(nodes, 5)] == [mark]


def test_contending_takes_two(fleet: Path, begun: str, ring: Ring) -> None:
    answer = ring("doctor", "--contend", "1")
    assert (answer.code, "at least 2" in answer.err) == (2, True)


# -- db stats -------------------------------------------------------------------------------------
def test_stats_count_rows_and_tallies(fleet: Path, begun: str, ring: Ring) -> None:
    found = ring("db", "stats", "-o", "json").json
    rows = {table["name"]: table["rows"] for table in found["tables"]}
    assert (rows["rollout"], rows["member"], rows["task"]) == (1, 4, 4)
    assert found["tallies"] == {"ringctl_double_claims_total": 0, "ringctl_fenced_writes_total": 0}
    assert found["bytes"] > 0
    assert "ringctl_double_claims_total 0" in ring("db", "stats").out


def test_stats_of_a_server(postgres_database: str, fleet: Path, ring: Ring) -> None:
    ring("--state", postgres_database, "db", "migrate")
    found = ring("--state", postgres_database, "db", "stats", "-o", "json").json
    assert (found["engine"], found["estimated"]) == ("postgresql", True)
    assert {"rollout", "task", "effect"} <= {table["name"] for table in found["tables"]}
    assert all(table["dead_rows"] is not None for table in found["tables"])


# -- db backup ------------------------------------------------------------------------------------
def test_a_backup_is_whole_while_others_write(fleet: Path, begun: str, ring: Ring) -> None:
    stop = threading.Event()

    def write() -> None:
        with open_parts("sqlite:///ringctl.db", environ={}) as parts:
            while not stop.is_set():
                parts.store.close_session(parts.store.open_session("n", lease_us=SECOND))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        answer = ring("db", "backup", "copy.db")
    finally:
        stop.set()
        writer.join(20)
    assert answer.code == 0, answer.err
    assert ring("--state", "sqlite:///copy.db", "status", "-o", "json").json["rollouts"][0]["id"] == begun
    with open_parts("sqlite:///copy.db", migrate=False, environ={}) as parts:
        assert parts.store.verify() == ()
    assert list(fleet.glob("copy.db.part*")) == []


def test_a_backup_replaces_nothing_unasked(fleet: Path, begun: str, ring: Ring) -> None:
    (fleet / "copy.db").write_text("precious")
    refused = ring("db", "backup", "copy.db")
    assert (refused.code, (fleet / "copy.db").read_text()) == (2, "precious")
    assert ring("db", "backup", "copy.db", "--force").code == 0
    assert ring("db", "backup", "ringctl.db", "--force").code == 2
    assert ring("db", "backup", ".").code == 2
    assert ring("db", "backup", "no/such/copy.db").code == 2
    assert ring("status").code == 0


def test_a_copy_that_is_not_whole_gets_no_name(
    fleet: Path, begun: str, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Torn(sqlite3.Connection):
        def execute(self, text: str, *words: Any) -> Any:
            if "integrity_check" in text:
                return [("row 1 missing from index task_1",)]
            return super().execute(text, *words)

    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *a, **k: connect(*a, factory=Torn, **k))
    answer = ring("db", "backup", "copy.db")
    assert (answer.code, "not whole" in answer.err) == (69, True)
    assert list(fleet.glob("copy.db*")) == []


def test_without_pg_dump_the_line_is_shown_without_a_secret(
    postgres_database: str, fleet: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring("--state", postgres_database, "db", "migrate")
    monkeypatch.setattr("shutil.which", lambda _: None)
    answer = ring("--state", postgres_database, "db", "backup", "state.dump")
    password = postgres_database.split(":")[2].partition("@")[0]
    assert (answer.code, "pg_dump --format=custom" in answer.err, password in answer.err) == (2, True, False)


def test_pg_dump_is_run_and_its_failure_leaves_nothing(
    postgres_database: str, fleet: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring("--state", postgres_database, "db", "migrate")
    bad = fleet / "pg_dump"
    bad.write_text("#!/bin/sh\necho 'version too old' >&2\nexit 1\n")
    bad.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(bad))
    answer = ring("--state", postgres_database, "db", "backup", "state.dump")
    assert (answer.code, "version too old" in answer.err) == (69, True)
    assert list(fleet.glob("state.dump*")) == []
    own = installed_programs() / "pg_dump"
    if own.exists():
        monkeypatch.setattr("shutil.which", lambda _: str(own))
        assert ring("--state", postgres_database, "db", "backup", "state.dump").code == 0
        assert (fleet / "state.dump").read_bytes()[:5] == b"PGDMP"
