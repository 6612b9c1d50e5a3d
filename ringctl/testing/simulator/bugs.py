"""Twelve bugs of the product, put in on purpose: a simulator that does not see them proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ringctl.core import decide
from ringctl.core.errors import BugError
from ringctl.core.judging import GateState, gate
from ringctl.core.model import Rollout
from ringctl.core.states import Settle, TaskState, Verdict
from ringctl.core.timing import SECOND
from ringctl.engine.guard import Guard
from ringctl.engine.node import Node
from ringctl.stores.counting import Moves
from ringctl.stores.journal import Journal
from ringctl.stores.rollouts import Rollouts
from ringctl.stores.statements import Statements
from ringctl.testing.simulator.faults import HOT
from ringctl.testing.simulator.nodes import Site
from ringctl.testing.simulator.patching import patched

Bug = Callable[[Site], AbstractContextManager[None]]


def _without(name: str, *changes: tuple[str, str]) -> str:
    """A statement with parts of it replaced. A part that is not there any more raises: no bug is disarmed quietly."""
    text = Statements.load("sqlite")[name]
    for old, new in changes:
        if old not in text:
            raise BugError(f"the statement {name} has no {old!r} any more: this seeded bug must follow it")
        text = text.replace(old, new)
    return text


@contextmanager
def claim_guard(site: Site) -> Iterator[None]:
    """Claims look at nothing: what somebody holds is claimed again (Octopus 2023.3)."""
    site.overrides |= {
        "pending_tasks": _without(
            "pending_tasks", ("t.state = 'pending'", "t.state in ('pending', 'running')")
        ),
        "take_task": _without("take_task", (" and state = 'pending'", "")),
    }
    yield


@contextmanager
def token_unchecked(site: Site) -> Iterator[None]:
    """Results and ends are written whoever holds the task."""
    part = ("and claim = :claim", "and (:claim = :claim)")
    site.overrides |= {name: _without(name, part) for name in ("end_step", "finish_task")}
    yield


@contextmanager
def late_deadline(site: Site) -> Iterator[None]:
    """The lease is counted from the answer, not from before the question."""
    del site
    honest = Node.beat

    def beat(self: Node) -> None:
        honest(self)
        if not self.lease.lost.is_set():
            self.lease.until = max(self.lease.until, self.parts.clock.monotonic() + self.lease_us / SECOND)

    with patched(Node, "beat", beat):
        yield


@contextmanager
def no_start_check(site: Site) -> Iterator[None]:
    """Nobody looks at the deadline before a step is started."""
    site.target.checks_start = False
    yield


@contextmanager
def no_shim(site: Site) -> Iterator[None]:
    """A step goes on after its lease, and after its node."""
    site.target.shim = False
    yield


@contextmanager
def renew_after_expiry(site: Site) -> Iterator[None]:
    """A beat revives a session that is over."""
    change = ("where id = :id and dead = 0", ", dead = 0 where id = :id")
    site.overrides["renew_session"] = _without("renew_session", change)
    yield


@contextmanager
def journal_outside(site: Site) -> Iterator[None]:
    """The journal is written after the commit, in a transaction of its own."""
    put_off: list[list[tuple[str, Any]]] = []
    add, apply = Journal.add, Rollouts.apply

    def add_later(self: Journal, kind: str, payload: Any) -> None:
        if put_off:
            put_off[-1].append((kind, payload))
        else:
            add(self, kind, payload)

    def apply_then_tell(self: Rollouts, step: Any, *, expected: int, actor: str) -> Rollout:
        put_off.append([])
        try:
            saved = apply(self, step, expected=expected, actor=actor)
        finally:
            entries = put_off.pop()
        site.faults.point(HOT)
        site.faults.lose("journal")
        site.faults.keep_answer("journal")
        for kind, payload in entries:
            self.record(saved.id, kind, payload, actor=actor)
        return saved

    with patched(Journal, "add", add_later), patched(Rollouts, "apply", apply_then_tell):
        yield


@contextmanager
def gate_without_data(site: Site) -> Iterator[None]:
    """What a gate does not know does not count."""
    del site

    def careless(checks: Any, facts: Any) -> GateState:
        state = gate(checks, facts)
        return state if state.failed else GateState(verdict=Verdict.PASS)

    with patched(decide, "gate", careless):
        yield


@contextmanager
def requalification_skipped(site: Site) -> Iterator[None]:
    """A node that was started again takes every revision for a qualified one."""
    honest = vars(Rollout)["qualified"].fget

    def qualified(self: Rollout) -> bool:
        fiber = site.world.current
        return bool(honest(self)) or (fiber is not None and fiber.owner.life > 1)

    with patched(Rollout, "qualified", property(qualified)):
        yield


@contextmanager
def counters_drift(site: Site) -> Iterator[None]:
    """What is moved for somebody who was lost is not counted."""
    del site
    honest = Moves.write

    def write(self: Moves, tx: Any) -> None:
        if not self.session and any(state == TaskState.RUNNING for _, state in self.tasks):
            self.tasks.clear()
        honest(self, tx)

    with patched(Moves, "write", write):
        yield


@contextmanager
def cancel_forgets(site: Site) -> Iterator[None]:
    """What a beat says about a running task is not passed on."""
    del site

    def deaf(self: Guard, settle: Settle, *, cancelled: bool) -> None:
        del settle, cancelled
        self.told = True

    with patched(Guard, "tell", deaf):
        yield


@contextmanager
def two_open(site: Site) -> Iterator[None]:
    """A decision is saved over whatever was decided meanwhile."""
    site.overrides["save_rollout"] = _without(
        "save_rollout", ("version = :expected", "(:expected = :expected)")
    )
    yield


BUGS: dict[str, Bug] = {
    "claim-guard": claim_guard,
    "token-unchecked": token_unchecked,
    "late-deadline": late_deadline,
    "no-start-check": no_start_check,
    "no-shim": no_shim,
    "renew-after-expiry": renew_after_expiry,
    "journal-outside": journal_outside,
    "gate-no-data": gate_without_data,
    "requalification-skipped": requalification_skipped,
    "counters-drift": counters_drift,
    "cancel-forgets": cancel_forgets,
    "two-open": two_open,
}
"""Name -> what puts it into a world."""
