"""A real PostgreSQL for the benchmarks: durable, its CPU counted, with the bound that its disk sets."""

import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from ringctl.demo.postgres import PostgresServer, installed_programs

BOUND_ROWS = 10_000
BOUND_SCRIPT = f"""\
\\set id random(1, {BOUND_ROWS})
update bound set value = value + 1 where id = :id;
"""
SETTINGS = {
    "shared_buffers": "1GB",
    # no checkpoint in the middle of a run: every subject writes the same kind of log
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
}
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[PostgresServer]:
    """A server whose data lies in `folder`, with fsync on."""
    folder.chmod(0o755)  # the server's user passes through
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        server = PostgresServer(durable=True, settings={**SETTINGS, **settings})
    finally:
        tempfile.tempdir = before
    with server:
        yield server


def ask(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements, each committed by itself; the rows of the last."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return list(cursor.fetchall()) if cursor.description else []


def number(url: str, statement: str) -> int:
    """The one number that a statement gives."""
    ((found,),) = ask(url, statement)
    return int(str(found))


def slow_commits(server: PostgresServer, microseconds: int) -> None:
    """Let every commit wait at least so long: a slower disk, imitated. 0 ends it."""
    ask(
        server.dsn(),
        f"alter system set commit_delay = {microseconds}",
        "alter system set commit_siblings = 0",
        "select pg_reload_conf()",
    )


def cpu_seconds(server: PostgresServer) -> float:
    """CPU of the whole server so far: the backends, and whatever else it does."""
    # a backend that ended is in its parent's sums of waited-for children
    found = sum(_ticks(server.pid)[0:4])
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return (found + sum(sum(_ticks(int(child))[0:2]) for child in children)) / TICKS


def _ticks(pid: int) -> list[int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    return [int(field) for field in fields[11:15]]


def make_bound(url: str) -> None:
    """The table whose rows the bound updates."""
    ask(
        url,
        "create table bound (id integer primary key, value bigint not null) with (fillfactor = 50)",
        f"insert into bound select n, 0 from generate_series(1, {BOUND_ROWS}) n",
        "vacuum analyze bound",
    )


def bound(folder: Path, url: str, *, clients: int, seconds: int) -> float:
    """One-row updates a second, each its own transaction: pgbench's count."""
    script = folder / "bound.sql"
    script.write_text(BOUND_SCRIPT)
    words = ("-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), "-T", seconds, "-f", script, url)
    done = subprocess.run(
        [str(installed_programs() / "pgbench"), *map(str, words)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return float(found[1])


def sync_ms(folder: Path, writes: int = 200) -> float:
    """Median milliseconds of an 8 KiB write with fdatasync: whether this is a disk at all."""
    found = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(writes):
            began = time.perf_counter()
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())
            found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)
