"""What was observed: aggregates only, never a list of accounts, so that a decision costs the same for
a thousand accounts and for a million."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ringctl.core.states import Verdict
from ringctl.core.timing import Instant, Span

Stratum = tuple[tuple[tuple[str, str], ...], int]
"""Traits (name, value) of an account, and its size decade."""

StepClasses = Mapping[str, Mapping[int, tuple[int, float, float]]]
"""Step -> size decade -> (accounts done, their seconds together, their sizes together)."""


class Lasted(NamedTuple):
    """One step of one account: begun, and ended (None: it runs now)."""

    account: str
    step: str
    decade: int
    size: float
    began_us: Instant
    ended_us: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckState:
    """The latest verdict of one check on one wave. `failed` is sticky for the revision.

    `error` is the RC8xxx code of a source that gave no answer ("" when it answered); `reason` is one
    sentence for people, `numbers` what it rests on (JSON values).
    """

    check: str
    verdict: Verdict
    reason: str
    at_us: Instant
    error: str = ""
    failed: bool = False
    numbers: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveFacts:
    """Counts of a wave's tasks by state, and what its looks have credited so far.

    `bake_us` is credited time after the last account finished, `baseline_us` before the wave opened;
    `activity` counts samples of the canary side since baking began. `last_look_us` is the last look
    of any kind; `last_answer_us` the last one in which every check's source answered.
    `settling` counts those of `unknown` that a node can still settle by itself (ledger, probe).
    """

    waiting: int = 0
    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    unknown: int = 0
    cancelled: int = 0
    skipped: int = 0
    settling: int = 0
    bake_us: Span = 0
    baseline_us: Span = 0
    activity: int = 0
    last_look_us: Instant | None = None
    last_answer_us: Instant | None = None
    checks: Mapping[str, CheckState] = field(default_factory=dict)

    @property
    def unfinished(self) -> int:
        """Accounts that still have something to do or are doing it."""
        return self.waiting + self.pending + self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Bytes that are not the pinned ones: `where` names the copy, `files` what differs."""

    where: str
    files: tuple[str, ...]
    at_us: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The whole picture of one rollout at one moment. A wave without an entry has zeros.

    `proven`: accounts that workers, not people, finished under the current revision.
    """

    waves: Mapping[int, WaveFacts] = field(default_factory=dict)
    drift: Drift | None = None
    nodes: int = 0
    unfinished_accounts: int = 0
    half_done: int = 0
    proven: int = 0

    def wave(self, wave_id: int) -> WaveFacts:
        """Facts of one wave."""
        return self.waves.get(wave_id, WaveFacts())
