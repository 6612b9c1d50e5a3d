"""A clock that moves when it is told to: for engine tests and the simulator."""

import threading

from ringctl.core.timing import SECOND, Instant
from ringctl.testing.values import NOON


class FakeClock:
    """Implements `ringctl.ports.clock.Clock`; called, it is a store's clock (`SQLiteStore(clock=clock)`).

    Reading the wall time moves it by a microsecond, so that what follows is later. `advance` moves both
    clocks, `jump` the wall clock alone (as an operator or NTP does). Waiting costs no real time.
    """

    def __init__(self, now_us: Instant = NOON) -> None:
        self._now_us = now_us
        self._monotonic_us = 0
        self._lock = threading.Lock()

    def now_us(self) -> Instant:
        """Wall time; rises by a microsecond."""
        with self._lock:
            self._now_us += 1
            return self._now_us

    __call__ = now_us

    def monotonic(self) -> float:
        """Seconds since the clock was made; never jumps."""
        return self._monotonic_us / SECOND

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""
        self.advance(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """As `threading.Event.wait`, but time passes at once."""
        if not event.is_set():
            self.advance(seconds)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks. Time never goes backwards here: that is `jump`."""
        assert seconds >= 0, "use jump() for a wall clock that goes backwards"
        with self._lock:
            self._now_us += round(seconds * SECOND)
            self._monotonic_us += round(seconds * SECOND)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic one does not notice."""
        with self._lock:
            self._now_us += round(seconds * SECOND)
