"""Claims: the exclusive right to run a task, and every write that needs it."""

from collections.abc import Mapping, Sequence
from typing import Final

from ringctl.core.digests import canonical
from ringctl.core.errors import BugError, ClaimLost, NotAllowed, NotFound, VersionConflict
from ringctl.core.model import Rollout, Session, Wave
from ringctl.core.states import TASK_EDGES, EffectState, TaskState, WaveState
from ringctl.core.timing import Span
from ringctl.ports.store import Claim, Effect
from ringctl.stores import rows
from ringctl.stores.counting import RESOLVE_TRIES, Moves
from ringctl.stores.database import Row, Transaction, Value
from ringctl.stores.journal import Journal, rollout_key
from ringctl.stores.part import Part
from ringctl.stores.sessions import given_back, session_lost

_ENDS: Final = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.UNKNOWN, TaskState.PENDING})


class Claims(Part):
    """The store's methods about claims."""

    # -- claiming ----------------------------------------------------------------------------------
    def claim(self, session: Session, rollout: Rollout, wave: Wave, *, limit: int) -> tuple[Claim, ...]:
        """See `Store.claim`."""
        with self.database.write() as tx:
            if tx.one("session_alive", id=session.id) is None:
                raise session_lost(session)
            admitted = tx.one("admitting_wave", wave=wave.id, revision=wave.revision)
            if admitted is None:
                return ()
            key, parallel, failures = admitted
            flight = tx.one("wave_in_flight", rollout=key, wave=wave.id)
            assert flight is not None
            running, lost = flight
            # I8: with a budget of n, at most n + 1 can be lost even if everything in flight goes wrong
            room = min(limit, parallel - running, failures + 1 - lost - running)
            if room <= 0:
                return ()
            found = tx.rows("pending_tasks", wave=wave.id, limit=room)
            claims = self._take(tx, session, rollout, (wave.id, wave.revision), found)
            moves = Moves(rollout=key, session=session.id)
            moves.task(wave.id, TaskState.PENDING, TaskState.RUNNING, len(claims))
            moves.write(tx)
        return claims

    def claim_unknown(self, session: Session, rollout: Rollout, *, limit: int) -> tuple[Claim, ...]:
        """See `Store.claim_unknown`. In flight stays within each wave's `parallel`."""
        claims: list[Claim] = []
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            if not tx.rows("waves_with_unknown", rollout=key):
                return ()
        with self.database.write() as tx:
            now = tx.now_us()
            if tx.one("session_alive", id=session.id) is None:
                raise session_lost(session)
            moves = Moves(rollout=key, session=session.id)
            for wave, parallel, revision in tx.rows("waves_with_unknown", rollout=key):
                tx.rows("lock_wave", wave=wave)
                flight = tx.one("wave_in_flight", rollout=key, wave=wave)
                assert flight is not None
                running, _ = flight
                room = min(limit - len(claims), parallel - running)
                if room <= 0:
                    continue
                found = tx.rows("unknown_tasks", wave=wave, now=now, tries=RESOLVE_TRIES, limit=room)
                taken = self._take(tx, session, rollout, (wave, revision), found, unknown=True)
                moves.task(wave, TaskState.UNKNOWN, TaskState.RUNNING, len(taken))
                claims += taken
            moves.write(tx)
        return tuple(claims)

    def _take(
        self,
        tx: Transaction,
        session: Session,
        rollout: Rollout,
        place: tuple[int, int],
        found: Sequence[Row],
        *,
        unknown: bool = False,
    ) -> tuple[Claim, ...]:
        """Give each task found a claim id and a fence, under the guard of its state."""
        if not found:
            return ()
        wave, revision = place
        key = rollout_key(tx, rollout.id)
        history = revision > 1 or tx.one("unfinished_history", rollout=key) is not None
        claims: list[Claim] = []
        takes: list[Mapping[str, Value]] = []
        for fence, row in zip(tx.numbers("fence", len(found)), found, strict=True):
            task, attempt, start_at, resolving, member, account, size, traits, columns = row
            effects, earlier = _effects(tx, task, member) if attempt or history else ((), ())
            claim = Claim(
                id=self._ids(),
                task=task,
                rollout=rollout.id,
                wave=wave,
                account=account,
                revision=revision,
                fence=fence,
                attempt=attempt + 1,
                size=size,
                traits=dict(rows.pairs_out(traits)),
                columns=dict(rows.pairs_out(columns)),
                start_at=start_at,
                resolving=bool(resolving),
                effects=effects,
                earlier=earlier,
            )
            claims.append(claim)
            takes.append({"id": task, "claim": claim.id, "fence": fence, "holder": session.id})
        taken = tx.many("take_unknown" if unknown else "take_task", takes)
        if taken != len(takes):
            raise BugError(f"{taken} of {len(takes)} tasks were taken: the claim is not exclusive")
        return tuple(claims)

    # -- running -----------------------------------------------------------------------------------
    def intent(self, claim: Claim, step: str, digest: str, key: str, *, deadline_us: Span) -> None:
        """See `Store.intent`."""
        with self.database.write() as tx:
            now = tx.now_us()
            begun = tx.one("begin_step", task=claim.task, claim=claim.id, now=now, deadline=deadline_us)
            if begun is None:  # raising rolls back; nothing was written
                raise claim_lost(claim)
            member, begun_us = begun
            if begun_us == now:
                tx.run("touch_member", id=member, now=now)
                if claim.size > self._touched.get(claim.rollout, -1.0):
                    tx.run("put_touched_size", task=claim.task, size=claim.size)
            added = tx.run(
                "add_intent",
                task=claim.task,
                step=step,
                digest=digest,
                key=key,
                fence=claim.fence,
                claim=claim.id,
                now=now,
            )
            if added != 1:
                raise BugError(f"step {step} took effect on {claim.account}: it is never begun again")
        # committed by this process: a smaller account need not be written
        self._touched[claim.rollout] = max(claim.size, self._touched.get(claim.rollout, -1.0))

    def result(
        self,
        claim: Claim,
        step: str,
        state: EffectState,
        outcome: Mapping[str, object],
        *,
        lines: Sequence[str] = (),
    ) -> None:
        """See `Store.result`."""
        if state is EffectState.INTENT:
            raise BugError("an intent is no result")
        with self.database.write() as tx:
            settled = int(state in {EffectState.DONE, EffectState.FAILED})
            held = tx.run("end_step", task=claim.task, claim=claim.id, step=step, settled=settled) == 1
            if held:
                now = tx.now_us()
                ended = tx.run(
                    "end_effect",
                    task=claim.task,
                    step=step,
                    state=state,
                    now=now,
                    outcome=canonical(outcome),
                )
                if ended != 1:
                    raise BugError(f"a result of {step} on {claim.account} without an intent")
            _log(tx, claim, lines, held=held)
        if not held:
            raise claim_lost(claim)

    def finish(self, claim: Claim, state: TaskState, reason: str = "", *, lines: Sequence[str] = ()) -> None:
        """See `Store.finish`. A task given back that stands half way in a withdrawn wave is `unknown`."""
        if state not in _ENDS:
            raise BugError(f"a claim does not end as {state}")
        noted: list[tuple[int, int, str, str]] = []
        with self.database.write() as tx:
            now = tx.now_us()
            in_doubt = False
            if state is TaskState.PENDING:
                state, in_doubt = _returned(tx, claim)
            # the lines go first: they need the claim that this transaction ends
            held = _log(tx, claim, lines)
            ended = held and tx.one(
                "finish_task",
                task=claim.task,
                claim=claim.id,
                state=state,
                reason=reason,
                now=now,
                resolving=int(in_doubt),
            )
            if ended:
                key, member, holder = ended
                moves = Moves(rollout=key, session=holder)
                moves.task(claim.wave, TaskState.RUNNING, state)
                if state is TaskState.DONE:
                    close_member(tx, moves, member, proven=claim.revision)
                    noted = self._note_traits(tx, key, claim)
                moves.write(tx)
        if not ended:
            raise claim_lost(claim)
        self._traits_done.update(noted)

    def _note_traits(self, tx: Transaction, key: int, claim: Claim) -> list[tuple[int, int, str, str]]:
        """Note the trait values that this revision has met. What this process saw committed is not written again."""
        every = [(key, claim.revision, trait, value) for trait, value in claim.traits.items()]
        new = [one for one in every if one not in self._traits_done]
        for rollout, revision, trait, value in new:
            tx.run("add_done_trait", rollout=rollout, revision=revision, trait=trait, value=value)
        return new

    def log(self, claim: Claim, lines: Sequence[str]) -> None:
        """See `Store.log`."""
        if not lines:
            return
        with self.database.write() as tx:
            held = _log(tx, claim, lines)
        if not held:
            raise claim_lost(claim)

    # -- a person's word ---------------------------------------------------------------------------
    def resolve_task(
        self, rollout_id: str, account: str, state: TaskState, *, actor: str, reason: str
    ) -> None:
        """See `Store.resolve_task`. `done` and `failed` settle an open step too; after `pending` an open step is
        settled by ledger or probe (`Claim.resolving`) before anything runs: a retry is no blind repeat."""
        with self.database.write() as tx:
            key = rollout_key(tx, rollout_id)
            tx.rows("lock_rollout", rollout=key)
            row = tx.one("task_to_resolve", rollout=key, account=account)
            if row is None:
                raise NotFound(f"{account} is no account of {rollout_id}")
            task, before, wave, member, revision, wave_state, is_open = row
            _allow(account, TaskState(before), state, wave_state, is_open=bool(is_open))
            now = tx.now_us()
            if tx.run("resolve_task", task=task, before=before, state=state, reason=reason, now=now) != 1:
                raise VersionConflict(f"{account} was taken up in this moment", hint="look again")
            moves = Moves(rollout=key)
            moves.task(wave, before, state)
            if state is not TaskState.PENDING:
                outcome = canonical({"by": actor, "reason": reason})
                tx.run("settle_effects", task=task, state=state, now=now, outcome=outcome)
            if state is TaskState.DONE:
                close_member(tx, moves, member, proven=0)  # I4: a person's word is no evidence
            moves.write(tx)
            Journal(tx=tx, key=key, rollout=rollout_id, at_us=now, actor=actor).add(
                "task-resolved",
                {
                    "account": account,
                    "revision": f"r{revision}",
                    "before": before,
                    "state": str(state),
                    "reason": reason,
                },
            )


