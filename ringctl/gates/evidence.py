"""What the judges share: known cells, running totals, e-process stakes, and who may pass or fail.

An unknown is a value here: a cell counts only when both numbers are finite and not negative. Every
comparison is written so that only one that is true counts as good.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, Instant, Span

LEAST_ACCOUNTS: Final = 3  # of a wave, for a pass; or all it has (DESIGN 12.13)
LEAST_SHARE: Final = 0.8
WORSE_Z: Final = 1.64  # one-sided 5 %
SUSPECT: Final = 20.0  # evidence of harm from which on nothing passes, though it does not fail yet
OTHERS: Final = 20.0  # evidence that the harm is not the worst account's alone: one in twenty
WORST_SHOWN: Final = 5

GRID_UP: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)  # GATE 5.3
GRID_DOWN: Final = (0.9, 0.8, 0.65, 0.5, 0.25, 0.1, 0.01)
FIRST_STAKE: Final = 0.5
STAKE_EVERY_US: Final[Span] = 30 * MINUTE
LATER_STAKES: Final = 47  # of the first day
LATER_STAKE: Final = 0.4 / LATER_STAKES
LAST_STAKES: Final = 0.1  # of all days that follow
ALONE: Final = 10.0  # how many times the evidence an account needs that fails a check by itself
MOSTLY: Final = 0.5  # bad share from which one account of several may fail a check (decision record 0018)
HIGHEST: Final = 1e100  # a stake is cut here: JSON has no infinity, and a lower e-value is still valid
LOG_MOST: Final = 60.0  # in one look (GATE 5.3)
MOST_LOG: Final = 600.0  # what exp can hold


def known(cell: Cell) -> tuple[float, float] | None:
    """(n, y), or None when either is missing, not finite or negative."""
    n, y = cell.n, cell.y
    if n is None or y is None:
        return None
    return (n, y) if 0 <= n < math.inf and 0 <= y < math.inf else None


def fresh(cells: Iterable[Cell], *, after: bool) -> dict[str, tuple[float, float]]:
    """Account -> (n, y) of the known cells on that side of the intent."""
    pairs = {}
    for cell in cells:
        pair = known(cell)
        if pair is not None and cell.after is after:
            pairs[cell.account] = pair
    return pairs


def quorum(expected: int) -> int:
    """Accounts a pass needs to hear from: 80 %, at least 3, all where there are fewer (DESIGN 12.13)."""
    return min(expected, max(LEAST_ACCOUNTS, math.ceil(round(LEAST_SHARE * expected, 9))))


def unheard(evidence: Evidence) -> str:
    """Why this look cannot be part of a pass, or "" when it can.

    A pass needs the look itself to be whole: complete, and enough of the wave's accounts answering in
    it (idle is an answer, an absent series is not). Samples of earlier looks do not stand in for it.
    """
    there, needed = len(fresh(evidence.touched, after=True)), quorum(evidence.expected)
    if not evidence.complete:
        return "no whole interval yet with all accounts done"
    if there >= needed > 0:
        return ""
    return f"{there} of {evidence.expected} accounts report, {needed} are needed"


def no_answer(evidence: Evidence, state: JudgeState) -> Judgement | None:
    """The judgement of a look without an answer; None when there is one. An earlier FAIL stays."""
    if not evidence.error:
        return None
    earlier = earlier_fail(state)
    if earlier is not None:
        return earlier
    reason = f"{evidence.error}: {evidence.reason}" if evidence.reason else evidence.error
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"no answer from the source ({reason})")


def earlier_fail(state: JudgeState) -> Judgement | None:
    """The FAIL kept in a state under `failed`, if any: it is final for the revision (DESIGN 8)."""
    kept = state.get("failed")
    if not isinstance(kept, Mapping):
        return None
    return Judgement(
        verdict=Verdict.FAIL,
        reason=str(kept["reason"]),
        numbers=dict(kept["numbers"]),
        worst=tuple(kept["worst"]),
    )


def keep_fail(state: JudgeState, judgement: Judgement) -> tuple[JudgeState, Judgement]:
    """State and judgement, with a FAIL put by in the state so that every later look repeats it."""
    if judgement.verdict is not Verdict.FAIL:
        return state, judgement
    kept = {
        "reason": judgement.reason,
        "numbers": dict(judgement.numbers),
        "worst": list(judgement.worst),
    }
    return {**state, "failed": kept}, judgement


def undecided(reason: str, numbers: Mapping[str, object], *worst: str) -> Judgement:
    """An inconclusive judgement."""
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason, numbers=numbers, worst=worst[:WORST_SHOWN])


def floats(state: JudgeState, key: str, count: int) -> list[float]:
    """The `count` numbers under `key`; zeros at the start."""
    value = state.get(key)
    return [float(one) for one in value] if isinstance(value, list) else [0.0] * count


def mapping(state: JudgeState, key: str) -> JudgeState:
    """The nested state under `key`; empty at the start."""
    value = state.get(key)
    return value if isinstance(value, Mapping) else {}


def aside(reason: str, numbers: Mapping[str, object], *worst: str) -> Judgement:
    """The same of a judge that only ever objects."""
    shown = worst[:WORST_SHOWN]
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason, numbers=numbers, worst=shown, abstains=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One account so far: before its intent, after it, and of that in complete looks."""

    n_before: float = 0.0
    y_before: float = 0.0
    n_after: float = 0.0
    y_after: float = 0.0
    n_done: float = 0.0
    y_done: float = 0.0

    def row(self) -> list[float]:
        """As JSON."""
        return [
            self.n_before, self.y_before, self.n_after, self.y_after, self.n_done, self.y_done
        ]  # fmt: skip


