"""A worker's hand on one claimed task: deadlines, what the wave wants of it, its log."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ringctl.core.errors import ClaimLost
from ringctl.core.states import Settle
from ringctl.core.timing import SECOND, Span
from ringctl.ports.clock import Clock
from ringctl.ports.records import Claim
from ringctl.ports.store import Store

FLUSH_LINES = 200
"""Log lines kept in memory before they are written under the claim."""


@dataclass(slots=True)
class Lease:
    """The node's right to hold claims, on its own monotonic clock, counted from before it asked.

    `until` is moved by the beat thread only; everybody may read it. `lost` is final for the session.
    """

    until: float = 0.0
    lost: threading.Event = field(default_factory=threading.Event)

    def holds(self, now: float) -> bool:
        """Whether work may still go on."""
        return not self.lost.is_set() and now < self.until


@dataclass(slots=True)
class Guard:
    """Implements `ringctl.ports.executor.Control` for one claim."""

    claim: Claim
    lease: Lease
    clock: Clock
    store: Store
    stop: Callable[[], bool]
    settle: Settle = Settle.NONE
    cancelled: bool = False
    gone: bool = False
    told: bool = False
    stop_on_close: bool = False
    _until: float = float("inf")
    _lines: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _news: threading.Event = field(default_factory=threading.Event)

    def begin_step(self, timeout_us: Span, *, stop_on_close: bool) -> None:
        """Start a step's own time-out, and say whether a closing wave may stop it between batches."""
        self._until = self.clock.monotonic() + timeout_us / SECOND
        self.stop_on_close = stop_on_close

    def tell(self, settle: Settle, *, cancelled: bool) -> None:
        """What the last beat said about the task."""
        self.told = True
        self.settle = settle
        self.cancelled = cancelled
        if self.stop_requested():
            self._news.set()

    def lose(self) -> None:
        """The claim is not ours any more."""
        self.gone = True
        self._news.set()

    # -- Control ----------------------------------------------------------------------------------
    def deadline(self) -> float:
        """Monotonic second at which the lease ends."""
        return self.lease.until

    def step_deadline(self) -> float:
        """Monotonic second at which the step's time-out ends."""
        return self._until

    def stop_requested(self) -> bool:
        """Whether the running step must stop (between two batches, or by its shim)."""
        if self.gone or self.cancelled or self.lease.lost.is_set() or self.stop():
            return True
        return self.settle is Settle.STOP or (self.settle is Settle.CLOSE and self.stop_on_close)

    def log(self, text: str) -> None:
        """Buffer lines; they are written with the next result, or when there are many."""
        with self._lock:
            self._lines.extend(text.splitlines())
            full = len(self._lines) >= FLUSH_LINES
        if full:
            self.flush()

    def sleep(self, seconds: float) -> None:
        """Wait, but not past a deadline and not after a stop."""
        now = self.clock.monotonic()
        bound = min(seconds, self.deadline() - now, self._until - now)
        if bound > 0 and not self.stop_requested():
            self.clock.wait(self._news, bound)

    # -- for the worker ---------------------------------------------------------------------------
    def take_lines(self) -> Sequence[str]:
        """The buffered lines, to be written in the same transaction as a result."""
        with self._lock:
            lines, self._lines = self._lines, []
        return lines

    def flush(self) -> None:
        """Write buffered lines now. A lost claim is noted; the lines are kept as late ones by the store."""
        lines = self.take_lines()
        if lines:
            try:
                self.store.log(self.claim, lines)
            except ClaimLost:
                self.lose()
