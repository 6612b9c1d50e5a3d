"""A small rollout that goes on from wherever it stands, and writes down what was acknowledged and what took effect.

Production parts on a real SQLite file with full durability; time, steps and metrics are scripted, so that every run
makes the same calls in the same order. Two files beside the store are written without a buffer and fail never:
`acknowledged` (what a method of the store answered for) and `effects` (what the steps did to the accounts).
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ringctl.core.errors import ConflictError, ExternalError
from ringctl.core.model import Rollout
from ringctl.core.states import OPEN_ROLLOUT_STATES, EffectState, TaskState, WaveState
from ringctl.core.timing import HOUR
from ringctl.engine.loop import Driver
from ringctl.ports.executor import Control, Order, Outcome, Probed, Ran
from ringctl.ports.records import Claim, Result
from ringctl.ports.store import Store
from ringctl.testing.clock import FakeClock
from ringctl.testing.parts import make_parts
from ringctl.testing.scripted_executor import ScriptedExecutor
from ringctl.testing.scripted_source import ScriptedSource
from ringctl.testing.stepped_node import SteppedNode, stepped_node
from ringctl.testing.values import NOON
from tests.crash import bugs
from tests.engine.world import SIMPLE, World, describe

Fact = list[Any]
"""A kind, and what identifies it."""

INNER, OUTER = 3, 2
PASSES = 200
CHECKPOINT_PAGES = 60
"""SQLite's own default is far more: here a checkpoint is to happen in mid run."""


def prepare(directory: Path) -> None:
    """Policy, accounts and two bundles."""
    directory.mkdir()
    world = World.__new__(World)
    world.directory = directory
    world.source = ScriptedSource(FakeClock())
    small = SIMPLE.replace("canary: {accounts: 2}", "canary: {accounts: 1}")
    world.policy.write_text(small.replace("p95: 30s", "p95: 2h"))  # a step lasts from one life to the next
    world.fleet(inner=INNER, outer=OUTER)
    world.bundle("b1")
    world.bundle("b2", texts={"b": "select 2 as b;\n"})


def append(path: Path, *lines: Sequence[Any]) -> None:
    """Write lines at once, in one call."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    finally:
        os.close(file)


def read(path: Path) -> list[Fact]:
    """The lines of such a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Acknowledging:
    """A store that writes down what it has answered for, after it has answered."""

    def __init__(self, store: Store, path: Path, bug: str) -> None:
        self.path = path
        self.store = bugs.around(bug, store, self.acknowledge)
        self._seen: dict[str, int] = {}

    def acknowledge(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], answer: Any) -> None:
        """Write down what was answered for."""
        append(self.path, *FACTS[name](args, kwargs, answer), *self._entries(name, args, answer))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if name not in FACTS:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            self.acknowledge(name, args, kwargs, answer)
            return answer

        return call

    def _entries(self, name: str, args: Sequence[Any], answer: Any) -> Iterator[Fact]:
        """The journal's new entries; for an applied decision also how far the journal goes with it."""
        if name not in JOURNALLED:
            return
        rollout = JOURNALLED[name](args)
        for entry in self.store.journal(rollout, after=self._seen.get(rollout, 0)):
            self._seen[rollout] = entry.seq
            yield ["entry", rollout, entry.seq, entry.hash]
        if name == "apply":
            yield ["version", rollout, answer.version, self._seen[rollout]]


def _step_done(claim: Claim, step: str, state: EffectState) -> list[Fact]:
    return [["step-done", claim.task, step]] if state is EffectState.DONE else []


def _last_done(claim: Claim, last: Result | None) -> list[Fact]:
    return _step_done(claim, last.step, last.state) if last else []


def _task_done(claim: Claim, state: TaskState) -> list[Fact]:
    return [["task-done", claim.task]] if state is TaskState.DONE else []


