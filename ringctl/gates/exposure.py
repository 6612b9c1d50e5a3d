"""What each account would count if nothing were wrong: its exposure times its own rate, as far as that is known.

Accounts differ: the rate of one is p lambda_i, with lambda_i of a Gamma distribution of mean 1 and variance 1/k.
After y_i' events in n_i' trials of its past, phi of which count as one, it is a Gamma again:
    e_i = n_i p (y_i'/phi + k)/(n_i' p/phi + k),   Var log e_i ~ 1/(y_i'/phi + k)
So accounts with a short past are pulled towards the common rate, the more the less accounts differ, and a canary that
is done one account after another is not alarmed at by its first noisy one. Two groups' ratio is then known up to
    se^2 = sum_i w_i^2/(y_i'/phi + k),   w_i = e_i/sum of its group's e
1/k is learnt from all accounts that nothing was done to (`apart`). Where the cohorts are declared alike, e_i = n_i
and se = 0.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ringctl.core.judging import Cell, Evidence, JudgeState
from ringctl.core.learning import Learnt, N, Y
from ringctl.core.policy import Check, Count
from ringctl.gates import scatter
from ringctl.gates.evidence import mapping

TAU: Final = 0.5  # how far two groups are thought to differ, on the log scale (GATE 5.2)
CERTAIN: Final = 1.28  # 90 % of a normal distribution lie below
MOST_APART: Final = 1.0  # before anything is known of how accounts differ
LEAST_APART: Final = 3  # accounts that can show it
LEAST_CV2: Final = 1e-6

Counts = dict[str, tuple[float, float]]


class Rates:
    """The accounts' own rates, shrunk towards the common one. `pseudo`: k, in events."""

    def __init__(self, check: Check, learnt: Learnt, *, pseudo: float = 1.0, phi: float = 1.0) -> None:
        self.rows = learnt.own.rows
        n, y = learnt.own.n, learnt.own.y
        self.common = y / n if n > 0 and y > 0 else 0.0
        self.plain = check.alike or not self.common > 0
        self.must_know = isinstance(check.measure, Count) and not check.alike
        self.alike = check.alike
        self.weight = phi * pseudo  # in events of the past

    def expected(self, account: str, n: float) -> float | None:
        """e_i; None for an account of which nothing is known where sizes matter (a plain count)."""
        if self.plain:
            return None if self.must_know else n
        row = self.rows.get(account)
        if row is None or not row[N] > 0:
            return None if self.must_know else n * self.common
        return float(n * (row[Y] + self.weight) / (row[N] + self.weight / self.common))

    def noise(self, account: str) -> float:
        """The part of that which comes from counting the account's own past: what independent events scatter by."""
        row = self.rows.get(account)
        if self.plain or row is None or not row[Y] > 0:
            return 0.0
        return float(row[Y] / (row[Y] + self.weight) ** 2)

    def doubt(self, counts: Counts, phi: float) -> float:
        """se^2 of the group's expected count, on the log scale."""
        if self.alike:
            return 0.0
        e_all = sum(e for e, _ in counts.values())
        rows, weight = self.rows, self.weight
        found = 0.0
        for account, (e, _) in counts.items():
            row = rows.get(account)
            found += (e / e_all) ** 2 * phi / ((row[Y] if row is not None else 0.0) + weight)
        return found


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


def uncertainty(check: Check, learnt: Learnt, events: tuple[float, float], phi: float) -> float:
    """Standard error of the log of the two groups' ratio without harm (GATE 5.2).

    v = phi (1/C + 1/K), with a pseudo-event each; se = sqrt(v/(1 + v/tau^2)), tau where nothing is known from before.
    0 for cohorts declared alike. For groups of which only the sums are known.
    """
    if check.alike:
        return 0.0
    if learnt.source == "nothing":
        return TAU
    v = phi * (1 / (events[0] + 1) + 1 / (events[1] + 1))
    return math.sqrt(v / (1 + v / TAU**2))


def apart(rows: Collection[Sequence[float]], phi: float) -> float:
    """1/k: how far accounts differ, the squared coefficient of variation of their rates, as large as it may well be.

    By the method of moments from accounts (n_i, y_i) that nothing was done to, m_i = n_i Y/N:
        s + phi sqrt(2/sum m_i^2) + s sqrt(2/A),
        s = max(0, sum (y_i - m_i)^2 - phi sum m_i (1 - n_i/N)) / sum m_i^2,   A accounts
    The last two terms are its standard error. Few events say little, so it begins at 1 and narrows while control is
    watched.
    """
    n_all, y_all = sum(row[0] for row in rows), sum(row[1] for row in rows)
    if len(rows) < LEAST_APART or not y_all > 0:
        return MOST_APART
    p = y_all / n_all
    squares = over = 0.0
    for n, y in rows:
        m = n * p
        squares += m * m
        over += (y - m) ** 2 - phi * m * (1 - n / n_all)
    seen = max(0.0, over) / squares
    error = phi * math.sqrt(2 / squares) + seen * math.sqrt(2 / len(rows))
    return max(LEAST_CV2, min(max(MOST_APART, seen), seen + error))


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


def with_bursts(check: Check, state: JudgeState, evidence: Evidence) -> dict[str, object]:
    """The state with what all accounts that nothing was done to yet show in this look, unless days are known."""
    if evidence.learnt.settled:
        return dict(state)
    rates = Rates(check, evidence.learnt)
    there = counted((*evidence.touched, *evidence.control), rates, after=False)
    return {**state, "bursts": scatter.added(mapping(state, "bursts"), evidence.at_us, there, rates.noise)}


def dispersion(learnt: Learnt, seen: scatter.ScatterState) -> float:
    """phi: what was learnt from days; where there are none, no less than what control shows during the bake."""
    if learnt.settled and learnt.phi is not None:
        return learnt.phi
    return max(learnt.phi or 1.0, scatter.phi(seen))
