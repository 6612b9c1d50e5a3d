"""What the simulator found and the product does not do yet, done here so that the search can go on.

Each entry is a finding; where a seed is named, `--as-is` shows it. When the product does it, the entry goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import connect
from typing import Any

from ringctl.core import acts
from ringctl.core.errors import BugError, NotAllowed, VersionConflict
from ringctl.core.model import Rollout
from ringctl.core.states import Settle, TaskState, Verdict, WaveState
from ringctl.stores.statements import Statements
from ringctl.testing.simulator.patching import patched

AFTER_SUCCESS = """ and r.key > coalesce((
       select max(s.key) from rollout s join member also on also.rollout = s.key and also.account = mine.account
        where s.component = here.component and s.state = 'succeeded' and s.key < here.key), 0)"""
"""What an aborted rollout did before another one succeeded is no part of a later release: its steps are run, not
taken over from there."""


def statements() -> dict[str, str]:
    """Statements as they should read."""
    text = Statements.load("sqlite")["effects_of_member"]
    place = "and mine.id = :member"
    if place not in text:
        raise BugError("effects_of_member has changed: look whether this is still wanted")
    return {"effects_of_member": text.replace(place, place + AFTER_SUCCESS)}


_PHASES = {"before": "planned", "during": "open", "bake": "baking"}


class Wanted:
    """Stands where the store's transactions would do it: nothing else runs meanwhile."""

    def __init__(self, database: Path) -> None:
        self._raw = connect(database, isolation_level=None)

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    def before(self, name: str, args: Sequence[Any]) -> None:
        """Refuse what should be refused."""
        if name == "add_look":
            # a look decided on while the wave was in another state credits, and shows, what was never seen (seed 10)
            row = self._raw.execute("select state from wave where id = ?", [args[0].wave]).fetchone()
            if row != (_PHASES[args[0].phase],):
                raise VersionConflict("simulated: the wave has moved on since this look was begun")
        if name == "resolve_task" and args[2] is TaskState.PENDING:
            # an account given back to a wave that has passed is nobody's any more: no claim takes it, and
            # `retry --as` refuses it
            row = self._raw.execute(
                "select w.state from rollout r join member m on m.rollout = r.key join task t on t.member = m.id "
                "join wave w on w.id = t.wave where r.id = ? and m.account = ? order by t.revision desc limit 1",
                args[:2],
            ).fetchone()
            if row == ("passed",):
                raise NotAllowed("simulated: its wave has passed")

    def after(self, name: str, args: Sequence[Any]) -> None:
        """Let what was decided meanwhile be decided anew: the rollout's version moves with what it rests on
        (seed 52: an inconclusive look was saved between the facts and the decision that the wave has passed)."""
        if name == "resolve_task":
            self._raw.execute("update rollout set version = version + 1 where id = ?", [args[0]])
        if name == "add_look" and any(one.verdict is not Verdict.PASS for one in args[0].verdicts):
            self._raw.execute(
                "update rollout set version = version + 1 where key = (select rollout from wave where id = ?)",
                [args[0].wave],
            )


@contextmanager
def stop_reaches_withdrawn() -> Iterator[None]:
    """`abort --now` stops what an amendment has left running, too: waves withdrawn before it (seed 95)."""
    honest = vars(acts)["_settle"]

    def settle(rollout: Rollout, how: Settle) -> Rollout:
        settled: Rollout = honest(rollout, how)
        if how is not Settle.STOP:
            return settled
        waves = (replace(w, settle=how) if w.state is WaveState.WITHDRAWN else w for w in settled.waves)
        return replace(settled, waves=tuple(waves))

    with patched(acts, "_settle", settle):
        yield
