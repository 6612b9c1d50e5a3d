"""What people ask for: plan, start, amend, pause, resume, abort, retry. Each is one compare-and-set, tried again
when somebody else was first."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ringctl.core import acts
from ringctl.core.changes import compare
from ringctl.core.decisions import Decided, Step
from ringctl.core.errors import Drifted, NotAllowed, NotFound, UnsafePlan, UsageError, VersionConflict
from ringctl.core.model import Revision, Rollout
from ringctl.core.planning import Plan, PlanRequest, make_plan
from ringctl.core.policy import Policy
from ringctl.core.states import OPEN_ROLLOUT_STATES, RolloutState, Settle, TaskState, WaveState
from ringctl.engine.checking import load_checked
from ringctl.engine.copies import Origins
from ringctl.engine.parts import Parts
from ringctl.engine.reconcile import Reconciler, everything, plan_wave
from ringctl.ports.records import NewRollout
from ringctl.settings import LoadedBundle, bundle_from_manifest, load_policy, manifest_text

TRIES = 20
"""Most times a person's act is decided anew because the rollout moved meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `plan` and `start` take. `expect` is the digest of a reviewed plan ("" = plan and start at once)."""

    policy: Path
    bundle: Path
    release: str = ""
    fix: bool = False
    seed: str = ""
    expect: str = ""
    detach_source: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan and what it was made from."""

    plan: Plan
    policy: Policy
    loaded: LoadedBundle
    release: str
    origin: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A rollout that was started, or the running one of the same digests that was attached to."""

    rollout: Rollout
    attached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendRequest:
    """A changed bundle for an open rollout, and who stands for it."""

    rollout: str
    bundle: Path
    author: str
    reason: str
    watcher: str = ""
    detach_source: bool = False


def plan(parts: Parts, request: Request) -> Planned:
    """Read policy, bundle and inventory; make the plan. Changes nothing. Raises InvalidInput."""
    policy = load_policy(request.policy)
    loaded = load_checked(parts, request.bundle, policy.inventory)
    fleet = parts.read_fleet(policy.inventory, request.policy.resolve().parent)
    bundle = loaded.bundle
    asked = PlanRequest(
        policy=policy,
        bundle_digest=bundle.digest,
        seed=request.seed or f"{bundle.component}/{bundle.version}",
        fix=request.fix,
    )
    made = make_plan(asked, fleet, parts.choose)
    release = request.release or f"{bundle.name}-{bundle.version}"
    return Planned(plan=made, policy=policy, loaded=loaded, release=release, origin=request.bundle.resolve())


def start(parts: Parts, request: Request) -> Started:
    """Start a rollout, or attach to the open one of the same bundle and policy digest.

    Raises UnsafePlan; Drifted (exit 18) when the plan is not the reviewed one, or when another digest of the
    component is rolling out; NotAllowed when these bytes failed their gate in an earlier rollout.
    """
    planned = plan(parts, request)
    running = _open_rollout(parts, planned)
    if running is not None:
        return Started(rollout=running, attached=True)
    made = planned.plan
    if request.expect and request.expect != made.digest:
        msg = f"the plan is stale: reviewed {request.expect}, now {made.digest}"
        raise Drifted(msg, code="RC2014", hint="plan again, look at it, start that one")
    if made.unsafe:
        raise UnsafePlan(made.unsafe)
    history = _history(parts, planned)
    rollout, placed = _new_rollout(parts, planned, history, request)
    bundle = planned.loaded.bundle
    parts.store.put_bundle(bundle.digest, manifest_text(bundle), planned.loaded.contents)
    payload = {
        "release": rollout.release,
        "bundle": bundle.digest,
        "policy": planned.policy.digest,
        "plan": made.digest,
        "fleet": made.fleet_digest,
        "accounts": made.accounts,
        "revision": rollout.revision.name,
        "author": bundle.author,
        "reason": request.reason,
    }
    new = NewRollout(rollout=rollout, members=made.members, placed=placed, actor=parts.actor, payload=payload)
    parts.store.create_rollout(new)
    return Started(rollout=rollout, attached=False)


def _open_rollout(parts: Parts, planned: Planned) -> Rollout | None:
    """The open rollout of the component, if it has the same digests; raises Drifted when it has others."""
    bundle = planned.loaded.bundle
    for row in parts.store.rollouts(only_open=True):
        if row.component != bundle.component:
            continue
        rollout = parts.store.load(row.id)
        same_policy = rollout.policy.digest == planned.policy.digest
        if same_policy and rollout.revision.digest == bundle.digest:
            return rollout
        what = "another bundle" if same_policy else "another policy"
        msg = f"rollout {row.id} of component {bundle.component} is open with {what}"
        way = f"ringctl amend {row.id} --bundle {planned.origin} --author WHO --reason TEXT"
        if not same_policy:
            way = f"finish or abort {row.id} first: a policy changed in mid rollout is not supported yet"
        raise Drifted(msg, code="RC2008", hint=way)
    return None


