"""The engine's parts for tests: a real SQLite file, the real judges and strategies, everything else scripted."""

import itertools
from collections.abc import Callable
from pathlib import Path

from ringctl import registry, settings
from ringctl.core.fleet import Fleet
from ringctl.core.judging import Judge
from ringctl.core.policy import InventorySpec
from ringctl.engine.parts import Parts
from ringctl.stores.sqlite import SQLiteStore
from ringctl.stores.sqlite_database import SQLiteDatabase
from ringctl.testing.clock import FakeClock
from ringctl.testing.scripted_executor import ScriptedExecutor
from ringctl.testing.scripted_source import ScriptedSource


def numbered(prefix: str, *, digits: int = 6) -> Callable[[], str]:
    """Ids that are never issued twice and are the same in every run: `a000001`, `a000002`, ..."""
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers):0{digits}d}"


def make_store(path: Path, clock: FakeClock, *, durable: bool = True, ids: str = "c") -> SQLiteStore:
    """A migrated SQLite store on a fake clock. `durable=False` leaves out the waits for the disk (this thread's
    connection only): what a crash of the process leaves behind is the same, a power cut is not tested."""
    store = SQLiteStore(
        path,
        decode_policy=settings.policy_from_document,
        decode_bundle=settings.bundle_from_manifest,
        clock=clock,
        ids=numbered(ids),
    )
    store.migrate()
    if not durable:
        assert isinstance(store.database, SQLiteDatabase)
        store.database.ready().execute("pragma synchronous = off")
    return store


def make_parts(  # noqa: PLR0913 - what a process is made of, all by name
    directory: Path,
    *,
    clock: FakeClock | None = None,
    executor: ScriptedExecutor | None = None,
    source: ScriptedSource | None = None,
    host: str = "here",
    actor: str = "ana",
    durable: bool = True,
) -> Parts:
    """Parts over `directory/ringctl.db`. Every step runs on `executor`, every metric source is `source`."""
    time = clock or FakeClock()
    runner = executor or ScriptedExecutor()
    metrics = source or ScriptedSource(time)
    return Parts(
        store=make_store(directory / "ringctl.db", time, durable=durable, ids=f"{host}-c"),
        clock=time,
        executor=lambda _name: runner,
        source=lambda _spec: metrics,
        judges=_judges(),
        choose=registry.load("ringctl.strategies", "covering")().choose,
        read_fleet=_read_fleet,
        new_id=numbered(host[:1], digits=5),
        work_dir=directory / f"work-{host}",
        host=host,
        actor=actor,
        environ={},
    )


def _judges() -> dict[str, Judge]:
    names = registry.known("ringctl.judges")
    return {name: registry.load("ringctl.judges", name)() for name in names}


def _read_fleet(spec: InventorySpec, base: Path) -> Fleet:
    fleet: Fleet = registry.load("ringctl.inventories", spec.source)().read(spec, base)
    return fleet
