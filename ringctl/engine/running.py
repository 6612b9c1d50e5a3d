"""Running one claimed task: its steps in order, each an intent, a run and a result under the claim.

The rules (DESIGN 7, 12.8, 12.9, 12.19): nothing is sent before its intent is stored; an unknown outcome is never
run again blindly; a task is never parked inside a red stretch: it is closed there, or runs on to its end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.errors import ExternalError, StoreUnavailable
from ringctl.core.states import EffectState, Settle, TaskState
from ringctl.core.timing import SECOND
from ringctl.engine.doubles import note_double
from ringctl.engine.doubts import CLOSE_STEP, Doubts
from ringctl.ports.executor import Outcome, Probed, Ran
from ringctl.ports.records import Claim, Ending, Result

UNREACHABLE_ATTEMPTS = 5
"""Claims of a task that found its target unreachable, before the task counts as failed."""
KILL_GRACE_US = 5 * SECOND
AGAIN_S = 0.5
"""How often a store that does not answer is asked again while the lease is fresh."""


class Next(Enum):
    """What the runner does after a step."""

    ON = "on"
    END = "end"


@dataclass(slots=True)
class TaskRun(Doubts):
    """One task in the hands of one worker thread. `refresh` asks the store what the wave wants now. `ending` is how
    the claim ends, from the moment that this is known: before it is written."""

    refresh: Callable[[], None]
    ending: Ending | None = None
    _begun: bool = False
    _unwritten: Result | None = None

    def run(self) -> None:
        """Run the task as far as it may go, and end the claim. Raises ClaimLost when somebody else holds it."""
        bundle = self.orders.bundle()
        done = {effect.step for effect in self.claim.effects if effect.state is EffectState.DONE}
        if self.claim.resolving and not self._resolve(bundle, done):
            return
        start = self._start(bundle)
        if start is None:
            return
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

    def left(self) -> Ending:
        """How a task ends whose thread could not write it: what is known of it goes with it, so that nothing that
        took effect is in doubt for want of an answer from the store."""
        if self.ending is not None:
            return self.ending
        last = self._unwritten
        ending = replace(given_back(self.claim), lines=self.guard.take_lines(), last=last)
        if last is not None and last.outcome["outcome"] == Outcome.STOPPED and self.guard.stop_requested():
            return replace(ending, state=TaskState.UNKNOWN, reason=_between_batches(last))
        return ending

    def halfway(self, ending: Ending) -> bool:
        """Whether the account stands half-way after that end."""
        begun = self._begun and ending.state is TaskState.PENDING
        return begun or ending.state is TaskState.UNKNOWN

    # -- between steps ----------------------------------------------------------------------------
    def _parked(self, bundle: Bundle, position: int) -> bool:
        """Whether the task ends here because its wave settles, or the node stops."""
        self.refresh()
        self._await_renewal()
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

    def _await_renewal(self) -> None:
        """No step begins under a lease that was not renewed for half its length: the store may be gone, and the right
        to run with it before the step is over. Raises StoreUnavailable when the lease runs out meanwhile."""
        guard = self.guard
        while not guard.fresh() and not guard.stop_requested():
            if not guard.lease.holds(self.parts.clock.monotonic()):
                raise StoreUnavailable("the lease was not renewed in time: no step begins")
            guard.sleep(min(AGAIN_S, guard.lease.span_s / 8))
            self.refresh()

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
        order = self.orders.order(bundle, spec)
        self._intend(spec, order.key)
        ran = self.parts.executor(spec.executor).run(order, self.guard)
        note_double(self.parts, self.claim, spec.id, ran)
        outcome = {"outcome": str(ran.outcome), "reason": ran.reason, **ran.numbers}
        if spec.id in self._again:
            outcome["rerun"] = True
        self._unwritten = Result(step=spec.id, state=_EFFECT[ran.outcome], outcome=outcome)
        return ran

    def _intend(self, spec: StepSpec, key: str) -> None:
        """Store the intent. Where the store does not answer it is asked again as long as the lease is fresh: once the
        answer is lost the intent may be there, and an intent of which nothing was sent would be in doubt for ever."""
        deadline_us = spec.timeout_us + KILL_GRACE_US
        while True:
            try:
                self.parts.store.intent(self.claim, spec.id, spec.digest, key, deadline_us=deadline_us)
            except ExternalError:
                if not self.guard.fresh() or self.guard.stop_requested():
                    raise
                self.guard.sleep(AGAIN_S)
            else:
                return

    def _write(self) -> None:
        """Store the result that is still in hand: the task goes on."""
        result = self._unwritten
        if result is None:
            return
        lines = self.guard.take_lines()
        try:
            self.parts.store.result(self.claim, result.step, result.state, result.outcome, lines=lines)
        except ExternalError:
            self.guard.put_back(lines)
            raise
        self._unwritten = None

    def _stopped(self, bundle: Bundle, spec: StepSpec, ran: Ran) -> None:
        """Stopped between two batches, and the ledger knows the place; or before anything was sent."""
        self.refresh()
        guard = self.guard
        closing = guard.settle is Settle.CLOSE and not guard.stop()
        if closing and bundle.red_inside(bundle.index(spec.id)) and self._close(bundle):
            return
        nothing = ran.numbers.get("begun") == 0
        red = self._begun and bundle.red_after(bundle.index(spec.id))
        wanted = guard.stop_requested() or guard.settle is not Settle.NONE
        late = self.parts.clock.monotonic() >= guard.step_deadline()
        if (nothing and not (red and wanted)) or not (wanted or late):
            self._give_back(f"{spec.id}: {ran.reason}")
        elif nothing:
            self._end(TaskState.UNKNOWN, f"stopped before {spec.id}; its window is open")
        else:
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

    def _end(self, state: TaskState, reason: str = "") -> None:
        lines, last = self.guard.take_lines(), self._unwritten
        self.ending = Ending(claim=self.claim, state=state, reason=reason, lines=lines, last=last)
        self.parts.store.finish(self.claim, state, reason, lines=lines, last=last)


def _between_batches(result: Result) -> str:
    reason = result.outcome.get("reason", "")
    return f"{result.step}: stopped between batches: {reason}".rstrip(": ")


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


def given_back(claim: Claim, reason: str = "its node could not go on with it") -> Ending:
    """The end of a claim with which its node can do nothing more."""
    return Ending(claim=claim, state=TaskState.PENDING, reason=reason)
