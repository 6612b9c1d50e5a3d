"""A person's word on a task that failed, or of which nobody knows what became of it."""

from ringctl.core.digests import canonical
from ringctl.core.errors import NotAllowed, NotFound, VersionConflict
from ringctl.core.states import TASK_EDGES, TaskState, WaveState
from ringctl.stores.counting import Moves, close_member
from ringctl.stores.journal import Journal, rollout_key
from ringctl.stores.part import Part


class Resolving(Part):
    """The store's method for people."""

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
