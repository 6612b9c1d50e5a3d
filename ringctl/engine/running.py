"""Running one claimed task: its steps in order, each an intent, a run and a result under the claim.

The rules (DESIGN 7, 12.8, 12.9, 12.19): nothing is sent before its intent is stored; an unknown outcome is never
run again blindly; a task is never parked inside a red stretch: it is closed there, or runs on to its end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.digests import digest
from ringctl.core.errors import BugError
from ringctl.core.model import Rollout
from ringctl.core.states import EffectState, Settle, TaskState
from ringctl.core.timing import SECOND
from ringctl.engine.copies import Copies
from ringctl.engine.guard import Guard
from ringctl.engine.parts import Parts
from ringctl.ports.executor import Fencing, Order, Outcome, Probed, Ran
from ringctl.ports.records import Claim, Effect, Result

UNREACHABLE_ATTEMPTS = 5
"""Claims of a task that found its target unreachable, before the task counts as failed."""
KILL_GRACE_US = 5 * SECOND
CLOSE_STEP = "close_window"


class Next(Enum):
    """What the runner does after a step."""

    ON = "on"
    END = "end"


@dataclass(slots=True)
class TaskRun:
    """One task in the hands of one worker thread. `refresh` asks the store what the wave wants now."""

    parts: Parts
    copies: Copies
    rollout: Rollout
    guard: Guard
    refresh: Callable[[], None]
    _begun: bool = False
    _unwritten: Result | None = None

    @property
    def claim(self) -> Claim:
        """The claim everything is written under."""
        return self.guard.claim

    def run(self) -> None:
        """Run the task as far as it may go, and end the claim. Raises ClaimLost when somebody else holds it."""
        bundle = self._bundle()
        done = {effect.step for effect in self.claim.effects if effect.state is EffectState.DONE}
        if self.claim.resolving and not self._resolve(bundle, done):
            return
        start = bundle.index(self.claim.start_at) if self.claim.start_at else 0
        for position, spec in enumerate(bundle.steps):
            if position < start or spec.id in done:
                continue
            self._begun = bool(self.claim.effects or done or start)
            if self._parked(bundle, position):
                return
            known = self._inherited(bundle, spec)
            if known is Probed.UNKNOWN:
                return
            if known is Probed.DID_NOT and self._step(bundle, spec) is Next.END:
                return
            done.add(spec.id)
        self._end(TaskState.DONE)

    # -- between steps ----------------------------------------------------------------------------
    def _parked(self, bundle: Bundle, position: int) -> bool:
        """Whether the task ends here because its wave settles, or the node stops."""
        self.refresh()
        guard = self.guard
        stopping = guard.stop() or guard.settle is Settle.STOP or guard.cancelled
        if guard.settle is Settle.NONE and not stopping:
            return False
        red = self._begun and bundle.red_after(position)
        if stopping and not red:
            self._give_back("given back")
            return True
        if stopping:
            self._end(TaskState.UNKNOWN, f"stopped before {bundle.steps[position].id}; its window is open")
            return True
        if guard.settle is Settle.CLOSE and red:
            return self._close(bundle)
        if red:
            return False
        self._give_back("given back")
        return True

    def _give_back(self, reason: str) -> None:
        """Back to pending; half-way under a revision that ends, it waits as unknown for the next one."""
        if self._begun and self.guard.settle in {Settle.CLOSE, Settle.STOP}:
            self._end(TaskState.UNKNOWN, f"{reason}; waits for the next revision")
        else:
            self._end(TaskState.PENDING, reason)

    def _close(self, bundle: Bundle) -> bool:
        """Run the pinned revision's `close_window`; without one the task runs on to its end."""
        if bundle.close_window is None:
            return False
        # a key of its own per claim: closing must happen again after a later run opened the window again
        spec = replace(bundle.close_window, id=f"{CLOSE_STEP}.{self.claim.fence}")
        self.guard.log(f"closing the window with {spec.options.get('file', CLOSE_STEP)}")
        self.guard.begin_step(spec.timeout_us, stop_on_close=False)
        ran = self._send(bundle, spec)
        if ran is None:
            return True
        if ran.outcome is Outcome.DONE:
            self._end(TaskState.UNKNOWN, "half done; its window was closed")
        else:
            self._end(
                TaskState.UNKNOWN, f"half done; closing its window: {ran.outcome} {ran.reason}".rstrip()
            )
        return True

    # -- one step ---------------------------------------------------------------------------------
    def _step(self, bundle: Bundle, spec: StepSpec) -> Next:
        batched = spec.executor == "batched_sql"
        self.guard.begin_step(spec.timeout_us, stop_on_close=batched and bundle.close_window is not None)
        ran = self._send(bundle, spec)
        if ran is None:
            return Next.END
        if ran.outcome in _GOES_ON or (ran.outcome is Outcome.DONE and spec is not bundle.steps[-1]):
            self._write()
        match ran.outcome:
            case Outcome.DONE:
                return Next.ON
            case Outcome.FAILED:
                self._end(TaskState.FAILED, f"{spec.id}: {ran.reason}")
            case Outcome.UNREACHABLE:
                self._unreachable(spec, ran)
            case Outcome.STOPPED:
                self._stopped(bundle, spec, ran)
            case Outcome.UNKNOWN:
                self._end(TaskState.UNKNOWN, f"{spec.id}: {ran.reason}")
        return Next.END

    def _send(self, bundle: Bundle, spec: StepSpec) -> Ran | None:
        """Verify, store the intent, run. None: nothing was sent, the claim is ended. The result is written by what
        comes next: with the end of the claim, in one transaction, or by `_write`."""
        changed = self.copies.changed(bundle, spec.files)
        if changed:
            self._drifted(bundle, spec, changed)
            return None
        order = self.order(bundle, spec)
        store = self.parts.store
        store.intent(self.claim, spec.id, spec.digest, order.key, deadline_us=spec.timeout_us + KILL_GRACE_US)
        ran = self.parts.executor(spec.executor).run(order, self.guard)
        outcome = {"outcome": str(ran.outcome), "reason": ran.reason, **ran.numbers}
        self._unwritten = Result(step=spec.id, state=_EFFECT[ran.outcome], outcome=outcome)
        return ran

    def _write(self) -> None:
        """Store the result that is still in hand: the task goes on."""
        result, self._unwritten = self._unwritten, None
        if result is not None:
            lines = self.guard.take_lines()
            self.parts.store.result(self.claim, result.step, result.state, result.outcome, lines=lines)

    def _stopped(self, bundle: Bundle, spec: StepSpec, ran: Ran) -> None:
        """Stopped between two batches; the ledger knows the place."""
        self.refresh()
        closing = self.guard.settle is Settle.CLOSE and not self.guard.stop()
        if closing and bundle.red_inside(bundle.index(spec.id)) and self._close(bundle):
            return
        self._end(TaskState.UNKNOWN, f"{spec.id}: stopped between batches: {ran.reason}".rstrip(": "))

    def _unreachable(self, spec: StepSpec, ran: Ran) -> None:
        """Nothing was sent: not a failure of the account, until it has been tried often enough."""
        reason = f"{spec.id}: unreachable: {ran.reason}"
        if self.claim.attempt >= UNREACHABLE_ATTEMPTS:
            self._end(TaskState.FAILED, reason)
            return
        self.refresh()
        if self.guard.settle is Settle.NONE:
            self.guard.sleep(min(2.0**self.claim.attempt, 30.0) / 4)
        self._give_back(reason)

    def _drifted(self, bundle: Bundle, spec: StepSpec, changed: tuple[str, ...]) -> None:
        """The copy on this host is not the pinned bytes: hold, and write a clean copy for the next run. Inside a
        red stretch the window is closed from that clean copy; nothing is parked there (DESIGN 12.9)."""
        self._spoilt(bundle, changed)
        reason = f"{', '.join(changed)} changed on this node"
        if spec.id.startswith(CLOSE_STEP):
            self._end(TaskState.UNKNOWN, f"{reason}; its window is open")
            return
        red = self._begun and bundle.red_after(bundle.index(spec.id))
        if red and self._close(bundle):
            return
        self._end(TaskState.UNKNOWN if self._begun else TaskState.PENDING, reason)

    def _spoilt(self, bundle: Bundle, changed: tuple[str, ...]) -> None:
        """Note the drift, which holds the rollout, and throw the copy away: the next use writes a clean one."""
        where = str(self.copies.directory(bundle.digest))
        self.parts.store.set_drift(self.claim.rollout, where, changed)
        self.copies.rewrite(bundle.digest)

    def _end(self, state: TaskState, reason: str = "") -> None:
        last, self._unwritten = self._unwritten, None
        self.parts.store.finish(self.claim, state, reason, lines=self.guard.take_lines(), last=last)

    # -- unknown outcomes -------------------------------------------------------------------------
    def _resolve(self, bundle: Bundle, done: set[str]) -> bool:
        """Settle every open step by ledger or probe. False: the claim is ended, nobody knows."""
        store = self.parts.store
        for effect in self.claim.effects:
            if effect.state not in {EffectState.INTENT, EffectState.UNKNOWN}:
                continue
            spec = self._spec(bundle, effect)
            if spec is None:
                continue
            found = self._asked(bundle, spec)
            if found is Probed.UNKNOWN:
                self._end(TaskState.UNKNOWN, f"{effect.step}: nobody knows whether it took effect")
                return False
            took = found is Probed.TOOK_EFFECT
            state = EffectState.DONE if took else EffectState.FAILED
            store.result(self.claim, effect.step, state, {"outcome": str(found), "resolved": True})
            if took:
                done.add(effect.step)
        return True

    def _inherited(self, bundle: Bundle, spec: StepSpec) -> Probed:
        """What became of a step that an earlier revision began here and nobody saw end. `from_step` leads back to
        it, and that is no leave to repeat it blindly (promise I2): it is asked as that revision asks. A ledger
        answers for itself when the step enters. UNKNOWN: the claim is ended, the doubt is this task's now.
        """
        begun = next((e for e in reversed(self.claim.earlier) if e.step == spec.id), None)
        own = any(effect.step == spec.id for effect in self.claim.effects)
        if begun and not own and not self.claim.start_at and _same_done(begun, spec):
            return self._taken_over(spec)
        if begun is None or own or begun.state not in {EffectState.INTENT, EffectState.UNKNOWN}:
            return Probed.DID_NOT
        pinned, then = self._earlier(begun)
        if self.parts.executor(then.executor).fencing is Fencing.LEDGER:
            return Probed.DID_NOT
        found = self._asked(pinned, then)
        if found is Probed.DID_NOT or (found is Probed.TOOK_EFFECT and then.digest != spec.digest):
            return (
                Probed.DID_NOT
            )  # known, and other bytes under the same name: `from_step` says that they run
        order = self.order(bundle, spec)
        store = self.parts.store
        store.intent(self.claim, spec.id, spec.digest, order.key, deadline_us=spec.timeout_us + KILL_GRACE_US)
        state = EffectState.DONE if found is Probed.TOOK_EFFECT else EffectState.UNKNOWN
        store.result(self.claim, spec.id, state, {"outcome": str(found), "resolved": True})
        if found is Probed.UNKNOWN:
            reason = f"{spec.id}: nobody knows whether it took effect under an earlier revision"
            self._end(TaskState.UNKNOWN, reason)
        return found

    def _taken_over(self, spec: StepSpec) -> Probed:
        """The very same bytes took effect here in an earlier rollout that did not end well: not done again."""
        order = self.order(self._bundle(), spec)
        store = self.parts.store
        store.intent(self.claim, spec.id, spec.digest, order.key, deadline_us=spec.timeout_us + KILL_GRACE_US)
        store.result(self.claim, spec.id, EffectState.DONE, {"outcome": "done", "already": True})
        return Probed.TOOK_EFFECT

    def _earlier(self, effect: Effect) -> tuple[Bundle, StepSpec]:
        """The bundle and step of an earlier revision that an effect belongs to."""
        for revision in self.rollout.revisions:
            bundle = self.copies.bundle(revision.digest)
            for spec in bundle.steps:
                if (spec.id, spec.digest) == (effect.step, effect.digest):
                    return bundle, spec
        raise BugError(f"no revision has step {effect.step} with digest {effect.digest}")

    def _asked(self, bundle: Bundle, spec: StepSpec) -> Probed:
        """Ask ledger or probe, from verified bytes and within the step's time-out."""
        changed = self.copies.changed(bundle, spec.files)
        if changed:  # the question is asked all the same, from a clean copy
            self._spoilt(bundle, changed)
        self.guard.begin_step(spec.timeout_us, stop_on_close=False)
        found = self.parts.executor(spec.executor).probe(self.order(bundle, spec), self.guard)
        if found is Probed.UNKNOWN and spec.idempotent:
            self.guard.log(f"{spec.id}: outcome unknown; it is declared idempotent and runs again")
            return Probed.DID_NOT
        return found

    def _spec(self, bundle: Bundle, effect: Effect) -> StepSpec | None:
        """The step an effect belongs to. A half-run `close_window` is simply run again by the next closing."""
        if effect.step.startswith(CLOSE_STEP):
            return None
        return bundle.step(effect.step)

    # -- orders -----------------------------------------------------------------------------------
    def _bundle(self) -> Bundle:
        if self.claim.revision == self.rollout.revision.number:
            return self.rollout.bundle
        return self.copies.bundle(self._revision_digest(self.claim.revision))

    def _revision_digest(self, number: int) -> str:
        return next(rev.digest for rev in self.rollout.revisions if rev.number == number)

    def order(self, bundle: Bundle, spec: StepSpec) -> Order:
        """Everything the executor needs for one step under this claim."""
        claim = self.claim
        key = digest([claim.rollout, claim.account, spec.id, spec.digest]).removeprefix("sha256:")
        return Order(
            rollout=claim.rollout,
            account=claim.account,
            component=bundle.component,
            revision=f"r{claim.revision}",
            step=spec,
            key=key,
            claim=claim.id,
            fence=claim.fence,
            placeholders=placeholders(self.rollout, claim, key),
            files=self.copies.directory(bundle.digest),
            accepts=self._accepts(bundle, spec),
        )

    def _accepts(self, bundle: Bundle, spec: StepSpec) -> frozenset[str]:
        """Step digests of earlier revisions that a ledger row may carry: those of the same step id, when
        `from_step` says that half-done accounts go on at this step or before it."""
        if not bundle.from_step or spec.id not in {s.id for s in bundle.steps}:
            return frozenset()
        first = min(bundle.index(step) for step in bundle.from_step.values())
        if bundle.index(spec.id) < first:
            return frozenset()
        accepted: set[str] = set()
        for revision in self.rollout.revisions:
            if revision.number < self.claim.revision:
                earlier = self.copies.bundle(revision.digest)
                accepted.update(s.digest for s in earlier.steps if s.id == spec.id)
        return frozenset(accepted - {spec.digest})


