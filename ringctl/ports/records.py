"""What goes into a state store and comes out of it: claims, effects, looks, rows for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringctl.core.states import EffectState, Settle, TaskState
from ringctl.core.timing import Instant, Span

if TYPE_CHECKING:  # named here only
    from ringctl.core.facts import CheckState
    from ringctl.core.model import Member, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One line of the list of rollouts."""

    id: str
    release: str
    component: str
    state: str
    version: int
    created_us: Instant
    wake_at_us: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One journal entry. `hash` chains over `prev` and the entry; `seq` counts from 1 per rollout."""

    rollout: str
    seq: int
    at_us: Instant
    kind: str
    actor: str
    payload: Mapping[str, object]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRollout:
    """Everything `create_rollout` writes in one transaction. `members` may be a stream; `placed` maps an
    account to its wave's id (accounts of waves drawn later are absent). Tasks of r1 exist for all members."""

    rollout: Rollout
    members: Iterable[Member]
    placed: Mapping[str, int]
    actor: str
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is known of one step of one task."""

    step: str
    digest: str
    state: EffectState
    key: str
    fence: int
    began_us: Instant
    ended_us: Instant | None = None
    outcome: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to run one task. `id` is random and never issued twice; `fence` rises over the store.

    `resolving`: the task came back from `unknown` with an open intent; its open step must be settled by
    ledger or probe before anything runs. `effects` are this task's, in step order; `earlier` those of
    older revisions' tasks on the same account (newest last).
    """

    id: str
    task: int
    rollout: str
    wave: int
    account: str
    revision: int
    fence: int
    attempt: int
    size: float
    traits: Mapping[str, str]
    columns: Mapping[str, str]
    start_at: str = ""
    resolving: bool = False
    effects: tuple[Effect, ...] = ()
    earlier: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a beat says about one held task."""

    task: int
    claim: str
    settle: Settle
    cancelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The answer to a beat. `draining`: somebody told the node to claim nothing more."""

    draining: bool
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a step."""

    step: str
    state: EffectState
    outcome: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """That a step is about to be sent under a claim: see `Store.intent`."""

    claim: Claim
    step: str
    digest: str
    key: str
    deadline_us: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a claim ends: see `Store.finish`."""

    claim: Claim
    state: TaskState
    reason: str = ""
    lines: Sequence[str] = ()
    last: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRecord:
    """One look of a wave, saved by compare-and-set on `number` (the wave's looks so far + 1).

    `states` replaces the folded judge states per check (opaque JSON text); `verdicts` are the new latest ones.
    `phase`: `before` (credit goes to `baseline_us`), `during` (credits nothing), `bake` (credit goes to `bake_us`,
    and `activity` counts).
    """

    wave: int
    number: int
    at_us: Instant
    phase: str
    credit_us: Span
    activity: int
    answered: bool
    verdicts: tuple[CheckState, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What an observer needs to know of a wave: its looks so far, folded states, and its accounts with
    the time of their first step intent (None = not begun) and of their end. `settled`: accounts whose steps are
    not measured, because a person settled them or they never began and never will."""

    number: int
    last_us: Instant | None
    states: Mapping[str, str]
    accounts: Mapping[str, Instant | None]
    last_done_us: Instant | None
    settled: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """Account x revision x [from, to) x phase (`running:<step>`, `between:<a>,<b>`, `done`, `undone`)."""

    account: str
    revision: str
    from_us: Instant
    to_us: Instant | None
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task as people see it."""

    account: str
    ring: str
    revision: int
    wave: int | None
    state: TaskState
    attempt: int
    reason: str
    steps: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node session as people see it."""

    session: str
    node: str
    started_us: Instant
    lease_until_us: Instant
    dead: bool
    held: int
    ended: bool = False
    """It ended by itself; a dead one that did not was lost."""
    drained_by: str = ""
