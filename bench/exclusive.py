"""Exclusive execution: what a claim, an intent and a fenced result cost, beside other queues on the same server."""

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import idling, pausing, server, single
from bench.queues import FULL, PEERS, RINGCTL, TOGETHER, Measured, Subject, measure
from bench.tables import Row, Table, spread
from ringctl.demo.postgres import PostgresServer

TITLE = "exclusive execution"
SMALL = 10_000
MEMORY = Path("/dev/shm")
Rounds = Mapping[tuple[str, int], Sequence[Measured]]
"""(queue, rows in its table) -> its measurements, one a round."""


def exclusive(folder: Path, runs: int, *, quick: bool) -> Iterator[Table]:
    """All tables of the section, each as soon as it is there."""
    sizes = (SMALL, 100_000 if quick else 1_000_000)
    scale = 5 if quick else 1
    subjects = [*RINGCTL, *PEERS]
    disk = (
        f"Durable commits on this machine's disk: an 8 KiB write with fdatasync took {server.sync_ms(folder):.2f} ms "
        "(median, before the run)."
    )
    yield from side_by_side(
        folder, runs, sizes, subjects, (f"{TITLE}: PostgreSQL, this disk", disk, scale, 0)
    )
    with tempfile.TemporaryDirectory(prefix="ringctl-bench-", dir=MEMORY) as memory:
        text = "A commit of 1 ms imitated: commit_delay = 1000 and commit_siblings = 0, the data in memory."
        yield from side_by_side(
            Path(memory), runs, sizes, subjects, (f"{TITLE}: PostgreSQL, commits of 1 ms", text, scale, 1000)
        )
    yield single.sqlite(folder, runs, SMALL // scale)
    with server.running(folder, **idling.SETTINGS) as running:
        yield pausing.pausing(running, 1_000 // scale)
        yield idling.idle(running, folder, 10 if quick else 30)


def side_by_side(
    folder: Path,
    runs: int,
    sizes: Sequence[int],
    subjects: Sequence[Subject],
    regime: tuple[str, str, int, int],
) -> list[Table]:
    """Every queue in turns at every size, and the ratios. `regime`: title, text, what the numbers of jobs are divided
    by, microseconds that a commit waits."""
    title, text, scale, delay_us = regime
    found: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    with server.running(folder) as running:
        server.make_bound(running.dsn())
        server.slow_commits(running, delay_us)
        for size in sizes:
            places = _places(running, size, runs, subjects, scale)
            for number in range(runs):
                for subject in subjects:
                    place = places(subject, number)
                    found[subject.name, size].append(
                        measure(running, folder, subject, place, subject.jobs // scale)
                    )
    return [_queues(title, text, found), _ratios(title, sizes, found)]


def _places(
    running: PostgresServer, size: int, runs: int, subjects: Sequence[Subject], scale: int
) -> Callable[[Subject, int], tuple[str, int]]:
    """Where a queue of so many rows is found for its n-th round: (database, how many were released in it before).

    A small one is made anew each time; a big one is made once, and every round adds to it.
    """
    shared: dict[str, tuple[str, int]] = {}

    def place(subject: Subject, number: int) -> tuple[str, int]:
        jobs = subject.jobs // scale
        if size <= SMALL:
            name = f"small_{subjects.index(subject)}_{number}"
            url = running.create_database(name)
            subject.hand.prepare(url, size, jobs, 1)
            return url, 0
        if subject.module not in shared:
            settings = sum(one.module == subject.module for one in subjects)
            url = running.create_database(f"big_{len(shared)}")
            subject.hand.prepare(url, size, jobs, settings * runs)
            shared[subject.module] = url, 0
        url, used = shared[subject.module]
        shared[subject.module] = url, used + 1
        return url, used

    return place


def _queues(title: str, text: str, found: Rounds) -> Table:
    table = Table(
        title,
        f"{text} Four worker processes drain jobs that do nothing; every queue has the same server, in turns. The "
        "bound is pgbench: a one-row update a transaction, four clients, before and after each. CPU is that of the "
        "workers and of the whole server. Rows are those of the task table, all over but for the jobs to do "
        "(pgqueuer deletes jobs that are over: its rows are in its log).",
        ("queue", "rows", "jobs/s", "to bound", "CPU us a job", "of workers"),
    )
    for (name, size), rounds in found.items():
        table.rows.append(
            (
                name,
                f"{size:,}",
                spread([one.rate for one in rounds], 0),
                spread([one.rate / one.bound for one in rounds]),
                spread([one.cpu_us for one in rounds], 0),
                f"{statistics.median(one.client_us for one in rounds):.0f}",
            )
        )
    return table


def _best(found: Rounds, size: int, word: str) -> str:
    """The name of a queue's best setting: the one with the highest median rate."""
    names = [name for name, rows in found if rows == size and name.startswith(word)]
    return max(names, key=lambda name: statistics.median(one.rate for one in found[name, size]))


def _ratios(title: str, sizes: Sequence[int], found: Rounds) -> Table:
    """What was to be reached. Each ratio is of two rates (to their bounds) in the same round."""
    table = Table(
        f"{title}: ratios",
        "Of rates, each first divided by the bound beside it, round by round.",
        ("what", "rows", "ratio", "to reach"),
    )

    def row(ours: tuple[str, int], theirs: tuple[str, int], target: str) -> Row:
        pairs = zip(found[ours], found[theirs], strict=True)
        ratios = [(a.rate / a.bound) / (b.rate / b.bound) for a, b in pairs]
        what = f"{ours[0]} to {theirs[0]}" if ours[1] == theirs[1] else f"{ours[0]}, to {theirs[1]:,} rows"
        return what, f"{ours[1]:,}", spread(ratios), target

    for size in sizes:
        for word in ("procrastinate", "DBOS"):
            table.rows.append(row((FULL, size), (_best(found, size, word), size), "3"))
        table.rows.append(row((TOGETHER, size), (_best(found, size, "pgqueuer"), size), "1.2"))
        bound = [one.rate / one.bound for one in found[TOGETHER, size]]
        table.rows.append((f"{TOGETHER}, to the bound", f"{size:,}", spread(bound), "0.7"))
        table.rows.append(
            (
                f"{FULL}, CPU us a task",
                f"{size:,}",
                spread([one.cpu_us for one in found[FULL, size]], 0),
                "at most 250",
            )
        )
    for name in (FULL, TOGETHER):
        table.rows.append(row((name, sizes[-1]), (name, sizes[0]), "0.8"))
    return table
