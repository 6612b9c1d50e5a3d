"""The queues that are measured side by side, and one measurement of one of them."""

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import server
from bench.crew import Crew, Work
from ringctl.demo.postgres import PostgresServer

WORKERS = 4
BOX_S = 60
"""A queue that is not empty by then is measured by what it did."""
BOUND_S = 2


@dataclass(frozen=True)
class Subject:
    """A queue in one setting. `jobs`: how many are drained in one measurement, at most a tenth of a big table."""

    name: str
    module: str
    option: str
    jobs: int
    told_to_end: bool = False
    """Its workers do not end by themselves when nothing is left."""

    @property
    def hand(self) -> Any:
        """Its module: `prepare`, `release`, and a worker's life."""
        return importlib.import_module(self.module)


FULL, TOGETHER = "ringctl, full protocol", "ringctl, batch path"
RINGCTL = (
    Subject(FULL, "bench.queue_ringctl", "1", 10_000),
    Subject(f"{FULL}, 8 threads each", "bench.queue_ringctl", "8", 10_000),
    Subject(TOGETHER, "bench.queue_ringctl", "batch", 10_000),
)
PEERS = (
    Subject("procrastinate, concurrency 1", "bench.queue_procrastinate", "1", 2_500),
    Subject("procrastinate, concurrency 10", "bench.queue_procrastinate", "10", 2_500),
    Subject("DBOS, worker_concurrency 100", "bench.queue_dbos", "100", 5_000, told_to_end=True),
    Subject("pgqueuer, batch 10", "bench.queue_pgqueuer", "10", 10_000),
    Subject("pgqueuer, batch 100", "bench.queue_pgqueuer", "100", 10_000),
    Subject("pgqueuer, batch 1000", "bench.queue_pgqueuer", "1000", 10_000),
)


@dataclass(frozen=True)
class Measured:
    """One measurement. CPU in microseconds a job: all of it, and the workers' part."""

    rate: float
    bound: float
    cpu_us: float
    client_us: float


def measure(
    running: PostgresServer, folder: Path, subject: Subject, place: tuple[str, int], jobs: int
) -> Measured:
    """Release `jobs` in the database, drain them with four processes; the bound before and after."""
    url, number = place
    before = server.bound(folder, running.dsn(), clients=WORKERS, seconds=BOUND_S)
    work, cpu = _drain(running, subject, url, jobs, number)
    after = server.bound(folder, running.dsn(), clients=WORKERS, seconds=BOUND_S)
    if work.jobs < jobs / 20:
        raise RuntimeError(f"{subject.name}: only {work.jobs} of {jobs} jobs were done")
    return Measured(
        rate=work.jobs / work.seconds,
        bound=(before + after) / 2,
        cpu_us=(work.cpu + cpu) / work.jobs * 1e6,
        client_us=work.cpu / work.jobs * 1e6,
    )


def _drain(running: PostgresServer, subject: Subject, url: str, jobs: int, number: int) -> tuple[Work, float]:
    """(what the workers did, CPU seconds of the server)."""
    hand = subject.hand
    if not subject.told_to_end:
        hand.release(url, jobs, number)
    variables = {"BENCH_URL": url, "BENCH_OPTION": subject.option, "BENCH_SECONDS": str(BOX_S)}
    with Crew(subject.module, WORKERS, variables) as crew:
        if subject.told_to_end:
            hand.release(url, jobs, number)
        used = server.cpu_seconds(running)
        began = crew.begin()
        if subject.told_to_end:
            until = began + BOX_S
            while server.number(url, hand.WAITING) and time.monotonic() < until:
                time.sleep(0.1)
            crew.begin()
        work = crew.end(began)
        return work, server.cpu_seconds(running) - used
