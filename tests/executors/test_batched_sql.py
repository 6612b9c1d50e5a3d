"""`batched_sql` on real databases: each row in exactly one committed batch."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from ringctl.executors import batched_sql, ledger
from ringctl.executors.batched_sql import BatchedSqlExecutor
from ringctl.executors.databases import Busy, CommitLost, Limits, Lost, Unreachable
from ringctl.executors.targets import open_database
from ringctl.ports.executor import Outcome, Probed
from tests.executors.batched import STATEMENT, batched_order
from tests.executors.conftest import Maker
from tests.executors.kit import Hand, rows_of, times_of


@pytest.mark.parametrize("gap", [1, 7])
def test_every_row_once_whatever_the_gaps(build_table: Maker, bundle: Path, gap: int) -> None:
    target = build_table(1000, gap=gap)
    task = batched_order(bundle, target)
    ran = BatchedSqlExecutor().run(task, Hand())
    assert (ran.outcome, ran.reason) == (Outcome.DONE, "")
    assert ran.numbers["rows"] == 1000
    assert int(str(ran.numbers["batches"])) >= 20
    assert times_of(target) == [(1, 1000)]
    assert rows_of(target, "SELECT count(*) FROM build WHERE name LIKE 'build %!%' ESCAPE '!'") == [(1000,)]
    again = BatchedSqlExecutor().run(task, Hand())
    assert (again.outcome, again.numbers["already"]) == (Outcome.DONE, True)
    assert BatchedSqlExecutor().probe(task, Hand()) is Probed.TOOK_EFFECT
    assert rows_of(target, "SELECT state, cursor, pass FROM ringctl_ledger") == [("done", str(1000 * gap), 2)]


def test_empty_table_is_done_at_once(build_table: Maker, bundle: Path) -> None:
    ran = BatchedSqlExecutor().run(batched_order(bundle, build_table(0)), Hand())
    assert (ran.outcome, ran.numbers["batches"]) == (Outcome.DONE, 0)


def test_text_keys(build_table: Maker, bundle: Path) -> None:
    target = build_table(300)
    statement = "UPDATE named SET times = times + 1 WHERE build_id BETWEEN :lo AND :hi"
    database = open_database(target)
    database.begin(Limits(lock_s=1, statement_s=5))
    database.script("CREATE TABLE named (build_id text PRIMARY KEY, times int)", {})
    database.script("INSERT INTO named SELECT 'k''' || build_id, 0 FROM build", {})
    database.commit()
    database.close()
    ran = BatchedSqlExecutor().run(batched_order(bundle, target, statement=statement, table="named"), Hand())
    assert (ran.outcome, ran.reason) == (Outcome.DONE, "")
    assert rows_of(target, "SELECT times, count(*) FROM named GROUP BY times") == [(1, 300)]


def test_uuid_keys(postgres_database: str, bundle: Path) -> None:
    database = open_database(postgres_database)
    database.begin(Limits(lock_s=1, statement_s=5))
    database.script("CREATE TABLE u (build_id uuid PRIMARY KEY, times int DEFAULT 0)", {})
    database.script("INSERT INTO u SELECT gen_random_uuid() FROM generate_series(1, 300)", {})
    database.commit()
    database.close()
    statement = "UPDATE u SET times = times + 1 WHERE build_id BETWEEN :lo AND :hi"
    ran = BatchedSqlExecutor().run(
        batched_order(bundle, postgres_database, statement=statement, table="u"), Hand()
    )
    assert (ran.outcome, ran.reason) == (Outcome.DONE, "")
    assert rows_of(postgres_database, "SELECT times, count(*) FROM u GROUP BY times") == [(1, 300)]


def test_keys_that_cannot_be_kept_are_refused(tmp_path: Path, bundle: Path) -> None:
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE build (build_id REAL, times INT)")
        connection.execute("INSERT INTO build VALUES (1.5, 0)")
    connection.close()
    ran = BatchedSqlExecutor().run(batched_order(bundle, str(path)), Hand())
    assert (ran.outcome, "whole numbers or texts" in ran.reason) == (Outcome.FAILED, True)


def test_catch_up_takes_what_came_in_meanwhile_once(build_table: Maker, bundle: Path) -> None:
    target = build_table(200)
    hand = Hand()

    def insert() -> None:
        hand.on_sleep.clear()
        database = open_database(target)
        database.begin(Limits(lock_s=5, statement_s=5))
        database.script("INSERT INTO build (build_id, name) VALUES (1000, 'late'), (1001, 'later')", {})
        database.commit()
        database.close()

    hand.on_sleep.append(insert)
    batch = {"target": "5ms", "max_rows": 50, "pause": "1ms"}
    ran = BatchedSqlExecutor().run(batched_order(bundle, target, batch=batch), hand)
    assert ran.outcome is Outcome.DONE
    assert times_of(target) == [(1, 202)]
    assert float(str(ran.numbers["paused_s"])) > 0


def test_stop_keeps_the_cursor_and_going_on_is_exact(build_table: Maker, bundle: Path) -> None:
    target = build_table(500)
    batch = {"target_us": 5000, "max_rows": 50, "pause_us": 1000}
    task = batched_order(bundle, target, batch=batch)
    hand = Hand()
    hand.on_sleep.append(lambda: hand.stop.set() if len(hand.slept) == 4 else None)
    ran = BatchedSqlExecutor().run(task, hand)
    assert (ran.outcome, ran.reason, ran.numbers["batches"]) == (Outcome.STOPPED, "a stop was requested", 4)
    assert 0 < dict(times_of(target))[1] < 500
    assert BatchedSqlExecutor().probe(task, Hand()) is Probed.DID_NOT
    assert (
        BatchedSqlExecutor().run(batched_order(bundle, target, batch=batch, fence=11), Hand()).outcome
        is Outcome.DONE
    )
    assert times_of(target) == [(1, 500)]
    outcomes = rows_of(target, "SELECT outcome FROM ringctl_runs ORDER BY started")
    assert outcomes == [("stopped",), ("done",)]
    database = open_database(target)
    assert ledger.double_runs(database) == ()
    # a node that was frozen meanwhile writes its record late: what it says is still that it stopped
    late = "UPDATE ringctl_runs SET ended = (SELECT max(ended) FROM ringctl_runs) WHERE outcome = 'stopped'"
    database.begin(ledger.PREPARE_LIMITS)
    database.run(late, {})
    database.commit()
    assert ledger.double_runs(database) == ()
    database.close()


def test_lease_end_and_time_out_stop_between_batches(build_table: Maker, bundle: Path) -> None:
    target = build_table(100)
    task = batched_order(bundle, target, batch={"pause": "30ms", "max_rows": 1})
    assert BatchedSqlExecutor().run(task, Hand(lease_s=0.3)).reason == "the lease ended"
    assert BatchedSqlExecutor().run(task, Hand(step_s=0.3)).reason == "the step's time-out ended"
    done = dict(times_of(target))
    assert set(done) == {0, 1}


def test_accepted_digest_goes_on_never_back(build_table: Maker, bundle: Path) -> None:
    target = build_table(500)
    hand = Hand()
    hand.on_sleep.append(lambda: hand.stop.set() if len(hand.slept) == 3 else None)
    old = batched_order(bundle, target, batch={"target": "5ms", "max_rows": 50, "pause": "1ms"})
    assert BatchedSqlExecutor().run(old, hand).outcome is Outcome.STOPPED
    new: dict[str, Any] = {"statement": STATEMENT + "-- r2", "fence": 11, "revision": "r2"}
    assert BatchedSqlExecutor().run(batched_order(bundle, target, **new), Hand()).outcome is Outcome.UNKNOWN
    accepts = frozenset({old.step.digest})
    task = batched_order(bundle, target, **new, accepts=accepts)
    assert BatchedSqlExecutor().probe(task, Hand()) is Probed.DID_NOT
    assert BatchedSqlExecutor().run(task, Hand()).outcome is Outcome.DONE
    assert times_of(target) == [(1, 500)]
    # done under r2; r3 may go on from it: only rows behind the cursor are left to it
    third = batched_order(
        bundle, target, statement=STATEMENT + "-- r3", fence=12, accepts=frozenset({task.step.digest})
    )
    ran = BatchedSqlExecutor().run(third, Hand())
    assert (ran.outcome, ran.numbers["rows"]) == (Outcome.DONE, 0)
    assert times_of(target) == [(1, 500)]


def test_refused_statement_rolls_its_batch_back(build_table: Maker, bundle: Path) -> None:
    target = build_table(500)
    statement = (
        "UPDATE build SET times = times + 1 / (300 - build_id) * 0 + 1 WHERE build_id BETWEEN :lo AND :hi"
    )
    if "://" not in target:  # SQLite divides by zero without a word
        statement = (
            "UPDATE build SET times = times + 1, build_id = abs(CASE build_id WHEN 300 "
            "THEN -9223372036854775808 ELSE build_id END) WHERE build_id BETWEEN :lo AND :hi"
        )
    ran = BatchedSqlExecutor().run(batched_order(bundle, target, statement=statement), Hand())
    assert ran.outcome is Outcome.FAILED
    assert "batches of this run stand" in ran.reason
    assert 0 < dict(times_of(target))[1] < 300


@pytest.mark.parametrize("failures", [2, 3])
def test_trouble_halves_and_the_third_in_a_row_stops(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    target = build_table(300)
    left = [failures]
    plain = ledger.move

    def move(database: Any, order: Any, before: ledger.Place, after: ledger.Place) -> None:
        plain(database, order, before, after)
        if before.turn and before.cursor and left[0]:
            left[0] -= 1
            raise Busy("deadlock")

    monkeypatch.setattr(ledger, "move", move)
    hand = Hand()
    ran = BatchedSqlExecutor().run(batched_order(bundle, target), hand)
    assert ran.numbers["troubles"] == failures
    assert any("rolled back (deadlock)" in line for line in hand.lines)
    if failures < 3:
        assert ran.outcome is Outcome.DONE
    else:
        assert (ran.outcome, "3 failures in a row" in ran.reason) == (Outcome.STOPPED, True)
        assert BatchedSqlExecutor().run(batched_order(bundle, target), Hand()).outcome is Outcome.DONE
    assert times_of(target) == [(1, 300)]


@pytest.mark.parametrize("error", [CommitLost, Lost])
@pytest.mark.parametrize("committed", [True, False])
def test_lost_connection_is_settled_by_the_ledger(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch, error: Any, committed: bool
) -> None:
    target = build_table(300)
    database = open_database(target)
    kind = type(database)
    database.close()
    plain, calls = kind.commit, []

    def commit(self: Any) -> None:
        calls.append(1)
        if len(calls) % 5 != 0:
            plain(self)
        elif error is CommitLost:
            if committed:
                plain(self)
            raise CommitLost("cut")
        else:
            raise Lost("cut")

    monkeypatch.setattr(kind, "commit", commit)
    ran = BatchedSqlExecutor().run(batched_order(bundle, target), Hand())
    monkeypatch.undo()
    assert ran.outcome is Outcome.DONE
    assert times_of(target) == [(1, 300)]


def test_commit_lost_and_target_gone_is_unknown(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = build_table(300)
    database = open_database(target)
    kind = type(database)
    database.close()
    plain, calls = kind.commit, []

    def commit(self: Any) -> None:
        plain(self)
        calls.append(1)
        if len(calls) == 5:
            monkeypatch.setattr("ringctl.executors.ledgered.open_database", gone)
            raise CommitLost("cut")

    def gone(*_: Any) -> Any:
        raise Unreachable("no route")

    monkeypatch.setattr(kind, "commit", commit)
    ran = BatchedSqlExecutor().run(batched_order(bundle, target), Hand())
    assert (ran.outcome, "fate is not known" in ran.reason) == (Outcome.UNKNOWN, True)
    monkeypatch.undo()
    assert BatchedSqlExecutor().run(batched_order(bundle, target), Hand()).outcome is Outcome.DONE
    assert times_of(target) == [(1, 300)]


SHARED = {"target_us": 2000, "max_rows": 50, "pause_us": 2000}  # the pause lets the other one in


def together(bundle: Path, target: str, fences: tuple[int, ...]) -> list[Any]:
    barrier = threading.Barrier(len(fences))
    found: list[Any] = []
    tasks = [
        batched_order(bundle, target, fence=fence, claim=f"c{n}", batch=SHARED)
        for n, fence in enumerate(fences)
    ]

    def one(task: Any) -> None:
        barrier.wait()
        found.append(BatchedSqlExecutor().run(task, Hand()))

    threads = [threading.Thread(target=one, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.parametrize("fences", [(10, 10), (10, 11), (11, 10, 12)])
def test_unlocked_runners_at_once_change_each_row_once(
    build_table: Maker, bundle: Path, fences: tuple[int, ...]
) -> None:
    target = build_table(1500)
    found = together(bundle, target, fences)
    outcomes = {ran.outcome for ran in found}
    assert outcomes <= {Outcome.DONE, Outcome.UNKNOWN}
    if Outcome.DONE not in outcomes:  # each met the other: the next runner goes on
        assert (
            BatchedSqlExecutor().run(batched_order(bundle, target, fence=20, batch=SHARED), Hand()).outcome
            is Outcome.DONE
        )
    assert times_of(target) == [(1, 1500)]
    assert sum(int(str(ran.numbers.get("conflicts", 0))) for ran in found) <= len(fences)


def test_without_the_compare_and_set_rows_change_twice(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded bug: the guard of MOVE removed. The test above must be able to go red."""
    monkeypatch.setattr(
        ledger,
        "MOVE",
        "UPDATE {p}ringctl_ledger SET cursor = :cursor, upper_bound = :upper, pass = :pass, fence = :fence"
        " WHERE {row}",
    )
    target = build_table(1500)
    together(bundle, target, (10, 10))
    assert times_of(target) != [(1, 1500)]


