"""Effects: what a holder writes while it runs a task. Every write names the claim, and changes nothing without it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from ringctl.core.digests import canonical
from ringctl.core.errors import BugError, ClaimLost
from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import Span
from ringctl.ports.records import Claim, Ending, Intent, Result
from ringctl.stores.counting import FENCED, Moves, close_member, tally
from ringctl.stores.database import Transaction
from ringctl.stores.part import Part
from ringctl.stores.sessions import given_back
from ringctl.stores.together import Together

ENDS: Final = frozenset({TaskState.DONE, TaskState.FAILED, TaskState.UNKNOWN, TaskState.PENDING})
Trait = tuple[str, int, str, str]
"""(rollout, revision, trait, value)."""


class Effects(Part):
    """The store's methods about what a claim's holder does."""

    @cached_property
    def _intents(self) -> Together[Intent, bool]:
        return Together(self._intend)

    @cached_property
    def _endings(self) -> Together[Ending, bool]:
        return Together(self._finish)

    def intent(self, claim: Claim, step: str, digest: str, key: str, *, deadline_us: Span) -> None:
        """See `Store.intent`."""
        what = Intent(claim=claim, step=step, digest=digest, key=key, deadline_us=deadline_us)
        if not self._intents(what):
            raise self._lost(claim)

    def intend_all(self, intents: Sequence[Intent]) -> frozenset[str]:
        """See `Store.intend_all`."""
        return self._counted([one.claim for one in intents], self._intend(intents))

    def _intend(self, intents: Sequence[Intent]) -> list[bool]:
        """Write intents in one transaction; whether each has its claim."""
        with self.database.write() as tx:
            begun = [self._begin(tx, one) for one in intents]
        for one, held in zip(intents, begun, strict=True):
            if held:
                self._saw_touched(one.claim)
        return begun

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
        with self.database.write() as tx:
            held = _end_step(tx, claim, Result(step=step, state=state, outcome=outcome))
            _log(tx, claim, lines, held=held)
        if not held:
            raise self._lost(claim)

    def finish(
        self,
        claim: Claim,
        state: TaskState,
        reason: str = "",
        *,
        lines: Sequence[str] = (),
        last: Result | None = None,
    ) -> None:
        """See `Store.finish`. A task given back that stands half way in a withdrawn wave is `unknown`."""
        ending = Ending(claim=claim, state=state, reason=reason, lines=lines, last=last)
        if not self._endings(ending):
            raise self._lost(claim)

    def finish_all(self, endings: Sequence[Ending]) -> frozenset[str]:
        """See `Store.finish_all`."""
        return self._counted([one.claim for one in endings], self._finish(endings))

    def _finish(self, endings: Sequence[Ending]) -> list[bool]:
        """End claims in one transaction; whether each was held."""
        noted: list[Trait] = []
        with self.database.write() as tx:
            ended = [self._end(tx, one, noted) for one in endings]
        self._traits_done.update(noted)
        return ended

    def log(self, claim: Claim, lines: Sequence[str]) -> None:
        """See `Store.log`."""
        if not lines:
            return
        with self.database.write() as tx:
            held = _log(tx, claim, lines)
        if not held:
            raise self._lost(claim)

    # -- one claim inside a transaction ------------------------------------------------------------
    def _begin(self, tx: Transaction, intent: Intent) -> bool:
        """Write the intent; False, and nothing written, without the claim."""
        now, claim = tx.now_us(), intent.claim
        begun = tx.one("begin_step", task=claim.task, claim=claim.id, now=now, deadline=intent.deadline_us)
        if begun is None:
            return False
        member, begun_us = begun
        if begun_us == now:
            tx.run("touch_member", id=member, now=now)
            if claim.size > self._touched.get(claim.rollout, -1.0):
                tx.run("put_touched_size", task=claim.task, size=claim.size)
        added = tx.run(
            "add_intent",
            task=claim.task,
            step=intent.step,
            digest=intent.digest,
            key=intent.key,
            fence=claim.fence,
            claim=claim.id,
            now=now,
        )
        if added != 1:
            raise BugError(f"step {intent.step} took effect on {claim.account}: it is never begun again")
        return True

    def _saw_touched(self, claim: Claim) -> None:
        """Committed by this process: a smaller account's size need not be written."""
        self._touched[claim.rollout] = max(claim.size, self._touched.get(claim.rollout, -1.0))

    def _end(self, tx: Transaction, ending: Ending, noted: list[Trait]) -> bool:
        """End one claim; False without it: then only its lines are kept, apart."""
        claim, state = ending.claim, ending.state
        if state not in ENDS:
            raise BugError(f"a claim does not end as {state}")
        if ending.last is not None and not _end_step(tx, claim, ending.last):
            _log(tx, claim, ending.lines, held=False)
            return False
        now = tx.now_us()
        in_doubt = False
        if state is TaskState.PENDING:
            state, in_doubt = _returned(tx, claim)
        # the lines go first: they need the claim that this transaction ends
        if not _log(tx, claim, ending.lines):
            return False
        ended = tx.one(
            "finish_task",
            task=claim.task,
            claim=claim.id,
            state=state,
            reason=ending.reason,
            now=now,
            resolving=int(in_doubt),
        )
        if ended is None:
            return False
        key, member, holder = ended
        moves = Moves(rollout=key, session=holder)
        moves.task(claim.wave, TaskState.RUNNING, state)
        if state is TaskState.DONE:
            close_member(tx, moves, member, proven=claim.revision)
            noted += self._note_traits(tx, key, claim)
        moves.write(tx)
        return True

    def _note_traits(self, tx: Transaction, key: int, claim: Claim) -> list[Trait]:
        """Note the trait values that this revision has met. What this process saw committed is not written again."""
        new = self._new_traits(claim)
        for _, revision, trait, value in new:
            tx.run("add_done_trait", rollout=key, revision=revision, trait=trait, value=value)
        return new

    def _new_traits(self, claim: Claim) -> list[Trait]:
        every = [(claim.rollout, claim.revision, trait, value) for trait, value in claim.traits.items()]
        return [one for one in every if one not in self._traits_done]

    # -- refusals ----------------------------------------------------------------------------------
    def _lost(self, claim: Claim) -> ClaimLost:
        """The refusal of a write whose claim is not the current one; it is counted."""
        self.add_tally(FENCED)
        return claim_lost(claim)

    def _counted(self, claims: Sequence[Claim], held: Sequence[bool]) -> frozenset[str]:
        """The ids of the claims that were held; the others' writes were refused, and are counted."""
        if not all(held):
            self.add_tally(FENCED, len(held) - sum(held))
        return frozenset(claim.id for claim, mine in zip(claims, held, strict=True) if mine)

    def add_tally(self, name: str, count: int = 1) -> None:
        """See `Store.add_tally`."""
        with self.database.write() as tx:
            tally(tx, name, count)

    def tallies(self) -> Mapping[str, int]:
        """See `Store.tallies`."""
        with self.database.read() as tx:
            return {name: int(value) for name, value in tx.rows("all_tallies")}


