"""The full protocol on SQLite against its bound: one-row updates, as durable, by as many processes."""

import os
import sqlite3
import time
from pathlib import Path

from bench import filling
from bench.crew import Crew, at_work
from bench.tables import Table, spread

BOUND_S = 2.0
ROWS = 10_000


def sqlite(folder: Path, runs: int, jobs: int) -> Table:
    """One, two and four processes on one file."""
    table = Table(
        "exclusive execution: SQLite",
        "The full protocol (claims of 100; intent, then result, end and a log line: two durable transactions a task) "
        "by processes on one file, synchronous=FULL. The bound: as many processes that update one row each "
        "BEGIN IMMEDIATE .. COMMIT, before and after. To reach: 0.3 of the bound.",
        ("processes", "threads each", "tasks/s", "to bound", "CPU us a task", "bound tx/s"),
    )
    for processes, threads in ((1, 1), (2, 1), (4, 1), (1, 8)):
        rates, ratios, cpus, bounds = [], [], [], []
        for number in range(runs):
            before = _bound(folder, processes)
            path = folder / f"single_{processes}_{threads}_{number}.db"
            store = filling.open_any(str(path))
            store.migrate()
            filling.start(store, jobs)
            store.close()
            variables = {"BENCH_URL": str(path), "BENCH_OPTION": str(threads), "BENCH_SECONDS": "60"}
            with Crew("bench.queue_ringctl", processes, variables) as crew:
                work = crew.end(crew.begin())
            bound = (before + _bound(folder, processes)) / 2
            rates.append(work.jobs / work.seconds)
            ratios.append(rates[-1] / bound)
            cpus.append(work.cpu / work.jobs * 1e6)
            bounds.append(bound)
        table.rows.append(
            (
                str(processes),
                str(threads),
                spread(rates, 0),
                spread(ratios),
                spread(cpus, 0),
                spread(bounds, 0),
            )
        )
    return table


def _bound(folder: Path, processes: int) -> float:
    path = folder / "bound.db"
    if not path.exists():
        raw = sqlite3.connect(path)
        raw.execute("pragma journal_mode = wal")
        raw.execute("create table bound (id integer primary key, value integer not null)")
        raw.executemany("insert into bound values (?, 0)", ((number,) for number in range(ROWS)))
        raw.commit()
        raw.close()
    variables = {"BENCH_URL": str(path), "BENCH_SECONDS": str(BOUND_S)}
    with Crew("bench.single", processes, variables) as crew:
        work = crew.end(crew.begin())
    return work.jobs / work.seconds


def work() -> None:
    """One process of the bound."""
    raw = sqlite3.connect(os.environ["BENCH_URL"], isolation_level=None, timeout=30)
    raw.execute("pragma synchronous = full")
    seconds = float(os.environ["BENCH_SECONDS"])

    def update() -> tuple[int, float]:
        number, last = 0, time.monotonic()
        until = last + seconds
        while last < until:
            raw.execute("begin immediate")
            raw.execute("update bound set value = value + 1 where id = ?", ((number * 7919) % ROWS,))
            raw.execute("commit")
            number, last = number + 1, time.monotonic()
        return number, last

    at_work(update)


if __name__ == "__main__":
    work()
