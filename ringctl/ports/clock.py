"""Time as a port: tests and the simulator hand in their own."""

import threading
from typing import Protocol

from ringctl.core.timing import Instant


class Clock(Protocol):
    """The node's clocks. Leases use the store's clock for takeover and `monotonic` for the holder."""

    def now_us(self) -> Instant:
        """Wall time in microseconds since 1970 (shown to people; never decides who holds what)."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; the same clock for all processes of the host."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait at most `seconds`."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait at most `seconds` for the event; whether it is set."""
        ...