def totals(state: JudgeState) -> dict[str, Totals]:
    """The accounts' totals out of a tally's state."""
    return {
        account: Totals(
            n_before=row[0], y_before=row[1], n_after=row[2], y_after=row[3], n_done=row[4],
            y_done=row[5],
        )
        for account, row in mapping(state, "a").items()
        if isinstance(row, list)
    }  # fmt: skip


def tally(state: JudgeState, evidence: Evidence) -> JudgeState:
    """The touched accounts' totals with this look added. State: account -> six numbers."""
    rows = {account: one.row() for account, one in totals(state).items()}
    for after in (False, True):
        for account, (n, y) in fresh(evidence.touched, after=after).items():
            row = rows.setdefault(account, [0.0] * 6)
            row[2 * after] += n
            row[2 * after + 1] += y
            if after and evidence.complete:
                row[4] += n
                row[5] += y
    return {"a": rows}


def log_likelihood(r: float, q: float, y_c: float, y_k: float) -> float:
    """Log of L_r: y_c ln r - (y_c + y_k) ln(r q + 1 - q)  (GATE 5.3).

    Given the bad events of a look, each falls to the canary with chance <= q under "no harm", whatever
    the common rate is; L_r is the likelihood ratio of the split at r times the rate (netflix's count
    test, arXiv 2011.03567), a supermartingale for r > 1.
    """
    return y_c * math.log(r) - (y_c + y_k) * math.log(r * q + 1 - q)


def grid(increase: float) -> tuple[float, ...]:
    """The ratios staked on: those from half the asked-for increase on.

    A ratio r of the grid grows only where the true one is above (r-1)/ln r, so that a rise far below
    what the check calls harm raises nothing, however long the bake (for 100 %: below 1.23 times).
    """
    return tuple(r for r in GRID_UP if r >= 1 + increase / 2) or GRID_UP[-1:]


def grid_down(decrease: float) -> tuple[float, ...]:
    """The same for a fall: ratios down from half the asked-for decrease on."""
    return tuple(r for r in GRID_DOWN if r <= 1 - decrease / 2) or GRID_DOWN[-1:]


