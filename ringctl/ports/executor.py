"""How one step is run on one account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding


class Fencing(StrEnum):
    """What keeps a second runner of the same step out, beside the claim (printed by plan and report)."""

    LEDGER = "ledger"
    SHIM = "shim"
    KEY = "key"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One step to run on one account, under one claim.

    `placeholders` is the closed set of DESIGN 11 (`account.id`, `account.size`, `account.traits.X`,
    `account.target.X`, `rollout.id`, `revision`, `task.key`, `task.token`) with their values. `files` is
    the verified read-only copy of the bundle. `fence` rises with every claim of the whole store.
    `accepts` are step digests besides the step's own that a ledger row may carry: those of older revisions
    from which the bundle's `from_step` allows this step to go on.
    """

    rollout: str
    account: str
    component: str
    revision: str
    step: StepSpec
    key: str
    claim: str
    fence: int
    placeholders: Mapping[str, str]
    files: Path
    accepts: frozenset[str] = frozenset()


class Control(Protocol):
    """The worker's hand on a running step. All calls are safe from the executor's thread."""

    def deadline(self) -> float:
        """Monotonic second (CLOCK_MONOTONIC) at which the right to run ends; moves as the lease is renewed."""
        ...

    def step_deadline(self) -> float:
        """Monotonic second at which the step's own time-out ends; never moves."""
        ...

    def stop_requested(self) -> bool:
        """Whether the step must stop now (abort --now, node stopping, lost claim)."""
        ...

    def log(self, text: str) -> None:
        """Add lines to the task's log (buffered; written under the claim)."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait at most `seconds`, less when a stop is requested or a deadline is near."""
        ...


class Outcome(StrEnum):
    """How a run of a step ended."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The end of one run of one step.

    DONE: took effect, exactly once. FAILED: did not take effect, for certain. UNKNOWN: nobody knows.
    UNREACHABLE: nothing was sent. STOPPED: stopped between two units of work (batches) because
    `stop_requested` or a deadline; the ledger knows the place; going on later is safe.
    `numbers` holds measures such as rows, batches, seconds (JSON values).
    """

    outcome: Outcome
    reason: str = ""
    numbers: Mapping[str, object] = field(default_factory=dict)


class Probed(StrEnum):
    """What is found out about a step whose outcome is unknown."""

    TOOK_EFFECT = "took-effect"
    DID_NOT = "did-not"
    UNKNOWN = "unknown"


class Executor(Protocol):
    """Runs steps of one kind. Holds no state between runs; several threads may use it at once."""

    kind: str
    fencing: Fencing

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """What is wrong with a step's options, before anything runs (pure). `files`: texts by bundle path,
        where they are at hand."""
        ...

    def run(self, order: Order, control: Control) -> Ran:
        """Run the step to its end. Never raises for what the target does: that is an outcome."""
        ...

    def probe(self, order: Order, control: Control) -> Probed:
        """Find out whether an interrupted step took effect: by ledger, or the step's `probe`, else UNKNOWN. Raises
        ExternalError when the question was cut short: it is asked again by whoever has the task next."""
        ...
