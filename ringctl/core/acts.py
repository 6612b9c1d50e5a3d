"""What people do to a rollout, as pure steps: pause, resume, abort, amend. Each answers with a Step that the
store applies by compare-and-set, so that two people at once are told apart."""

from dataclasses import dataclass, replace

from ringctl.core import holds
from ringctl.core.bundle import Bundle
from ringctl.core.decisions import Decided, Decision, LiftHold, PlaceHold, Step, WithdrawWave
from ringctl.core.errors import NotAllowed
from ringctl.core.model import Hold, Revision, Rollout, Wave
from ringctl.core.states import (
    OPEN_ROLLOUT_STATES,
    ROLLOUT_EDGES,
    WAVE_EDGES,
    RolloutState,
    Settle,
    WaveState,
    step,
)
from ringctl.core.timing import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """A changed bundle and who stands for it. `change` is the class of DESIGN 12.3."""

    bundle: Bundle
    author: str
    reason: str
    actor: str
    watcher: str = ""
    change: str = ""
    origin: str = ""
    origin_host: str = ""


def _must_be_open(rollout: Rollout, act: str) -> None:
    if rollout.state not in OPEN_ROLLOUT_STATES:
        msg = f"rollout {rollout.id} is {rollout.state}: there is nothing to {act}"
        raise NotAllowed(msg, code="RC2011")


def pause(rollout: Rollout, *, actor: str, reason: str, now_us: Instant) -> Step:
    """Open nothing new and claim nothing new; running steps finish. Pausing twice changes nothing."""
    _must_be_open(rollout, "pause")
    if rollout.hold("pause"):
        return Step(rollout=rollout)
    hold = holds.paused(rollout, actor, reason, now_us)
    held = replace(_settle(rollout, Settle.FINISH), holds=(*rollout.holds, hold))
    return Step(rollout=_to(held, RolloutState.HELD), decisions=(PlaceHold(hold=hold),))


def resume(rollout: Rollout, *, actor: str, reason: str) -> Step:
    """Lift every hold that a person may lift; `decide` then looks at everything anew.

    A failed gate is final for the revision and cannot be resumed away; a hold that is still true comes
    straight back. Raises NotAllowed when nothing may be lifted.
    """
    _must_be_open(rollout, "resume")
    failed = rollout.hold("gate-failed")
    if failed:
        msg = f"a failed gate is final for {rollout.revision.name}: {failed.reason}"
        raise NotAllowed(msg, code=failed.error, hint=failed.next)
    lifted = tuple(hold for hold in rollout.holds if not hold.ends_itself)
    if not lifted:
        msg = f"rollout {rollout.id} is {rollout.state}; no hold of a person or of ringctl waits for resume"
        raise NotAllowed(msg, code="RC2011")
    kept = tuple(hold for hold in rollout.holds if hold.ends_itself)
    said = Decided(kind="resumed", payload={"actor": actor, "reason": reason})
    decisions: tuple[Decision, ...] = (said, *(LiftHold(code=hold.code) for hold in lifted))
    calm = replace(_settle(rollout, Settle.NONE), holds=kept)
    return Step(rollout=_to(calm, calm.active_state), decisions=decisions)


def abort(rollout: Rollout, *, actor: str, reason: str, now: bool, now_us: Instant) -> Step:
    """End the rollout at once. Running tasks settle (`now`: stop); what stays open is listed by `status`."""
    _must_be_open(rollout, "abort")
    settled = _settle(rollout, Settle.STOP if now else Settle.CLOSE)
    decisions: list[Decision] = [
        Decided(kind="aborted", payload={"actor": actor, "reason": reason, "now": now})
    ]
    ended = _withdraw(settled, decisions)
    ended = replace(
        ended, state=step(ROLLOUT_EDGES, rollout.state, RolloutState.ABORTED), holds=(), ended_us=now_us
    )
    return Step(rollout=ended, decisions=tuple(decisions))


def amend(rollout: Rollout, amendment: Amendment, now_us: Instant) -> Step:
    """A new revision: the open wave and everything planned is withdrawn, the rollout requalifies (DESIGN 5).

    Holds that belong to the old bytes end; a person's pause stays. There is no way to skip the subset.
    Raises NotAllowed for a bundle that is another component's, or for a digest the rollout had before.
    """
    _must_be_open(rollout, "amend")
    bundle = amendment.bundle
    if bundle.component != rollout.component:
        msg = f"the bundle is of component {bundle.component}, the rollout of {rollout.component}"
        raise NotAllowed(msg, code="RC2012")
    same = next((r for r in rollout.revisions if r.digest == bundle.digest), None)
    if same is not None:
        msg = f"these bytes are already {same.name} of rollout {rollout.id}"
        raise NotAllowed(msg, code="RC2013", hint="change the bundle, or resume the rollout")
    revision = Revision(
        number=rollout.revision.number + 1,
        digest=bundle.digest,
        author=amendment.author,
        at_us=now_us,
        reason=amendment.reason,
        watcher=amendment.watcher,
        actor=amendment.actor,
        change=amendment.change,
    )
    decisions: list[Decision] = [Decided(kind="amended", payload=_amended(rollout, revision))]
    withdrawn = _withdraw(_settle(rollout, Settle.CLOSE), decisions)
    kept = tuple(hold for hold in rollout.holds if not _ends(hold, amendment))
    decisions += [LiftHold(code=h.code) for h in rollout.holds if h not in kept]
    amended = replace(
        withdrawn,
        bundle=bundle,
        revisions=(*rollout.revisions, revision),
        holds=kept,
        drawn=(),
        origin=amendment.origin,
        origin_host=amendment.origin_host,
    )
    return Step(rollout=_to(amended, amended.active_state), decisions=tuple(decisions))


def _ends(hold: Hold, amendment: Amendment) -> bool:
    """Whether the amendment ends a hold. A cosmetic change does not clear a failed gate (DESIGN 12.10)."""
    if hold.code == "gate-failed" and amendment.change == "cosmetic":
        return False
    return hold.code in holds.ENDS_WITH_REVISION


def _amended(rollout: Rollout, revision: Revision) -> dict[str, object]:
    return {
        "revision": revision.name,
        "digest": revision.digest,
        "before": rollout.revision.digest,
        "author": revision.author,
        "reason": revision.reason,
        "watcher": revision.watcher,
        "change": revision.change,
    }


def _settle(rollout: Rollout, how: Settle) -> Rollout:
    """Tell every wave that has begun how its running tasks settle. NONE lets waves still open go on."""
    waves = []
    for wave in rollout.waves:
        begun = wave.state in {WaveState.OPEN, WaveState.BAKING, WaveState.FAILED}
        softer = how is Settle.FINISH and wave.settle in {Settle.CLOSE, Settle.STOP}
        waves.append(replace(wave, settle=how) if begun and not softer else wave)
    return replace(rollout, waves=tuple(waves))


def _withdraw(rollout: Rollout, decisions: list[Decision]) -> Rollout:
    """Withdraw every wave that is not over; adds the decisions."""
    waves: list[Wave] = []
    for wave in rollout.waves:
        if wave.over:
            waves.append(wave)
            continue
        waves.append(replace(wave, state=step(WAVE_EDGES, wave.state, WaveState.WITHDRAWN)))
        decisions.append(WithdrawWave(wave=wave.id, payload=wave.label))
    return replace(rollout, waves=tuple(waves))


def _to(rollout: Rollout, state: RolloutState) -> Rollout:
    return replace(rollout, state=step(ROLLOUT_EDGES, rollout.state, state))
