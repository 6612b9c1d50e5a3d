"""A small fleet on disk under the production engine: real SQLite, real judges, scripted time, steps and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringctl.core.facts import WaveFacts
from ringctl.core.model import Rollout, Wave
from ringctl.core.states import TaskState
from ringctl.engine import commands
from ringctl.engine.commands import AmendRequest, Request
from ringctl.engine.observe import Observer
from ringctl.engine.parts import Parts
from ringctl.engine.reconcile import Reconciled, Reconciler
from ringctl.ports.records import TaskRow
from ringctl.testing.clock import FakeClock
from ringctl.testing.parts import make_parts
from ringctl.testing.scripted_executor import ScriptedExecutor
from ringctl.testing.scripted_source import ScriptedSource
from ringctl.testing.stepped_node import SteppedNode, stepped_node

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: p, owner: team}
inventory: {source: csv, path: accounts.csv, id: account_id, size: size, traits: [region], target: [database]}
metrics:
  app: {type: scrape, url: "http://127.0.0.1:9/metrics"}
gates:
  errors:
    source: app
    bad: {counter: bad}
    all: {counter: all}
    compare: canary-vs-control
    fail_if: {increase: 100%}
    min_samples: 20
defaults: {every: 1s, gates: [errors]}
rings:
  - {name: inner, select: {ring: 0}, canary: {accounts: 2}, waves: [100%], bake: {min: 3s, max: 60s}, max_parallel: 4}
  - {name: outer, select: {ring: 1}, canary: {accounts: 2}, waves: [100%], bake: {min: 3s, max: 60s}, max_parallel: 4}
requalify: {accounts: 2, share: 50%, bake: {min: 3s, max: 60s}, reserve: 20%}
"""

SIMPLE = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: plain, owner: team}
inventory: {source: csv, path: accounts.csv, id: account_id, size: size, traits: [region], target: [database]}
gates: {slow: {source: steps, value: duration, compare: threshold, fail_if: {p95: 30s}, every: 1s}}
rings:
  - {name: inner, select: {ring: 0}, canary: {accounts: 2}, waves: [100%], bake: {min: 1s, max: 1m}, gates: [slow]}
  - {name: outer, select: {ring: 1}, canary: {accounts: 2}, waves: [100%], bake: {min: 1s, max: 1m}, gates: [slow]}
requalify: {accounts: 2, share: 50%, bake: {min: 1s, max: 1m}, reserve: 20%}
"""
"""No metric source: for tests about work, not about health."""

HEAD = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: up, version: "%s", component: build, author: ann}
steps:
"""
STEP = '  - {id: %s, sql: %s.sql, database: "{account.target.database}"}\n'
TEXT = "select 1 as %s;\n"


