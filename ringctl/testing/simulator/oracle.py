"""What must hold, checked where it would break: at each committed call of the store and each start and end on an
account. The oracle has its own connection and its own book; it asks the product nothing that the product decides by.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringctl.core.decisions import Step
from ringctl.core.model import Rollout
from ringctl.core.states import EffectState, RolloutState
from ringctl.core.timing import SECOND, Instant, Span
from ringctl.ports.executor import Order
from ringctl.ports.records import Claim
from ringctl.testing.simulator.book import CLOSE, Body, Book, Key
from ringctl.testing.simulator.world import Owner, World

STOPPED_WITHIN: Span = 27 * SECOND
"""Lease 15 s, grace 7 s, kill wait 5 s: after that nothing new is begun, and after `--now` nothing runs."""
KILLED_WITHIN: Span = 5 * SECOND + 1
"""From TERM to KILL."""
ROUNDING: Span = 2
"""Seconds as floats and back."""

Asked = tuple[Sequence[Any], Mapping[str, Any]]
"""Arguments of a call, by place and by name."""
HOLDERS = frozenset({"intent", "result", "finish", "log"})
"""Writes that need the claim."""

_TASK = "select state, claim from task where id = ?"
_DEAD = "select dead from node_session where id = ?"
_VERSION = "select version from rollout where id = ?"
_DIGEST = "select digest from effect where task = ? and step = ?"
_APPROVED = """
select v.number, v.qualified_at_us, w.kind
  from rollout r join member m on m.rollout = r.key and m.account = :account
  join task t on t.member = m.id and t.revision = :revision
  join revision v on v.rollout = r.key and v.number = t.revision left join wave w on w.id = t.wave
 where r.id = :rollout"""


@dataclass(slots=True)
class Oracle:
    """The book of one world. `database`: read by a connection of its own."""

    world: World
    database: Path
    texts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    stopped: dict[str, Instant] = field(default_factory=dict)
    exposed: set[tuple[str, str]] = field(default_factory=set)
    answered_us: Instant = 0
    baking_us: dict[int, Instant] = field(default_factory=dict)
    repeatable: set[Key] = field(default_factory=set)
    news: int = 0
    book: Book = field(default_factory=Book)
    _raw: sqlite3.Connection | None = None

    def _one(self, sql: str, *values: object, **named: object) -> Any:
        if self._raw is None:
            self._raw = sqlite3.connect(self.database, isolation_level=None)
        return self._raw.execute(sql, named or values).fetchone()

    def close(self) -> None:
        """Close the connection."""
        if self._raw is not None:
            self._raw.close()

    def pin(self, digest: str, files: Mapping[str, bytes]) -> None:
        """These are a step's bytes (promise I3)."""
        self.texts[digest] = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}

    # -- the store's calls -------------------------------------------------------------------------
    def before(self, name: str, args: Sequence[Any]) -> Any:
        """What the store holds just before a call is executed."""
        if name in HOLDERS:
            return self._one(_TASK, args[0].task)
        if name == "beat":
            return self._one(_DEAD, args[0].id)
        return self._one(_VERSION, args[0].rollout.id) if name == "apply" else None

    def after(self, name: str, owner: Owner, asked: Asked, answer: Any, seen: Any) -> None:
        """A call was executed and committed."""
        args, named = asked
        if name in HOLDERS:
            self._wrote(name, owner, asked, seen)
        elif name == "beat":
            if seen != (0,):
                self.world.fail(f"I1: a session of {owner.name} that was over was renewed")
            owner.leased_us = self.world.now_us + args[0].lease_us
        elif name == "open_session":
            owner.leased_us = self.world.now_us + answer.lease_us
        elif name == "claim":
            self._claimed(args[1], answer)
        elif name == "apply":
            self._applied(args[0], named["expected"], named["actor"], seen)
        elif name == "rescue":
            self.news += 8 if answer else 0

    def _wrote(self, name: str, owner: Owner, asked: Asked, seen: Any) -> None:
        """A holder's write went through: it must have been the holder."""
        args, named = asked
        claim: Claim = args[0]
        if seen != ("running", claim.id):
            self.world.fail(f"I1: {owner.name} wrote {name} under a claim that was not current: {seen}")
        last = named.get("last")
        if name == "result":
            self._ended(claim, args[1], args[2], args[3])
        elif last is not None:
            self._ended(claim, last.step, last.state, last.outcome)

    def _claimed(self, rollout: Rollout, claims: Sequence[Claim]) -> None:
        if claims and rollout.id in self.stopped:
            since = (self.world.now_us - self.stopped[rollout.id]) / SECOND
            self.world.fail(
                f"I10: {claims[0].account} was claimed {since:.1f} s after the rollout was stopped"
            )

    def _applied(self, step: Step, expected: int, actor: str, seen: tuple[int]) -> None:
        world, rollout = self.world, step.rollout
        self.news += 1
        if seen != (expected,):
            world.fail(f"I11: a decision on version {expected} was saved over version {seen[0]}")
        ended = rollout.state is RolloutState.ABORTED
        paused = rollout.hold("pause") is not None
        if ended or paused:
            self.stopped.setdefault(rollout.id, world.now_us)
        elif self.stopped.pop(rollout.id, None) is not None and actor == "ringctl":
            world.fail("I10: a person's pause was lifted, and no person did it")
        for decision in step.decisions:
            if decision.kind == "aborted" and decision.payload.get("now"):
                world.after(STOPPED_WITHIN / SECOND, lambda: self._stopped_now(rollout.id))
            elif decision.kind == "wave-baking":
                self.baking_us[int(str(decision.payload["wave"]))] = world.now_us
            elif decision.kind == "wave-passed":
                self._passed(int(str(decision.payload["wave"])))

    def _passed(self, wave: int) -> None:
        """I5, by the source's own record: it answered while the wave baked."""
        self.news += 8
        if self.answered_us < self.baking_us.get(wave, 0):
            self.world.fail(f"I5: wave {wave} passed, and the source gave no answer while it baked")

    def _ended(self, claim: Claim, step: str, state: str, outcome: Mapping[str, object]) -> None:
        """What the store now says of a step is what the target says."""
        row = self._one(_DIGEST, claim.task, step)
        if row is None or step.startswith(CLOSE):
            return
        took = bool(self.book.applied.get((claim.account, step, row[0])))
        if state == EffectState.DONE and not took:
            self.world.fail(f"I6: {step} on {claim.account} is called done and never took effect")
        again = (claim.account, step, row[0]) in self.repeatable  # it may fail after it took effect once
        if state == EffectState.FAILED and took and not again and not outcome.get("resolved"):
            self.world.fail(f"I6: {step} on {claim.account} is called failed and took effect")

    # -- the accounts ------------------------------------------------------------------------------
    def begins(self, order: Order, body: Body) -> None:
        """A step is about to start on an account."""
        world, account, key = self.world, order.account, body.key
        self.extends(body)
        if world.now_us > min(body.lease_us, body.step_us):
            world.fail(f"I1: {key} was started after its deadline")
        if self.book.live.get(account):
            other = self.book.live[account][0]
            world.fail(f"I1: two live on {account}: {other.key} of {other.owner.name}, and {key}")
        if body.idempotent:
            self.repeatable.add(key)
        else:
            if self.book.applied.get(key):
                world.fail(f"I2: {key} had taken effect and was started again")
            if key in self.book.doubt:
                world.fail(f"I2: {key} was repeated, and nobody asked what had become of it")
        self._pinned(order)
        self._requalified(order)
        since = self.stopped.get(order.rollout)
        place = (order.rollout, account)
        if since is not None and place not in self.exposed and world.now_us - since > STOPPED_WITHIN:
            world.fail(f"I10: {account} was begun {(world.now_us - since) / SECOND:.1f} s after the stop")
        self.exposed.add(place)

    def extends(self, body: Body) -> None:
        """Nobody may work longer than the store lets him."""
        if body.lease_us > body.owner.leased_us + ROUNDING:
            over = (body.lease_us - body.owner.leased_us) / SECOND
            self.world.fail(f"I1: {body.owner.name} counts on {over:.3f} s more than its lease")

    def takes_effect(self, body: Body) -> None:
        """A step comes to its end on an account."""
        if self.book.applied.get(body.key) and not body.idempotent:
            self.world.fail(f"I1: {body.key} took effect twice")
        if self.world.now_us > body.lease_us + KILLED_WITHIN:
            over = (self.world.now_us - body.lease_us) / SECOND
            self.world.fail(f"I1: {body.key} of {body.owner.name} took effect {over:.1f} s after its lease")

    def probes(self, order: Order) -> None:
        """Somebody asks what became of a step: its process must be gone by now."""
        if self.book.live.get(order.account):
            self.world.fail(f"I2: {order.account} was asked about while {order.step.id} ran there")

    def _pinned(self, order: Order) -> None:
        pinned = self.texts.get(order.step.digest, {})
        for path in order.step.files:
            content = (order.files / path).read_bytes()
            if hashlib.sha256(content).hexdigest() != pinned.get(path):
                self.world.fail(f"I3: {path} on {order.account} is not what was pinned")

    def _requalified(self, order: Order) -> None:
        number = int(order.revision.removeprefix("r"))
        row = self._one(_APPROVED, account=order.account, revision=number, rollout=order.rollout)
        if row is not None and row[0] > 1 and row[1] is None and row[2] != "requalification":
            self.world.fail(f"I4: {order.account} receives r{number} outside of its subset ({row[2]} wave)")

    def _stopped_now(self, rollout: str) -> None:
        """Some time after `abort --now`: nothing of it runs."""
        for account, bodies in self.book.live.items():
            if any(body.rollout == rollout for body in bodies):
                self.world.fail(f"I10: {account} still runs {bodies[0].key[1]} long after abort --now")
