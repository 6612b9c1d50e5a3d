"""Worst blocks of each account's own past, and how long a block must be for them to foretell anything (GATE 5.4, J4).

A block of an account counts y events where e = n x (control's rate in the same block) were to be expected; its value
is y/(e + 1): the ratio of the two rates, damped by one expected event, so that a lone event of a quiet night is no
record. Kept for blocks of 1, 2, 4 and 6 hours: how many there were and the highest value.

If blocks are exchangeable, then after k tops in t blocks the chance that the next one lies above all n of the past is
exactly (k+1)/(n+t+1): it has n+t+1 places among them, k+1 of which are above. A bet on tops is
    M *= 0.5 + 0.5 top (n+t+1)/(k+1),    E = sum of stakes x M + rest,    stake j: 0.5, then 0.5/(j (j+1))
a martingale (ties count as no top: a supermartingale). Bursts that outlast a block break exchangeability: tops come
in runs. So each day of the past is replayed against what was known when it began, and the highest E of all days is
kept. `own_history` takes the shortest block whose replays stayed below its level.

Mutable while it is fed; plain JSON in between. Cost: about 0.3 us a cell, and 3 us for each account and full hour.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ringctl.core.timing import HOUR, Instant

LENGTHS: Final = (1, 2, 4, 6)  # hours
LEAST_BLOCKS: Final = 24  # before a day is replayed against them
MOST_ACCOUNTS: Final = 1000  # of a wave: the first of them to answer; a larger wave has other judges
HIGHEST: Final = 1e100
FIRST_STAKE: Final = 0.5
DAY_HOURS: Final = 24

# an account's row for one length: the block being counted (its number, trials and events of the account, of control),
# blocks so far, their highest value (-1: none), the day being replayed, what was known at its beginning, tops of
# blocks in it, stakes, and the highest E of all days (0: none was replayed)
BLOCK, N_I, Y_I, N_K, Y_K, BLOCKS, PEAK, DAY, DAY_BLOCKS, DAY_PEAK, T, K, ON, REPLAY = range(14)
_NEW: Final = (-1, 0.0, 0.0, 0.0, 0.0, 0, -1.0, -1, 0, -1.0, 0, 0, 0.0, 0.0)

PeaksState = Mapping[str, object]


class Peak(NamedTuple):
    """One account's past in blocks of `hours`: how many, the highest value, and the highest E of the replays.

    `replay` is 0 where no day could be replayed: nothing is known then about how the blocks hang together.
    """

    hours: int
    blocks: int
    peak: float
    replay: float


class Peaks:
    """Fed with cells in the order of time, from before anything was done."""

    def __init__(self, state: PeaksState | None = None) -> None:
        state = state or {}
        hour = state.get("hour")
        self.hour = hour if isinstance(hour, int) else -1
        self.control = _pair(state.get("control"))
        now, rows = state.get("now"), state.get("a")
        self.now = {name: _pair(pair) for name, pair in now.items()} if isinstance(now, Mapping) else {}
        self.rows: dict[str, list[list[float]]] = dict(rows) if isinstance(rows, Mapping) else {}

    def add(self, at_us: Instant, account: str, n: float, y: float, *, touched: bool) -> None:
        """One cell: `y` out of `n` > 0 in an interval of at most an hour up to `at_us`.

        Accounts of the wave are `touched`, all others are control.
        """
        hour = (at_us - 1) // HOUR
        if hour != self.hour:
            self._close()
            self.hour = hour
        if touched:
            pair = self.now.get(account)
            if pair is None:
                if account not in self.rows and len(self.rows) + len(self.now) >= MOST_ACCOUNTS:
                    return
                pair = self.now[account] = [0.0, 0.0]
        else:
            pair = self.control
        pair[0] += n
        pair[1] += y

    def state(self) -> dict[str, object]:
        """As JSON, to go on from."""
        return {"hour": self.hour, "control": self.control, "now": self.now, "a": self.rows}

    def found(self) -> dict[str, list[list[float]]]:
        """As JSON, to be frozen: account -> rows for `read`. Blocks that are not over are left out."""
        return {
            name: [
                [hours, row[BLOCKS], row[PEAK], row[REPLAY]] for hours, row in zip(LENGTHS, rows, strict=True)
            ]
            for name, rows in self.rows.items()
        }

    def _close(self) -> None:
        """The hour is over: it goes into the blocks that it is part of."""
        n_k, y_k = self.control
        for account, (n, y) in self.now.items():
            old = self.rows.get(account)
            rows = [list(row) for row in old] if old else [list(_NEW) for _ in LENGTHS]
            for hours, row in zip(LENGTHS, rows, strict=True):
                block = self.hour // hours
                if block != row[BLOCK]:
                    _count(row, hours)
                    row[BLOCK] = block
                row[N_I] += n
                row[Y_I] += y
                row[N_K] += n_k
                row[Y_K] += y_k
            self.rows[account] = rows
        self.now, self.control = {}, [0.0, 0.0]


def read(rows: Sequence[Sequence[float]]) -> tuple[Peak, ...]:
    """One account's peaks out of what `Peaks.found` gave."""
    return tuple(Peak(int(hours), int(blocks), peak, replay) for hours, blocks, peak, replay in rows)


def value(n: float, y: float, n_k: float, y_k: float) -> float | None:
    """What a block is ranked by: y/(e + 1), e = n y_k/n_k; None without exposure on either side."""
    return y / (n * y_k / n_k + 1) if n > 0 and n_k > 0 else None


def bet(on: float, n: float, t: float, k: float, *, top: bool) -> float:
    """The stakes after block number `t` (from 0), of which `k` were tops of a past of `n`."""
    stake = FIRST_STAKE if t == 0 else (1 - FIRST_STAKE) / (t * (t + 1))
    won = 0.5 * (n + t + 1) / (k + 1) if top else 0.0
    return min(HIGHEST, (on + stake) * (0.5 + won))


def evidence(on: float, t: float) -> float:
    """E after `t` blocks: stakes, and what has not been staked yet."""
    return on + ((1 - FIRST_STAKE) / t if t > 0 else 1.0)


def _count(row: list[float], hours: int) -> None:
    """The block being counted is over: rank it, replay it, and begin anew."""
    found = value(row[N_I], row[Y_I], row[N_K], row[Y_K])
    if found is not None:
        day = row[BLOCK] * hours // DAY_HOURS
        if day != row[DAY]:
            row[DAY], row[DAY_BLOCKS], row[DAY_PEAK] = day, row[BLOCKS], row[PEAK]
            row[T] = row[K] = row[ON] = 0
        if row[DAY_BLOCKS] >= LEAST_BLOCKS:
            top = found > row[DAY_PEAK]
            row[ON] = bet(row[ON], row[DAY_BLOCKS], row[T], row[K], top=top)
            row[T] += 1
            row[K] += top
            row[REPLAY] = max(row[REPLAY], evidence(row[ON], row[T]))
        row[BLOCKS] += 1
        row[PEAK] = max(row[PEAK], found)
    row[N_I] = row[Y_I] = row[N_K] = row[Y_K] = 0.0


def _pair(value: object) -> list[float]:
    return [float(one) for one in value] if isinstance(value, list) else [0.0, 0.0]
