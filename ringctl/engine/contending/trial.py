"""The trial: N real nodes on synthetic tasks in the configured store, under a seeded schedule of faults.

The nodes are `ringctl run` in processes of their own, each with a work directory of its own, as if on N hosts: what
keeps them apart is the store alone. They are killed, frozen past their lease (some until others have taken over), and
their connections are cut where that is possible. Times are monotonic seconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ringctl.core.digests import sha256_hex
from ringctl.core.errors import ExternalError, NotAllowed
from ringctl.core.states import OPEN_ROLLOUT_STATES
from ringctl.engine import commands
from ringctl.engine.contending.material import Material, write_material
from ringctl.engine.contending.verdict import Faults, Seen, Verdict, judged
from ringctl.engine.contending.workers import Worker
from ringctl.engine.parts import Parts

LEASE_S: Final = 2
TAKEN_OVER_S: Final = 10.5
"""Lease, grace and a rescue's turn: a node frozen for so long finds its tasks in other hands."""
CRASHES: Final = 3
"""Nodes that end by themselves, per node, before the trial gives up."""
SLOTS: Final = 4
"""Tasks at a time per node."""
POLL_S: Final = 0.05
LOOK_S: Final = 0.5
STARTS_S: Final = 30.0
"""Within this the nodes are up and the canary is over."""
SETTLES_S: Final = 40.0
"""What the last rescues and looks may take after the nodes are left in peace."""
Cut = Callable[[int], int]
"""Cuts the connections of a process; how many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be tried. `command` starts a node; `environ` is its environment, the state's URL among it."""

    nodes: int
    tasks: int
    seconds: float
    seed: int
    command: Sequence[str]
    environ: Mapping[str, str]
    directory: Path
    cut: Cut | None = None