@dataclass(slots=True)
class World:
    """One directory, one store, one process's parts; nodes are added with `node`."""

    directory: Path
    clock: FakeClock
    executor: ScriptedExecutor
    source: ScriptedSource
    parts: Parts
    reconciler: Reconciler = field(init=False)
    observer: Observer = field(init=False)

    def __post_init__(self) -> None:
        self.reconciler = Reconciler(parts=self.parts)
        self.observer = Observer(parts=self.parts)

    # -- files -------------------------------------------------------------------------------------
    @property
    def policy(self) -> Path:
        return self.directory / "policy.yaml"

    def fleet(self, inner: int = 6, outer: int = 8, *, sizes: Mapping[str, float] | None = None) -> list[str]:
        """Write accounts.csv: i1.. in ring 0, o1.. in ring 1; sizes 10 unless told."""
        rows, names = ["account_id,ring,size,region,database"], []
        for prefix, ring, count in (("i", 0, inner), ("o", 1, outer)):
            for number in range(1, count + 1):
                name = f"{prefix}{number}"
                size = (sizes or {}).get(name, 10)
                rows.append(f"{name},{ring},{size},eu,{name}.db")
                names.append(name)
        (self.directory / "accounts.csv").write_text("\n".join(rows) + "\n")
        self.source.accounts = set(names)
        return names

    def bundle(
        self,
        name: str,
        *steps: str,
        more: str = "",
        version: str = "1",
        texts: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a bundle of `sql` steps (default a, b) with one file each; `more` is further YAML."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        ids = steps or ("a", "b")
        manifest = HEAD % version + "".join(STEP % (step, step) for step in ids) + more
        for step in (*ids, "close"):
            (directory / f"{step}.sql").write_text((texts or {}).get(step, TEXT % step))
        (directory / "bundle.yaml").write_text(manifest)
        return directory

    # -- acts --------------------------------------------------------------------------------------
    def request(self, bundle: str = "b1", **changes: Any) -> Request:
        fields: dict[str, Any] = {"policy": self.policy, "bundle": self.directory / bundle, **changes}
        return Request(**fields)

    def start(self, bundle: str = "b1", **changes: Any) -> Rollout:
        return commands.start(self.parts, self.request(bundle, **changes)).rollout

    def amend(self, rollout: Rollout | str, bundle: str, reason: str = "fix") -> Rollout:
        ident = rollout if isinstance(rollout, str) else rollout.id
        asked = AmendRequest(rollout=ident, bundle=self.directory / bundle, author="ben", reason=reason)
        return commands.amend(self.parts, asked)

    def node(self, name: str = "n1", **changes: Any) -> SteppedNode:
        return stepped_node(self.parts, name, **changes)

    # -- time --------------------------------------------------------------------------------------
    def reconcile(self, rollout: Rollout) -> Reconciled:
        return self.reconciler.reconcile(rollout.id)

    def look(self, rollout: Rollout, seconds: float = 1.0) -> Rollout:
        """Let time pass, look, decide."""
        self.clock.advance(seconds)
        self.observer.observe(self.load(rollout))
        return self.reconcile(rollout).rollout

    def looks(self, rollout: Rollout, count: int) -> Rollout:
        for _ in range(count):
            rollout = self.look(rollout)
        return rollout

    def until(self, rollout: Rollout, done, node: SteppedNode | None = None, *, most: int = 400) -> Rollout:
        """Look, decide and work until `done(rollout)`."""
        for _ in range(most):
            rollout = self.load(rollout)
            if done(rollout):
                return rollout
            rollout = self.look(rollout)
            if node is not None and not done(rollout):
                node.work(rollout)
        raise AssertionError(f"not reached in {most} looks: {describe(rollout)}")

    # -- looking -----------------------------------------------------------------------------------
    def load(self, rollout: Rollout | str) -> Rollout:
        return self.parts.store.load(rollout if isinstance(rollout, str) else rollout.id)

    def wave(self, rollout: Rollout, index: int = 0) -> Wave:
        return self.load(rollout).waves[index]

    def facts(self, rollout: Rollout, index: int = 0) -> WaveFacts:
        now = self.load(rollout)
        return self.parts.store.facts(now).wave(now.waves[index].id)

    def tasks(self, rollout: Rollout, account: str = "") -> list[TaskRow]:
        return list(self.parts.store.tasks(rollout.id, account=account))

    def state(self, rollout: Rollout, account: str) -> TaskState:
        return self.tasks(rollout, account)[-1].state

    def members(self, wave: Wave) -> list[str]:
        return sorted(self.parts.store.watched(self.load_wave(wave), wave).accounts)

    def load_wave(self, wave: Wave) -> Rollout:
        for row in self.parts.store.rollouts():
            rollout = self.parts.store.load(row.id)
            if any(one.id == wave.id for one in rollout.waves):
                return rollout
        raise AssertionError(f"wave {wave.id} is nobody's")

    def verify(self) -> tuple[str, ...]:
        store: Any = self.parts.store
        found: tuple[str, ...] = store.verify()
        return found

    def kinds(self, rollout: Rollout) -> list[str]:
        return [entry.kind for entry in self.parts.store.journal(rollout.id)]


def describe(rollout: Rollout) -> str:
    waves = [f"{w.id}:{w.ring}/{w.kind}/r{w.revision}={w.state}/{w.settle}" for w in rollout.waves]
    return f"{rollout.id} {rollout.state} {[(h.code, h.reason) for h in rollout.holds]} {waves}"


def make_world(directory: Path, *, policy: str = POLICY, durable: bool = False) -> World:
    """A world with the usual fleet and two bundles: b1, and b2 with a changed step b."""
    clock = FakeClock()
    executor = ScriptedExecutor()
    source = ScriptedSource(clock)
    parts = make_parts(directory, clock=clock, executor=executor, source=source, durable=durable)
    made = World(directory=directory, clock=clock, executor=executor, source=source, parts=parts)
    made.policy.write_text(policy)
    made.fleet()
    made.bundle("b1")
    made.bundle("b2", texts={"b": "select 2 as b;\n"})
    return made
