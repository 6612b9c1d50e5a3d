"""The processes of one world: nodes that are born, die, are stopped and drained, and a person's command line."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from ringctl import settings
from ringctl.core.digests import canonical
from ringctl.core.errors import BugError, RingctlError
from ringctl.core.policy import Policy
from ringctl.core.timing import SECOND
from ringctl.engine.guard import Lease
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts
from ringctl.ports.store import Store
from ringctl.stores.sqlite import SQLiteStore
from ringctl.stores.sqlite_database import SQLiteDatabase
from ringctl.testing.parts import make_parts, numbered
from ringctl.testing.simulator.faults import Faults
from ringctl.testing.simulator.oracle import Oracle
from ringctl.testing.simulator.source import SimSource
from ringctl.testing.simulator.store import SimStore
from ringctl.testing.simulator.target import SimExecutor, Target
from ringctl.testing.simulator.threads import SimClock, SimEvent
from ringctl.testing.simulator.wanted import Wanted
from ringctl.testing.simulator.world import Owner, World

LEASE_S = 15.0


@functools.cache
def template() -> tuple[Parts, bytes]:
    """Judges, strategies and inventories once for all worlds, and the bytes of a migrated, empty database."""
    directory = Path(tempfile.mkdtemp(prefix="ringctl-sim-"))
    try:
        parts = make_parts(directory, durable=False)
        parts.close()
        return parts, (directory / "ringctl.db").read_bytes()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@functools.lru_cache(maxsize=256)
def _decoded(text: str) -> Policy:
    return settings.policy_from_document(json.loads(text))


_bundle = functools.lru_cache(maxsize=256)(settings.bundle_from_manifest)


@dataclass(slots=True)
class Process:
    """One life of a node."""

    owner: Owner
    driver: Driver


@dataclass(slots=True)
class Site:
    """Everything that the processes of one world share."""

    world: World
    directory: Path
    faults: Faults
    oracle: Oracle
    target: Target
    source: SimSource
    lazy_s: float
    workers: int
    wanted: Wanted | None = None
    open: ExitStack = field(default_factory=ExitStack)
    overrides: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)
    person: Owner = field(default_factory=lambda: Owner(name="ana", mortal=False))
    births: int = 0
    calm: bool = False

    # -- parts -------------------------------------------------------------------------------------
    @property
    def database(self) -> Path:
        """The one database."""
        return self.directory / "ringctl.db"

    def bare_store(self, name: str, *, spoilt: bool = True) -> SQLiteStore:
        """The production store on the world's clock, without waits for a disk, with a seeded bug's statements."""
        store = SQLiteStore(
            self.database,
            decode_policy=decode_policy,
            decode_bundle=_bundle,
            clock=self.world.wall_us,
            ids=numbered(f"{name}-"),
            jitter=lambda: 0.5,
        )
        assert isinstance(store.database, SQLiteDatabase)
        store.database.ready().execute("pragma synchronous = off")
        self.open.callback(store.close)
        if spoilt:
            self.open.enter_context(store.statements.override(**self.overrides))
        return store

    def parts(self, owner: Owner, *, lazy_s: float = 0.0) -> Parts:
        """What one process works with."""
        name = f"{owner.name}.{owner.life}"
        executor = SimExecutor(self.target, owner, self.faults)
        common, _ = template()
        store = SimStore(self.bare_store(name), owner, self.faults, self.oracle, self.wanted)
        return replace(
            common,
            store=cast("Store", store),
            clock=SimClock(self.world, lazy_s),
            executor=lambda _name: executor,
            source=lambda _spec: self.source,
            new_id=numbered(name[0], digits=5),
            work_dir=self.directory / f"work-{owner.name}",
            actor=owner.name,
        )

    # -- nodes -------------------------------------------------------------------------------------
    def start(self, name: str, *, decides: bool) -> None:
        """A node's process starts: a new life, a new session."""
        life = self.lives[name] = self.lives.get(name, 0) + 1
        self.births += 1
        owner = Owner(name=name, life=life)
        parts = self.parts(owner, lazy_s=self.lazy_s)
        node = Node(
            parts=parts,
            name=name,
            parallel=self.workers,
            lease_us=round(LEASE_S * SECOND),
            wake=SimEvent(self.world),
            lease=Lease(),
            _ended=SimEvent(self.world),
        )
        driver = Driver(
            parts=parts,
            node=node,
            decides=decides,
            backs_off=self.world.random.random() < 0.7,
            stopping=SimEvent(self.world),
            _heard=SimEvent(self.world),
        )
        process = Process(owner, driver)
        self.processes[name] = process
        self.world.spawn(f"{name}.main", lambda: self._main(process), owner)

    def _main(self, process: Process) -> None:
        """What `ringctl run` does; the service manager starts it again whatever ends it."""
        try:
            process.driver.run(lambda: False)
        except BugError as error:
            self.world.fail(f"bug: {error.message}")
        except RingctlError:
            pass
        self.gone(process)

    def gone(self, process: Process) -> None:
        """A process has ended, or died: its shims notice, and it is started again after a while."""
        owner = process.owner
        self.world.kill(owner)
        self.target.orphan(owner)
        if self.processes.get(owner.name) is process:
            del self.processes[owner.name]
            wait_s = self.world.random.uniform(0.5, 3.0 if self.calm else 40.0)
            decides = process.driver.decides
            self.world.after(wait_s, lambda: self.start(owner.name, decides=decides))

    def bury(self) -> None:
        """Notice who was killed at a switch point."""
        for process in list(self.processes.values()):
            if process.owner.dead:
                self.gone(process)

    def crash(self, name: str) -> None:
        """SIGKILL."""
        process = self.processes.get(name)
        if process is not None:
            self.faults.crashes += 1
            self.gone(process)

    def stop(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        process = self.processes.get(name)
        if process is not None:
            self.faults.stops += 1
            process.owner.stopped_until_us = self.world.now_us + round(seconds * SECOND)

    def drain(self, name: str) -> None:
        """SIGTERM: it finishes what it holds, and ends."""
        process = self.processes.get(name)
        if process is not None:
            process.driver.stopping.set()

    def go_calm(self) -> None:
        """No more faults; whoever stands still goes on."""
        self.calm = True
        self.faults.calm()
        self.target.calm()
        self.source.out = self.source.gone = False
        for process in self.processes.values():
            process.owner.stopped_until_us = 0


def decode_policy(document: Mapping[str, object]) -> Policy:
    """As production decodes it, once per text and not once per life of a process."""
    return _decoded(canonical(document))


@contextmanager
def directory() -> Any:
    """A directory in memory where there is one."""
    memory = Path("/dev") / "shm"
    made = Path(tempfile.mkdtemp(prefix="ringctl-sim-", dir=memory if memory.is_dir() else None))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
