"""Carrying out decisions: what each does to tasks and members, inside the transaction that saves the rollout."""

from dataclasses import dataclass
from typing import assert_never

from ringctl.core.decisions import (
    AddWave,
    Decided,
    Decision,
    LiftHold,
    OpenWave,
    PlaceHold,
    WithdrawWave,
)
from ringctl.core.errors import BugError, VersionConflict
from ringctl.core.model import Rollout
from ringctl.core.states import TaskState
from ringctl.core.timing import Instant
from ringctl.stores.counting import Moves
from ringctl.stores.database import Row, Transaction

_ENDED = "the rollout ended"
_WITHDRAWN = "its wave was withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrying:
    """One `apply`: its transaction, the rollout as it is saved, the counters it moves."""

    tx: Transaction
    key: int
    rollout: Rollout
    now_us: Instant
    moves: Moves

    def carry_out(self, decision: Decision) -> None:
        """Do to tasks and members what the decision says."""
        match decision:
            case OpenWave():
                opened = self.tx.run("open_wave_tasks", wave=decision.wave)
                self.moves.task(decision.wave, TaskState.WAITING, TaskState.PENDING, opened)
            case WithdrawWave():
                cancel_idle(self.tx, self.moves, decision.wave, self.now_us, _WITHDRAWN)
            case AddWave():
                self._draw(decision)
            case PlaceHold() | LiftHold() | Decided():
                pass  # part of the rollout already: only journalled
            case _:
                assert_never(decision)

    def _draw(self, decision: AddWave) -> None:
        """Give each member its task of this revision; end what older revisions left unfinished."""
        wave = decision.wave
        if len(set(decision.members)) != wave.accounts:
            raise BugError(f"wave {wave.id} has {wave.accounts} accounts, not {len(decision.members)}")
        for account in decision.members:
            self.tx.rows("lock_member", rollout=self.key, account=account)
            row = self.tx.one("member_to_draw", rollout=self.key, account=account)
            if row is None:
                raise BugError(f"{account} is no member of {self.rollout.id}")
            self._draw_member(decision, account, row)
        self.moves.task(wave.id, None, TaskState.WAITING, wave.accounts)

    def _draw_member(self, decision: AddWave, account: str, row: Row) -> None:
        member, rank, is_open, drawn, latest, state, revision, placed = row
        wave = decision.wave
        start_at = decision.resume_at.get(account, "")
        busy = state in {TaskState.PENDING, TaskState.RUNNING}
        if not is_open or drawn >= wave.revision or busy:
            raise VersionConflict(f"{account} was free when the wave was drawn and is not any more")
        if revision == wave.revision:
            if placed is not None or not self.tx.run(
                "place_task", id=latest, wave=wave.id, start_at=start_at
            ):
                raise VersionConflict(f"{account} has a task of r{revision} already")
        else:
            self._overtake(member, wave.revision)
            self.tx.run(
                "add_task",
                id=self.tx.numbers("task", 1)[0],
                rollout=self.key,
                member=member,
                revision=wave.revision,
                wave=wave.id,
                rank=rank,
                start_at=start_at,
            )
        self.tx.run("draw_member", id=member, revision=wave.revision)

    def _overtake(self, member: int, revision: int) -> None:
        """Cancel older open tasks of a member: an account has at most one open task."""
        for task, wave, state in self.tx.rows("overtaken_tasks", member=member, revision=revision):
            reason = f"r{revision} took the account over"
            self.tx.run("cancel_overtaken", id=task, now=self.now_us, reason=reason)
            self.moves.task(wave, state, TaskState.CANCELLED)


def cancel_idle(tx: Transaction, moves: Moves, wave: int, now_us: Instant, reason: str) -> None:
    """Cancel the wave's tasks that never began; those given back half way become unknown."""
    for state, half, count in tx.rows("idle_of_wave", wave=wave):
        moves.task(wave, state, TaskState.UNKNOWN if half else TaskState.CANCELLED, count)
    tx.run("cancel_idle_of_wave", wave=wave, now=now_us, reason=reason)


def end_tasks(tx: Transaction, key: int, moves: Moves, now_us: Instant) -> None:
    """The rollout ended: tasks that never began are cancelled, drawn or not. Counters tell which waves have any."""
    moves.write(tx)
    for (wave,) in tx.rows("waves_with_idle", rollout=key):
        cancel_idle(tx, moves, wave, now_us, _ENDED)
    tx.run("cancel_undrawn", rollout=key, now=now_us, reason=_ENDED)
