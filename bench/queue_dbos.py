"""DBOS as it comes: an empty workflow on a queue of which each process runs `BENCH_OPTION` at once."""

import importlib
import logging
import os
import subprocess
import sys
import time
from typing import Any

from bench import server
from bench.crew import at_work
from bench.processes import ROOT, environment

package: Any = importlib.import_module("dbos")  # lives in the venv of the peers only
DBOS: Any = package.DBOS
POLL_S = 0.01
"""Its default of 1 s would leave the processes idle most of the time."""
QUEUE = "bench"
WAITING = "select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')"
COPY = (
    "insert into dbos.workflow_status (workflow_uuid, {names})"
    " select gen_random_uuid()::text, {values} from {pattern} t, generate_series(1, {count})"
)

count = [0.0, 0.0]


def nothing() -> None:
    """The empty workflow."""
    count[0] += 1
    count[1] = time.monotonic()


DBOS.workflow(name="nothing")(nothing)


def launch(url: str) -> None:
    """This process as one of its executors."""
    logging.disable(logging.CRITICAL)
    config = {"name": "bench", "system_database_url": url, "run_admin_server": False, "application_version": "1",
              "executor_id": f"e{os.getpid()}", "console_log_level": "CRITICAL"}  # fmt: skip
    DBOS(config=config)
    DBOS.launch()


def prepare(url: str, rows: int, jobs: int, _releases: int) -> None:
    """The schema, one workflow that waits and one that is over as patterns, and copies of the latter; in a process
    of its own, for its threads."""
    variables = {"BENCH_URL": url, "BENCH_FINISHED": str(rows - jobs)}
    words = [sys.executable, "-m", "bench.queue_dbos", "prepare"]
    subprocess.run(words, cwd=ROOT, env={**environment(), **variables}, check=True)


def _prepare(url: str, finished: int) -> None:
    launch(url)
    DBOS.destroy()
    client = package.DBOSClient(system_database_url=url)
    client.enqueue({"workflow_name": "nothing", "queue_name": QUEUE, "app_version": "1"})
    client.destroy()
    server.ask(
        url,
        "create table waits as select * from dbos.workflow_status",
        # its reader takes them from either table
        "update waits set inputs = (select inputs from dbos.workflow_input)",
    )
    _drain_one(url)
    server.ask(url, "create table over as select * from dbos.workflow_status where status = 'SUCCESS'")
    if finished:
        _copy(url, "over", finished)
    server.ask(url, "vacuum analyze")


def _drain_one(url: str) -> None:
    launch(url)
    DBOS.register_queue(QUEUE, worker_concurrency=100, polling_interval_sec=POLL_S)
    until = time.monotonic() + 30
    while server.number(url, WAITING):
        if time.monotonic() > until:
            raise RuntimeError("DBOS did not run its first workflow")
        time.sleep(0.05)
    DBOS.destroy()


def _copy(url: str, pattern: str, rows: int) -> None:
    found = server.ask(
        url,
        "select string_agg(quote_ident(column_name), ', ') from information_schema.columns"
        " where table_schema = 'dbos' and table_name = 'workflow_status' and is_generated = 'NEVER'"
        " and column_name <> 'workflow_uuid'",
    )
    names = str(found[0][0])
    values = ", ".join(f"t.{name}" for name in names.split(", "))
    server.ask(url, COPY.format(names=names, values=values, pattern=pattern, count=rows))


def release(url: str, jobs: int, _number: int) -> None:
    """Workflows to run, in one transaction: the executors see all at once."""
    _copy(url, "waits", jobs)


def work() -> None:
    """An executor, until the parent's second word."""
    url, at_once = os.environ["BENCH_URL"], int(os.environ["BENCH_OPTION"])
    launch(url)
    DBOS.register_queue(QUEUE, worker_concurrency=at_once, polling_interval_sec=POLL_S)

    def run() -> tuple[int, float]:
        sys.stdin.readline()
        return int(count[0]), count[1]

    at_work(run)
    os._exit(0)  # its threads are not waited for


if __name__ == "__main__":
    if sys.argv[1:] == ["prepare"]:
        _prepare(os.environ["BENCH_URL"], int(os.environ["BENCH_FINISHED"]))
    else:
        work()
