"""Interrupts a statement at a target when the right to run it ends."""

import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import Final, Self

from ringctl.executors.databases import Database
from ringctl.ports.executor import Control

POLL_SECONDS: Final = 0.05
NOTHING: Final[Mapping[str, object]] = MappingProxyType({"begun": 0})
"""What a run that was stopped before anything was sent says of itself: the account stands where it stood."""


class Ended(StrEnum):
    """Why the right to go on has ended."""

    STOP = "a stop was requested"
    LEASE = "the lease ended"
    STEP = "the step's time-out ended"
    LIMIT = "the statement took longer than its limit"


def ended(control: Control) -> Ended | None:
    """Why nothing more may be begun, or None."""
    now = time.monotonic()
    if control.stop_requested():
        return Ended.STOP
    if now >= control.deadline():
        return Ended.LEASE
    if now >= control.step_deadline():
        return Ended.STEP
    return None


def seconds_left(control: Control) -> float:
    """Seconds until the nearer of lease and step time-out, at least 0."""
    return max(0.0, min(control.deadline(), control.step_deadline()) - time.monotonic())


def step_seconds_left(control: Control) -> float:
    """Seconds until the step's time-out. The lease is no bound for one wait: it moves as it is renewed."""
    return max(0.0, control.step_deadline() - time.monotonic())


class Watch:
    """A thread beside one connection: while armed, it interrupts the statement when the right ends.

    After `disarm` has returned no interrupt is sent any more. (PostgreSQL may still act on one that was
    sent before; a commit that it hits is answered by an error, so it is rolled back for certain.)
    """

    def __init__(self, control: Control, database: Database) -> None:
        self._control = control
        self._database = database
        self._condition = threading.Condition()
        self._limit: float | None = None
        self._closed = False
        self.why: Ended | None = None
        self._thread = threading.Thread(target=self._loop, name="ringctl-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def arm(self, limit_s: float) -> None:
        """From now on interrupt: at a stop, a deadline, or after `limit_s`."""
        with self._condition:
            self.why = None
            self._limit = time.monotonic() + limit_s
            self._condition.notify()

    def disarm(self) -> None:
        """Interrupt nothing any more."""
        with self._condition:
            self._limit = None

    def follow(self, database: Database) -> None:
        """Watch another connection from now on (after reconnecting)."""
        with self._condition:
            self._database = database

    def _loop(self) -> None:
        with self._condition:
            while not self._closed:
                if self._limit is None:
                    self._condition.wait()
                    continue
                why = ended(self._control)
                if why is None and time.monotonic() >= self._limit:
                    why = Ended.LIMIT
                if why is not None:
                    self.why = why
                    self._database.interrupt()
                self._condition.wait(POLL_SECONDS)
