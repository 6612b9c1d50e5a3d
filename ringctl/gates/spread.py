"""Dispersion between accounts, and the ratio of two groups of accounts before anything was changed."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from ringctl.gates.evidence import shared_ratio

UNLEARNT: Final = 2.0  # phi until enough events were seen
LEAST_EVENTS: Final = 10.0
TAU: Final = 0.5  # how far two groups are thought to differ, on the log scale (GATE 5.2)


def spread(row: Sequence[float], cells: Iterable[tuple[float, float]]) -> list[float]:
    """One look's (n, y) of accounts that nothing was done to, added to [num, den, events].

    num = sum_i (y_i - n_i p)^2, den = p (1 - p) sum_i n_i (1 - n_i/N), p = Y/N of the look: the two
    have the same expectation when events are independent. Within a look, so that a rate common to all
    may drift; as a ratio of sums, so that one event of a tiny account weighs one event.
    """
    there = [(n, y) for n, y in cells if n > 0]
    n_all, y_all = sum(n for n, _ in there), sum(y for _, y in there)
    if len(there) < 2 or not 0 < y_all < n_all:
        return list(row)
    p = y_all / n_all
    num = sum((y - n * p) ** 2 for n, y in there)
    den = p * (1 - p) * sum(n * (1 - n / n_all) for n, _ in there)
    return [row[0] + num, row[1] + den, row[2] + y_all]


def phi(row: Sequence[float]) -> float:
    """Variance of counts over that of independent events: max(1, num/den); 2 until 10 events were seen."""
    num, den, events = row
    if not (events >= LEAST_EVENTS and den > 0):
        return UNLEARNT
    return max(1.0, num / den)


def own_ratio(row: Sequence[float], dispersion: float) -> float:
    """How the two groups compared before anything was changed: [y_c, n_c, y_k, n_k] -> rho.

    Shrunk towards 1 by its own uncertainty (GATE 5.2): log rho / (1 + v/tau^2),
    v = phi (1/C + 1/K), with one pseudo-event shared by exposure; 1 where nothing was seen.
    """
    y_c, n_c, y_k, n_k = row
    ratio = shared_ratio(y_c, n_c, y_k, n_k)
    if ratio is None:
        return 1.0
    q = n_c / (n_c + n_k)
    v = dispersion * (1 / (y_c + q) + 1 / (y_k + 1 - q))
    return math.exp(math.log(ratio) / (1 + v / TAU**2))
