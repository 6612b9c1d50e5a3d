"""pgqueuer as it comes: an empty entry point, dequeued in batches, ends written in batches."""

import asyncio
import importlib
import logging
import os
import time
from typing import Any

import psycopg

from bench import server
from bench.crew import at_work

package: Any = importlib.import_module("pgqueuer")  # lives in the venv of the peers only
CHUNK = 10_000


async def queries(url: str) -> Any:
    """The package's statements on a connection of their own."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    driver = importlib.import_module("pgqueuer.db").PsycopgDriver(connection)
    return importlib.import_module("pgqueuer.queries").Queries(driver)


def prepare(url: str, rows: int, jobs: int, _releases: int) -> None:
    """The schema, and what is kept of jobs that are over: a row of its log each."""

    async def schema() -> None:
        await (await queries(url)).install()

    asyncio.run(schema())
    finished = rows - jobs
    if finished:
        server.ask(
            url,
            "insert into pgqueuer_log (created, job_id, priority, entrypoint, status, aggregated)"
            f" select now(), n, 0, 'nothing', 'successful', true from generate_series(1, {finished}) n",
        )
    server.ask(url, "vacuum analyze")


def release(url: str, jobs: int, _number: int) -> None:
    """Jobs to do, and nothing of the last ones that must be tidied up."""

    async def add() -> None:
        found = await queries(url)
        for first in range(0, jobs, CHUNK):
            size = min(CHUNK, jobs - first)
            await found.enqueue(["nothing"] * size, [None] * size, [0] * size)

    asyncio.run(add())
    server.ask(url, "vacuum analyze pgqueuer")


def work() -> None:
    """A worker that dequeues `BENCH_OPTION` jobs at once."""
    logging.disable(logging.CRITICAL)
    batch, seconds = int(os.environ["BENCH_OPTION"]), float(os.environ["BENCH_SECONDS"])
    loop = asyncio.new_event_loop()
    manager = package.QueueManager(loop.run_until_complete(queries(os.environ["BENCH_URL"])))
    count = [0.0, 0.0]

    async def nothing(_job: object) -> None:
        count[0] += 1
        count[1] = time.monotonic()

    manager.entrypoint("nothing")(nothing)

    modes = importlib.import_module("pgqueuer.types").QueueExecutionMode

    async def drain() -> None:
        asyncio.get_running_loop().call_later(seconds, manager.shutdown.set)
        await manager.run(batch_size=batch, mode=modes.drain)

    def run() -> tuple[int, float]:
        loop.run_until_complete(drain())
        return int(count[0]), count[1]

    at_work(run)


if __name__ == "__main__":
    work()
