"""(b) A rollout with the `noop` executor against bare transactions; (c) the cost of one look by fleet size."""

import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.processes import begin, end
from bench.tables import Table, spread
from bench.worlds import ONE_RING, write_world
from ringctl import bootstrap
from ringctl.core.states import OPEN_ROLLOUT_STATES
from ringctl.engine import commands
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts
from ringctl.engine.reconcile import Reconciler

TRANSACTIONS = 3_000
PATIENCE_S = 300.0
"""A rollout that takes longer is broken: its workers died."""


def rollout(folder: Path, runs: int, accounts: int) -> Table:
    """Accounts per second: threads of one node, and worker processes. The last run of threads "
    "is the big fleet."""
    table = Table(
        "rollout of accounts with a step that does nothing",
        "SQLite, synchronous=FULL. One step an account: claimed in batches; intent, result and "
        "end are three durable "
        "transactions under the claim. The bound is a bare loop of one-row BEGIN IMMEDIATE .. "
        "UPDATE .. COMMIT on the same "
        "file system, before and after each run; so 0.33 would be a rollout that costs nothing "
        "but its commits. Waves' own "
        "waits (three waves) are inside.",
        ("how", "accounts", "accounts/s", "to bound", "CPU us an account", "bound tx/s"),
    )
    small = accounts // 5
    cases: list[tuple[str, int, int, Callable[[Path], tuple[float, float]]]] = [
        ("1 thread", small, runs, lambda world: _threads(world, 1)),
        ("4 threads", small, runs, lambda world: _threads(world, 4)),
        ("4 worker processes of 1 thread, 1 that decides", small, runs, lambda world: _processes(world, 4)),
        ("4 threads", accounts, 1, lambda world: _threads(world, 4)),
    ]
    for name, count, times, run in cases:
        rates, ratios, cpus, bounds = [], [], [], []
        for _ in range(times):
            world = write_world(folder / "rollout", count, traits=2, rings=ONE_RING)
            before = bare(world / "bare.db")
            seconds, cpu = run(world)
            bound = (before + bare(world / "bare.db")) / 2
            rates.append(count / seconds)
            ratios.append(count / seconds / bound)
            cpus.append(cpu / count * 1e6)
            bounds.append(bound)
            shutil.rmtree(world)
        table.rows.append(
            (name, f"{count:,}", spread(rates, 0), spread(ratios, 3), spread(cpus, 0), spread(bounds, 0))
        )
    return table


def bare(path: Path) -> float:
    """One-row transactions a second."""
    path.unlink(missing_ok=True)
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("pragma journal_mode = wal")
    raw.execute("pragma synchronous = full")
    raw.execute("create table row (id integer primary key, value integer)")
    raw.execute("begin")
    raw.executemany("insert into row values (?, 0)", ((number,) for number in range(TRANSACTIONS)))
    raw.execute("commit")
    began = time.monotonic()
    for number in range(TRANSACTIONS):
        raw.execute("begin immediate")
        raw.execute("update row set value = value + 1 where id = ?", (number,))
        raw.execute("commit")
    took = time.monotonic() - began
    raw.close()
    return TRANSACTIONS / took


def _started(parts: Parts, world: Path) -> str:
    return commands.start(
        parts, commands.Request(policy=world / "policy.yaml", bundle=world / "bundle")
    ).rollout.id


def _drive(parts: Parts, rollout_id: str, node: Node | None) -> None:
    driver = Driver(parts=parts, node=node, only=rollout_id)
    until = time.monotonic() + PATIENCE_S

    def over() -> bool:
        return time.monotonic() > until or parts.store.load(rollout_id).state not in OPEN_ROLLOUT_STATES

    driver.run(over)
    ended = parts.store.load(rollout_id)
    facts = parts.store.facts(ended)
    done = sum(facts.wave(wave.id).done for wave in ended.waves)
    if ended.state != "succeeded" or done != ended.accounts:
        raise RuntimeError(f"the rollout is {ended.state}, {done} of {ended.accounts} done")


def _threads(world: Path, workers: int) -> tuple[float, float]:
    """(seconds, CPU seconds) of one node in this process."""
    with bootstrap.open_parts(f"sqlite:///{world / 'ringctl.db'}") as parts:
        rollout_id = _started(parts, world)
        began, used = time.monotonic(), time.process_time()
        _drive(parts, rollout_id, Node(parts=parts, name="bench", parallel=workers))
        return time.monotonic() - began, time.process_time() - used


def _processes(world: Path, count: int) -> tuple[float, float]:
    """(seconds, CPU seconds) of `ringctl work` processes and this one, which decides only."""
    with bootstrap.open_parts(f"sqlite:///{world / 'ringctl.db'}") as parts:
        rollout_id = _started(parts, world)
        began, used = time.monotonic(), time.process_time()
        words = ("-m", "ringctl", "--state", f"sqlite:///{world / 'ringctl.db'}", "work", "--rollout", rollout_id,
                 "--workers", "1")  # fmt: skip
        workers = [begin(words, world) for _ in range(count)]
        try:
            _drive(parts, rollout_id, None)
            took, cpu = time.monotonic() - began, time.process_time() - used
        finally:
            for worker in workers:
                worker.terminate()
        for worker in workers:
            cpu += end(worker, began, codes=(0, 143)).cpu
        return took, cpu


def facts(folder: Path, runs: int, sizes: Sequence[int]) -> Table:
    """One look at an open rollout of each size."""
    table = Table(
        "facts and tick by fleet size",
        "One wave is open and nothing is running. `facts()` is what a decision sees; `tick` "
        "reads, decides and finds nothing "
        "to do. The ratio is to the smallest fleet; it must stay under 1.5.",
        ("accounts", "facts us", "to smallest", "tick us", "to smallest"),
    )
    with ExitStack() as stack:
        looks = [_looks(stack, folder, accounts) for accounts in sizes]
        rounds = [[[_median_us(call) for call in pair] for pair in looks] for _ in range(runs)]
    for place, accounts in enumerate(sizes):
        row = [f"{accounts:,}"]
        for which in (0, 1):
            row.append(spread([one[place][which] for one in rounds], 0))
            row.append(spread([one[place][which] / one[0][which] for one in rounds]))
        table.rows.append(row)
    return table


def _looks(
    stack: ExitStack, folder: Path, accounts: int
) -> tuple[Callable[[], object], Callable[[], object]]:
    """(facts, tick) over a started rollout."""
    world = write_world(folder / f"facts{accounts}", accounts, traits=2, rings=ONE_RING)
    parts = stack.enter_context(bootstrap.open_parts(f"sqlite:///{world / 'ringctl.db'}"))
    rollout_id = _started(parts, world)
    reconciler = Reconciler(parts=parts)
    reconciler.reconcile(rollout_id)
    current = parts.store.load(rollout_id)
    return lambda: parts.store.facts(current), lambda: reconciler.reconcile(rollout_id)


def _median_us(call: Callable[[], object], calls: int = 200) -> float:
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        found.append((time.perf_counter() - began) * 1e6)
    return statistics.median(found)
