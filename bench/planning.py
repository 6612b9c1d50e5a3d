"""(a) `plan`: seconds, CPU and memory of a process of its own; (f) `create_rollout`."""

import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from bench.processes import Cost, python
from bench.tables import Table, spread
from bench.worlds import write_world
from ringctl import bootstrap
from ringctl.engine import commands

PLAN = ("-m", "ringctl", "plan", "--policy", "policy.yaml", "--bundle", "bundle", "-o", "json")
READ = ("-c", "import csv; rows = list(csv.reader(open('accounts.csv')))")


def plan(folder: Path, runs: int, *, million: bool) -> Table:
    """The cost of a plan by fleet size."""
    table = Table(
        "plan",
        "A CSV file with 12 traits an account; the bound is a process that only reads the file into lists. "
        "Target for 100,000 accounts: at most 10 s and 512 MiB (later for 1,000,000: 120 s and 1 GiB).",
        ("accounts", "seconds", "CPU s", "peak MiB", "CPU to bound", "us an account"),
    )
    sizes = [(10_000, runs), (100_000, runs), *([(1_000_000, 1)] if million else [])]
    for accounts, times in sizes:
        world = write_world(folder / f"plan{accounts}", accounts)
        costs: list[Cost] = []
        ratios = []
        for _ in range(times):
            bound = python(READ, world)
            costs.append(python(PLAN, world))
            ratios.append(costs[-1].cpu / bound.cpu)
        table.rows.append(_plan_row(accounts, costs, ratios))
    return table


def _plan_row(accounts: int, costs: Sequence[Cost], ratios: Sequence[float]) -> Sequence[str]:
    return (
        f"{accounts:,}",
        spread([cost.seconds for cost in costs]),
        spread([cost.cpu for cost in costs]),
        spread([cost.peak_mib for cost in costs], 0),
        spread(ratios, 1),
        spread([cost.cpu / accounts * 1e6 for cost in costs], 1),
    )


def create(folder: Path, runs: int, accounts: int = 100_000) -> Table:
    """The cost of storing a planned rollout."""
    table = Table(
        "create_rollout",
        "Members and first tasks of a rollout into an empty SQLite file, in one transaction. The bound inserts the "
        "same number of rows with the same JSON texts into one table with one index.",
        ("accounts", "seconds", "CPU us an account", "seconds to bound", "file MiB", "bytes an account"),
    )
    world = write_world(folder / "create", accounts)
    seconds, cpu, ratios, sizes = [], [], [], []
    request = commands.Request(policy=world / "policy.yaml", bundle=world / "bundle")
    for number in range(runs):
        path = world / f"store{number}.db"
        with bootstrap.open_parts(f"sqlite:///{path}") as parts:
            planned = commands.plan(parts, request)
            texts = [(m.account, json.dumps(m.traits), json.dumps(m.columns)) for m in planned.plan.members]
            bound = _insert(world / f"bound{number}.db", texts)
            counted: list[tuple[float, float]] = []
            creating = parts.store.create_rollout

            def timed(
                new: object, creating: object = creating, counted: list[tuple[float, float]] = counted
            ) -> None:
                began, used = time.monotonic(), time.process_time()
                creating(new)  # type: ignore[operator]
                counted.append((time.monotonic() - began, time.process_time() - used))

            parts.store.create_rollout = timed  # type: ignore[method-assign]
            commands.start(parts, request)
        seconds.append(counted[0][0])
        cpu.append(counted[0][1] / accounts * 1e6)
        ratios.append(counted[0][0] / bound)
        sizes.append(path.stat().st_size)
    size = sizes[0]
    table.rows.append(
        (
            f"{accounts:,}",
            spread(seconds),
            spread(cpu, 1),
            spread(ratios),
            f"{size / 2**20:.0f}",
            f"{size / accounts:.0f}",
        )
    )
    return table


def _insert(path: Path, texts: Sequence[tuple[str, str, str]]) -> float:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("pragma journal_mode = wal")
    raw.execute("pragma synchronous = full")
    raw.execute(
        "create table member (id integer primary key, account text unique, traits text, columns text)"
    )
    began = time.monotonic()
    raw.execute("begin immediate")
    raw.executemany("insert into member (account, traits, columns) values (?, ?, ?)", texts)
    raw.execute("commit")
    took = time.monotonic() - began
    raw.close()
    return took
