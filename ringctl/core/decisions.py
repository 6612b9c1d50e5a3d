"""What a decision may be. A store carries them out in the transaction that saves the new rollout;
each becomes one journal entry (`kind`, `payload`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ringctl.core.model import Hold, Rollout, Wave
from ringctl.core.timing import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision that changes nothing beside the rollout's own rows: it is only journalled."""

    kind: str
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWave:
    """Tasks of the wave become claimable (`waiting` -> `pending`)."""

    kind: ClassVar[str] = "wave-opened"
    wave: int
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawWave:
    """Tasks of the wave that never began are cancelled; running ones settle as the wave row says."""

    kind: ClassVar[str] = "wave-withdrawn"
    wave: int
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddWave:
    """A drawn wave and its members. `resume_at` maps half-done members to the step they start at.

    An earlier task of a member that is `waiting`, `unknown` or `failed` under an older revision becomes
    `cancelled` in the same transaction: an account has at most one open task.
    """

    kind: ClassVar[str] = "wave-drawn"
    wave: Wave
    members: tuple[str, ...]
    resume_at: Mapping[str, str] = field(default_factory=dict)
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """A hold was placed; it is already part of the rollout."""

    kind: ClassVar[str] = "held"
    hold: Hold

    @property
    def payload(self) -> Mapping[str, object]:
        """The hold as journalled."""
        return {"code": self.hold.code, "reason": self.hold.reason, "error": self.hold.error,
                "next": self.hold.next, "wave": self.hold.wave}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftHold:
    """A hold was lifted."""

    kind: ClassVar[str] = "hold-lifted"
    code: str

    @property
    def payload(self) -> Mapping[str, object]:
        """Which one, as journalled."""
        return {"code": self.code}


Decision = Decided | OpenWave | WithdrawWave | AddWave | PlaceHold | LiftHold


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What the engine has to draw next, from accounts not done: decided here, carried out by the engine
    because candidates are streamed from the store (DESIGN 12.23).

    `what`: `requalification` (the subset), or `rings`: every ring anew over the accounts still to go, the
    reserve last, once the revision has qualified.
    """

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Everything the shell may do, as one value. The store applies it only if the rollout's version is
    still the one that was read. `wake_at_us` is when to decide again without news; None = on news."""

    rollout: Rollout
    decisions: tuple[Decision, ...] = ()
    draw: Draw | None = None
    wake_at_us: Instant | None = None
