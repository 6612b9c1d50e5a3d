"""One claimed task in a test's hand: what its wave wants is said by the test, at the moment it says."""

from dataclasses import dataclass, field

from ringctl.core.model import Rollout, Session
from ringctl.core.states import Settle, WaveState
from ringctl.engine.copies import Copies
from ringctl.engine.guard import Guard, Lease
from ringctl.engine.running import TaskRun
from ringctl.ports.records import Claim, TaskRow
from tests.engine.world import World


@dataclass(slots=True)
class Hand:
    """`wants` maps "how many steps were sent so far" to what the next refresh says."""

    world: World
    rollout: Rollout
    claim: Claim
    copies: Copies
    wants: dict[int, Settle] = field(default_factory=dict)
    stops: set[int] = field(default_factory=set)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = Guard(
            claim=self.claim,
            lease=Lease(until=float("inf")),
            clock=self.world.clock,
            store=self.world.parts.store,
            stop=lambda: self.sent in self.stops,
        )

    @property
    def sent(self) -> int:
        return len([run for run in self.world.executor.runs if run.claim == self.claim.id])

    def refresh(self) -> None:
        if self.sent in self.wants:
            self.guard.tell(self.wants[self.sent], cancelled=False)

    def task(self) -> TaskRun:
        return TaskRun(
            parts=self.world.parts,
            copies=self.copies,
            rollout=self.rollout,
            guard=self.guard,
            refresh=self.refresh,
        )

    def run(self) -> TaskRow:
        """Run the task; how it stands afterwards."""
        self.task().run()
        return self.row

    @property
    def row(self) -> TaskRow:
        return self.world.tasks(self.rollout, self.claim.account)[-1]

    @property
    def steps(self) -> list[str]:
        """Steps sent under this claim, closings without their number."""
        runs = [run for run in self.world.executor.runs if run.claim == self.claim.id]
        return [run.step.split(".")[0] for run in runs]


def opened(world: World, bundle: str = "b1") -> Rollout:
    return world.until(world.start(bundle), lambda r: r.waves[0].state is WaveState.OPEN)


def session(world: World, name: str = "n") -> Session:
    return world.parts.store.open_session(name, lease_us=3_600_000_000)


def hand(world: World, bundle: str = "b1", *, rollout: Rollout | None = None) -> Hand:
    """Claim one task of the open wave."""
    going = rollout or opened(world, bundle)
    wave = next(wave for wave in going.current_waves() if wave.state is WaveState.OPEN)
    (claim,) = world.parts.store.claim(session(world), going, wave, limit=1)
    copies = Copies(store=world.parts.store, root=world.parts.work_dir)
    return Hand(world=world, rollout=going, claim=claim, copies=copies)


def again(world: World, first: Hand) -> Hand:
    """The next claim of the same task: an unknown one as its resolution, else a usual one."""
    store, rollout = world.parts.store, world.load(first.rollout)
    node = session(world, "again")
    claims = store.claim_unknown(node, rollout, limit=10)
    claims += store.claim(node, rollout, rollout.wave(first.claim.wave), limit=10)
    claim = next(one for one in claims if one.account == first.claim.account)
    return Hand(world=world, rollout=rollout, claim=claim, copies=first.copies)
