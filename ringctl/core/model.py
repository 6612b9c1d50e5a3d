"""A rollout and what it is made of. Values only; the store keeps them, `decide` moves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from ringctl.core.states import RolloutState, Settle, WaveKind, WaveState
from ringctl.core.timing import Instant, Span

if TYPE_CHECKING:  # named here only
    from ringctl.core.bundle import Bundle
    from ringctl.core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One digest of the bundle inside one rollout. `number` counts from 1: `r1`, `r2`, ..."""

    number: int
    digest: str
    author: str
    at_us: Instant
    reason: str = ""
    watcher: str = ""
    actor: str = ""
    change: str = ""
    qualified_at_us: Instant | None = None
    failed: bool = False

    @property
    def name(self) -> str:
        """`r1`, `r2`, ..."""
        return f"r{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A reason why the rollout does not widen. `ends_itself`: it is lifted when its cause is gone.

    `code` is a word (`pause`, `gate-failed`, `gate-silent`, `drift`, `accounts`, `baseline`, `idle`,
    `revisions-exhausted`, ...), `error` the RC code whose page explains it, `next` the way out.
    """

    code: str
    reason: str
    owner: str
    since_us: Instant
    next: str = ""
    error: str = ""
    ends_itself: bool = False
    wave: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """The slice of one ring's accounts released together under one revision. Members never change.

    `id` is unique in the store and rises in drawing order; waves are opened in `id` order.
    `accounts` is the number of members; `failures` the failure budget; `parallel` the most in flight.
    """

    id: int
    ring: str
    kind: WaveKind
    revision: int
    accounts: int
    state: WaveState = WaveState.PLANNED
    settle: Settle = Settle.NONE
    parallel: int = 1
    failures: int = 0
    largest: float = 0.0
    opened_us: Instant | None = None
    baking_us: Instant | None = None
    ended_us: Instant | None = None

    @property
    def label(self) -> Mapping[str, object]:
        """How the journal names it."""
        return {
            "wave": self.id,
            "ring": self.ring,
            "wave_kind": str(self.kind),
            "revision": f"r{self.revision}",
            "accounts": self.accounts,
        }

    @property
    def over(self) -> bool:
        """Whether nothing more happens in it."""
        return self.state in {WaveState.PASSED, WaveState.WITHDRAWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One execution of a release under one policy over one fleet snapshot.

    `drawn`: names of rings whose waves are drawn under the current revision. `reserve_drawn` likewise.
    """

    id: str
    release: str
    component: str
    state: RolloutState
    version: int
    policy: Policy
    bundle: Bundle
    revisions: tuple[Revision, ...]
    waves: tuple[Wave, ...]
    holds: tuple[Hold, ...] = ()
    drawn: tuple[str, ...] = ()
    seed: str
    plan_digest: str
    fleet_digest: str
    accounts: int
    created_us: Instant
    ended_us: Instant | None = None
    actor: str = ""
    origin: str = ""
    origin_host: str = ""

    @property
    def revision(self) -> Revision:
        """The current revision."""
        return self.revisions[-1]

    @property
    def qualified(self) -> bool:
        """Whether the current revision may leave a requalification subset: the first one starts with
        its own canaries; every later one has to requalify."""
        current = self.revision
        return current.number == 1 or current.qualified_at_us is not None

    @property
    def active_state(self) -> RolloutState:
        """What an open rollout's state is, given its holds and whether its revision has qualified.

        While only a baseline is being recorded nothing is wrong, and the state says what is going on.
        """
        if any(hold.code != "baseline" for hold in self.holds):
            return RolloutState.HELD
        return RolloutState.RUNNING if self.qualified else RolloutState.REQUALIFYING

    def wave(self, wave_id: int) -> Wave:
        """The wave of that id; KeyError when there is none."""
        for wave in self.waves:
            if wave.id == wave_id:
                return wave
        raise KeyError(wave_id)

    def current_waves(self) -> Iterator[Wave]:
        """Waves of the current revision in the order they open, withdrawn ones left out."""
        number = self.revision.number
        return (w for w in self.waves if w.revision == number and w.state is not WaveState.WITHDRAWN)

    def with_wave(self, changed: Wave) -> Self:
        """The rollout with one wave replaced."""
        waves = tuple(changed if wave.id == changed.id else wave for wave in self.waves)
        return replace(self, waves=waves)

    def hold(self, code: str) -> Hold | None:
        """The hold of that code, if it is in force."""
        return next((hold for hold in self.holds if hold.code == code), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An account's frozen place in a rollout. `rank` is its sticky order under the rollout's seed."""

    account: str
    ring: str
    size: float
    decade: int
    reserve: bool
    rank: int
    traits: tuple[tuple[str, str], ...] = ()
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A node's life: a new id at every process start. The lease is by the store's clock."""

    id: str
    node: str
    lease_us: Span