def test_statement_must_be_one_over_lo_and_hi(build_table: Maker, bundle: Path) -> None:
    target = build_table(5)
    for statement in (
        "UPDATE build SET times = 1",
        STATEMENT + "; SELECT 1",
        "UPDATE build SET times = ':lo :hi'",
    ):
        task = batched_order(bundle, target, statement=statement)
        ran = BatchedSqlExecutor().run(task, Hand())
        assert (ran.outcome, ran.reason.startswith("RC6006")) == (Outcome.FAILED, True)
        assert "RC6006" in {
            found.code for found in BatchedSqlExecutor().check(task.step, {"02.sql": statement})
        }
    assert times_of(target) == [(0, 5)]


def test_check_lists_everything(bundle: Path) -> None:
    task = batched_order(bundle, "x.db", table="a; DROP TABLE b", batch={"max_rows": 0, "traget": "1s"})
    codes = sorted(found.code for found in BatchedSqlExecutor().check(task.step))
    assert codes == ["RC6002", "RC6007", "RC6014"]
    assert BatchedSqlExecutor().run(task, Hand()).reason.startswith("RC6007")
    good = batched_order(bundle, "x.db", table='app."odd name"', batch={"nice": 0.5})
    assert BatchedSqlExecutor().check(good.step, {"02.sql": STATEMENT}) == ()
    batches: tuple[Any, ...] = (
        {"target": "0ms"},
        {"target": "soon"},
        {"nice": -1},
        {"pause": -5},
        {"max_rows": True},
        [],
    )
    for batch in batches:
        wrong = batched_order(bundle, "x.db", batch=batch)
        assert [found.code for found in BatchedSqlExecutor().check(wrong.step)] == ["RC6014"], batch


def test_slow_batch_is_interrupted_and_made_smaller(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, postgres_database: str
) -> None:
    from tests.executors.kit import postgres_build_table

    monkeypatch.setattr(batched_sql, "LEAST_LIMIT_SECONDS", 0.3)
    target = postgres_build_table(postgres_database, 40)
    statement = (
        "UPDATE build SET times = times + 1 WHERE build_id BETWEEN :lo AND :hi "
        "AND (SELECT count(pg_sleep(0.02)) FROM generate_series(:lo, :hi)) > 0"
    )
    task = batched_order(bundle, target, statement=statement, batch={"target": "10ms", "max_rows": 40})
    ran = BatchedSqlExecutor().run(task, Hand())
    assert ran.outcome is Outcome.DONE
    assert int(str(ran.numbers["troubles"])) >= 1
    assert times_of(target) == [(1, 40)]
