"""Real nodes on one store, a seeded schedule of faults, and the verdict of the oracle.

Three `ringctl run` nodes work on rollouts, one after the other, until every fault was carried out; then the nodes are
left in peace and the last rollout has to end by itself, but for what a person has to say about unknown accounts
(`person`). Faults of the server and of the network need a PostgreSQL state (`server`). Times are monotonic seconds.
"""

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringctl.bootstrap import open_parts, open_store
from ringctl.core.errors import RingctlError
from ringctl.core.states import OPEN_ROLLOUT_STATES, TaskState, WaveKind, WaveState
from ringctl.engine.parts import Parts
from tests.multinode.oracle import Acted, Loss
from tests.multinode.targets import STEPS, Targets
from tests.multinode.watch import Watch
from tests.support.command_line import Answer, Node, environment
from tests.support.postgres import Server
from tests.support.proxy import Proxy, Rule

LEASE_S = 2.0
GRACE_S = 7.0
"""What `rescue` waits after a lease before anybody takes over (ringctl.engine.loop)."""
WORKERS = 4
POLL_S = 0.05
NO_STORE = ("error[RC5110]", "error[RC5102]")
"""What a node says that finds no store when it begins: a server that is down, a file that somebody keeps locked."""
KINDS = ("kill", "stall", "zombie", "restart", "cut", "lost", "partition", "clock")
"""Faults, by the name of the method that carries one out."""


def after(seconds: float) -> Callable[[], bool]:
    """Whether so much time has gone by since now."""
    at = time.monotonic() + seconds
    return lambda: time.monotonic() >= at


@dataclass(slots=True)
class Slot:
    """One node's place: the process that is in it now, and its way to the store."""

    number: int
    url: str
    proxy: Proxy | None = None
    how: tuple[str, ...] = ("-m", "ringctl")
    node: Node | None = None
    troubled: bool = False

    @property
    def pid(self) -> int:
        assert self.node is not None
        return self.node.pid