def claim_lost(claim: Claim) -> ClaimLost:
    """The refusal of a write whose claim is not the current one."""
    return ClaimLost(
        f"claim {claim.id} on {claim.account} (r{claim.revision}, attempt {claim.attempt}) is not the current one",
        hint="stop at once: another holder may be at work",
    )


def close_member(tx: Transaction, moves: Moves, member: int, *, proven: int) -> None:
    """The member has nothing more to do; `proven` is the revision under which a worker did it, else 0."""
    row = tx.one("close_member", id=member, proven=proven)
    if row is None:
        return
    ring, reserve, drawn, decade, size = row
    moves.member(ring, reserve, drawn, -1)
    if proven:
        tx.run(
            "add_done_size",
            rollout=moves.rollout,
            revision=proven,
            decade=decade,
            session=moves.session,
            size=size,
        )


def _returned(tx: Transaction, claim: Claim) -> tuple[TaskState, bool]:
    """What a task given back becomes, and whether a step of it is still open."""
    tx.rows("lock_rollout_of_task", task=claim.task)
    row = tx.one("task_to_return", task=claim.task)
    assert row is not None
    wave_state, is_open, begun, in_doubt = row
    state = given_back(wave_state, is_open=bool(is_open), begun=bool(begun))
    return state, bool(in_doubt) and state is TaskState.PENDING