class Dice:
    """Numbers from a seed: the same seed gives the same schedule."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._thrown = 0

    def below(self, most: int) -> int:
        """A number from 0 to `most` - 1."""
        self._thrown += 1
        return int(sha256_hex(f"{self._seed}/{self._thrown}".encode())[:12], 16) % most

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * self.below(10_000) / 10_000


@dataclass(slots=True)
class Trial:
    """One trial; `run` carries it out and judges it."""

    parts: Parts
    asked: Asked
    say: Callable[[str], None] = lambda _: None
    rollout: str = ""
    workers: list[Worker] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _material: Material = field(init=False)
    _dice: Dice = field(init=False)
    _looked: float = float("-inf")

    def __post_init__(self) -> None:
        self._dice = Dice(self.asked.seed)

    def run(self) -> Verdict:
        """Raises NotAllowed when other nodes serve the store, ExternalError when it cannot be reached."""
        self._alone()
        before = dict(self.parts.store.tallies())
        self._start()
        try:
            with self._nodes():
                self._disturb()
                late = self._settle()
            return judged(self._seen(before, late), Faults(**self.counts))
        finally:
            self._close()

    # -- before and after -------------------------------------------------------------------------
    def _alone(self) -> None:
        """Other nodes would take the trial's tasks, whose programs exist here only."""
        alive = sorted({node.node for node in self.parts.store.nodes() if not node.dead})
        if alive:
            raise NotAllowed(
                f"{len(alive)} nodes serve this store: {', '.join(alive[:3])}",
                code="RC5121",
                hint="end them first (ringctl nodes ls), or try a scratch database on the same server",
            )

    def _start(self) -> None:
        asked = self.asked
        slots = asked.nodes * SLOTS
        self._material = write_material(
            asked.directory,
            name=f"contend-{self.parts.new_id()[:8]}",
            tasks=asked.tasks,
            parallel=slots,
            lease_s=LEASE_S,
            # long enough that most of the time there is something to disturb
            body_s=min(1.0, max(0.05, 0.35 * asked.seconds * slots / asked.tasks)),
        )
        request = commands.Request(
            policy=self._material.policy,
            bundle=self._material.bundle,
            release=self._material.name,
            detach_source=True,
            reason=f"ringctl doctor --contend {asked.nodes}, seed {asked.seed}",
        )
        self.rollout = commands.start(self.parts, request).rollout.id
        self.say(f"rollout {self.rollout}: {asked.tasks} tasks of its own, touches no other")

    def _close(self) -> None:
        """The trial's rollout stays in the list, ended."""
        if self.rollout and self.parts.store.load(self.rollout).state in OPEN_ROLLOUT_STATES:
            commands.abort(self.parts, self.rollout, reason="the trial is over", now=True)

    @contextmanager
    def _nodes(self) -> Iterator[None]:
        asked = self.asked
        try:
            for number in range(asked.nodes):
                work = asked.directory / f"node-{number}"
                work.mkdir()
                worker = Worker(
                    number=number,
                    command=(*asked.command, "run", "--rollout", self.rollout, "--workers", str(SLOTS)),
                    environ={**asked.environ, "RINGCTL_WORK": str(work)},
                    log=work / "log",
                )
                self.workers.append(worker)
                worker.launch()
            yield
        finally:
            for worker in self.workers:
                worker.told()
            for worker in self.workers:
                worker.gone()

    # -- faults -----------------------------------------------------------------------------------
    def _disturb(self) -> None:
        """The first three faults are one of each kind; then what the dice say, until half the time is over."""
        clock = self.parts.clock
        self._until(self._busy, STARTS_S)
        end = clock.monotonic() + self.asked.seconds / 2
        first = [self._zombie, self._kill, self._cut]
        due = clock.monotonic()
        while clock.monotonic() < end and not self._over():
            if clock.monotonic() >= due:
                fault = first.pop(0) if first else self._pick()
                fault()
                due = clock.monotonic() + self._dice.between(0.3, 1.2)
            self._tend()
            clock.sleep(POLL_S)

    def _pick(self) -> Callable[[], None]:
        faults = [self._kill, self._kill, self._stall, self._stall, self._zombie]
        faults += [self._cut, self._cut] if self.asked.cut is not None else []
        return faults[self._dice.below(len(faults))]

    def _busy(self) -> bool:
        """Whether the canary is over, and every node has something to lose."""
        begun = sum(bool(book.lines) for book in self._material.books())
        return begun >= min(self.asked.nodes * SLOTS, self.asked.tasks // 2) or self._over()

    def _victim(self) -> Worker | None:
        """A node that runs; one at least is left to go on."""
        free = [worker for worker in self.workers if worker.pid and worker.thaw_at is None]
        return free[self._dice.below(len(free))] if len(free) > 1 else None

    def _kill(self) -> None:
        worker = self._victim()
        if worker is not None:
            worker.kill()
            worker.launch()
            self._count("kills")

    def _stall(self) -> None:
        self._freeze(self._dice.between(LEASE_S, 2 * LEASE_S))

    def _zombie(self) -> None:
        self._freeze(TAKEN_OVER_S)

    def _freeze(self, seconds: float) -> None:
        worker = self._victim()
        if worker is not None:
            worker.freeze(self.parts.clock.monotonic() + seconds)
            self._count("freezes")

    def _cut(self) -> None:
        worker = self._victim()
        if worker is not None and self.asked.cut is not None:
            found = self.asked.cut(worker.pid)
            self._count("cuts", min(found, 1))
            self._count("cut_connections", found)

    def _count(self, name: str, more: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + more

    # -- watching ---------------------------------------------------------------------------------
    def _tend(self) -> None:
        """Thaw whose time has come; a node that ended by itself is evidence, and is started again."""
        now = self.parts.clock.monotonic()
        for worker in self.workers:
            if worker.thaw_at is not None and now >= worker.thaw_at:
                worker.thaw()
            code = worker.ended()
            if code is not None:
                self.crashes.append(f"exit {code}: {_last_line(worker.said())}")
                worker.launch()

    def _settle(self) -> str:
        """Left in peace, the rollout ends by itself. Why it did not, or ''."""
        bound = self.asked.seconds / 2 + TAKEN_OVER_S + SETTLES_S
        if self._until(self._over, bound):
            return ""
        return f"the rollout did not end within {bound:.0f} s after the last fault"

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        clock = self.parts.clock
        end = clock.monotonic() + seconds
        while not holds():
            if clock.monotonic() >= end:
                return False
            self._tend()
            clock.sleep(POLL_S)
        return True

    def _over(self) -> bool:
        """Whether there is nothing more to see: the rollout ended, or the evidence is there already."""
        now = self.parts.clock.monotonic()
        if now - self._looked < LOOK_S:
            return False
        self._looked = now
        if any(book.doubled for book in self._material.books()) or self._hopeless():
            return True
        try:
            rollout = self.parts.store.load(self.rollout)
        except ExternalError:
            return False
        return rollout.state not in OPEN_ROLLOUT_STATES or rollout.hold("pause") is not None

    def _hopeless(self) -> bool:
        """Whether nodes end as fast as they are started."""
        return len(self.crashes) > CRASHES * self.asked.nodes

    def _seen(self, before: Mapping[str, int], late: str) -> Seen:
        store = self.parts.store
        return Seen(
            books=self._material.books(),
            tasks=tuple(store.tasks(self.rollout)),
            journal=tuple(store.journal(self.rollout)),
            lease_ends={node.session: node.lease_until_us for node in store.nodes()},
            before=before,
            after=dict(store.tallies()),
            state=str(store.load(self.rollout).state),
            crashes=tuple(dict.fromkeys(self.crashes)),
            late=late,
        )


def _last_line(text: str) -> str:
    return text.rpartition("\n")[2] or "it said nothing"
