"""Counting anew: every counter and denormalised column against the rows it stands for, every journal's chain."""

from collections import Counter

from ringctl.core.audit import audit_chain
from ringctl.core.states import TaskState
from ringctl.stores.counting import STATES
from ringctl.stores.database import Transaction
from ringctl.stores.reading import Reading


class Verifying(Reading):
    """What tests and `db check` ask of a store. It scans: never part of a decision."""

    def verify(self) -> tuple[str, ...]:
        """Everything that does not hold, in words; empty when all does."""
        with self.database.read() as tx:
            wrong = _progress(tx)
            wrong += [f"member {member}: {what}" for member, what in tx.rows("unlike_members")]
            wrong += [f"task {task}: {what}" for task, what in tx.rows("unlike_tasks")]
            wrong += [f"done sizes {place}: differ" for place in tx.rows("unlike_sizes")]
            heads = tx.rows("rollout_heads")
        for _, rollout, seq, head, queued in heads:
            entries = list(self.journal(rollout))
            broken = audit_chain(entries)
            last = (entries[-1].seq, entries[-1].hash) if entries else (0, head)
            if broken is not None or last != (seq, head) or queued != seq:
                wrong.append(f"journal of {rollout}: broken at {broken}, head {seq}, outbox {queued}")
        return tuple(wrong)


def _progress(tx: Transaction) -> list[str]:
    counted: Counter[tuple[int, int, str]] = Counter()
    for rollout, wave, state, count in tx.rows("recount_progress"):
        counted[rollout, wave, TaskState(state)] += count
    kept: Counter[tuple[int, int, str]] = Counter()
    for rollout, wave, *sums in tx.rows("all_progress"):
        for state, count in zip(STATES, sums, strict=True):
            kept[rollout, wave, state] += count
    from ringctl.core.invariants import differences

    return differences("progress", counted, kept)