def _history(parts: Parts, planned: Planned) -> tuple[Revision, ...]:
    """Revisions that carry over from the component's latest ended rollout that touched any account: one of the
    same version, or one that did not succeed (DESIGN 12.1).

    Abort, edit and start again is an amendment: the history, and with it requalification, carries over, whatever
    the new bundle is called, and however often somebody starts and aborts in between.
    """
    bundle = planned.loaded.bundle
    for row in parts.store.rollouts():
        if row.component != bundle.component:
            continue
        earlier = parts.store.load(row.id)
        failed = next((r for r in earlier.revisions if r.digest == bundle.digest and r.failed), None)
        if failed is not None:
            msg = f"these bytes failed their gate as {failed.name} of rollout {row.id}"
            raise NotAllowed(
                msg, code="RC2015", hint="change the bundle: a failed gate is final for its bytes"
            )
        _refuse_failed_in_disguise(parts, earlier, planned.loaded)
        # the exposure tells: accounts of size 0 have no place in `largest_touched`
        if len(earlier.revisions) == 1 and next(iter(parts.store.exposure(row.id)), None) is None:
            continue
        if earlier.state is RolloutState.SUCCEEDED and earlier.bundle.version != bundle.version:
            return ()
        return earlier.revisions
    return ()


def _refuse_failed_in_disguise(parts: Parts, earlier: Rollout, loaded: LoadedBundle) -> None:
    """A bundle that differs only cosmetically from one whose gate failed is that one (DESIGN 12.10)."""
    for revision in earlier.revisions:
        if not revision.failed or revision.digest == loaded.bundle.digest:
            continue
        failed = bundle_from_manifest(parts.store.bundle_manifest(revision.digest))
        contents = parts.store.bundle_files(revision.digest)
        if compare(failed, loaded.bundle, contents, loaded.contents).change in {"none", "cosmetic"}:
            msg = f"this is {revision.name} of rollout {earlier.id}, whose gate failed, but for cosmetics"
            raise NotAllowed(
                msg, code="RC2015", hint="change what acts: a failed gate is final for its bytes"
            )


def _new_rollout(
    parts: Parts, planned: Planned, history: tuple[Revision, ...], request: Request
) -> tuple[Rollout, dict[str, int]]:
    """The rollout's first value and its accounts' waves."""
    now = parts.store.now_us()
    bundle = planned.loaded.bundle
    made = planned.plan
    revisions = _revisions(parts, planned, history)
    fresh = revisions[-1].number == 1
    waves = []
    placed: dict[str, int] = {}
    if fresh:
        first = parts.store.next_wave_ids(len(made.waves))
        for index, wave in enumerate(made.waves):
            ring = planned.policy.ring(wave.ring)
            waves.append(plan_wave(ring, wave, wave_id=first + index, revision=1))
            placed.update((member.account, first + index) for member in wave.members)
    rollout = Rollout(
        id=f"{bundle.component}-{parts.new_id()[:6]}",
        release=planned.release,
        component=bundle.component,
        state=RolloutState.PENDING,
        version=1,
        policy=planned.policy,
        bundle=bundle,
        revisions=revisions,
        waves=tuple(waves),
        drawn=everything(planned.policy) if fresh else (),
        seed=made.seed,
        plan_digest=made.digest,
        fleet_digest=made.fleet_digest,
        accounts=made.accounts,
        created_us=now,
        actor=parts.actor,
        origin="" if request.detach_source else str(planned.origin),
        origin_host="" if request.detach_source else parts.host,
    )
    return rollout, placed


def _revisions(parts: Parts, planned: Planned, history: tuple[Revision, ...]) -> tuple[Revision, ...]:
    bundle = planned.loaded.bundle
    if history and history[-1].digest == bundle.digest:
        return history
    number = history[-1].number + 1 if history else 1
    now = parts.store.now_us()
    mine = Revision(number=number, digest=bundle.digest, author=bundle.author, at_us=now, actor=parts.actor)
    return (*history, mine)


def change(parts: Parts, rollout_id: str, act: Callable[[Rollout], Step], *, actor: str) -> Rollout:
    """Apply a person's act by compare-and-set; decided anew when the rollout moved meanwhile."""
    for _ in range(TRIES):
        rollout = parts.store.load(rollout_id)
        step = act(rollout)
        if step.rollout == rollout and not step.decisions:
            return rollout
        try:
            return parts.store.apply(step, expected=rollout.version, actor=actor)
        except VersionConflict:
            continue
    msg = f"rollout {rollout_id} moved {TRIES} times while this was tried; try again"
    raise VersionConflict(msg)


