"""States, and the tables of edges between them. Every edge has its reason; docs and tests read them.

A state changes only through `step`, which refuses any edge that is not in its table.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from ringctl.core.errors import BugError


class RolloutState(StrEnum):
    """Life of a rollout (DESIGN 4)."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    REQUALIFYING = "requalifying"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"


class WaveState(StrEnum):
    """Life of a wave."""

    PLANNED = "planned"
    OPEN = "open"
    BAKING = "baking"
    PASSED = "passed"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


class WaveKind(StrEnum):
    """Why a wave exists."""

    CANARY = "canary"
    REQUALIFICATION = "requalification"
    EXPANSION = "expansion"
    LONE = "lone"
    RESERVE = "reserve"


class TaskState(StrEnum):
    """Life of a task: one account under one revision."""

    WAITING = "waiting"
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class EffectState(StrEnum):
    """What is known of one step on one account. `open` intents of a dead holder are `unknown`."""

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """A gate's or check's answer. There is no default: absence of a verdict is never a pass."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Settle(StrEnum):
    """What a worker does with a task of a wave that stopped admitting (DESIGN 12.8, 12.9).

    NONE: carry on. FINISH: the running steps finish; inside a red stretch the task runs to its end.
    CLOSE: stop at the next safe place; inside a red stretch run `close_window`, else run to the end.
    STOP: stop now, carry nothing on, list what stays open.
    """

    NONE = "none"
    FINISH = "finish"
    CLOSE = "close"
    STOP = "stop"


S = TypeVar("S", RolloutState, WaveState, TaskState)
Edges = Mapping[S, Mapping[S, str]]

_ENDS: Final = {
    RolloutState.ABORTED: "a person aborted it",
    RolloutState.SUPERSEDED: "a later release took its place",
}

ROLLOUT_EDGES: Final[Edges[RolloutState]] = MappingProxyType(
    {
        RolloutState.PENDING: {
            RolloutState.RUNNING: "its first decision was made",
            RolloutState.HELD: "held before anything opened",
            RolloutState.REQUALIFYING: "it continues a release that touched accounts before (12.1)",
            **_ENDS,
        },
        RolloutState.RUNNING: {
            RolloutState.HELD: "a hold was placed",
            RolloutState.REQUALIFYING: "the bundle was amended",
            RolloutState.SUCCEEDED: "every account is done and every gate passed",
            RolloutState.PARTIAL: "the last wave passed, and accounts were failed in budget or skipped",
            **_ENDS,
        },
        RolloutState.HELD: {
            RolloutState.RUNNING: "the last hold was lifted",
            RolloutState.REQUALIFYING: "the bundle was amended, or the last hold was lifted while requalifying",
            **_ENDS,
        },
        RolloutState.REQUALIFYING: {
            RolloutState.RUNNING: "the requalification subset passed",
            RolloutState.HELD: "a hold was placed",
            **_ENDS,
        },
        RolloutState.SUCCEEDED: {RolloutState.ROLLED_BACK: "a rollback rollout undid it"},
        RolloutState.PARTIAL: {RolloutState.ROLLED_BACK: "a rollback rollout undid it"},
        RolloutState.ABORTED: {RolloutState.ROLLED_BACK: "a rollback rollout undid it"},
        RolloutState.SUPERSEDED: {},
        RolloutState.ROLLED_BACK: {},
    }
)

WAVE_EDGES: Final[Edges[WaveState]] = MappingProxyType(
    {
        WaveState.PLANNED: {
            WaveState.OPEN: "everything before it passed, nothing holds, its baseline is recorded",
            WaveState.WITHDRAWN: "an amendment overtook it, or the rollout ended",
        },
        WaveState.OPEN: {
            WaveState.BAKING: "all its tasks have ended within the failure budget",
            WaveState.FAILED: "a gate failed or the failure budget was exceeded",
            WaveState.WITHDRAWN: "an amendment overtook it, or the rollout ended",
        },
        WaveState.BAKING: {
            WaveState.PASSED: "bake time and activity are credited and every check passed",
            WaveState.FAILED: "a gate failed",
            WaveState.OPEN: "a failed or unknown account was given back to it",
            WaveState.WITHDRAWN: "an amendment overtook it, or the rollout ended",
        },
        WaveState.FAILED: {
            WaveState.OPEN: "failed accounts were given back to it at the same digest (no gate had failed)",
            WaveState.WITHDRAWN: "an amendment overtook it, or the rollout ended",
        },
        WaveState.PASSED: {},
        WaveState.WITHDRAWN: {},
    }
)

TASK_EDGES: Final[Edges[TaskState]] = MappingProxyType(
    {
        TaskState.WAITING: {
            TaskState.PENDING: "its wave opened",
            TaskState.CANCELLED: "its wave was withdrawn or the rollout ended",
            TaskState.SKIPPED: "a person skipped the account",
        },
        TaskState.PENDING: {
            TaskState.RUNNING: "a node claimed it",
            TaskState.UNKNOWN: "it stands half way, and its wave was withdrawn or the rollout ended",
            TaskState.CANCELLED: "its wave was withdrawn or the rollout ended",
            TaskState.SKIPPED: "a person skipped the account",
        },
        TaskState.RUNNING: {
            TaskState.DONE: "its last step took effect",
            TaskState.FAILED: "a step failed for certain",
            TaskState.UNKNOWN: "a step's outcome is not known, or it was closed half way",
            TaskState.PENDING: "its holder gave it back, or died before any step was begun",
            TaskState.CANCELLED: "it was stopped before any step was begun",
        },
        TaskState.UNKNOWN: {
            TaskState.PENDING: "the ledger, a probe or a person settled its open step; it goes on",
            TaskState.DONE: "a person or probe says that it took effect",
            TaskState.FAILED: "a person says that it did not take effect",
            TaskState.CANCELLED: "a later revision took the account over",
        },
        TaskState.FAILED: {
            TaskState.PENDING: "a person retried it at the same digest",
            TaskState.CANCELLED: "a later revision took the account over",
        },
        TaskState.DONE: {},
        TaskState.CANCELLED: {},
        TaskState.SKIPPED: {},
    }
)

OPEN_ROLLOUT_STATES: Final = frozenset({
    RolloutState.PENDING, RolloutState.RUNNING, RolloutState.HELD, RolloutState.REQUALIFYING,
})  # fmt: skip
OPEN_TASK_STATES: Final = frozenset({TaskState.WAITING, TaskState.PENDING, TaskState.RUNNING})


def step(table: Edges[S], before: S, after: S) -> S:
    """`after`, if the table has the edge; raises BugError otherwise. Staying is always allowed."""
    if before is after or after in table[before]:
        return after
    msg = f"no edge {type(before).__name__} {before} -> {after}"
    raise BugError(msg)
