"""Every hold ringctl places by itself: its reason, the page that explains it, and the way out."""

from collections.abc import Sequence

from ringctl.core.facts import CheckState, Drift, WaveFacts
from ringctl.core.judging import GateState
from ringctl.core.model import Hold, Rollout, Wave
from ringctl.core.policy import Bake
from ringctl.core.states import WaveKind
from ringctl.core.timing import Instant, Span, human

ENDS_WITH_REVISION = frozenset({"gate-failed", "gate-silent", "baseline", "idle", "accounts", "drift",
                                "revisions-exhausted", "unproven", "overshoot"})  # fmt: skip
"""Holds that belong to a revision's bytes or evidence: an amendment ends them."""


def _own(code: str, error: str, reason: str, since_us: Instant, way_out: str) -> Hold:
    return Hold(code=code, error=error, reason=reason, owner="ringctl", since_us=since_us, next=way_out)


def _passing(code: str, error: str, reason: str, since_us: Instant, wave: int, way_out: str) -> Hold:
    return Hold(
        code=code,
        error=error,
        reason=reason,
        owner="ringctl",
        since_us=since_us,
        next=way_out,
        ends_itself=True,
        wave=wave,
    )


def _amend(rollout: Rollout) -> str:
    return f"ringctl amend {rollout.id} --bundle DIR --author WHO --reason TEXT"


def drift(rollout: Rollout, found: Drift, now_us: Instant) -> Hold:
    """Bytes are not the pinned ones (promise I3)."""
    return _own(
        "drift",
        "RC2001",
        f"{', '.join(found.files)} in {found.where} is not what {rollout.revision.name} pinned",
        now_us,
        f"{_amend(rollout)}, or put the bytes back and ringctl resume {rollout.id}",
    )


def baseline(wave: Wave, needed: Span, now_us: Instant) -> Hold:
    """The next wave's accounts are being sampled before anything touches them."""
    return _passing(
        "baseline",
        "RC2005",
        f"accounts of the next {wave.kind} wave of ring {wave.ring} are sampled for {human(needed)} before it opens",
        now_us,
        wave.id,
        "nothing to do: it goes on by itself",
    )


def gate_failed(rollout: Rollout, wave: Wave, state: GateState, now_us: Instant) -> Hold:
    """A check failed; final for the revision."""
    reason = "; ".join(f"{check.check}: {check.reason}" for check in state.failed)
    requalifying = wave.kind is WaveKind.REQUALIFICATION
    return Hold(
        code="gate-failed",
        error="RC2010" if requalifying else "RC2002",
        reason=f"{wave.kind} wave of ring {wave.ring}: {reason}",
        owner="ringctl",
        since_us=now_us,
        next=f"{_amend(rollout)}, or ringctl abort {rollout.id} --reason TEXT",
        wave=wave.id,
    )


def silent(wave: Wave, checks: Sequence[CheckState], now_us: Instant) -> Hold:
    """A metric source gives no usable answer (promise I5)."""
    first = checks[0]
    return _passing(
        "gate-silent",
        first.error,
        f"no usable answer for {', '.join(check.check for check in checks)}: {first.reason}",
        now_us,
        wave.id,
        "bring the metric source back: the rollout goes on by itself",
    )


def accounts(rollout: Rollout, wave: Wave, facts: WaveFacts, now_us: Instant) -> Hold:
    """More accounts failed or unknown than the wave's budget has, or unknown ones are all that is left."""
    unknown = ", with --as done|not-done --reason TEXT where it is unknown" if facts.unknown else ""
    return Hold(
        code="accounts",
        error="RC2004",
        reason=f"{facts.failed} failed and {facts.unknown} unknown account(s) in the {wave.kind} wave of "
        f"ring {wave.ring}; {_why_not(wave, facts)}",
        owner="ringctl",
        since_us=now_us,
        next=f"ringctl why {rollout.id}; then ringctl retry {rollout.id} --account ID{unknown}; or amend, or abort",
        wave=wave.id,
    )


def _why_not(wave: Wave, facts: WaveFacts) -> str:
    """Why the wave cannot go on with them: too many, or nobody knows what became of them."""
    if facts.failed + facts.unknown > wave.failures:
        return f"its budget is {wave.failures}"
    return "nobody knows whether the unknown ones took effect"


def overshoot(rollout: Rollout, wave: Wave, check: CheckState, now_us: Instant) -> Hold:
    """A step takes far longer than its size class: no further account until a person has looked."""
    return Hold(
        code="overshoot",
        error="RC1020",
        reason=f"{wave.kind} wave of ring {wave.ring}: {check.reason}",
        owner="ringctl",
        since_us=now_us,
        next=f"ringctl resume {rollout.id} when that is well, {_amend(rollout)}, or ringctl abort {rollout.id} "
        "--reason TEXT",
        wave=wave.id,
    )


def idle(wave: Wave, bake: Bake, missing: str, now_us: Instant) -> Hold:
    """The bake's ceiling is reached without the evidence: it holds, it never passes."""
    return _passing(
        "idle",
        "RC2006",
        f"the bake of the {wave.kind} wave of ring {wave.ring} is at its ceiling of {human(bake.max_us)} and "
        f"still lacks {missing}",
        now_us,
        wave.id,
        "it passes by itself when the evidence is there; or amend, or abort",
    )


def half_done(rollout: Rollout, count: int, now_us: Instant) -> Hold:
    """Everything else is over, and accounts are left that no revision takes up."""
    return _own(
        "accounts",
        "RC2004",
        f"{count} account(s) are half done or unknown and no revision takes them up",
        now_us,
        f"ringctl retry {rollout.id} --account ID --as done|not-done --reason TEXT",
    )


def exhausted(rollout: Rollout, now_us: Instant) -> Hold:
    """No account is left that could requalify the revision (DESIGN 12.6)."""
    return _own(
        "revisions-exhausted",
        "RC2007",
        f"no account is left on which {rollout.revision.name} could requalify",
        now_us,
        f"settle half-done accounts (ringctl retry --as), or ringctl abort {rollout.id} --reason TEXT",
    )


def unproven(rollout: Rollout, asked: int, proven: int, now_us: Instant) -> Hold:
    """Accounts of the subset were resolved by hand: a person's word is no evidence (promise I4)."""
    return _own(
        "unproven",
        "RC2010",
        f"{proven} of {asked} accounts of the requalification subset finished under {rollout.revision.name}; the "
        "others were resolved by hand and prove nothing",
        now_us,
        f"{_amend(rollout)}, or ringctl abort {rollout.id} --reason TEXT",
    )


def paused(rollout: Rollout, actor: str, reason: str, now_us: Instant) -> Hold:
    """A person's will."""
    return Hold(
        code="pause",
        error="RC2009",
        reason=reason or "paused",
        owner=actor,
        since_us=now_us,
        next=f"ringctl resume {rollout.id}",
    )
