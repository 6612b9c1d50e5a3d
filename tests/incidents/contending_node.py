"""`ringctl run` with a pause in each claim: `python -m tests.incidents.contending_node HOW --state ...`.

HOW is `guarded` (nothing but the pause is added) or `unguarded`: the claim without its write lock and without
its look at the task's state, as after the change in Octopus Server 2023.3. The seeded bug lives here alone:
nothing in ringctl can switch it on.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ringctl.stores.sqlite as engine
from ringctl.__main__ import main
from ringctl.core.model import Rollout, Session, Wave
from ringctl.ports.records import Claim

PAUSE_S = 0.1
GUARD = "and state = 'pending'"


class Contending(engine.SQLiteStore):
    """Between its look at the queue and its taking of tasks a claim pauses, as a busy machine may make it."""

    def _take(self, *words: Any, **named: Any) -> tuple[Claim, ...]:
        time.sleep(PAUSE_S)
        return super()._take(*words, **named)


class Unguarded(Contending):
    """Claims through a second store, whose claiming statements lost their guards. All else is as it was."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._claiming = Contending(*words, **named)
        take = self._claiming.statements["take_task"]
        assert GUARD in take
        self._bug = self._claiming.statements.override(
            begin_write="pragma busy_timeout = 20000", commit="select 1", take_task=take.replace(GUARD, "")
        )
        self._bug.__enter__()

    def claim(self, session: Session, rollout: Rollout, wave: Wave, *, limit: int) -> tuple[Claim, ...]:
        return self._claiming.claim(session, rollout, wave, limit=limit)


def run(how: str, words: Sequence[str]) -> int:
    """A node with the one store or the other."""
    # as on a host of its own: on a common one the record of running commands would keep the second run out
    os.environ["RINGCTL_WORK"] = str(Path.cwd() / f"work-{os.getpid()}")
    engine.SQLiteStore = {"guarded": Contending, "unguarded": Unguarded}[how]  # type: ignore[misc]
    return main(list(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
