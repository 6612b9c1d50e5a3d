"""Steps of which nobody knows what became of them: asked after, taken over, or left to a person."""

from abc import abstractmethod
from dataclasses import dataclass, field

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.errors import BugError
from ringctl.core.model import Rollout
from ringctl.core.states import EffectState, TaskState
from ringctl.engine.copies import Copies
from ringctl.engine.guard import Guard
from ringctl.engine.listing import reruns_of
from ringctl.engine.orders import Orders
from ringctl.engine.parts import Parts
from ringctl.ports.executor import Fencing, Probed
from ringctl.ports.records import Claim, Effect

CLOSE_STEP = "close_window"
IN_DOUBT = frozenset({EffectState.INTENT, EffectState.UNKNOWN})


@dataclass(slots=True)
class Doubts:
    """The part of running a task that settles what earlier holders and earlier revisions left open."""

    parts: Parts
    copies: Copies
    rollout: Rollout
    guard: Guard
    orders: Orders = field(init=False)
    _again: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.orders = Orders(copies=self.copies, rollout=self.rollout, claim=self.guard.claim)

    @property
    def claim(self) -> Claim:
        """The claim everything is written under."""
        return self.guard.claim

    @abstractmethod
    def _intend(self, spec: StepSpec, key: str) -> None:
        """Store the intent of a step."""

    @abstractmethod
    def _end(self, state: TaskState, reason: str = "") -> None:
        """End the claim."""

    def _spoilt(self, bundle: Bundle, changed: tuple[str, ...]) -> None:
        """Note the drift, which holds the rollout, and throw the copy away: the next use writes a clean one."""
        where = str(self.copies.directory(bundle.digest))
        self.parts.store.set_drift(self.claim.rollout, where, changed)
        self.copies.rewrite(bundle.digest)

    def _resolve(self, bundle: Bundle, done: set[str]) -> bool:
        """Settle every open step by ledger or probe. False: the claim is ended, nobody knows."""
        store = self.parts.store
        for effect in self.claim.effects:
            if effect.state not in IN_DOUBT:
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
        begun = None if self._own(spec) else self._last_earlier(spec)
        if begun and _same_done(begun, spec):
            return self._taken_over(spec)
        if begun is None or begun.state not in IN_DOUBT:
            return Probed.DID_NOT
        pinned, then = self._earlier(begun)
        if self.parts.executor(then.executor).fencing is Fencing.LEDGER:
            return Probed.DID_NOT
        found = self._asked(pinned, then)
        if found is Probed.DID_NOT or (found is Probed.TOOK_EFFECT and then.digest != spec.digest):
            return (
                Probed.DID_NOT
            )  # known, and other bytes under the same name: `from_step` says that they run
        self._note(bundle, spec, found)
        return found

    def _note(self, bundle: Bundle, spec: StepSpec, found: Probed) -> None:
        """Make what was found of an earlier revision's step this task's own; nobody knows: the claim is ended."""
        self._intend(spec, self.orders.order(bundle, spec).key)
        state = EffectState.DONE if found is Probed.TOOK_EFFECT else EffectState.UNKNOWN
        self.parts.store.result(self.claim, spec.id, state, {"outcome": str(found), "resolved": True})
        if found is Probed.UNKNOWN:
            reason = f"{spec.id}: nobody knows whether it took effect under an earlier revision"
            self._end(TaskState.UNKNOWN, reason)

    def _start(self, bundle: Bundle) -> int | None:
        """Where to begin. `from_step` may lead past a step that an earlier revision left in doubt: it is asked after
        first, and where it did not take effect the task begins there. None: nobody knows, the claim is ended."""
        start = bundle.index(self.claim.start_at) if self.claim.start_at else 0
        for position, spec in enumerate(bundle.steps[:start]):
            own = self._own(spec)
            if own is not None and own.state is not EffectState.DONE:
                return position  # it was in doubt here before, and a person said that it did not take effect
            begun = None if own else self._last_earlier(spec)
            if begun is None or begun.state not in IN_DOUBT:
                continue
            found = self._asked(*self._earlier(begun))
            if found is Probed.UNKNOWN:
                self._note(bundle, spec, found)
                return None
            if found is Probed.DID_NOT:
                return position
        return start

    def _own(self, spec: StepSpec) -> Effect | None:
        """What this task itself has done of a step."""
        return next((effect for effect in self.claim.effects if effect.step == spec.id), None)

    def _last_earlier(self, spec: StepSpec) -> Effect | None:
        """What was last done of a step under an earlier revision."""
        return next((effect for effect in reversed(self.claim.earlier) if effect.step == spec.id), None)

    def _taken_over(self, spec: StepSpec) -> Probed:
        """The very same bytes took effect here in an earlier rollout that did not end well: not done again."""
        self._intend(spec, self.orders.order(self.orders.bundle(), spec).key)
        self.parts.store.result(self.claim, spec.id, EffectState.DONE, {"outcome": "done", "already": True})
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
        found = self.parts.executor(spec.executor).probe(self.orders.order(bundle, spec), self.guard)
        if found is Probed.UNKNOWN and spec.idempotent:
            self._count_rerun(spec)
            return Probed.DID_NOT
        return found

    def _count_rerun(self, spec: StepSpec) -> None:
        """Nobody knows what became of it and it runs again, on its bundle's word alone: that is on record."""
        self.guard.log(f"{spec.id}: outcome unknown; it is declared idempotent and runs again")
        self._again.add(spec.id)
        said = {"account": self.claim.account, "step": spec.id, "revision": f"r{self.claim.revision}"}
        self.parts.store.record(self.claim.rollout, "rerun", said, actor="ringctl")
        self.parts.store.add_tally(reruns_of(self.claim.rollout))

    def _spec(self, bundle: Bundle, effect: Effect) -> StepSpec | None:
        """The step an effect belongs to. A half-run `close_window` is simply run again by the next closing."""
        if effect.step.startswith(CLOSE_STEP):
            return None
        return bundle.step(effect.step)


def _same_done(effect: Effect, spec: StepSpec) -> bool:
    """Whether an effect is the step's own bytes, done."""
    return effect.state is EffectState.DONE and effect.digest == spec.digest
