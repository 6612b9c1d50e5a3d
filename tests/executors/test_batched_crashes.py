"""A runner killed at any moment: the data end as those of a run that nobody touched."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ringctl.executors import ledger
from ringctl.executors.batched_sql import BatchedSqlExecutor
from ringctl.executors.targets import open_database
from ringctl.ports.executor import Outcome
from tests.executors.batched import KILLABLE, batched_order
from tests.executors.kit import Hand, postgres_build_table, rows_of, sqlite_build_table, times_of
from tests.support.scale import scaled

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1200


def runner(target: str, bundle: Path, fence: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.executors.batched_runner", target, str(bundle), str(fence)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def kill_and_go_on(target: str, bundle: Path, seed: int) -> None:
    """Start runners, kill each after a random moment of its work, then let one finish."""
    rng = random.Random(seed)
    batched_order(bundle, target, batch=KILLABLE)
    progressed = 0
    for fence in range(10, 14):
        with runner(target, bundle, fence) as process:
            seen = moment(target, process, progressed + rng.randrange(0, 400))
            threading.Event().wait(rng.uniform(0, 0.01))
            process.kill()
        progressed = max(progressed, seen)
    task = batched_order(bundle, target, fence=20, batch=KILLABLE)
    ran = BatchedSqlExecutor().run(task, Hand())
    assert (ran.outcome, ran.reason) == (Outcome.DONE, "")
    assert times_of(target) == [(1, ROWS)]
    cut = rows_of(target, "SELECT count(*) FROM ringctl_runs WHERE outcome = ''")[0][0]
    assert cut >= 1, "no runner was killed in mid run: this seed shows nothing"
    query = "SELECT count(*) FROM build WHERE name LIKE 'build %!%' ESCAPE '!' AND name NOT LIKE '%!%!%' ESCAPE '!'"
    assert rows_of(target, query) == [(ROWS,)]
    database = open_database(target)
    assert ledger.double_runs(database) == ()
    database.close()


def moment(target: str, process: "subprocess.Popen[bytes]", rows: int) -> int:
    """Wait until so many rows are done, or the runner has ended; how many are done."""
    done = 0
    while process.poll() is None and done <= rows:
        done = dict(times_of(target)).get(1, 0)
        threading.Event().wait(0.002)
    return done


@pytest.mark.parametrize("seed", range(scaled(12, 100)))
def test_sqlite_runner_killed_at_random_moments(tmp_path: Path, bundle: Path, seed: int) -> None:
    kill_and_go_on(sqlite_build_table(tmp_path / "t.db", ROWS, gap=3), bundle, seed)


@pytest.mark.parametrize("seed", range(scaled(6, 60)))
def test_postgresql_runner_killed_at_random_moments(postgres_database: str, bundle: Path, seed: int) -> None:
    kill_and_go_on(postgres_build_table(postgres_database, ROWS, gap=3), bundle, seed)


@pytest.mark.parametrize("fences", [(10, 10), (10, 11)])
def test_two_processes_without_any_lock(tmp_path: Path, bundle: Path, fences: tuple[int, int]) -> None:
    target = sqlite_build_table(tmp_path / "t.db", ROWS)
    batched_order(bundle, target, batch=KILLABLE)
    processes = [runner(target, bundle, fence) for fence in fences]
    assert [process.wait(60) for process in processes] == [0, 0]
    BatchedSqlExecutor().run(batched_order(bundle, target, fence=20, batch=KILLABLE), Hand())
    assert times_of(target) == [(1, ROWS)]


def test_server_crash_in_mid_run(postgres: object, postgres_database: str, bundle: Path) -> None:
    """The server dies and recovers: the runner reconnects, or stops and goes on later."""
    from tests.support.postgres import PostgresServer

    assert isinstance(postgres, PostgresServer)
    target = postgres_build_table(postgres_database, ROWS)
    hand = Hand()
    batch = {"target_us": 5000, "max_rows": 20, "pause_us": 1000}
    hand.on_sleep.append(lambda: postgres.restart("immediate") if len(hand.slept) == 5 else None)
    ran = BatchedSqlExecutor().run(batched_order(bundle, target, batch=batch), hand)
    assert ran.outcome in {Outcome.DONE, Outcome.STOPPED, Outcome.UNKNOWN}
    assert int(str(ran.numbers["troubles"])) >= 1
    again = BatchedSqlExecutor().run(batched_order(bundle, target, batch=batch, fence=11), Hand())
    assert again.outcome is Outcome.DONE
    assert times_of(target) == [(1, ROWS)]