def _allow(
    account: str, before: TaskState, after: TaskState, wave_state: str | None, *, is_open: bool
) -> None:
    """Refuse what a person may not say: edges that are not in the table, and a retry that nobody could claim."""
    resolvable = before in {TaskState.FAILED, TaskState.UNKNOWN}
    sayable = after in {TaskState.PENDING, TaskState.DONE, TaskState.FAILED}
    if not (resolvable and sayable and after in TASK_EDGES[before]):
        raise NotAllowed(f"{account} is {before}: that cannot become {after}")
    if after is TaskState.PENDING and not (is_open and wave_state != WaveState.WITHDRAWN):
        raise NotAllowed(
            f"{account} cannot be retried: its wave was withdrawn or its rollout ended",
            hint="a later revision takes it up where its `from_step` says how",
        )


def _effects(tx: Transaction, task: int, member: int) -> tuple[tuple[Effect, ...], tuple[Effect, ...]]:
    """(the task's own effects, those of the account's older tasks), both in order."""
    own: list[Effect] = []
    earlier: list[Effect] = []
    for row in tx.rows("effects_of_member", member=member):
        (own if row[0] == task else earlier).append(rows.effect_out(row[1:]))
    return tuple(own), tuple(earlier)


def _log(tx: Transaction, claim: Claim, lines: Sequence[str], *, held: bool = True) -> bool:
    """Write log lines under the claim; whether it is held. Refused lines are kept apart as late lines."""
    if not lines:
        return held
    now = tx.now_us()
    first = None
    if held:
        first = tx.one("take_log_numbers", task=claim.task, claim=claim.id, count=len(lines))
    if first is None:
        for line in lines:
            tx.run("add_late_line", task=claim.task, claim=claim.id, at_us=now, line=line)
        return False
    for seq, line in enumerate(lines, start=first[0]):
        tx.run("add_log_line", task=claim.task, seq=seq, fence=claim.fence, at_us=now, line=line)
    return True
