"""Claims that begin after a pause has committed: none, and with the wave's lock taken out the measure sees them."""

import mmap
import os
import random
import struct
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bench import filling, server
from bench.crew import Crew, at_work
from bench.tables import Table
from ringctl.core.decisions import Step
from ringctl.core.model import Hold
from ringctl.core.states import RolloutState
from ringctl.core.timing import HOUR
from ringctl.demo.postgres import PostgresServer
from ringctl.ports.store import Store
from ringctl.testing.values import NOON

WORKERS = 4
TASKS_A_PAUSE = 60
PATIENCE_S = 30.0
GUARD = "lock_admitting_wave"
"""The statement that reads the wave inside the claiming transaction, and locks it."""
LATE = """
select count(*) from ringctl.task t where t.state = 'running'
   and pg_xact_commit_timestamp(t.xmin) > (select pg_xact_commit_timestamp(xmin) from ringctl.wave where id = 1)
"""
"""Claims whose commit came after the pause's: a running task and the wave were last written by claim and pause."""


def pausing(running: PostgresServer, pauses: int) -> Table:
    """Pauses while four processes claim, and fewer of them without the lock."""
    table = Table(
        "exclusive execution: pauses",
        "Four processes claim one task at a time, as fast as they can, while the rollout is paused and resumed. A "
        "late claim is one whose commit came after the pause's (by the server's own commit times). In the control "
        "the claim reads the wave without locking it: the measure sees it.",
        ("claim", "pauses", "claims in all", "late claims", "to reach"),
    )
    for name, count, locked in (
        ("as it is", pauses, True),
        ("without the lock", max(50, pauses // 10), False),
    ):
        claims, late = _pauses(running, count, locked=locked)
        table.rows.append((name, f"{count:,}", f"{claims:,}", f"{late:,}", "0" if locked else "more than 0"))
    return table


def _pauses(running: PostgresServer, pauses: int, *, locked: bool) -> tuple[int, int]:
    """(claims in all, late ones)."""
    url = running.create_database(f"pausing_{int(locked)}")
    store = filling.open_store(url)
    store.migrate()
    filling.start(store)
    rows = pauses * TASKS_A_PAUSE
    filling.fill(url, rows, waiting="true")
    filling.release(url, "true")
    chance = random.Random(1)
    late = 0
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(8 * WORKERS)
        tried = mmap.mmap(file.fileno(), 8 * WORKERS)
        stop = Path(f"{file.name}.stop")
        variables = {"BENCH_URL": url, "BENCH_FILE": file.name, "BENCH_LOCKED": str(int(locked))}
        with Crew("bench.pausing", WORKERS, {**variables, "BENCH_STOP": str(stop)}) as crew:
            began = crew.begin()
            try:
                for _ in range(pauses):
                    _wait_for_tries(tried, 2)
                    time.sleep(chance.random() / 500)  # pauses fall anywhere in a claim
                    _set(store, held=True)
                    _wait_for_tries(tried, 2)
                    late += server.number(url, LATE)
                    _set(store, held=False)
            finally:
                stop.touch()
            claims = crew.end(began).jobs
        stop.unlink()
    store.close()
    if claims >= rows:
        raise RuntimeError("the tasks ran out: nothing was left to claim")
    return claims, late


def _wait_for_tries(tried: mmap.mmap, more: int) -> None:
    """Until every worker has tried to claim so many times more."""
    before = struct.unpack(f"{WORKERS}q", tried[:])
    until = time.monotonic() + PATIENCE_S
    while any(
        now < then + more for now, then in zip(struct.unpack(f"{WORKERS}q", tried[:]), before, strict=True)
    ):
        if time.monotonic() > until:
            raise RuntimeError("a worker stands still")
        time.sleep(0.0005)


def _set(store: Store, *, held: bool) -> None:
    rollout = store.load(filling.ROLLOUT)
    pause = Hold(code="pause", reason="bench", owner="bench", since_us=NOON)
    moved = replace(
        rollout,
        state=RolloutState.HELD if held else RolloutState.RUNNING,
        holds=(pause,) if held else (),
    )
    store.apply(Step(rollout=moved, decisions=()), expected=rollout.version, actor="bench")


def work() -> None:
    """A claimer; it counts its tries where the pausing process sees them."""
    store = filling.open_store(os.environ["BENCH_URL"])
    session = store.open_session("bench", lease_us=HOUR)
    rollout = store.load(filling.ROLLOUT)
    stop = Path(os.environ["BENCH_STOP"])
    guarded = store.database.statements[GUARD]
    unlocked = guarded.replace("for no key update", "")
    if unlocked == guarded:
        raise RuntimeError(f"{GUARD} has no lock to take out: the control would show nothing")
    with Path(os.environ["BENCH_FILE"]).open("r+b") as file, mmap.mmap(file.fileno(), 0) as tried:
        place = 8 * int(os.environ["BENCH_NUMBER"])

        def claim() -> tuple[int, float]:
            claims = 0
            while not stop.exists():
                claims += len(store.claim(session, rollout, rollout.wave(filling.WAVE), limit=1))
                (count,) = struct.unpack_from("q", tried, place)
                struct.pack_into("q", tried, place, count + 1)
            return claims, time.monotonic()

        keep = os.environ["BENCH_LOCKED"] == "1"
        with nullcontext() if keep else store.database.statements.override(**{GUARD: unlocked}):
            at_work(claim)
    store.close()


if __name__ == "__main__":
    work()
