"""Random numbers from a seed, the same on every Python: a replayed seed must be the same run years later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_MASK: Final = (1 << 64) - 1
_TIMES: Final = 6364136223846793005
_PLUS: Final = 1442695040888963407
"""Knuth's constants for a linear congruential generator of 64 bits, of which the upper 53 are used."""


class Chance:
    """A stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK
        for _ in range(8):  # seeds that differ little shall not begin alike
            self._state = (self._state ^ (self._state >> 29)) * _TIMES + _PLUS & _MASK

    def random(self) -> float:
        """In [0, 1)."""
        self._state = (self._state * _TIMES + _PLUS) & _MASK
        return (self._state >> 11) / (1 << 53)

    def uniform(self, low: float, high: float) -> float:
        """In [low, high)."""
        return low + (high - low) * self.random()

    def choice(self, of: Sequence[T]) -> T:
        """One of them."""
        return of[int(self.random() * len(of))]

    def exponential(self, mean: float) -> float:
        """How long until something happens that happens every `mean`."""
        return -mean * math.log(1.0 - self.random())

    def log_normal(self, median: float, spread: float) -> float:
        """Around `median`; `spread` is the standard deviation of the logarithm."""
        turn = math.cos(2.0 * math.pi * self.random())
        return median * math.exp(spread * turn * math.sqrt(-2.0 * math.log(1.0 - self.random())))
