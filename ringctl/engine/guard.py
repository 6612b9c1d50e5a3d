"""A worker's hand on one claimed task: deadlines, what the wave wants of it, its log."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ringctl.core.errors import ClaimLost, ExternalError
from ringctl.core.states import Settle
from ringctl.core.timing import SECOND, Span
from ringctl.ports.clock import Clock
from ringctl.ports.records import Claim
from ringctl.ports.store import Store

FLUSH_LINES = 200
"""Log lines kept in memory before they are written under the claim."""
LOOK_S = 0.5
"""A sleeping step looks this often whether it should stop: a stop file wakes nobody."""


@dataclass(slots=True)
class Lease:
    """The node's right to hold claims, on its own monotonic clock, counted from before it asked.

    `until` is moved by beats only; everybody may read it. `span_s` is its length in seconds. `lost` is final for the
    session.
    """

    until: float = 0.0
    span_s: float = 0.0
    lost: threading.Event = field(default_factory=threading.Event)

    def holds(self, now: float) -> bool:
        """Whether work may still go on."""
        return not self.lost.is_set() and now < self.until

    def fresh(self, now: float) -> bool:
        """Whether it was renewed within half its length: only then a step may begin (CLAIMS 7.5)."""
        return self.holds(now) and self.until - now >= self.span_s / 2


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
    _full_at: int = FLUSH_LINES
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
        else:
            self._news.clear()

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
            full = len(self._lines) >= self._full_at
        if full and self.fresh():
            self.flush()

    def sleep(self, seconds: float) -> None:
        """Wait, but not past a deadline and not after a stop."""
        end = self.clock.monotonic() + seconds
        while not self.stop_requested():
            left = min(end, self.deadline(), self._until) - self.clock.monotonic()
            if left <= 0 or self.clock.wait(self._news, min(left, LOOK_S)):
                return

    # -- for the worker ---------------------------------------------------------------------------
    def take_lines(self) -> Sequence[str]:
        """The buffered lines, to be written in the same transaction as a result."""
        with self._lock:
            lines, self._lines = self._lines, []
        return lines

    def put_back(self, lines: Sequence[str]) -> None:
        """Keep lines that could not be written."""
        with self._lock:
            self._lines[:0] = lines

    def fresh(self) -> bool:
        """Whether the lease is fresh enough to begin a step."""
        return self.lease.fresh(self.clock.monotonic())

    def flush(self) -> None:
        """Write buffered lines now. A lost claim is noted; the lines are kept as late ones by the store. Where the
        store does not answer they stay here for later (and are there twice if only its answer was lost)."""
        lines = self.take_lines()
        if not lines:
            return
        try:
            self.store.log(self.claim, lines)
        except ClaimLost:
            self.lose()
        except ExternalError:
            self.put_back(lines)
            self._full_at = len(lines) + FLUSH_LINES
        else:
            self._full_at = FLUSH_LINES