def claim_lost(claim: Claim) -> ClaimLost:
    """The refusal of a write whose claim is not the current one."""
    return ClaimLost(
        f"claim {claim.id} on {claim.account} (r{claim.revision}, attempt {claim.attempt}) is not the current one",
        hint="stop at once: another holder may be at work",
    )


def _end_step(tx: Transaction, claim: Claim, result: Result) -> bool:
    """Write a step's result; False, and nothing written, without the claim."""
    if result.state is EffectState.INTENT:
        raise BugError("an intent is no result")
    settled = int(result.state in {EffectState.DONE, EffectState.FAILED})
    if tx.run("end_step", task=claim.task, claim=claim.id, step=result.step, settled=settled) != 1:
        return False
    ended = tx.run(
        "end_effect",
        task=claim.task,
        step=result.step,
        state=result.state,
        now=tx.now_us(),
        outcome=canonical(result.outcome),
    )
    if ended != 1:
        raise BugError(f"a result of {result.step} on {claim.account} without an intent")
    return True


def _returned(tx: Transaction, claim: Claim) -> tuple[TaskState, bool]:
    """What a task given back becomes, and whether a step of it is still open."""
    tx.rows("lock_rollout_of_task", task=claim.task)
    row = tx.one("task_to_return", task=claim.task)
    assert row is not None
    wave_state, is_open, begun, in_doubt = row
    state = given_back(wave_state, is_open=bool(is_open), begun=bool(begun))
    return state, bool(in_doubt) and state is TaskState.PENDING


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
