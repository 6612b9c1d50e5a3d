"""The accounts, the steps that run on them, and the shim that holds each step's deadline.

A running step is a process of its own: it goes on while its node stands still. The target keeps its own book of
starts and ends; it is what the promises are checked against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.core.timing import SECOND, Instant
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran
from ringctl.testing.simulator.book import CLOSE, Body, Book
from ringctl.testing.simulator.faults import HOT, WARM, Faults
from ringctl.testing.simulator.oracle import Oracle
from ringctl.testing.simulator.threads import SimEvent
from ringctl.testing.simulator.world import NEVER, Owner, World

POLL_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How steps behave in one world: durations (log-normal, seconds), and shares of bad ends."""

    median_s: float = 4.0
    spread: float = 0.8
    slow: float = 0.05
    fails: float = 0.02
    signals: float = 0.02
    unreachable: float = 0.02
    deaf: float = 0.2


@dataclass(slots=True)
class Target:
    """All accounts. `shim` and `checks_start` are what a seeded bug takes away."""

    world: World
    manners: Manners
    oracle: Oracle
    shim: bool = True
    checks_start: bool = True
    now_on: dict[str, str] = field(default_factory=dict)
    begun: int = 0

    @property
    def book(self) -> Book:
        """What lives and what took effect."""
        return self.oracle.book

    # -- a step's life -----------------------------------------------------------------------------
    def begin(self, order: Order, owner: Owner, lease_s: float, step_s: float) -> Body | None:
        """The shim starts the step, or refuses because the right to run it has ended (None)."""
        world, manners, random = self.world, self.manners, self.world.random
        lease_us, step_us = _us(lease_s), _us(step_s)
        if self.checks_start and world.now_us >= min(lease_us, step_us):
            return None
        lasts = random.log_normal(manners.median_s, manners.spread)
        if random.random() < manners.slow:
            lasts += random.uniform(30.0, 120.0)
        luck = random.random()
        plan = "fail" if luck < manners.fails else "ok"
        if manners.fails <= luck < manners.fails + manners.signals:
            plan = random.choice(["signal-before", "signal-after"])
        body = Body(
            key=(order.account, order.step.id, order.step.digest),
            rollout=order.rollout,
            owner=owner,
            lease_us=lease_us,
            step_us=step_us,
            end_us=world.now_us + _us(lasts),
            grace_us=_us(random.uniform(0.1, 5.0)) if random.random() < manners.deaf else _us(0.02),
            plan=plan,
            ended=SimEvent(world),
            idempotent=order.step.idempotent or order.step.id.startswith(CLOSE),
        )
        self.oracle.begins(order, body)
        self.begun += 1
        self.book.doubt.add(body.key)
        self.book.live.setdefault(order.account, []).append(body)
        self._watch(body)
        return body

    def extend(self, body: Body, lease_s: float) -> None:
        """The node has renewed its lease."""
        body.lease_us = max(body.lease_us, _us(lease_s))
        self.oracle.extends(body)

    def kill(self, body: Body, why: str) -> None:
        """TERM now, KILL after the grace: until then it may still come to its end."""
        if not body.over and not body.killed:
            body.killed = why
            body.die_us = self.world.now_us + body.grace_us
            self._watch(body)

    def orphan(self, owner: Owner) -> None:
        """The node is dead: its shims see the end of their input."""
        for bodies in self.book.live.values():
            for body in list(bodies):
                if body.owner is owner and self.shim:
                    self.kill(body, "node")

    def _right_us(self, body: Body) -> Instant:
        """When the shim ends it."""
        if body.killed:
            return NEVER
        return min(body.lease_us, body.step_us) if self.shim else body.step_us

    def _watch(self, body: Body) -> None:
        next_us = min(body.end_us, body.die_us, self._right_us(body))
        self.world.after((next_us - self.world.now_us) / SECOND, lambda: self._look(body))

    def _look(self, body: Body) -> None:
        now = self.world.now_us
        if body.over:
            return
        if now >= min(body.end_us, body.die_us):
            self._end(body, whole=body.end_us <= body.die_us)
        elif now >= self._right_us(body):
            self.kill(body, "lease" if now >= body.lease_us else "step")
        elif not body.killed:
            self._watch(body)

    def _end(self, body: Body, *, whole: bool) -> None:
        body.over = True
        self.book.live[body.key[0]].remove(body)
        if whole and body.plan in {"ok", "signal-after"}:
            body.effect = True
            self.oracle.takes_effect(body)
            self.book.applied[body.key] = self.book.applied.get(body.key, 0) + 1
            self.now_on[body.key[0]] = body.key[2]
        body.ended.set()

    def calm(self) -> None:
        """From now on steps are quick and end well."""
        self.manners = replace(
            self.manners, median_s=1.5, slow=0.0, fails=0.0, signals=0.0, unreachable=0.0, deaf=0.0
        )

    def settle(self, account: str) -> None:
        """A person looked at the account, and says the truth."""
        self.book.doubt -= {key for key in self.book.doubt if key[0] == account}