@dataclass(slots=True)
class Torture:
    """One run: `run` carries the schedule out, `Verdict` (verdict.py) judges what is left."""

    directory: Path
    url: str
    seed: int
    faults: dict[str, int]
    accounts: int = 200
    long: float = 0.4
    nodes: int = 3
    server: Server | None = None
    how: tuple[str, ...] = ("-m", "ringctl")
    done: Counter[str] = field(default_factory=Counter)
    acted: list[Acted] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    rollouts: dict[str, str] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    started: list[Node] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)
    serves_s: float = 60.0
    ends_s: float = 180.0
    patience: Callable[[], bool] = lambda: True
    dice: random.Random = field(init=False)
    targets: Targets = field(init=False)
    watch: Watch = field(init=False)
    parts: Parts = field(init=False)
    _later: list[tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=list)
    _marks: int = 0
    _asked: float = 0.0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.targets = Targets.make(
            self.directory,
            self.accounts,
            dice=self.dice,
            long=self.long,
            parallel=self.nodes * WORKERS,
            lease=f"{LEASE_S:.0f}s",
        )

    # -- the run ----------------------------------------------------------------------------------
    @contextlib.contextmanager
    def staged(self) -> Iterator["Torture"]:
        """Everything up and, at the end, everything ended whatever happened."""
        self.watch = Watch(self.directory)
        with contextlib.ExitStack() as stack:
            stack.callback(self.end)
            with contextlib.closing(open_store(self.url)) as store:
                store.migrate()
            self.parts = stack.enter_context(open_parts(self.url, migrate=False, actor="torture", environ={}))
            for number in range(self.nodes):
                proxy = None
                if self.server is not None:
                    proxy = stack.enter_context(Proxy(("127.0.0.1", self.server.port)))
                url = proxy.url(self.url) if proxy else self.url
                self.slots.append(Slot(number, url, proxy, self.how))
            self.next_rollout()
            for slot in self.slots:
                self.launch(slot)
            yield self

    def run(self) -> None:
        """Carry out every fault, then wait for the end. AssertionError when something does not come about."""
        bag = [kind for kind, count in self.faults.items() for _ in range(count)]
        self.dice.shuffle(bag)
        for kind in bag:
            if not self.patience():
                return
            self.pump(self.dice.uniform(0.05, 0.5))
            self.decide()
            self.person()
            getattr(self, kind)()
            self.note(kind)
        self.calm()

    def calm(self) -> None:
        """No more faults: what was stopped or cut off goes on, and the last rollout ends."""
        while self._later:
            self.pump(POLL_S)
        for rule in self.rules:
            self.done["cut" if rule.after else "lost"] += len(rule.hits)
        for slot in self.slots:
            if slot.proxy is not None:
                slot.proxy.heal()
        deadline = time.monotonic() + self.ends_s
        while self.is_open():
            for slot in self.slots:
                self.supervise(slot)
            self.person()
            if not self.patience():
                return
            assert time.monotonic() < deadline, f"did not end: {self.why()}"
            self.pump(0.3)

    def pump(self, seconds: float) -> None:
        """Wait, and meanwhile undo the faults whose time has come."""
        deadline = time.monotonic() + seconds
        while True:
            for due in [one for one in self._later if one[0]()]:
                self._later.remove(due)
                due[1]()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(POLL_S, left))

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """The first true answer, within `serves_s`; faults are undone meanwhile."""
        deadline = time.monotonic() + self.serves_s
        while not (answer := holds()):
            assert self.patience(), f"{what}: enough was seen"
            assert time.monotonic() < deadline, f"not within {self.serves_s:.0f} s: {what}; {self.why()}"
            self.pump(POLL_S)
        return answer

    def note(self, what: str) -> None:
        """Write to the schedule that is kept beside the nodes' logs."""
        with (self.directory / "logs" / "schedule.log").open("a") as sink:
            sink.write(f"{time.monotonic():.2f} {what} {dict(self.done)}\n")

    # -- faults -----------------------------------------------------------------------------------
    def kill(self, *, how: tuple[str, ...] | None = None) -> None:
        """kill -9 of a node, mostly in the middle of work; another one takes its place."""
        slot = self.served(working=self.dice.random() < 0.8)
        assert slot.node is not None
        self.losses.append(Loss(slot.pid, time.monotonic()))
        slot.node.kill()
        self.done["kill"] += 1
        slot.how = how or self.how
        self.launch(slot)

    def stall(self) -> None:
        """SIGSTOP for longer than the lease, and on."""
        self._stall("stall", self.dice.uniform(1.3, 2.5) * LEASE_S)

    def zombie(self) -> None:
        """SIGSTOP until another node is at work on what it held, and on: the schedule that seeded bugs need."""
        self._stall("zombie", LEASE_S + GRACE_S + 12.0, taken=True)

    def _stall(self, kind: str, seconds: float, *, taken: bool = False) -> None:
        slot = self.served(working=True)
        node, since = slot.node, time.monotonic()
        assert node is not None
        node.signal(signal.SIGSTOP)
        if taken and self.is_locked():  # nobody could take over
            node.signal(signal.SIGCONT)
            self.pump(POLL_S)
            self._stall(kind, seconds, taken=True)
            return
        slot.troubled = True
        held = self.targets.at_work(self.watch.bodies(node.pid))
        over = after(seconds)

        def go_on() -> None:
            self.losses.append(Loss(node.pid, since, time.monotonic()))
            node.signal(signal.SIGCONT)
            slot.troubled = False
            self.done[kind] += 1

        self._later.append((lambda: over() or (taken and self.targets.is_taken_over(held)), go_on))

    def restart(self) -> None:
        """The server: fast, immediate, or kill -9, in turn."""
        assert self.server is not None, "no server to restart"
        mode = ("fast", "immediate", "kill -9")[self.done["restart"] % 3]
        if mode == "kill -9":
            self.server.crash()
        else:
            self.server.restart("fast" if mode == "fast" else "immediate")
            self.server.wait_ready()
        self.done["restart"] += 1

    def cut(self) -> None:
        """A node's connection is cut when a commit was executed, before its answer is passed on."""
        self._rule(after=True)

    def lost(self) -> None:
        """A node's connection is cut before a commit reaches the server."""
        self._rule(after=False)

    def _rule(self, *, after: bool) -> None:
        slot = self.served(working=True)
        assert slot.proxy is not None, "no proxy to cut at"
        make = slot.proxy.cut_after_commit if after else slot.proxy.cut_before_commit
        rule = make(n=self.dice.randint(1, 4))
        self.rules.append(rule)
        self.until(lambda: rule.spent or not self.is_open() or slot.troubled, "a commit to cut at")
        if not rule.spent:  # it may hit still: it is counted at the end
            self.pump(LEASE_S)

    def partition(self) -> None:
        """A node and the store do not hear each other, or one not the other, for longer than the lease."""
        slot = self.served(working=True)
        assert slot.proxy is not None, "no proxy to partition"
        proxy, node, since = slot.proxy, slot.pid, time.monotonic()
        which = ("both", "to_server", "to_client")[self.done["partition"] % 3]
        proxy.partition("both" if which == "both" else "to_server" if which == "to_server" else "to_client")
        slot.troubled = True

        def heal() -> None:
            self.losses.append(Loss(node, since, time.monotonic()))
            proxy.heal()
            slot.troubled = False
            self.done["partition"] += 1

        self._later.append((after(self.dice.uniform(1.3, 5.0) * LEASE_S), heal))

    def clock(self) -> None:
        """A node is replaced by one whose clock is hours off."""
        hours = self.dice.choice([-72.0, -5.0, 3.0, 48.0])
        self.kill(how=("-m", "tests.multinode.torture_node", f"shifted:{hours}"))
        self.done["kill"] -= 1
        self.done["clock"] += 1

    # -- nodes ------------------------------------------------------------------------------------
    def launch(self, slot: Slot) -> None:
        """Start a node in the slot."""
        log = self.directory / "logs" / f"node-{len(self.started) + 1}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, *slot.how, "--state", slot.url, "run", "--workers", f"{WORKERS}"],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self.environment(f"work-{slot.number}"),
            )
        slot.node = Node(process, log)
        slot.troubled = False
        self.started.append(slot.node)
        self.watch.node(process.pid)

    def supervise(self, slot: Slot) -> None:
        """Start a node again that found no store when it began. One that has begun never ends by itself."""
        if slot.troubled or slot.node is None or slot.node.process.poll() is None:
            return
        said = slot.node.said()
        assert said.startswith(NO_STORE), f"node {slot.pid} ended by itself: {said[-2000:]}"
        self.done["supervisor"] += 1
        self.launch(slot)

    def environment(self, work: str) -> dict[str, str]:
        """That of a process on a host of its own: on a common one the record of running commands would keep a second
        run out, and the oracle would not see what the claim lets through."""
        return {**environment(), "RINGCTL_WORK": str(self.directory / work)}

    def served(self, *, working: bool) -> Slot:
        """A slot, drawn by the dice, whose node is alive and, if asked for, has a body at work."""
        order = list(self.slots)
        self.dice.shuffle(order)

        def found() -> Slot | None:
            if not self.is_wide():
                self.person()
                return None
            alive = {one.node for one in self.quietly(self.parts.store.nodes, ()) if not one.dead}
            for slot in order:
                self.supervise(slot)
                serves = any(name.endswith(f"-{slot.pid}") for name in alive)
                if not slot.troubled and serves and (not working or slot.pid in self.watch.working()):
                    return slot
            return None

        slot: Slot = self.until(found, "a node that serves" + " and works" * working)
        return slot

    def end(self) -> None:
        """End every node that is still there."""
        for node in self.started:
            if node.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    node.signal(signal.SIGCONT)
                node.kill()
        self.watch.stop()

    # -- rollouts and decisions -------------------------------------------------------------------
    def ringctl(self, *words: str) -> Answer:
        """The command line, straight to the store."""
        done = subprocess.run(
            [sys.executable, "-m", "ringctl", "--state", self.url, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.directory,
            env=self.environment("work"),
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def next_rollout(self) -> None:
        """Start a rollout of a component of its own over all accounts."""
        name = self.targets.bundle(f"b{len(self.rollouts) + 1}")
        words = ("start", "--policy", "policy.yaml", "--bundle", name, "-o", "json")
        answer = self.until(lambda: self._good(*words), f"a start of {name}")
        self.rollouts[str(answer.json["id"])] = name

    def _good(self, *words: str) -> Answer | None:
        answer = self.ringctl(*words)
        return answer if answer.code == 0 else None

    @property
    def current(self) -> str:
        """The id of the newest rollout."""
        return list(self.rollouts)[-1]

    def quietly(self, ask: Callable[[], Any], default: Any) -> Any:
        """An answer of the store, or the default while it does not answer."""
        try:
            return ask()
        except RingctlError:
            return default

    def is_open(self) -> bool:
        """Whether the newest rollout goes on; a store that does not answer has not ended it."""
        found = self.quietly(lambda: self.parts.store.load(self.current).state, None)
        return found is None or found in OPEN_ROLLOUT_STATES

    def is_locked(self) -> bool:
        """Whether somebody stays inside a write transaction of the one SQLite file: stopped there, a node keeps all
        others out, and nobody takes over. A server ends such a transaction by itself."""
        if self.server is not None:
            return False
        raw = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=1.0, isolation_level=None)
        try:
            raw.execute("begin immediate")
            raw.execute("rollback")
        except sqlite3.OperationalError:
            return True
        finally:
            raw.close()
        return False

    def is_wide(self) -> bool:
        """Whether many accounts are under way: the canary's few would take all faults. A rollout that has ended
        has a successor."""
        if not self.is_open():
            self.next_rollout()
        rollout = self.quietly(lambda: self.parts.store.load(self.current), None)
        waves = rollout.waves if rollout else ()
        return any(wave.kind is WaveKind.EXPANSION and wave.state is WaveState.OPEN for wave in waves)

    def decide(self) -> None:
        """A person's word for the journal: acknowledged, or the answer was lost."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        kept = False
        with contextlib.suppress(RingctlError):
            self.parts.store.record(self.current, "noted", {"mark": mark}, actor="torture")
            kept = True
        self.acted.append(Acted(mark, kept))

    def person(self) -> None:
        """What a person does about accounts of which nobody knows: look at the target, say what is there. At most
        twice a second: it scans."""
        if time.monotonic() - self._asked < 0.5:
            return
        self._asked = time.monotonic()
        rows = self.quietly(
            lambda: list(self.parts.store.tasks(self.current, states=[TaskState.UNKNOWN, TaskState.FAILED])),
            [],
        )
        held = rows and self.quietly(lambda: self.parts.store.load(self.current).hold("accounts"), None)
        for row in rows:
            doubtful = [e.step for e in row.steps if e.state in {"unknown", "intent"} and e.step in STEPS]
            retry = ("retry", self.current, "--account", row.account)
            if row.state is TaskState.UNKNOWN and "bare" in doubtful:
                ends = [line for line in self.targets.lines(row.account) if line.kind == "stop"]
                took = any((one.rollout, one.step) == (self.current, "bare") for one in ends)
                word = "done" if took else "not-done"
                if took:
                    self.by_hand.add(self.current)
                self.done[f"person: {word}"] += 1
                self.ringctl(*retry, "--as", word, "--reason", "looked")
            elif row.state is TaskState.FAILED or held:
                self.done["person: retry"] += 1  # what is open is asked for again before anything runs
                self.ringctl(*retry)

    def why(self) -> str:
        """What `ringctl why` and the nodes say."""
        said = "\n".join(f"-- node {node.pid}: {node.said()[-500:]}" for node in self.started[-self.nodes :])
        return f"{self.done}\n{self.ringctl('why', self.current).out}\n{said}"
