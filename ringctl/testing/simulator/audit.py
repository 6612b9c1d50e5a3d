"""The whole picture, looked at now and then: every promise that the tables show, and the journal against them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection, connect

from ringctl.core.model import Rollout
from ringctl.core.states import RolloutState, TaskState, WaveState
from ringctl.ports.store import Store
from ringctl.testing.watching import Watching

_GAPS = "select task from task_log group by task having min(seq) <> 1 or max(seq) <> count(*)"
_BACK = """
select a.task from task_log a join task_log b on b.task = a.task and b.seq = a.seq + 1 where b.fence < a.fence"""
_DONE = "select t.id from task t where t.state = 'done'"
_RUNNING = "select m.account from task t join member m on m.id = t.member where t.state = 'running'"


@dataclass(slots=True)
class Audit:
    """Looks at one database through a store without faults."""

    store: Store
    database: Path
    watching: Watching = field(init=False)
    looks: int = 0
    _done: set[int] = field(default_factory=set)
    _raw: Connection | None = None

    def __post_init__(self) -> None:
        self.watching = Watching(store=self.store)

    def _rows(self, sql: str) -> list[tuple[object, ...]]:
        if self._raw is None:
            self._raw = connect(self.database, isolation_level=None)
        return self._raw.execute(sql).fetchall()

    def close(self) -> None:
        """Close all connections."""
        if self._raw is not None:
            self._raw.close()
        self.store.close()

    def broken(self, *, whole: bool = False) -> tuple[str, ...]:
        """What does not hold now; `whole`: counters and chains of everything are counted anew, too."""
        self.looks += 1
        found: list[str] = []
        for row in self.store.rollouts():
            if whole or row.state not in {"aborted", "succeeded", "partial"}:
                found += [what for what in self.watching.broken(row.id) if not _mixed(what)]
                found += journalled(self.store, self.store.load(row.id))
        if whole:
            found += [f"I11: {what}" for what in self.store.verify()]
            found += [f"I11: lines of task {task} have gaps" for (task,) in self._rows(_GAPS)]
            found += [
                f"I11: lines of task {task} of an older claim come later" for (task,) in self._rows(_BACK)
            ]
        done = {int(str(task)) for (task,) in self._rows(_DONE)}
        found += [f"I3: task {task} was done and is not any more" for task in sorted(self._done - done)]
        self._done = done
        return tuple(found)

    def running(self) -> list[str]:
        """Accounts that somebody holds now."""
        return [str(account) for (account,) in self._rows(_RUNNING)]

    def troubled(self, rollout_id: str) -> list[str]:
        """Accounts of a rollout that are failed or unknown."""
        states = [TaskState.FAILED, TaskState.UNKNOWN]
        return [row.account for row in self.store.tasks(rollout_id, states=states)]


def _mixed(what: str) -> bool:
    """A requalification wave takes the smallest of each stratum, of whatever ring (DESIGN 12.23): that is no breach
    of I7, which is about the account's ring."""
    found = re.search(r"I7: \S+ of ring (\S+) is in ring (\S+), wave of ", what)
    return found is not None and found[1] == found[2]


def journalled(store: Store, rollout: Rollout) -> list[str]:
    """I11: whatever the tables say has happened stands in the journal, once."""
    kinds: Counter[str] = Counter()
    waves: Counter[tuple[str, int]] = Counter()
    first = 1
    for entry in store.journal(rollout.id):
        kinds[entry.kind] += 1
        if "wave" in entry.payload:
            waves[entry.kind, int(str(entry.payload["wave"]))] += 1
        if entry.kind == "created":
            first = int(str(entry.payload["revision"]).removeprefix("r"))
    expected: dict[tuple[str, int], int] = {}
    for wave in rollout.waves:
        expected["wave-opened", wave.id] = int(wave.opened_us is not None)
        expected["wave-passed", wave.id] = int(wave.state is WaveState.PASSED)
        expected["wave-withdrawn", wave.id] = int(wave.state is WaveState.WITHDRAWN)
        if wave.revision > first:
            expected["wave-drawn", wave.id] = 1
    wrong = [
        f"I11: {kind} of wave {wave} happened {count} times, {waves[kind, wave]} in the journal"
        for (kind, wave), count in expected.items()
        if waves[kind, wave] != count
    ]
    ends = rollout.state in {RolloutState.SUCCEEDED, RolloutState.PARTIAL}
    counts = {
        "created": 1,
        "amended": rollout.revision.number - first,
        "aborted": int(rollout.state is RolloutState.ABORTED),
        "finished": int(ends),
    }
    return wrong + [
        f"I11: {kind} happened {count} times, {kinds[kind]} in the journal"
        for kind, count in counts.items()
        if kinds[kind] != count
    ]
