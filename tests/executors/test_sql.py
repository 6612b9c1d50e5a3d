"""`sql` on real databases: the effect and its ledger row are one."""

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ringctl.executors import ledger
from ringctl.executors.databases import CommitLost, Limits
from ringctl.executors.sql import SqlExecutor
from ringctl.executors.targets import open_database
from ringctl.ports.executor import Outcome, Probed
from tests.executors.conftest import Maker
from tests.executors.kit import Hand, order, rows_of, spec, sqlite_build_table, times_of, wait_until

SCRIPT = "UPDATE build SET times = times + 1; CREATE TABLE made (x int); INSERT INTO made VALUES (1);"


def script(bundle: Path, target: str, text: str = SCRIPT, **options: Any) -> Any:
    (bundle / "01.sql").write_text(text)
    return spec("sql", {"file": "01.sql", "database": target, **options}, bundle)


def test_runs_once_and_says_so_again(build_table: Maker, bundle: Path) -> None:
    target = build_table(20)
    task = order(script(bundle, target), bundle)
    executor = SqlExecutor()
    assert executor.probe(task, Hand()) is Probed.DID_NOT
    first = executor.run(task, Hand())
    assert (first.outcome, first.reason) == (Outcome.DONE, "")
    second = executor.run(task, Hand())
    assert (second.outcome, second.numbers["already"]) == (Outcome.DONE, True)
    assert first.numbers["incarnation"] == second.numbers["incarnation"] != ""
    assert times_of(target) == [(1, 20)]
    assert executor.probe(task, Hand()) is Probed.TOOK_EFFECT
    rows = rows_of(
        target, "SELECT component, account, step, digest, state, fence, revision FROM ringctl_ledger"
    )
    assert rows == [("build", "a1", "encode", task.step.digest, "done", 10, "r1")]
    runs = rows_of(target, "SELECT claim, fence, outcome, ended >= started FROM ringctl_runs")
    assert [(claim, fence, outcome, bool(after)) for claim, fence, outcome, after in runs] == [
        ("c1", 10, "done", True)
    ]


def test_failing_statement_leaves_nothing(build_table: Maker, bundle: Path) -> None:
    target = build_table(20)
    task = order(script(bundle, target, SCRIPT + "INSERT INTO nowhere VALUES (1);"), bundle)
    ran = SqlExecutor().run(task, Hand())
    assert ran.outcome is Outcome.FAILED
    assert "nowhere" in ran.reason
    assert times_of(target) == [(0, 20)]
    assert SqlExecutor().probe(task, Hand()) is Probed.DID_NOT
    assert rows_of(target, "SELECT outcome FROM ringctl_runs") == [("failed",)]
    fixed = order(script(bundle, target), bundle, accepts=frozenset({task.step.digest}))
    assert SqlExecutor().run(fixed, Hand()).outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("INSERT INTO build (build_id) VALUES (1);", 1),
        ("CREATE TABLE one (x int); CREATE UNIQUE INDEX u ON one (x); INSERT INTO one VALUES (1), (1);", 1),
        ("INSERT INTO nowhere VALUES (1);", None),
    ],
)
def test_a_key_that_existed_is_counted(build_table: Maker, bundle: Path, text: str, counted: object) -> None:
    """For the built-in check `recreated`; another refusal is none."""
    ran = SqlExecutor().run(order(script(bundle, build_table(5), text), bundle), Hand())
    assert (ran.outcome, ran.numbers.get("duplicate_key")) == (Outcome.FAILED, counted), ran.reason


def test_other_digest_stale_fence_and_accepted_digest(build_table: Maker, bundle: Path) -> None:
    target = build_table(5)
    executor = SqlExecutor()
    old = order(script(bundle, target, "UPDATE build SET times = times + 1"), bundle)
    assert executor.run(old, Hand()).outcome is Outcome.DONE
    new = order(
        script(bundle, target, "UPDATE build SET times = times + 10"), bundle, fence=11, revision="r2"
    )
    refused = executor.run(new, Hand())
    assert refused.outcome is Outcome.UNKNOWN
    assert "another digest" in refused.reason
    assert executor.probe(new, Hand()) is Probed.UNKNOWN
    accepted = order(new.step, bundle, fence=12, revision="r2", accepts=frozenset({old.step.digest}))
    assert executor.run(accepted, Hand()).outcome is Outcome.DONE
    assert times_of(target) == [(11, 5)]
    stale = executor.run(order(new.step, bundle, fence=9), Hand())
    assert (stale.outcome, "newer claim" in stale.reason) == (Outcome.UNKNOWN, True)
    assert executor.probe(order(new.step, bundle, fence=9), Hand()) is Probed.UNKNOWN
    assert rows_of(target, "SELECT digest, fence, revision FROM ringctl_ledger") == [
        (new.step.digest, 12, "r2")
    ]