def _us(seconds: float) -> Instant:
    return NEVER if seconds == float("inf") else round(seconds * SECOND)


class SimExecutor:
    """Implements `ringctl.ports.executor.Executor` as `command` does: a step under a shim. One per process."""

    kind = "simulated"
    fencing = Fencing.SHIM

    def __init__(self, target: Target, owner: Owner, faults: Faults) -> None:
        self._target = target
        self._owner = owner
        self._faults = faults
        self._world = target.world

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """Everything is allowed."""
        del spec, files
        return ()

    def run(self, order: Order, control: Control) -> Ran:
        """Start the step under a shim, forward renewals and the stop, wait for its end."""
        target, world = self._target, self._world
        self._faults.point(HOT)
        if self._ended(control):
            return Ran(outcome=Outcome.STOPPED, reason="nothing was started: the right to run had ended")
        if world.random.random() < target.manners.unreachable:
            return Ran(outcome=Outcome.UNREACHABLE, reason="simulated: no answer")
        told, step = control.deadline(), control.step_deadline()
        self._faults.point(HOT)
        body = target.begin(order, self._owner, told, step)
        if body is None:
            return Ran(outcome=Outcome.STOPPED, reason="nothing was started: the right to run had ended")
        stopped = False
        while not body.over:
            body.ended.wait(POLL_S)
            self._faults.point(WARM)
            if control.deadline() > told:
                told = control.deadline()
                target.extend(body, told)
            if control.stop_requested() and not stopped:
                stopped = True
                target.kill(body, "stop")
        self._faults.point(HOT)
        return self._outcome(body)

    def probe(self, order: Order, control: Control) -> Probed:
        """The truth; nobody knows where the step has no probe, or the shim refuses because the right has ended."""
        target = self._target
        until = min(control.deadline(), control.step_deadline())
        self._faults.point(HOT)
        if self._world.monotonic() >= until and target.checks_start:
            return Probed.UNKNOWN
        key = (order.account, order.step.id, order.step.digest)
        if not order.step.probe:
            return Probed.UNKNOWN
        target.oracle.probes(order)
        target.book.doubt.discard(key)
        return Probed.TOOK_EFFECT if target.book.applied.get(key) else Probed.DID_NOT

    def _ended(self, control: Control) -> bool:
        now = self._world.monotonic()
        over = now >= control.deadline() or now >= control.step_deadline()
        return control.stop_requested() or (over and self._target.checks_start)

    def _outcome(self, body: Body) -> Ran:
        if body.killed:
            return Ran(outcome=Outcome.UNKNOWN, reason=f"killed: {body.killed}")
        if body.plan.startswith("signal"):
            return Ran(outcome=Outcome.UNKNOWN, reason="ended by signal 9 from elsewhere")
        self._target.book.doubt.discard(body.key)
        if body.plan == "fail":
            return Ran(outcome=Outcome.FAILED, reason="exit 1")
        return Ran(outcome=Outcome.DONE)
