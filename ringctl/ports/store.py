"""The state store: one port, one conformance suite (`ringctl.testing.store_suite`), every engine.

Every write is guarded: a rollout by its version, a task by its claim, a node by its session. Zero rows
changed raises (VersionConflict, ClaimLost, SessionLost); it is never passed over. State, journal entry
and outbox message are written in one transaction. Times are integer microseconds of the store's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import Instant, Span
from ringctl.ports.records import (
    Beat,
    Claim,
    Ending,
    Entry,
    Exposed,
    Intent,
    LookRecord,
    NewRollout,
    Node,
    Result,
    Summary,
    TaskRow,
    Watched,
)

if TYPE_CHECKING:  # named here only
    from ringctl.core.decisions import Step
    from ringctl.core.facts import Facts, Lasted, StepClasses, Stratum
    from ringctl.core.model import Member, Rollout, Session, Wave


class Store(Protocol):
    """See the module docstring. Methods may be called from several threads."""

    # -- schema and life ---------------------------------------------------------------------------
    def migrate(self, *, dry_run: bool = False) -> tuple[str, ...]:
        """Apply missing numbered migrations (names returned). Raises StoreUnavailable when an applied
        one has another checksum, or the schema is newer than this version knows."""
        ...

    def check(self) -> tuple[int, int]:
        """(schema version found, schema version known). Raises StoreUnavailable when they do not fit."""
        ...

    def verify(self) -> tuple[str, ...]:
        """Count everything anew and follow every journal's chain: what does not agree, in words; () is well."""
        ...

    def now_us(self) -> Instant:
        """The store's clock."""
        ...

    def on_change(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call `told` from another thread soon after a decision was saved, by whomever: a hint that may be lost or
        come too often. Returns what ends it."""
        ...

    def close(self) -> None:
        """Close this thread's and all other connections."""
        ...

    # -- bundles by content ------------------------------------------------------------------------
    def put_bundle(self, digest: str, manifest: str, files: Mapping[str, bytes]) -> None:
        """Keep a bundle's bytes (idempotent)."""
        ...

    def bundle_manifest(self, digest: str) -> str:
        """The manifest text. Raises NotFound."""
        ...

    def bundle_files(self, digest: str) -> Mapping[str, bytes]:
        """Path -> bytes. Raises NotFound."""
        ...

    # -- rollouts ----------------------------------------------------------------------------------
    def next_wave_ids(self, count: int) -> int:
        """Reserve `count` wave ids, return the first (a counter; gaps are harmless)."""
        ...

    def create_rollout(self, new: NewRollout) -> None:
        """Rows of the rollout, its waves, members and r1 tasks, first journal entry, outbox: one transaction."""
        ...

    def rollouts(self, *, only_open: bool = False) -> tuple[Summary, ...]:
        """All rollouts, newest first."""
        ...

    def served(self) -> tuple[str, ...]:
        """Ids of the rollouts that nodes have to do with: the open ones, and ended ones with unknown accounts of
        which ledger or probe was not asked yet."""
        ...

    def load(self, rollout_id: str) -> Rollout:
        """The rollout as last applied. Raises NotFound."""
        ...

    def facts(self, rollout: Rollout) -> Facts:
        """Aggregates of the rollout. Costs O(waves + nodes), never O(accounts)."""
        ...

    def apply(self, step: Step, *, expected: int, actor: str) -> Rollout:
        """Save `step.rollout` (its version becomes expected + 1) and carry out its decisions, if the stored
        version is `expected`; else raise VersionConflict and change nothing. Every decision is journalled
        and put into the outbox in the same transaction. Returns the rollout as saved."""
        ...

    def record(self, rollout_id: str, kind: str, payload: Mapping[str, object], *, actor: str) -> None:
        """A journal entry without a state change (a person's signal, a refused act)."""
        ...

    def candidates(
        self, rollout: Rollout, *, ring: str = "", reserve: bool | None = None
    ) -> Iterator[tuple[Member, TaskState | None, str]]:
        """Members that may be drawn under the current revision: not done, skipped or running under any
        revision and without a task of the current one. With each: the state of its latest task and the
        last step begun there ("" if none). Streams in (ring order, size, rank) order."""
        ...

    def largest_done(self, rollout_id: str, revision: int | None = None) -> float:
        """Size of the largest account done (under one revision, or any); 0.0 when none."""
        ...

    def largest_touched(self, rollout_id: str) -> float:
        """Size of the largest account on which any step was begun, under any revision; 0.0 when none."""
        ...

    def touched(self, rollout_id: str) -> Mapping[int, int]:
        """Accounts on which any step was begun, by revision number. Reads tasks: for people, not decisions."""
        ...

    def done_traits(
        self, rollout_id: str, revision: int
    ) -> tuple[frozenset[tuple[str, str]], Mapping[int, int]]:
        """Trait values and size decades (with counts) of accounts done under a revision."""
        ...

    # -- nodes and claims --------------------------------------------------------------------------
    def open_session(self, node: str, *, lease_us: Span) -> Session:
        """A new session id, leased from now."""
        ...

    def beat(self, session: Session) -> Beat:
        """Renew the lease, report every task held. Raises SessionLost when the session is dead."""
        ...

    def drain(self, name: str, *, actor: str) -> tuple[Node, ...]:
        """Tell the living nodes of that name (or the session that begins so) to claim nothing more and to end; they
        hear it with their next beat. Returns them."""
        ...

    def abandon(self, session: Session, *, keep: Sequence[str]) -> int:
        """Give up the session's tasks whose claim is not named in `keep`: claims whose commit was in doubt, which
        the node never got to know. As `rescue` does, at once: nobody runs them. Returns how many moved."""
        ...

    def close_session(self, session: Session) -> None:
        """End the session (nothing may be held any more; what is, is rescued)."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """Sessions that are alive, and dead ones of the last hour."""
        ...

    def rescue(self, *, grace_us: Span, limit: int = 100) -> int:
        """Mark sessions dead whose lease is over; move tasks of dead sessions (lease end + grace passed) and
        tasks past their deadline: without an open intent back to `pending` (or `cancelled` when the wave was
        withdrawn), with one to `unknown`. Journalled. Returns how many moved."""
        ...

    def claim(self, session: Session, rollout: Rollout, wave: Wave, *, limit: int) -> tuple[Claim, ...]:
        """Claim up to `limit` pending tasks of the wave, largest right of way first (rank order). Nothing when the
        wave is not open or settles, when the rollout is held, when as many as `wave.parallel` or
        failures left + 1 are in flight. Raises SessionLost."""
        ...

    def claim_unknown(self, session: Session, rollout: Rollout, *, limit: int) -> tuple[Claim, ...]:
        """Claim `unknown` tasks whose open intent may be settled by ledger or probe and that were not yet
        resolved to nothing: `resolving` is set. Not before the former holder's lease + grace is over."""
        ...

    def intent(self, claim: Claim, step: str, digest: str, key: str, *, deadline_us: Span) -> None:
        """Before a step is sent: effect row `intent`, task deadline = now + deadline_us. Raises ClaimLost when the
        claim is not current, or the task was cancelled."""
        ...

    def intend_all(self, intents: Sequence[Intent]) -> frozenset[str]:
        """`intent` for many tasks in one transaction, for steps that a ledger fences. Returns the ids of the
        claims that were begun; the others are lost, or cancelled."""
        ...

    def result(
        self,
        claim: Claim,
        step: str,
        state: EffectState,
        outcome: Mapping[str, object],
        *,
        lines: Sequence[str] = (),
    ) -> None:
        """After a step: effect row, log lines; clears the deadline. Raises ClaimLost."""
        ...

    def finish(
        self,
        claim: Claim,
        state: TaskState,
        reason: str = "",
        *,
        lines: Sequence[str] = (),
        last: Result | None = None,
    ) -> None:
        """End the claim with the task `done`, `failed`, `unknown`, or give it back (`pending`; `cancelled` when
        its wave was withdrawn). `last` is the result of its last step, where that is not written yet. Counters move
        in the same transaction. Raises ClaimLost."""
        ...

    def finish_all(self, endings: Sequence[Ending]) -> frozenset[str]:
        """`finish` for many claims in one transaction. Returns the ids of the claims that were ended; the others
        are lost, and nothing of theirs was written."""
        ...

    def log(self, claim: Claim, lines: Sequence[str]) -> None:
        """Add log lines under the claim, totally ordered per task. Raises ClaimLost; the refused lines are kept
        apart as late lines."""
        ...

    def resolve_task(
        self, rollout_id: str, account: str, state: TaskState, *, actor: str, reason: str
    ) -> None:
        """A person's word on a failed or unknown task: `pending` (retry), `done`, `failed`. Journalled; the
        wave reopens through `decide`. Raises NotFound, NotAllowed (the edge is not in the table)."""
        ...

    def add_tally(self, name: str, count: int = 1) -> None:
        """Count something that should be seldom (`double_claims`)."""
        ...

    def tallies(self) -> Mapping[str, int]:
        """`fenced_writes`: writes of stale holders that were refused; `double_claims`: steps that a target saw run
        under two claims at once. A name that is not there counts 0."""
        ...

    # -- observation -------------------------------------------------------------------------------
    def watched(self, rollout: Rollout, wave: Wave) -> Watched:
        """What an observer needs of one wave."""
        ...

    def untouched(self, rollout: Rollout, wave: Wave) -> Iterator[Member]:
        """Accounts of the rollout not touched yet (no intent under any revision), reserve included, in rank order:
        without the wave's own and without those of waves at work, which are touched next. Streams; members come
        without their columns."""
        ...

    def untouched_among(self, rollout: Rollout, accounts: Sequence[str]) -> tuple[str, ...]:
        """Those of the accounts that are not touched yet, in the order given."""
        ...

    def strata(self, wave: Wave) -> Mapping[Stratum, int]:
        """How many accounts of a wave have which traits and size decade."""
        ...

    def add_look(self, record: LookRecord) -> None:
        """Save a look. Raises VersionConflict when another node saved that number first."""
        ...

    def looks(self, rollout_id: str, wave: int | None = None) -> Iterator[Mapping[str, object]]:
        """Verdict rows, oldest first, as JSON values (for `gate show` and reports)."""
        ...

    def set_drift(self, rollout_id: str, where: str, files: Sequence[str]) -> None:
        """Record drift seen by a worker or controller; cleared by an amendment or by an empty `files`."""
        ...

    def step_measures(self, rollout_id: str, wave: int) -> Mapping[str, Mapping[str, float]]:
        """For the built-in source `steps`, of a wave's accounts: measure -> account -> value (`duration` in s,
        `failures`, `retries`, `duplicates`: steps that failed because a key existed). O(accounts of the wave)."""
        ...

    def step_times(self, rollout_id: str, wave: int) -> tuple[Lasted, ...]:
        """Steps of a wave's accounts that are done, and those that a living node runs now."""
        ...

    def step_classes(self, rollout: Rollout, wave: Wave) -> StepClasses:
        """What each step took in the other waves of the wave's revision, by size decade. Reads their tasks: for
        once in a wave's life."""
        ...

    # -- reading -----------------------------------------------------------------------------------
    def journal(self, rollout_id: str, *, after: int = 0) -> Iterator[Entry]:
        """Journal entries with seq > after, in order."""
        ...

    def tasks(
        self, rollout_id: str, *, states: Sequence[TaskState] = (), account: str = ""
    ) -> Iterator[TaskRow]:
        """Tasks, by account then revision."""
        ...

    def exposure(self, rollout_id: str, *, revision: int | None = None) -> Iterator[Exposed]:
        """Exposure rows from the effects, streamed, by account then time."""
        ...

    def task_log(self, rollout_id: str, account: str) -> Iterator[tuple[int, str]]:
        """(seq, line) of an account's tasks, in revision then seq order."""
        ...
