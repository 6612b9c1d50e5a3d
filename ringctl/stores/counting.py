"""Counters that move in the transaction that moves the rows: per wave and task state.

Each session adds to rows of its own ('' for what is not a node's), and readers sum the few rows: so no two
nodes wait for one hot row, and no reader counts tasks.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ringctl.core.states import TaskState
from ringctl.stores.database import Transaction

STATES = tuple(TaskState)
RESOLVE_TRIES: Final = 3
"""How often a resolution is begun whose holder dies; one that ends as unknown is not begun again."""


FENCED: Final = "fenced_writes"
"""Writes of stale holders that were refused."""


@dataclass(slots=True)
class Moves:
    """Task moves of one transaction, summed before they are written."""

    rollout: int
    session: str = ""
    tasks: Counter[tuple[int, str]] = field(default_factory=Counter)

    def task(self, wave: int | None, before: str | None, after: str | None, count: int = 1) -> None:
        """`count` tasks of a wave went from one state to another (None: came in, went out)."""
        if wave is None:
            return
        if before is not None:
            self.tasks[wave, before] -= count
        if after is not None:
            self.tasks[wave, after] += count

    def write(self, tx: Transaction) -> None:
        """Add the sums to the session's rows, and begin anew."""
        for wave in sorted({wave for (wave, _), count in self.tasks.items() if count}):
            tx.run(
                "add_progress",
                rollout=self.rollout,
                wave=wave,
                session=self.session,
                **{str(state): self.tasks[wave, state] for state in STATES},
            )
        self.tasks.clear()


def close_member(tx: Transaction, moves: Moves, member: int, *, proven: int) -> None:
    """The member has nothing more to do; `proven` is the revision under which a worker did it, else 0."""
    row = tx.one("close_member", id=member, proven=proven)
    if row is None:
        return
    decade, size = row
    if proven:
        tx.run(
            "add_done_size",
            rollout=moves.rollout,
            revision=proven,
            decade=decade,
            session=moves.session,
            size=size,
        )


def tally(tx: Transaction, name: str, count: int = 1, session: str = "") -> None:
    """Count something that should be seldom."""
    tx.run("add_tally", name=name, session=session, count=count)