def _same_done(effect: Effect, spec: StepSpec) -> bool:
    """Whether an effect is the step's own bytes, done."""
    return effect.state is EffectState.DONE and effect.digest == spec.digest


_GOES_ON = frozenset({Outcome.UNREACHABLE, Outcome.STOPPED})
"""Outcomes after which the worker does more under its claim: their results are written at once."""

_EFFECT: Mapping[Outcome, EffectState] = {
    Outcome.DONE: EffectState.DONE,
    Outcome.FAILED: EffectState.FAILED,
    Outcome.UNREACHABLE: EffectState.FAILED,
    # stopped between two batches: not done for certain, and the target's ledger has the place to go on from
    Outcome.STOPPED: EffectState.FAILED,
    Outcome.UNKNOWN: EffectState.UNKNOWN,
}


def placeholders(rollout: Rollout, claim: Claim, key: str) -> dict[str, str]:
    """The closed set of DESIGN 11 with this task's values."""
    inventory = rollout.policy.inventory
    values = {
        "account.id": claim.account,
        "account.size": f"{claim.size:g}",
        "rollout.id": claim.rollout,
        "revision": f"r{claim.revision}",
        "task.key": key,
        "task.token": str(claim.fence),
    }
    for name in inventory.traits:
        values[f"account.traits.{name}"] = claim.columns.get(name, "")
    for name in inventory.target:
        values[f"account.target.{name}"] = claim.columns.get(name, "")
    return values
