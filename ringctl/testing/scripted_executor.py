"""An executor whose answers a test writes down, and which remembers everything it was asked to do."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran


class ProcessDied(BaseException):
    """The node's process ends here: nothing after this line happens. Not an Exception: nobody catches it."""


class Answer(StrEnum):
    """How a scripted run ends. The step takes effect in DONE, UNKNOWN_DONE and CRASH_AFTER only."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNKNOWN_DONE = "unknown-done"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One call of `run`. `effect`: whether the step took effect in it."""

    rollout: str
    account: str
    step: str
    digest: str
    revision: str
    fence: int
    claim: str
    accepts: frozenset[str]
    answer: Answer
    effect: bool


_OUTCOMES = {
    Answer.DONE: Outcome.DONE,
    Answer.FAILED: Outcome.FAILED,
    Answer.UNKNOWN: Outcome.UNKNOWN,
    Answer.UNKNOWN_DONE: Outcome.UNKNOWN,
    Answer.UNREACHABLE: Outcome.UNREACHABLE,
    Answer.STOPPED: Outcome.STOPPED,
}
_EFFECTIVE = frozenset({Answer.DONE, Answer.UNKNOWN_DONE, Answer.CRASH_AFTER})

ANY = "*"


class ScriptedExecutor:
    """Implements `ringctl.ports.executor.Executor` without a target.

    There is no ledger behind it: a step that is sent twice takes effect twice, and `doubles` shows it. A probe
    tells the truth unless `probes` says otherwise; `blind` makes every probe answer that nobody knows.
    `on_run` is called before each answer: a test's hand inside a running step.
    """

    kind = "scripted"
    fencing = Fencing.NONE

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.orders: list[Order] = []
        self.probed: list[Order] = []
        self.blind = False
        self.on_run: Callable[[Order, Control], None] = lambda _order, _control: None
        self._answers: dict[tuple[str, str], deque[Answer]] = {}
        self._always: dict[tuple[str, str], Answer] = {}
        self._probes: dict[tuple[str, str], deque[Probed]] = {}
        self._lock = threading.Lock()

    # -- programming -------------------------------------------------------------------------------
    def script(self, *answers: Answer | str, account: str = ANY, step: str = ANY) -> None:
        """The next runs' answers, in order; after them DONE again."""
        queue = self._answers.setdefault((account, step), deque())
        queue.extend(Answer(answer) for answer in answers)

    def always(self, answer: Answer | str, *, account: str = ANY, step: str = ANY) -> None:
        """The answer of every run without a scripted one."""
        self._always[account, step] = Answer(answer)

    def probes(self, *answers: Probed, account: str = ANY, step: str = ANY) -> None:
        """The next probes' answers, in order; after them the truth again."""
        self._probes.setdefault((account, step), deque()).extend(answers)

    # -- what happened -----------------------------------------------------------------------------
    @property
    def effects(self) -> list[Run]:
        """Runs in which the step took effect."""
        return [run for run in self.runs if run.effect]

    @property
    def doubles(self) -> list[tuple[str, str, str]]:
        """(account, step, digest) that took effect more than once in a rollout; closing a window may be repeated.
        Over rollouts it is the target's ledger that keeps a second effect out, not the claim."""
        seen: set[tuple[str, str, str, str]] = set()
        twice: list[tuple[str, str, str]] = []
        for run in self.effects:
            place = (run.rollout, run.account, run.step, run.digest)
            if place in seen and not run.step.startswith("close_window"):
                twice.append(place[1:])
            seen.add(place)
        return twice

    def steps_of(self, account: str) -> list[str]:
        """The steps that were sent to an account, in order."""
        return [run.step for run in self.runs if run.account == account]

    def took_effect(self, account: str, step: str, digest: str) -> bool:
        """Whether a step's digest took effect on an account."""
        return any((r.account, r.step, r.digest) == (account, step, digest) for r in self.effects)

    # -- Executor ----------------------------------------------------------------------------------
    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """Everything is allowed."""
        del spec, files
        return ()

    def run(self, order: Order, control: Control) -> Ran:
        """Answer as scripted. Raises ProcessDied for a crash."""
        self.on_run(order, control)
        with self._lock:
            answer = self._answer(order)
            self.orders.append(order)
            self.runs.append(
                Run(
                    rollout=order.rollout,
                    account=order.account,
                    step=order.step.id,
                    digest=order.step.digest,
                    revision=order.revision,
                    fence=order.fence,
                    claim=order.claim,
                    accepts=order.accepts,
                    answer=answer,
                    effect=answer in _EFFECTIVE,
                )
            )
        if answer in {Answer.CRASH_BEFORE, Answer.CRASH_AFTER}:
            raise ProcessDied(f"{order.step.id} on {order.account}: {answer}")
        return Ran(outcome=_OUTCOMES[answer], reason=f"scripted {answer}", numbers={"rows": 1})

    def probe(self, order: Order, control: Control) -> Probed:
        """The scripted answer, else the truth (or nobody knows, when `blind`)."""
        del control
        self.probed.append(order)
        for place in self._places(order):
            if self._probes.get(place):
                return self._probes[place].popleft()
        if self.blind:
            return Probed.UNKNOWN
        took = any(
            (run.rollout, run.account, run.step, run.digest)
            == (order.rollout, order.account, order.step.id, order.step.digest)
            for run in self.effects
        )
        return Probed.TOOK_EFFECT if took else Probed.DID_NOT

    def _answer(self, order: Order) -> Answer:
        for place in self._places(order):
            if self._answers.get(place):
                return self._answers[place].popleft()
        return next((self._always[p] for p in self._places(order) if p in self._always), Answer.DONE)

    def _places(self, order: Order) -> tuple[tuple[str, str], ...]:
        step = order.step.id.split(".", maxsplit=1)[0]  # `close_window.7` is scripted as `close_window`
        return (order.account, step), (order.account, ANY), (ANY, step), (ANY, ANY)
