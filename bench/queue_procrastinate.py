"""procrastinate as it comes: an empty task, drained by workers that end when nothing is left."""

import asyncio
import importlib
import logging
import os
import time
from typing import Any

from bench import server
from bench.crew import at_work

procrastinate: Any = importlib.import_module("procrastinate")  # lives in the venv of the peers only
ADD = (
    "insert into procrastinate_jobs (queue_name, task_name, status, attempts)"
    " select 'bench', 'nothing', '{state}', {tries} from generate_series(1, {count})"
)
PAST = (
    "insert into procrastinate_events (job_id, type) select id, kind::procrastinate_job_event_type"
    " from procrastinate_jobs, unnest(array['started', 'succeeded']) kind where status = 'succeeded'"
)


def application(url: str) -> Any:
    """An application with one task that does nothing."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    app.task(name="nothing", queue="bench")(nothing)
    return app


async def nothing() -> None:
    """The task."""
    count[0] += 1
    count[1] = time.monotonic()


count = [0.0, 0.0]


def prepare(url: str, rows: int, jobs: int, _releases: int) -> None:
    """The schema, and jobs that are over."""

    async def schema() -> None:
        async with application(url).open_async() as app:
            await app.schema_manager.apply_schema_async()

    asyncio.run(schema())
    finished = rows - jobs
    if finished:
        server.ask(url, ADD.format(state="succeeded", tries=1, count=finished), PAST)
    server.ask(url, "vacuum analyze")


def release(url: str, jobs: int, _number: int) -> None:
    """Jobs to do."""
    server.ask(url, ADD.format(state="todo", tries=0, count=jobs), "analyze procrastinate_jobs")


def work() -> None:
    """A worker of `BENCH_OPTION` jobs at once."""
    logging.disable(logging.CRITICAL)
    app = application(os.environ["BENCH_URL"])
    concurrency, seconds = int(os.environ["BENCH_OPTION"]), float(os.environ["BENCH_SECONDS"])
    loop = asyncio.new_event_loop()
    loop.run_until_complete(app.open_async())

    async def drain() -> None:
        worker = asyncio.create_task(
            app.run_worker_async(
                queues=["bench"], concurrency=concurrency, wait=False, install_signal_handlers=False
            )
        )
        await asyncio.wait([worker], timeout=seconds)
        if not worker.done():
            worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    def run() -> tuple[int, float]:
        loop.run_until_complete(drain())
        return int(count[0]), count[1]

    at_work(run)
    loop.run_until_complete(app.close_async())


if __name__ == "__main__":
    work()
