"""How often a node that finds nothing to do looks again: soon at first, then less and less often."""

from dataclasses import dataclass
from typing import Final

SOON_S: Final = 0.2
LIVE_S: Final = 1.0
"""Longest pause while a rollout goes on by itself: others finish accounts, bakes end."""
IDLE_S: Final = 5.0
"""Longest pause while nothing does: whatever a person decides is told (`Store.on_change`)."""
GROWTH: Final = 1.5


@dataclass(slots=True)
class Pace:
    """The next pause, in seconds. `steady`: always the same short one, for a process that ends by itself soon."""

    steady: bool = True
    _next: float = SOON_S

    def pause(self, *, live: bool) -> float:
        """How long to rest now; the next one is longer."""
        if self.steady:
            return SOON_S
        longest = LIVE_S if live else IDLE_S
        now = min(self._next, longest)
        self._next = min(self._next * GROWTH, IDLE_S)
        return now

    def hurry(self) -> None:
        """Something has happened: look again soon."""
        self._next = SOON_S