JOURNALLED = {
    "create_rollout": lambda args: args[0].rollout.id,
    "apply": lambda args: args[0].rollout.id,
    "record": lambda args: args[0],
}
FACTS: dict[str, Any] = {
    "migrate": lambda a, k, r: [["schema"]],
    "put_bundle": lambda a, k, r: [["bundle", a[0]]],
    "create_rollout": lambda a, k, r: [["rollout", a[0].rollout.id]],
    "apply": lambda a, k, r: [],
    "record": lambda a, k, r: [],
    "open_session": lambda a, k, r: [["session", r.id]],
    "claim": lambda a, k, r: [["claim", c.task, c.fence] for c in r],
    "claim_unknown": lambda a, k, r: [["claim", c.task, c.fence] for c in r],
    "intent": lambda a, k, r: [["intent", a[0].task, a[1], a[3]]],
    # only what cannot change any more: a step that failed may be begun again
    "result": lambda a, k, r: _step_done(a[0], a[1], a[2]),
    "finish": lambda a, k, r: [*_last_done(a[0], k.get("last")), *_task_done(a[0], a[1])],
    "add_look": lambda a, k, r: [["look", a[0].wave, a[0].number]],
}


class Marking(ScriptedExecutor):
    """A step's effect is a line in a file; a probe reads the file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def run(self, order: Order, control: Control) -> Ran:
        """Take effect."""
        del control
        append(self.path, [order.account, order.step.id, order.step.digest])
        return Ran(outcome=Outcome.DONE, numbers={"rows": 1})

    def probe(self, order: Order, control: Control) -> Probed:
        """The truth."""
        del control
        done = [order.account, order.step.id, order.step.digest] in read(self.path)
        return Probed.TOOK_EFFECT if done else Probed.DID_NOT


class Run:
    """One process's part in the rollout. `life` counts the processes: each comes an hour after the one before."""

    def __init__(self, directory: Path, life: int, bug: str = "") -> None:
        self.directory = directory
        self.life = life
        self.bug = bug
        self.clock = FakeClock(NOON + life * HOUR)
        self.executor = Marking(directory / "effects")

    def world(self) -> World:
        """Open the store; the first process makes it."""
        parts = make_parts(self.directory, clock=self.clock, executor=self.executor, host=f"life{self.life}")
        store: Any = parts.store
        store.database.ready().execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
        path = self.directory / "acknowledged"
        append(path, ["schema"])
        object.__setattr__(parts, "store", cast(Store, Acknowledging(store, path, self.bug)))
        return World(
            directory=self.directory,
            clock=self.clock,
            executor=self.executor,
            source=ScriptedSource(self.clock),
            parts=parts,
        )

    def to_the_end(self, *, patient: bool) -> Rollout:
        """Start if nobody has, amend when the first wave has passed, serve until it ends. A `patient` process takes
        a store that does not answer as the loop of a node does: it waits a little and tries again."""
        world = node = driver = None
        for _ in range(PASSES):
            try:
                world = world or self.world()
                node = node or stepped_node(world.parts, f"node{self.life}", lease_s=15)
                driver = driver or Driver(parts=world.parts, node=node)
                rollout = self._one_pass(world, node, driver)
                if rollout is not None:
                    self._leave(world, node)
                    return rollout
            except (ExternalError, ConflictError):
                if not patient:
                    raise
            self.clock.advance(1.0)
        assert world is not None
        raise AssertionError(
            f"no end in {PASSES} passes: {describe(world.load(world.parts.store.rollouts()[0].id))}"
        )

    def _one_pass(self, world: World, node: SteppedNode, driver: Driver) -> Rollout | None:
        known = world.parts.store.rollouts()
        if not known:
            world.start()
            return None
        rollout = world.load(known[0].id)
        if rollout.state not in OPEN_ROLLOUT_STATES:
            return rollout
        if len(rollout.revisions) == 1 and self._amendable(world, rollout):
            world.amend(rollout, "b2")
        node.beat()
        driver.observe()
        driver.step()
        while node.work_one():
            pass
        return None

    @staticmethod
    def _amendable(world: World, rollout: Rollout) -> bool:
        """Whether a wave has passed and no account stands half way: that would take a `from_step`."""
        halfway = world.parts.store.tasks(rollout.id, states=[TaskState.RUNNING, TaskState.UNKNOWN])
        return any(wave.state is WaveState.PASSED for wave in rollout.waves) and not any(halfway)

    def _leave(self, world: World, node: SteppedNode) -> None:
        node.drain()
        world.parts.store.close()