def test_probe_shuts_an_older_runner_out(build_table: Maker, bundle: Path) -> None:
    """The probe's `did-not` stays true: the runner that it asked about can write nothing any more."""
    target = build_table(5)
    older, newer = (order(script(bundle, target), bundle, fence=fence) for fence in (10, 11))
    database = open_database(target)
    try:
        entry = ledger.enter(database, older, ledger.prepare(database))
        assert SqlExecutor().probe(newer, Hand()) is Probed.DID_NOT
        database.begin(ledger.PREPARE_LIMITS)
        with pytest.raises(ledger.Conflict):
            ledger.finish(database, older, entry.place)
        database.rollback()
    finally:
        database.close()


@pytest.mark.parametrize(
    "text", ["UPDATE build SET times = 1; COMMIT;", "BEGIN; UPDATE build SET times = 1; END"]
)
def test_own_transactions_are_refused_before_anything(build_table: Maker, bundle: Path, text: str) -> None:
    target = build_table(5)
    step = script(bundle, target, text)
    ran = SqlExecutor().run(order(step, bundle), Hand())
    assert (ran.outcome, "not allowed in a ledgered transaction" in ran.reason) == (Outcome.FAILED, True)
    assert times_of(target) == [(0, 5)]
    found = SqlExecutor().check(step, {"01.sql": text})[0]
    assert (found.code, found.path, found.line) == ("RC6005", "01.sql", 1)


def test_parameters_are_bound_and_never_read_as_sql(build_table: Maker, bundle: Path) -> None:
    target = build_table(2)
    text = (
        "UPDATE build SET name = :who || ' 100%' WHERE build_id = 1;"
        "UPDATE build SET times = 5 WHERE name = ':who'"
    )
    step = script(bundle, target, text, params={"who": "{account.id}"})
    hostile = "x'); DROP TABLE build; -- :who %s %(who)s"
    task = order(step, bundle, placeholders={"account.id": hostile})
    assert SqlExecutor().run(task, Hand()).outcome is Outcome.DONE
    assert rows_of(target, "SELECT name, times FROM build WHERE build_id = 1") == [(hostile + " 100%", 0)]


SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000000) "
    "UPDATE build SET times = (SELECT max(i) FROM n)",
    "postgresql": "UPDATE build SET times = 1; SELECT pg_sleep(60)",
}


def slow(target: str) -> str:
    return SLOW["postgresql" if "://" in target else "sqlite"]


def test_time_out_rolls_back_for_certain(build_table: Maker, bundle: Path) -> None:
    target = build_table(5)
    task = order(script(bundle, target, slow(target)), bundle)
    began = time.monotonic()
    ran = SqlExecutor().run(task, Hand(step_s=0.5))
    assert (ran.outcome, ran.reason) == (Outcome.FAILED, "rolled back: the step's time-out ended")
    assert time.monotonic() - began < 5
    assert times_of(target) == [(0, 5)]


def test_stop_and_lease_end_roll_back(build_table: Maker, bundle: Path) -> None:
    target = build_table(5)
    task = order(script(bundle, target, slow(target)), bundle)
    hand = Hand()
    threading.Timer(0.4, hand.stop.set).start()
    ran = SqlExecutor().run(task, hand)
    assert (ran.outcome, ran.reason) == (Outcome.STOPPED, "rolled back: a stop was requested")
    ran = SqlExecutor().run(task, Hand(lease_s=0.4))
    assert (ran.outcome, ran.reason) == (Outcome.STOPPED, "rolled back: the lease ended")
    ran = SqlExecutor().run(task, Hand(lease_s=-1.0))
    assert (ran.outcome, ran.reason) == (Outcome.STOPPED, "nothing was sent: the lease ended")
    assert times_of(target) == [(0, 5)]


def test_two_runners_at_once_one_effect(build_table: Maker, bundle: Path) -> None:
    target = build_table(50)
    task = order(script(bundle, target, "UPDATE build SET times = times + 1"), bundle)
    outcomes = run_together(task, 6)
    assert times_of(target) == [(1, 50)]
    assert outcomes.count(Outcome.DONE) >= 1
    assert set(outcomes) <= {Outcome.DONE, Outcome.UNKNOWN, Outcome.UNREACHABLE}
    database = open_database(target)
    try:  # that they were there at once the ledger may well see; that two took effect it must not
        done = "SELECT count(*) FROM {p}ringctl_runs WHERE outcome = 'done'"
        assert [tuple(row) for row in database.run(ledger._sql(done, database), {}).rows] == [(1,)]
    finally:
        database.close()


