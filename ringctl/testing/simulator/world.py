"""Virtual time and a seeded scheduler: every actor is a fiber, and only one of them goes on at a time.

Idle time costs nothing: the clock jumps to the next moment at which something happens. A process that is stopped
(SIGSTOP) has fibers that are not scheduled; one that died has fibers that end where they stand.
"""

from __future__ import annotations

import heapq
import importlib
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ringctl.core.errors import UsageError
from ringctl.core.timing import SECOND, Instant, Span
from ringctl.testing.scripted_executor import ProcessDied
from ringctl.testing.simulator.chance import Chance
from ringctl.testing.values import NOON

NEVER: Instant = 1 << 62


@dataclass(slots=True, eq=False)
class Owner:
    """A process: what is paused, crashes and is started again as a whole. `life` counts its starts.

    `leased_us` is the oracle's own book: the true moment until which the store granted its session.
    """

    name: str
    life: int = 1
    mortal: bool = True
    dead: bool = False
    stopped_until_us: Instant = 0
    leased_us: Instant = 0
    fibers: list[Fiber] = field(default_factory=list)


class Died(Exception):
    """A fiber ended with an exception that nobody expected."""


class Fiber:
    """One actor: a thread of a process, or a person. `ticket` tells a wake-up that is out of date."""

    __slots__ = ("greenlet", "name", "over", "owner", "ticket", "waiting")

    def __init__(self, name: str, owner: Owner) -> None:
        self.name = name
        self.owner = owner
        self.ticket = 0
        self.over = False
        self.waiting: list[Fiber] = []
        self.greenlet: Any = None


class World:
    """The scheduler. `failure` is the first broken promise; with it everything ends."""

    def __init__(self, seed: int) -> None:
        self.random = Chance(seed)
        self.now_us: Instant = NOON
        self.offset_us: Span = 0
        self.switches = 0
        self.trace = 0
        self.failure = ""
        self.over = False
        self.current: Fiber | None = None
        self._heap: list[tuple[Instant, float, int, int, Fiber | Callable[[], None]]] = []
        self._pushed = 0
        self._fibers: list[Fiber] = []
        self._dying: list[Owner] = []
        self._greenlet = _greenlets()
        self._hub = self._greenlet.getcurrent()

    # -- time --------------------------------------------------------------------------------------
    def wall_us(self) -> Instant:
        """The clock of the store and of every host: it jumps (`offset_us`), and each look is a little later."""
        self.now_us += 1
        return self.now_us + self.offset_us

    def monotonic(self) -> float:
        """Seconds on the clock that never jumps."""
        return self.now_us / SECOND

    def sleep(self, seconds: float) -> None:
        """The current fiber goes on after so long."""
        self.park(self.now_us + round(seconds * SECOND))

    def park(self, until_us: Instant = NEVER) -> None:
        """Let others go on, until `until_us` or until somebody wakes the current fiber."""
        self.check()
        fiber = self.current
        assert fiber is not None, "only a fiber waits"
        fiber.ticket += 1
        if until_us < NEVER:
            self._push(max(until_us, self.now_us), fiber, fiber.ticket)
        self._hub.switch()
        self.check()

    def check(self) -> None:
        """Raise ProcessDied in a fiber whose process is dead, and in all when the world is over."""
        if self.over or (self.current is not None and self.current.owner.dead):
            raise ProcessDied("it is over")

    # -- who there is ------------------------------------------------------------------------------
    def spawn(self, name: str, call: Callable[[], None], owner: Owner) -> Fiber:
        """A new fiber, which begins soon."""
        fiber = Fiber(name, owner)

        def body() -> None:
            try:
                self.check()
                call()
            except ProcessDied:
                pass
            except Exception as error:
                self.failure = (
                    self.failure or f"{name} died of {type(error).__name__}: {error} {_place(error)}"
                )
                raise Died(self.failure) from error
            finally:
                fiber.over = True
                for waiter in fiber.waiting:
                    self.wake(waiter)

        fiber.greenlet = self._greenlet.greenlet(body, parent=self._hub)
        owner.fibers.append(fiber)
        self._fibers.append(fiber)
        self._push(self.now_us, fiber, 0)
        return fiber

    def wake(self, fiber: Fiber) -> None:
        """Let a parked fiber go on now."""
        self._push(self.now_us, fiber, fiber.ticket)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something, outside of every process, after so long."""
        self._push(self.now_us + round(seconds * SECOND), call, 0)

    def kill(self, owner: Owner) -> None:
        """A process dies here (SIGKILL): nothing of it goes on."""
        if not owner.dead:
            owner.dead = True
            self._dying.append(owner)

    def fail(self, what: str) -> None:
        """A promise is broken: everything ends. Called in a fiber, it does not come back."""
        self.failure = self.failure or what
        self.over = True
        self.check()

    def note(self, word: str) -> None:
        """Make a word part of the trace: the same seed must give the same trace everywhere."""
        self.trace = zlib.crc32(f"{self.now_us} {word}".encode(), self.trace)

    # -- the scheduler -----------------------------------------------------------------------------
    def run(self, done: Callable[[], bool]) -> None:
        """Schedule until `done()`, or until a promise is broken."""
        try:
            while not self.over and not done():
                if not self._heap:
                    self.failure = "deadlock: nobody waits for any time"
                    return
                self._next()
                while self._dying:
                    self._bury(self._dying.pop())
        except (Died, ProcessDied):
            pass  # the failure says what
        finally:
            self.over = True
            for fiber in self._fibers:
                self._end(fiber)

    def _next(self) -> None:
        at_us, _, _, ticket, what = heapq.heappop(self._heap)
        self.now_us = max(self.now_us, at_us)
        if not isinstance(what, Fiber):
            what()
            return
        if what.over or ticket != what.ticket or what.owner.dead:
            return
        if what.owner.stopped_until_us > self.now_us:
            self._push(what.owner.stopped_until_us, what, ticket)
            return
        what.ticket += 1
        self.switches += 1
        self.note(what.name)
        self.current = what
        what.greenlet.switch()
        self.current = None

    def _push(self, at_us: Instant, what: Fiber | Callable[[], None], ticket: int) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (at_us, self.random.random(), self._pushed, ticket, what))

    def _bury(self, owner: Owner) -> None:
        for fiber in owner.fibers:
            self._end(fiber)

    def _end(self, fiber: Fiber) -> None:
        """Unwind a fiber where it stands; each call of its own that would do anything raises at once."""
        if not fiber.over and fiber.greenlet:
            self.current = fiber
            fiber.greenlet.throw(ProcessDied("it is over"))
            self.current = None
        fiber.over = True


def _place(error: BaseException) -> str:
    """Where it was raised, for people."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"({last.filename.rpartition('/')[2]}:{last.lineno})"


def _greenlets() -> Any:
    """The library that switches. Only the simulator needs it."""
    try:
        return importlib.import_module("greenlet")
    except ImportError as error:
        hint = "it is in the extra `test`: pip install 'ringctl[test]'"
        raise UsageError("the simulator needs the package greenlet", hint=hint) from error