def leaning(ratios: Sequence[float], harm: float) -> tuple[float, ...]:
    """Shares of a stake over the grid: most on the harm asked about, 1/(1 + (ln(r/harm)/0.5)^2), summing to 1.

    A guess at what will come, so it may be wrong at the price of its logarithm: ten times less on a ratio delays
    it by ln 10 of evidence.
    """
    raw = [1 / (1 + (math.log(r / harm) / 0.5) ** 2) for r in ratios]
    return tuple(one / sum(raw) for one in raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """A sum of stakes on the grid, opened one after another: E = sum(M) + rest  (GATE 5.3).

    Half at the first look, 0.4/47 every 30 minutes of the next day, and 0.1 over all days that follow (stake k of
    0.1 x 48/(k (k+1))): harm that begins late is seen at two to three times the bound instead of six. A sum of
    supermartingales is one; Ville: P(ever E >= 1/a) <= a.
    """

    since_us: Instant = 0
    opened: int = 0
    rest: float = 1.0
    on: tuple[float, ...]

    @property
    def evidence(self) -> float:
        """The e-value."""
        return min(HIGHEST, sum(self.on) + self.rest)

    def at(self, now_us: Instant, weights: Sequence[float] = (), logs: Sequence[float] = ()) -> "Stakes":
        """With the stakes opened that are due, each divided by `weights` (default: equally).

        `logs`: what the earlier ones are multiplied by first, if any is due.
        """
        since_us = now_us if self.opened == 0 else self.since_us
        due = 1 + max(0, now_us - since_us) // STAKE_EVERY_US
        if due <= self.opened:
            return self
        shares = weights or (1 / len(self.on),) * len(self.on)
        new = sum(stake(number) for number in range(self.opened, due))
        there = self.times(logs).on if logs else self.on
        on = tuple(one + new * share for one, share in zip(there, shares, strict=True))
        return Stakes(since_us=since_us, opened=due, rest=max(0.0, self.rest - new), on=on)

    def times(self, logs: Sequence[float]) -> "Stakes":
        """After one look: each stake multiplied by its likelihood ratio."""
        on = tuple(
            min(HIGHEST, one * math.exp(max(-MOST_LOG, min(MOST_LOG, log))))
            for one, log in zip(self.on, logs, strict=True)
        )
        return Stakes(since_us=self.since_us, opened=self.opened, rest=self.rest, on=on)

    def row(self) -> list[float]:
        """As JSON."""
        return [self.since_us, self.opened, self.rest, *self.on]


def stake(number: int) -> float:
    """The size of stake `number`, counted from 0. All together they are 1."""
    if number == 0:
        return FIRST_STAKE
    if number <= LATER_STAKES:
        return LATER_STAKE
    return LAST_STAKES * (LATER_STAKES + 1) / (number * (number + 1))


def stakes(state: JudgeState, key: str, size: int) -> Stakes:
    """The stakes under `key`; none opened at the start."""
    row = state.get(key)
    if not isinstance(row, list):
        return Stakes(on=(0.0,) * size)
    return Stakes(since_us=int(row[0]), opened=int(row[1]), rest=row[2], on=tuple(row[3:]))


def excess(y_c: float, y_k: float, q: float, phi: float) -> float:
    """How many standard deviations y_c lies above its expectation s q of the split of s = y_c + y_k.

    z = (y_c - s q) / sqrt(phi s q (1 - q)); 0 where there is nothing to split.
    """
    s = y_c + y_k
    variance = phi * s * q * (1 - q)
    return (y_c - s * q) / math.sqrt(variance) if variance > 0 else 0.0


def shared_ratio(y_c: float, n_c: float, y_k: float, n_k: float) -> float | None:
    """Ratio of two rates with one pseudo-event shared by exposure (GATE 5.2); None without exposure.

    ((y_c + q)/n_c) / ((y_k + 1 - q)/n_k), q = n_c/(n_c + n_k): 1 where neither side has an event.
    """
    if not (n_c > 0 and n_k > 0):
        return None
    q = n_c / (n_c + n_k)
    return ((y_c + q) / n_c) / ((y_k + n_k / (n_c + n_k)) / n_k)


def together(logs: Sequence[float], weights: Sequence[float] = ()) -> float:
    """The mean of likelihood ratios over a grid, by `weights` (default: equally).

    What the accounts without the worst one show by themselves. Like E it may be looked at again and again, which a
    limit in standard deviations may not: an account that is really broken keeps E up for hours, and in hours chance
    takes the others over any such limit.
    """
    shares = weights or [1 / len(logs)] * len(logs)
    total = sum(share * math.exp(min(MOST_LOG, log)) for log, share in zip(logs, shares, strict=True))
    return min(HIGHEST, total)


def alone(harm: float, level: float, e: float, ratio: float) -> bool:
    """Whether the only account touched so far may fail a check by itself.

    A canary goes one account at a time (a failure budget of 0 allows one in flight). Waiting for a second
    account would mean doing a known harm once more, so the only one counts, at a price: ten times the
    evidence and the full harm asked for (decision record 0006, beside DESIGN 12.20).
    """
    return e >= ALONE * level and (ratio >= harm if harm > 1 else ratio <= harm)
