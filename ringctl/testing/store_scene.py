"""A store under test with one rollout in it, and the few moves that the suite's tests are told in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ringctl.core.decisions import AddWave, Decision, OpenWave, Step, WithdrawWave
from ringctl.core.model import Hold, Member, Revision, Rollout, Session, Wave
from ringctl.core.states import EffectState, RolloutState, Settle, TaskState, WaveState
from ringctl.core.timing import MINUTE, SECOND
from ringctl.ports.records import Claim, NewRollout
from ringctl.ports.store import Store
from ringctl.testing.values import NOON, TestClock, a_bundle, a_new_rollout, a_wave, members_of

LEASE = 15 * SECOND
GRACE = 5 * SECOND


class SuiteStore(Store, Protocol):
    """What the suite asks of a store beside the port."""

    def verify(self) -> tuple[str, ...]:
        """Count everything anew; what does not hold, in words."""
        ...


StoreFactory = Callable[[TestClock], SuiteStore]
"""Makes a store on that clock. Called twice in one test, it gives two stores on the same state."""


Fields = Mapping[str, object]


@dataclass(slots=True)
class Scene:
    """One rollout, `ro-1`: wave 1 holds the members of ring `inner`, those of `early` are not drawn yet."""

    store: SuiteStore
    clock: TestClock

    # -- the rollout -------------------------------------------------------------------------------
    def create(
        self, new: NewRollout | None = None, *, inner: int = 4, early: int = 3, wave: Fields | None = None
    ) -> Rollout:
        """Create the rollout. `wave`: fields of wave 1."""
        others = members_of("early", early)
        made = new or a_new_rollout({1: members_of("inner", inner)}, others, fields=wave)
        self.store.create_rollout(made)
        self.store.next_wave_ids(1)
        return self.load()

    def start(self, *, inner: int = 4, early: int = 3, **wave: object) -> Rollout:
        """Create the rollout and open wave 1."""
        self.create(inner=inner, early=early, wave=wave)
        return self.open_wave(1)

    def load(self) -> Rollout:
        """The rollout as it is stored."""
        return self.store.load("ro-1")

    def wave(self, ident: int = 1) -> Wave:
        """A wave as it is stored."""
        return self.load().wave(ident)

    def apply(self, rollout: Rollout, *decisions: Decision) -> Rollout:
        """Apply a step made on the rollout's own version."""
        step = Step(rollout=rollout, decisions=decisions)
        return self.store.apply(step, expected=rollout.version, actor="test")

    def open_wave(self, ident: int) -> Rollout:
        """Open a wave, and let the rollout run."""
        rollout = self.load()
        wave = replace(rollout.wave(ident), state=WaveState.OPEN, opened_us=NOON)
        state = RolloutState.RUNNING if rollout.qualified else RolloutState.REQUALIFYING
        moved = replace(rollout.with_wave(wave), state=state)
        return self.apply(moved, OpenWave(wave=ident))

    def hold(self) -> Rollout:
        """Hold the rollout by a person's will."""
        pause = Hold(code="pause", reason="test", owner="ana", since_us=NOON)
        return self.apply(replace(self.load(), state=RolloutState.HELD, holds=(pause,)))

    def settle(self, how: Settle, ident: int = 1) -> Rollout:
        """Let a wave settle."""
        rollout = self.load()
        return self.apply(rollout.with_wave(replace(rollout.wave(ident), settle=how)))

    def amend(self, *steps: str) -> Rollout:
        """A new revision: every wave that is not over is withdrawn."""
        rollout = self.load()
        number = rollout.revision.number + 1
        bundle = a_bundle(*steps, version=str(number))
        revision = Revision(number=number, digest=bundle.digest, author="ben", at_us=NOON)
        going = [wave for wave in rollout.waves if not wave.over]
        amended = replace(
            rollout,
            state=RolloutState.REQUALIFYING,
            bundle=bundle,
            revisions=(*rollout.revisions, revision),
            drawn=(),
        )
        for wave in going:
            amended = amended.with_wave(replace(wave, state=WaveState.WITHDRAWN, settle=Settle.CLOSE))
        return self.apply(amended, *(WithdrawWave(wave=wave.id) for wave in going))

    def end(self, state: RolloutState = RolloutState.ABORTED) -> Rollout:
        """End the rollout."""
        return self.apply(replace(self.load(), state=state, ended_us=NOON))

    def draw(self, members: Sequence[Member], resume_at: Mapping[str, str] | None = None) -> Wave:
        """Draw a wave of the current revision."""
        rollout = self.load()
        ident = self.store.next_wave_ids(1)
        wave = a_wave(ident, members, revision=rollout.revision.number)
        names = tuple(member.account for member in members)
        drawn = replace(rollout, waves=(*rollout.waves, wave))
        self.apply(drawn, AddWave(wave=wave, members=names, resume_at=resume_at or {}))
        return wave

    # -- work --------------------------------------------------------------------------------------
    def node(self, name: str = "n1") -> Session:
        """A new session."""
        return self.store.open_session(name, lease_us=LEASE)

    def claims(self, session: Session, *, limit: int = 10, wave: int = 1) -> tuple[Claim, ...]:
        """Claim tasks of a wave."""
        rollout = self.load()
        return self.store.claim(session, rollout, rollout.wave(wave), limit=limit)

    def claim_one(self, session: Session, *, wave: int = 1) -> Claim:
        """Claim one task."""
        (claim,) = self.claims(session, limit=1, wave=wave)
        return claim

    def intent(self, claim: Claim, step: str = "readers") -> None:
        """Begin a step."""
        self.store.intent(claim, step, f"digest-{step}", f"key-{step}", deadline_us=MINUTE)

    def run_step(self, claim: Claim, step: str = "readers", state: EffectState = EffectState.DONE) -> None:
        """A step from intent to result."""
        self.intent(claim, step)
        self.store.result(claim, step, state, {"rows": 1})

    def run(self, claim: Claim, *steps: str) -> None:
        """A whole task."""
        for step in steps or ("readers", "encode"):
            self.run_step(claim, step)
        self.store.finish(claim, TaskState.DONE)

    def lose(self, span_us: int = LEASE + GRACE + SECOND) -> int:
        """Let leases run out; rescue."""
        self.clock.pass_us(span_us)
        return self.store.rescue(grace_us=GRACE)

    # -- looking -----------------------------------------------------------------------------------
    def state_of(self, account: str) -> TaskState:
        """The state of an account's newest task."""
        return list(self.store.tasks("ro-1", account=account))[-1].state

    def states(self) -> dict[str, int]:
        """How many tasks are in each state."""
        found: dict[str, int] = {}
        for row in self.store.tasks("ro-1"):
            found[str(row.state)] = found.get(str(row.state), 0) + 1
        return found

    def kinds(self) -> list[str]:
        """The journal's kinds in order."""
        return [entry.kind for entry in self.store.journal("ro-1")]
