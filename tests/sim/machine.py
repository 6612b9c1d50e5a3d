"""Two processes on one SQLite file, driven call by call: everything that may happen, in any order."""

import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ringctl.core import invariants
from ringctl.core.errors import BugError, RingctlError
from ringctl.core.model import Rollout
from ringctl.core.states import OPEN_ROLLOUT_STATES, TaskState
from ringctl.engine import commands
from ringctl.engine.loop import GRACE_US
from ringctl.engine.observe import Observer
from ringctl.engine.reconcile import Reconciler
from ringctl.testing.parts import make_parts
from ringctl.testing.scripted_executor import ProcessDied
from ringctl.testing.stepped_node import CrashingStore, SteppedNode, stepped_node
from ringctl.testing.watching import Watching, effects_of
from tests.engine.world import World, make_world

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
    baseline: 2s
defaults: {every: 1s, gates: [errors]}
rings:
  - name: inner
    select: {ring: 0}
    canary: {accounts: 2}
    waves: [100%]
    bake: {min: 2s, max: 30s}
    max_parallel: 2
  - name: outer
    select: {ring: 1}
    canary: {accounts: 2}
    waves: [100%]
    bake: {min: 2s, max: 30s}
    max_parallel: 3
    max_failures: 1
requalify: {accounts: 2, share: 50%, bake: {min: 2s, max: 30s}, reserve: 20%}
"""

CALLS: Counter[str] = Counter()
"""Rule calls and what was reached, over all runs of this process: the test asserts that they are many."""

NODES = st.sampled_from([0, 1])
LEASE_S = 15.0
GRACE_S = GRACE_US / 1e6
CLOSE = "close_window: {sql: close.sql}\n"
FROM_STEP = "from_step: {a: b, b: b}\n"


class Process:
    """One ringctl process: its own store connection, controller, observer and node."""

    def __init__(self, world: World, number: int, life: int) -> None:
        self.name = f"n{number}"
        self.store, self.hand = CrashingStore.around(
            make_parts(
                world.directory,
                clock=world.clock,
                executor=world.executor,
                source=world.source,
                host=f"{self.name}-{life}",
                durable=False,
            ).store
        )
        # every life has the same work directory, as a restarted process has
        work = world.directory / f"work-{self.name}"
        self.parts = replace(world.parts, store=self.store, work_dir=work, host=world.parts.host)
        self.reconciler = Reconciler(parts=self.parts)
        self.observer = Observer(parts=self.parts)
        self.node: SteppedNode = stepped_node(self.parts, self.name, parallel=4, lease_s=LEASE_S)


class Fleet(RuleBasedStateMachine):
    """The engine under everything that people, nodes and sources may do."""

    def __init__(self) -> None:
        super().__init__()
        shm = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="ringctl-sim-", dir=shm if shm.is_dir() else None))
        self.world = make_world(self.directory, policy=POLICY)
        self.world.fleet(inner=5, outer=8)
        self.watching = Watching(store=self.world.parts.store)
        self.lives = 0
        self.versions = 0
        self.mode = "healthy"
        self.rollouts: list[str] = []
        self.processes = [self.born(0), self.born(1)]
        self.world.source.harms = self.harms
        # enough for a pass within the bake: nothing bad in 300 answers and more
        self.world.source.rates["all"], self.world.source.harmful["bad"] = 500.0, 250.0

    def teardown(self) -> None:
        for process in self.processes:
            process.store.close()
        self.world.parts.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- tools -------------------------------------------------------------------------------------
    def born(self, number: int) -> Process:
        self.lives += 1
        return Process(self.world, number, self.lives)

    def died(self, number: int) -> None:
        self.processes[number].store.close()
        self.processes[number] = self.born(number)

    def harms(self, account: str) -> bool:
        name = f"r{self.rollout.revision.number}" if self.rollouts else ""
        return self.mode == "harmful" and any(
            run.account == account and run.revision == name for run in self.world.executor.runs
        )

    @property
    def rollout(self) -> Rollout:
        return self.world.load(self.rollouts[-1])

    @property
    def is_open(self) -> bool:
        return bool(self.rollouts) and self.rollout.state in OPEN_ROLLOUT_STATES

    def edited(self, *, half: bool) -> str:
        """A new bundle; every version changes step b."""
        self.versions += 1
        more = CLOSE + (FROM_STEP if half else "")
        name = f"v{self.versions}"
        texts = {"b": f"select {self.versions} as b;\n"}
        self.world.bundle(name, "a", "b", "c", more=more, texts=texts)
        return name

    def attempt(self, call) -> bool:
        """Refused is an answer; a broken invariant is not."""
        try:
            call()
        except BugError:
            raise
        except RingctlError:
            return False
        return True

    def alive(self, number: int, call) -> bool:
        """Do something in a process that may die of it."""
        try:
            call(self.processes[number])
        except ProcessDied:
            CALLS["crashes"] += 1
            self.died(number)
            return False
        self.processes[number].hand.calm()
        return True

    def pass_(self, process: Process, seconds: float = 1.0) -> None:
        self.world.clock.advance(seconds)
        process.node.beat()
        process.observer.observe(self.rollout)
        process.reconciler.reconcile(self.rollouts[-1])
        process.node.claim(self.rollout)

    # -- people ------------------------------------------------------------------------------------
    @initialize()
    def first(self) -> None:
        self.start(half=False, same=False)

    @rule(half=st.booleans(), same=st.booleans())
    @precondition(lambda self: not self.is_open)
    def start(self, *, half: bool, same: bool) -> None:
        CALLS["start"] += 1
        name = f"v{self.versions}" if same and self.versions else self.edited(half=half)

        def call() -> None:
            started = commands.start(self.world.parts, self.world.request(name))
            if started.rollout.id not in self.rollouts:
                self.rollouts.append(started.rollout.id)

        self.attempt(call)

    @rule(half=st.booleans())
    @precondition(lambda self: self.is_open and len(self.rollout.revisions) < 6)
    def amend(self, *, half: bool) -> None:
        CALLS["amend"] += 1
        self.attempt(lambda: self.world.amend(self.rollouts[-1], self.edited(half=half)))

    @rule()
    @precondition(lambda self: self.is_open)
    def pause(self) -> None:
        CALLS["pause"] += 1
        self.attempt(lambda: commands.pause(self.world.parts, self.rollouts[-1], reason="lunch"))

    @rule()
    @precondition(lambda self: self.is_open and self.rollout.holds)
    def resume(self) -> None:
        CALLS["resume"] += 1
        self.attempt(lambda: commands.resume(self.world.parts, self.rollouts[-1], reason="back"))

    @rule(now=st.booleans(), sure=st.integers(0, 3))
    @precondition(lambda self: self.is_open)
    def abort(self, *, now: bool, sure: int) -> None:
        CALLS["abort"] += 1
        if sure == 0:
            self.attempt(lambda: commands.abort(self.world.parts, self.rollouts[-1], reason="no", now=now))

    @rule(pick=st.integers(0, 20), word=st.booleans())
    @precondition(lambda self: bool(self.rollouts))
    def retry(self, *, pick: int, word: bool) -> None:
        """A person who looked says the truth."""
        CALLS["retry"] += 1
        store = self.world.parts.store
        lost = list(store.tasks(self.rollouts[-1], states=[TaskState.FAILED, TaskState.UNKNOWN]))
        if not lost:
            return
        row = lost[pick % len(lost)]
        open_steps = [step for step in row.steps if step.state in {"intent", "unknown"}]
        took = any(self.world.executor.took_effect(row.account, s.step, s.digest) for s in open_steps)
        outcome = "not-done" if word and not took else ""
        self.attempt(
            lambda: commands.retry(
                self.world.parts, self.rollouts[-1], row.account, outcome=outcome, reason="looked"
            )
        )

    @rule(back=st.booleans())
    @precondition(lambda self: self.is_open and self.rollout.origin)
    def edit_in_place(self, *, back: bool) -> None:
        CALLS["edit"] += 1
        text = f"select {self.versions} as b;\n" if back else "select 'edited';\n"
        (self.directory / f"v{self.versions}" / "b.sql").write_text(text)

    @rule(number=NODES)
    @precondition(lambda self: bool(self.rollouts))
    def spoil_copy(self, number: int) -> None:
        CALLS["spoil"] += 1
        digest = self.rollout.revision.digest
        copy = self.processes[number].node.copies.directory(digest) / "b.sql"
        copy.chmod(0o644)
        copy.write_text("select 'spoilt';\n")

    # -- the world ---------------------------------------------------------------------------------
    @rule(mode=st.sampled_from(["healthy", "healthy", "harmful", "silent"]))
    def source(self, mode: str) -> None:
        CALLS[mode] += 1
        self.world.source.answer()
        self.mode = mode
        if mode == "silent":
            self.world.source.silence()

    @rule(seconds=st.sampled_from([0.5, 1, 3, 10]))
    def advance(self, seconds: float) -> None:
        CALLS["advance"] += 1
        self.world.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-3600, -20, -1, 5]))
    def jump(self, seconds: float) -> None:
        CALLS["jump"] += 1
        self.world.clock.jump(seconds)

    # -- processes ---------------------------------------------------------------------------------
    @rule(number=NODES)
    @precondition(lambda self: bool(self.rollouts))
    def reconcile(self, number: int) -> None:
        CALLS["reconcile"] += 1
        self.processes[number].reconciler.reconcile(self.rollouts[-1])

    @rule(number=NODES)
    @precondition(lambda self: bool(self.rollouts))
    def observe(self, number: int) -> None:
        CALLS["observe"] += 1
        self.world.clock.advance(1)
        self.processes[number].observer.observe(self.rollout)

    @rule(number=NODES)
    @precondition(lambda self: bool(self.rollouts))
    def claim(self, number: int) -> None:
        CALLS["claim"] += 1
        self.processes[number].node.claim(self.rollout)

    @rule(number=NODES, answer=st.sampled_from(["done", "done", "failed", "unknown", "unknown-done", "unreachable",
                                                "stopped", "crash-before", "crash-after"]))  # fmt: skip
    def work(self, number: int, answer: str) -> None:
        """One claimed task; its first step ends as drawn."""
        CALLS["work"] += 1
        if not self.processes[number].node.queue.waiting:
            return
        self.world.executor.script(answer)
        self.alive(number, lambda process: process.node.work_one())

    @rule(number=NODES)
    def beat(self, number: int) -> None:
        CALLS["beat"] += 1
        self.processes[number].node.beat()

    @rule(
        number=NODES,
        method=st.sampled_from(["intent", "result", "finish", "claim", "apply", "add_look", "claim_unknown"]),
        after=st.booleans(),
        calls=st.integers(1, 3),
    )
    @precondition(lambda self: self.is_open)
    def crash(self, number: int, method: str, *, after: bool, calls: int) -> None:
        """The process dies at its n-th call of a method, if it comes to that."""
        CALLS["crash"] += 1
        process = self.processes[number]
        process.hand.die(method, after=after, calls=calls)

        def call(process: Process) -> None:
            self.pass_(process)
            while process.node.work_one():
                pass

        self.alive(number, call)

    @rule(number=NODES)
    def expire(self, number: int) -> None:
        """Leases run out: one process keeps beating, the other one stalls; then the rescue."""
        CALLS["expire"] += 1
        for _ in range(3):
            self.world.clock.advance((LEASE_S + GRACE_S + 1) / 3)
            self.processes[number].node.beat()
        self.processes[number].store.rescue(grace_us=GRACE_US)

    @rule(number=NODES)
    @precondition(lambda self: self.is_open)
    def worsen(self, number: int) -> None:
        """The release does harm and everybody goes on for a while: long enough for a gate to see it."""
        self.source("harmful")
        self.go_on(number, times=8)

    @rule(number=NODES, times=st.integers(1, 6))
    @precondition(lambda self: self.is_open)
    def go_on(self, number: int, times: int) -> None:
        """A process that does what `ringctl run` does."""
        CALLS["go_on"] += 1
        for _ in range(times):
            if not self.is_open:
                return
            process = self.processes[number]
            self.pass_(process)
            while process.node.work_one():
                pass

    # -- what must hold ----------------------------------------------------------------------------
    @invariant()
    def promises_hold(self) -> None:
        broken = invariants.once(effects_of(self.world.executor.runs))
        for rollout in self.rollouts[-2:]:
            broken += self.watching.broken(rollout)
        if CALLS.total() % 5 == 0:
            broken += self.world.verify()
        assert broken == (), "\n".join(broken)
        if self.rollouts:
            CALLS[f"seen {self.rollout.state}"] = 1
            for wave in self.rollout.waves:
                CALLS[f"seen {wave.kind} {wave.state}"] = 1
