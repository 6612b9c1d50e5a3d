"""What each account would count if nothing were wrong: its exposure times its own past rate.

    e_i = n_i (y_i' + 1)/(n_i' + 1/p),   n_i', y_i' the account's own past, p the rate of all of them
One pseudo-event at the common rate pulls accounts with a short past towards it. Accounts differ, and a canary is
done one account after another: with plain exposures the first noisy account would look like harm. Where nothing is
known, or the cohorts are declared alike, e_i = n_i.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from ringctl.core.judging import Cell
from ringctl.core.learning import Learnt, N, Owns, Y
from ringctl.core.policy import Check, Count

TAU: Final = 0.5  # how far two groups are thought to differ, on the log scale (GATE 5.2)
CERTAIN: Final = 1.28  # 90 % of a normal distribution lie below
UNLEARNT_PHI: Final = 2.0
LEAST_EVENTS: Final = 10.0

Counts = dict[str, tuple[float, float]]


class Rates:
    """The accounts' own past rates, shrunk towards the common one."""

    def __init__(self, check: Check, learnt: Learnt) -> None:
        self.rows: Mapping[str, Sequence[float]] = learnt.own.rows if isinstance(learnt.own, Owns) else {}
        n = sum(row[N] for row in self.rows.values())
        y = sum(row[Y] for row in self.rows.values())
        self.common = y / n if n > 0 and y > 0 else 0.0
        self.plain = check.alike or not self.common > 0
        self.must_know = isinstance(check.measure, Count) and not check.alike

    def expected(self, account: str, n: float) -> float | None:
        """e_i; None for an account of which nothing is known where sizes matter (a plain count)."""
        if self.plain:
            return None if self.must_know else n
        row = self.rows.get(account)
        if row is None or not row[N] > 0:
            return None if self.must_know else n * self.common
        return float(n * (row[Y] + 1) / (row[N] + 1 / self.common))

    def events(self, accounts: Iterable[str]) -> float:
        """Events of their past, all together."""
        rows = self.rows
        return sum(rows[one][Y] for one in accounts if one in rows)


def counted(cells: Iterable[Cell], rates: Rates, *, after: bool) -> Counts:
    """Account -> (e, y) of the known cells on that side of the intent, where there was exposure."""
    found: Counts = {}
    for account, n, y, behind in cells:
        if behind is after and n is not None and y is not None and 0 < n < math.inf and 0 <= y < math.inf:
            e = rates.expected(account, n)
            if e is not None:
                found[account] = (e, y)
    return found


def total(counts: Counts) -> tuple[float, float]:
    """Sums of e and y."""
    return sum(e for e, _ in counts.values()), sum(y for _, y in counts.values())


def uncertainty(
    check: Check, learnt: Learnt, events: tuple[float, float], phi: float, tau: float = TAU
) -> float:
    """Standard error of the log of the two groups' ratio without harm (GATE 5.2).

    v = phi (1/C + 1/K), with a pseudo-event each; se = sqrt(v/(1 + v/tau^2)), tau where nothing is known from before.
    0 for cohorts declared alike.
    """
    if check.alike:
        return 0.0
    if learnt.source == "nothing":
        return tau
    v = phi * (1 / (events[0] + 1) + 1 / (events[1] + 1))
    return math.sqrt(v / (1 + v / tau**2)) if tau > 0 else 0.0


def difference(rows: Collection[Sequence[float]], phi: float, canary: int) -> float:
    """tau: how far two groups of accounts are thought to differ without harm, on the log scale; at most 0.5.

    By the method of moments from control's accounts (e_i, y_i), m_i = e_i Y/E:
        CV^2 = max(0, sum (y_i - m_i)^2 - phi sum m_i (1 - e_i/E)) / sum m_i^2 + its standard error
        tau^2 = CV^2 (1/canary + 1/control)
    Few events say little, so tau begins wide and narrows while control is watched.
    """
    e_all, y_all = sum(row[0] for row in rows), sum(row[1] for row in rows)
    if len(rows) < 3 or not y_all > 0 or not canary > 0:
        return TAU
    p = y_all / e_all
    squares = sum((e * p) ** 2 for e, _ in rows)
    over = sum((y - e * p) ** 2 for e, y in rows) - phi * sum(e * p * (1 - e / e_all) for e, _ in rows)
    cv2 = max(0.0, over) / squares + phi * math.sqrt(2 / squares)
    return min(TAU, math.sqrt(cv2 * (1 / canary + 1 / len(rows))))


def spread(row: Sequence[float], counts: Counts) -> list[float]:
    """One look of accounts that nothing was done to, added to [num, den, events].

    num = sum (y_i - e_i Y/E)^2 and den = Y/E sum e_i (1 - e_i/E) have the same expectation when events are
    independent; within a look, so that a rate common to all may drift.
    """
    e_all, y_all = total(counts)
    if len(counts) < 2 or not y_all > 0:
        return list(row)
    p = y_all / e_all
    num = sum((y - e * p) ** 2 for e, y in counts.values())
    den = p * sum(e * (1 - e / e_all) for e, _ in counts.values())
    return [row[0] + num, row[1] + den, row[2] + y_all]


def dispersion(learnt: Learnt, row: Sequence[float]) -> float:
    """phi: what was learnt from hours; where there are none, no less than what control shows within looks."""
    if learnt.long and learnt.phi is not None:
        return learnt.phi
    num, den, events = row
    seen = max(1.0, num / den) if events >= LEAST_EVENTS and den > 0 else UNLEARNT_PHI
    return max(learnt.phi or 1.0, seen)
