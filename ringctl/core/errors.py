"""The error tree. Every error that a person meets has a stable code and a page (`ringctl explain`).

RingctlError
|- UsageError            2   fix the command line
|- InvalidInput          3   fix a policy, bundle, inventory or plan; carries findings with positions
|- NotAllowed            4   this actor, or this state, may not do that
|- NotFound              5   no such rollout, account, file
|- ConflictError        16   somebody else moved first: reload and decide again
|  |- VersionConflict        a rollout's version moved under a compare-and-set
|  |- ClaimLost              a write named a claim that is not the current one
|  `- SessionLost            this node's lease is gone: stop everything it runs
|- Drifted              18   bytes are not the pinned bytes, or a plan is stale
|- UnsafePlan           19   the plan refuses
|- ExternalError        69   store, metrics or executor unreachable
|  |- StoreUnavailable
|  `- SourceUnavailable      a metric source gave no usable answer
`- BugError              1   an invariant does not hold: stop
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong with an input, where it stands, and the way out.

    `line` and `column` count from 1; 0 means the finding is about the whole file. `text` is the
    offending text as written; `known` lists what would be understood there.
    """

    code: str
    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    text: str = ""
    source_line: str = ""
    known: tuple[str, ...] = ()
    hint: str = ""
    severity: str = "error"
    items: tuple[str, ...] = ()

    @property
    def position(self) -> str:
        """`file:line:column`, or the file alone."""
        if not self.line:
            return self.path
        return f"{self.path}:{self.line}:{self.column}"


class RingctlError(Exception):
    """Root of everything ringctl raises on purpose."""

    default_code: ClassVar[str] = "RC0001"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint


class UsageError(RingctlError):
    """The command line does not say what is meant."""

    default_code = "RC0002"
    exit_code = 2


class InvalidInput(RingctlError):
    """A file or value is refused; `findings` is the full list, never the first few."""

    default_code = "RC3000"
    exit_code = 3

    def __init__(self, findings: Sequence[Finding], message: str = "") -> None:
        first = findings[0] if findings else None
        text = message or (f"{first.position}: {first.message}" if first else "invalid input")
        super().__init__(text, code=first.code if first else "")
        self.findings = tuple(findings)


class NotAllowed(RingctlError):
    """The actor or the rollout's state forbids it."""

    default_code = "RC4001"
    exit_code = 4


class NotFound(RingctlError):
    """Nothing of that name is there."""

    default_code = "RC2404"
    exit_code = 5


class ConflictError(RingctlError):
    """Another writer was first; nothing was changed."""

    default_code = "RC5001"
    exit_code = 16


class VersionConflict(ConflictError):
    """The rollout's version moved between reading and applying."""


class ClaimLost(ConflictError):
    """A write named a claim that is not (or no longer) the task's current one."""

    default_code = "RC5002"


class SessionLost(ConflictError):
    """The node's lease ran out or was ended; everything it runs must stop."""

    default_code = "RC5003"


class Drifted(RingctlError):
    """What would run is not what was pinned, or the plan is older than the world."""

    default_code = "RC2001"
    exit_code = 18


class UnsafePlan(RingctlError):
    """The plan refuses: coverage, size, blast radius or forecast. Carries the full findings."""

    default_code = "RC2101"
    exit_code = 19

    def __init__(self, findings: Sequence[Finding]) -> None:
        count = len(findings)
        super().__init__(
            f"the plan is unsafe: {count} finding{'s' if count != 1 else ''}",
            code=findings[0].code if findings else "",
        )
        self.findings = tuple(findings)


class ExternalError(RingctlError):
    """A store, metric source or target cannot be reached or does not answer properly."""

    default_code = "RC5100"
    exit_code = 69


class StoreUnavailable(ExternalError):
    """The state store does not answer, is locked for too long, or has an unknown schema."""

    default_code = "RC5101"


class SourceUnavailable(ExternalError):
    """A metric source gave no usable answer; the gate is inconclusive, never passed."""

    default_code = "RC8001"


class BugError(RingctlError):
    """An invariant is broken. ringctl stops rather than guess."""

    default_code = "RC0001"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A close match for a mistyped name, or nothing."""

    name: str = ""
    known: tuple[str, ...] = field(default=())