def amend(parts: Parts, request: AmendRequest) -> Rollout:
    """A changed bundle in mid rollout: a new revision that has to requalify (DESIGN 5)."""
    if not request.author or not request.reason:
        raise UsageError("amend needs --author and --reason: a change is somebody's, for a reason")
    inventory = parts.store.load(request.rollout).policy.inventory
    loaded = load_checked(parts, request.bundle, inventory)
    bundle = loaded.bundle
    parts.store.put_bundle(bundle.digest, manifest_text(bundle), loaded.contents)

    def act(rollout: Rollout) -> Step:
        earlier = parts.store.bundle_files(rollout.bundle.digest)
        amendment = acts.Amendment(
            bundle=bundle,
            author=request.author,
            reason=request.reason,
            actor=parts.actor,
            watcher=request.watcher,
            change=compare(rollout.bundle, bundle, earlier, loaded.contents).change,
            origin="" if request.detach_source else str(request.bundle.resolve()),
            origin_host="" if request.detach_source else parts.host,
        )
        return acts.amend(rollout, amendment, parts.store.now_us())

    # saving the new revision clears the old one's drift in the same transaction
    return change(parts, request.rollout, act, actor=parts.actor)


def pause(parts: Parts, rollout_id: str, *, reason: str) -> Rollout:
    """Hold by a person's will."""
    return change(
        parts,
        rollout_id,
        lambda r: acts.pause(r, actor=parts.actor, reason=reason, now_us=parts.store.now_us()),
        actor=parts.actor,
    )


def resume(parts: Parts, rollout_id: str, *, reason: str) -> Rollout:
    """Lift holds, then look at everything anew: a hold that is still true is back at once.

    Raises Drifted while the origin still differs; NotAllowed when nothing may be lifted (nothing is changed then).
    """
    rollout = parts.store.load(rollout_id)
    acts.resume(rollout, actor=parts.actor, reason=reason)
    changed = Origins(host=parts.host).changed(rollout)
    if changed:
        msg = f"{', '.join(changed)} in {rollout.origin} still differs from {rollout.revision.name}"
        raise Drifted(
            msg, hint=f"ringctl amend {rollout.id} --bundle {rollout.origin} ..., or put the bytes back"
        )
    parts.store.set_drift(rollout_id, "", ())
    change(parts, rollout_id, lambda r: acts.resume(r, actor=parts.actor, reason=reason), actor=parts.actor)
    return Reconciler(parts=parts).reconcile(rollout_id).rollout


def abort(parts: Parts, rollout_id: str, *, reason: str, now: bool) -> Rollout:
    """End the rollout."""
    return change(
        parts,
        rollout_id,
        lambda r: acts.abort(r, actor=parts.actor, reason=reason, now=now, now_us=parts.store.now_us()),
        actor=parts.actor,
    )


WORDS = {"": TaskState.PENDING, "done": TaskState.DONE, "not-done": TaskState.FAILED}


def retry(parts: Parts, rollout_id: str, account: str, *, outcome: str = "", reason: str = "") -> Rollout:
    """Give a failed or unknown account back to its wave, or say what became of it (`done`, `not-done`)."""
    if outcome not in WORDS:
        raise UsageError(f"--as {outcome}: known are done, not-done")
    if outcome and not reason:
        raise UsageError("--as needs --reason: it is a person's word that goes on record")
    rollout = parts.store.load(rollout_id)
    if not any(True for _ in parts.store.tasks(rollout_id, account=account)):
        raise NotFound(f"account {account} is not in rollout {rollout_id}", code="RC2405")
    if rollout.state not in OPEN_ROLLOUT_STATES and not outcome:
        raise NotAllowed(f"rollout {rollout_id} is {rollout.state}", code="RC2011")
    parts.store.resolve_task(
        rollout_id, account, WORDS[outcome], actor=parts.actor, reason=reason or "retried"
    )
    return change(parts, rollout_id, lambda r: _give_back(r, account), actor=parts.actor)


def _give_back(rollout: Rollout, account: str) -> Step:
    """Lift the `accounts` hold; waves that were settling take work again. `decide` holds again if need be."""
    if rollout.state not in OPEN_ROLLOUT_STATES or rollout.hold("accounts") is None:
        return Step(rollout=rollout)
    kept = tuple(hold for hold in rollout.holds if hold.code != "accounts")
    waves = tuple(
        replace(wave, settle=Settle.NONE) if wave.state is WaveState.OPEN and not kept else wave
        for wave in rollout.waves
    )
    calm = replace(rollout, holds=kept, waves=waves)
    said = Decided(kind="hold-lifted", payload={"code": "accounts", "account": account})
    return Step(rollout=replace(calm, state=calm.active_state), decisions=(said,))