def run_together(task: Any, count: int) -> list[Outcome]:
    barrier = threading.Barrier(count)
    outcomes: list[Outcome] = []

    def one() -> None:
        barrier.wait()
        outcomes.append(SqlExecutor().run(task, Hand()).outcome)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def test_without_the_compare_and_set_it_runs_twice(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded bug: the guard of FINISH removed. The test above must be able to go red, and is detected."""
    monkeypatch.setattr(ledger, "FINISH", "UPDATE {p}ringctl_ledger SET fence = :fence WHERE {row}")
    target = build_table(50)
    task = order(script(bundle, target, "UPDATE build SET times = times + 1"), bundle)
    run_together(task, 4)
    assert times_of(target) != [(1, 50)]
    database = open_database(target)
    try:
        assert ledger.double_runs(database) != ()
    finally:
        database.close()


def test_missing_file_is_never_created(tmp_path: Path, bundle: Path) -> None:
    target = tmp_path / "no" / "such.db"
    for path in (target, tmp_path / "such.db"):
        ran = SqlExecutor().run(order(script(bundle, str(path)), bundle), Hand())
        assert (ran.outcome, path.exists()) == (Outcome.UNREACHABLE, False)
        assert SqlExecutor().probe(order(script(bundle, str(path)), bundle), Hand()) is Probed.UNKNOWN


def test_file_that_is_no_database(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "x.db").write_text("no database at all, but long enough to be read as one" * 50)
    ran = SqlExecutor().run(order(script(bundle, str(tmp_path / "x.db")), bundle), Hand())
    assert (ran.outcome, "not a database" in ran.reason) == (Outcome.FAILED, True)


def test_odd_file_names_are_opened_as_they_are(tmp_path: Path, bundle: Path) -> None:
    target = sqlite_build_table(tmp_path / "a b?mode=memory#%41.db", 3)
    assert (
        SqlExecutor().run(order(script(bundle, "sqlite:///" + target), bundle), Hand()).outcome
        is Outcome.DONE
    )
    assert times_of(target) == [(1, 3)]


def test_locked_file_is_waited_for_in_bounds(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PREPARE_LIMITS", Limits(lock_s=0.3, statement_s=1.0))
    target = sqlite_build_table(tmp_path / "t.db", 3)
    holder = sqlite3.connect(target, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    task = order(script(bundle, target), bundle)
    began = time.monotonic()
    ran = SqlExecutor().run(task, Hand(lease_s=1.0))
    assert ran.outcome is Outcome.UNREACHABLE
    assert "locked" in ran.reason
    assert time.monotonic() - began < 5
    holder.execute("ROLLBACK")
    holder.close()
    assert SqlExecutor().run(task, Hand()).outcome is Outcome.DONE


def test_unreachable_server_and_bad_url(bundle: Path) -> None:
    for url, outcome in (
        ("postgresql://u:secret@127.0.0.1:1/x", Outcome.UNREACHABLE),
        ("postgresql://u:secret@127.0.0.1:1/x?nonsense=secret", Outcome.FAILED),
        ("mysql://u:secret@h/x", Outcome.FAILED),
    ):
        ran = SqlExecutor().run(order(script(bundle, url), bundle), Hand())
        assert ran.outcome is outcome
        assert "secret" not in ran.reason


def test_script_outside_the_bundle_or_gone(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "out.sql").write_text("SELECT 1")
    target = sqlite_build_table(tmp_path / "t.db", 1)
    for name in ("../out.sql", "gone.sql"):
        step = spec("sql", {"file": name, "database": target}, bundle)
        ran = SqlExecutor().run(order(step, bundle), Hand())
        assert (ran.outcome, ran.reason.startswith("RC6004")) == (Outcome.FAILED, True)


def test_commit_whose_answer_is_lost_is_unknown_and_the_ledger_knows(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = build_table(5)
    task = order(script(bundle, target), bundle)
    database = open_database(target)
    kind = type(database)
    database.close()
    plain, calls = kind.commit, []

    def commit(self: Any) -> None:
        calls.append(1)
        plain(self)
        if len(calls) == 3:  # tables, entry, effect
            raise CommitLost("the cable was cut")

    monkeypatch.setattr(kind, "commit", commit)
    ran = SqlExecutor().run(task, Hand())
    assert (ran.outcome, ran.reason) == (Outcome.UNKNOWN, "the cable was cut")
    monkeypatch.undo()
    assert SqlExecutor().probe(task, Hand()) is Probed.TOOK_EFFECT
    assert times_of(target) == [(1, 5)]


def test_connection_lost_before_the_commit_had_no_effect(postgres_database: str, bundle: Path) -> None:
    import psycopg

    from tests.executors.kit import postgres_build_table

    target = postgres_build_table(postgres_database, 5)
    task = order(script(bundle, target, slow(target)), bundle)
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(SqlExecutor().run(task, Hand())))
    thread.start()
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(target, autocommit=True) as connection:
        assert wait_until(lambda: connection.execute(kill.encode()).fetchall())
    thread.join(20)
    assert result[0].outcome is Outcome.UNREACHABLE
    assert "nothing took effect" in result[0].reason
    assert times_of(target) == [(0, 5)]
    assert SqlExecutor().probe(task, Hand()) is Probed.DID_NOT


def test_script_that_moves_search_path_and_role_settings(postgres_database: str, bundle: Path) -> None:
    from tests.executors.kit import postgres_build_table

    target = postgres_build_table(postgres_database, 5)
    text = (
        "CREATE SCHEMA other; SET search_path = other; CREATE TABLE made (x int); SET statement_timeout = 0"
    )
    assert SqlExecutor().run(order(script(bundle, target, text), bundle), Hand()).outcome is Outcome.DONE
    assert rows_of(target, "SELECT state FROM public.ringctl_ledger") == [("done",)]
    assert rows_of(target, "SELECT outcome FROM public.ringctl_runs") == [("done",)]


def test_deferred_constraint_fails_at_the_commit(build_table: Maker, bundle: Path) -> None:
    target = build_table(2)
    deferred = "REFERENCES build(build_id) DEFERRABLE INITIALLY DEFERRED"
    number = "bigint" if "://" in target else "int"
    text = f"CREATE TABLE child (b {number} {deferred}); INSERT INTO child VALUES (99);"
    step = script(bundle, target, text)
    ran = SqlExecutor().run(order(step, bundle), Hand())
    if "://" in target:  # SQLite checks foreign keys only where the connection asks for it
        assert (ran.outcome, "rolled back" in ran.reason) == (Outcome.FAILED, True)
        assert rows_of(target, "SELECT state FROM ringctl_ledger") == [("running",)]


def test_ledger_without_its_incarnation_is_not_trusted(tmp_path: Path, bundle: Path) -> None:
    target = sqlite_build_table(tmp_path / "t.db", 2)
    task = order(script(bundle, target), bundle)
    assert SqlExecutor().run(task, Hand()).outcome is Outcome.DONE
    with sqlite3.connect(target) as connection:
        connection.execute("DELETE FROM ringctl_incarnation")
    connection.close()
    ran = SqlExecutor().run(task, Hand())
    assert (ran.outcome, "tampered" in ran.reason) == (Outcome.FAILED, True)


def test_check_lists_everything(bundle: Path) -> None:
    step = spec(
        "sql",
        {"file": "gone.sql", "database": "mysql://{account.idd}", "params": ["x"], "transactoin": "one"},
        bundle,
        probe={"command": ["x"]},
    )
    codes = sorted(found.code for found in SqlExecutor().check(step))
    assert codes == ["RC6001", "RC6002", "RC6003", "RC6004", "RC6012", "RC6015"]
    good = script(bundle, "{account.target.database}")
    assert SqlExecutor().check(good, {"01.sql": SCRIPT}) == ()
    # only one dialect forbids it: not known before the run
    assert SqlExecutor().check(good, {"01.sql": "PRAGMA journal_mode = wal"}) == ()
    assert [found.code for found in SqlExecutor().check(good, {"01.sql": "COMMIT"})] == ["RC6005"]


def test_many_first_uses_at_once(build_table: Maker, bundle: Path) -> None:
    """The ledger's tables are made once, whoever comes first."""
    target = build_table(1)
    (bundle / "01.sql").write_text("UPDATE build SET times = times + 1")
    tasks = [
        order(
            spec("sql", {"file": "01.sql", "database": target}, bundle, step=f"s{number}"),
            bundle,
            claim=f"c{number}-{os.getpid()}",
        )
        for number in range(6)
    ]
    barrier = threading.Barrier(6)
    outcomes: list[Any] = []

    def one(task: Any) -> None:
        barrier.wait()
        outcomes.append(SqlExecutor().run(task, Hand()))

    threads = [threading.Thread(target=one, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [ran.outcome for ran in outcomes] == [Outcome.DONE] * 6
    assert len({ran.numbers["incarnation"] for ran in outcomes}) == 1
    assert times_of(target) == [(6, 1)]
