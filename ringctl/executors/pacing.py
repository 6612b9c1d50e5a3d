"""How many rows the next batch takes and how long to pause (UPGRADE 4.2, 4.3). Pure."""

from dataclasses import dataclass
from typing import Final

MEMORY: Final = 0.6
"""Weight of what was measured before, per batch: 0.6 keeps the longest batch near the target."""
FIRST_ROWS: Final = 100
MOST_FAILURES: Final = 3
MOST_STRETCH: Final = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The step's `batch`: target time, most rows, least pause, and pause as a share of batch time."""

    target_s: float = 0.05
    max_rows: int = 5000
    pause_s: float = 0.0
    nice: float = 0.0


class Pace:
    """Steers the size toward the target time; a failure halves it, the third in a row is the end."""

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._rows = 0.0
        self._seconds = 0.0
        self._stretch = 1.0
        self.size = min(FIRST_ROWS, batching.max_rows)
        self.failures = 0

    def succeeded(self, rows: int, seconds: float) -> None:
        """Learn from a batch of `rows` keys."""
        self.failures = 0
        self._stretch = max(1.0, self._stretch / 2)
        self._rows = self._rows * MEMORY + rows
        self._seconds = self._seconds * MEMORY + max(seconds, 1e-6)
        wanted = int(self._rows / self._seconds * self._batching.target_s)
        most = min(self._batching.max_rows, max(self.size + 1, int(self.size * 1.3)))
        self.size = max(1, self.size // 2, min(wanted, most))

    def failed(self) -> bool:
        """Halve after a lock or time-out error; False when it is time to stop."""
        self.failures += 1
        self.size = max(1, self.size // 2)
        self._stretch = min(MOST_STRETCH, self._stretch * 2)
        return self.failures < MOST_FAILURES

    def pause(self, batch_s: float) -> float:
        """Seconds to pause after a batch: longer after failures, shorter again when it is healthy."""
        plain = max(self._batching.pause_s, self._batching.nice * batch_s)
        if self._stretch > 1.0:
            plain = max(plain, 0.02)
        return plain * self._stretch
