"""What is known of a check's accounts from before anything was done to them: learnt once, then frozen.

A fold like the judges: cells of the past (hours of history from the source, looks before the first intent, a
recorded baseline) go in, in the order of time; `Learnt` comes out. It is part of the evidence: saved with the look,
frozen at the wave's first intent, and shown with the verdict.

Formulas of GATE 5.2, with C, K = events of the two groups, q_b = rho n_cb/(rho n_cb + n_kb), m_b = c_b + k_b:
    phi = max(1, over blocks of 1 h, 4 h, 24 h with at least 4 blocks and a mean expected count of at least 1:
              sum_b (c_b - m_b q_b)^2 / (m_b q_b (1 - q_b)) / median of chi2(blocks - 1))
    drift: the same of one group's own rate: sum_b (c_b - n_b p)^2 / (n_b p) / median of chi2(blocks - 1)
A past of under four hours is cut into blocks of minutes instead: bursts longer than it are not known, and `note`
says so. Shares, not levels, are learnt: what both groups do alike, by day and night, cancels out.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ringctl.core.peaks import Peak, Peaks, read
from ringctl.core.timing import HOUR, MINUTE, Instant

LONG_BLOCKS: Final = (60, 240, 1440)  # minutes
SHORT_BLOCKS: Final = (1, 2, 5, 15, 60)
LEAST_BLOCKS: Final = 4
LONG: Final = 4 * 60  # minutes of past from which on hours are blocks
SETTLED: Final = 48.0  # hours of past from which on they say enough by themselves
MOST_ROWS: Final = 480
UNITS: Final = (1, 5, 15, 60)  # minutes of a row: coarser when there are too many
WORST_TRIALS: Final = 20.0
HISTORY: Final = "history"
BASELINE: Final = "baseline"

PastState = Mapping[str, object]

# a row of an account: trials, events, answered cells, empty ones, minutes, worst share (-1: none), and of the block
# that is being counted: its first hour, trials, events
N, Y, LOOKS, EMPTY, MINUTES, WORST, BLOCK, BLOCK_N, BLOCK_Y = range(9)
_NEW: Final = (0.0, 0.0, 0, 0, 0.0, -1.0, -1, 0.0, 0.0)


class Own(NamedTuple):
    """One account's past, all of it before the account's first intent.

    `n`, `y`: trials and bad events (or answers and amount) in `looks` answered cells over `minutes`.
    `worst`: the largest bad share over runs of consecutive hours with at least 20 trials each; None: no such run.
    `empty`: answered cells without any item (y = 0), out of `looks`.
    `peaks`: its worst blocks of hours (`core.peaks`), of accounts of the wave only.
    """

    n: float
    y: float
    looks: int
    empty: int
    minutes: float
    worst: float | None
    peaks: tuple[Peak, ...] = ()


class Owns(Mapping[str, Own]):
    """Accounts and their past, made from the rows of the state when asked for."""

    def __init__(
        self,
        rows: Mapping[str, Sequence[float]],
        tops: Mapping[str, Sequence[Sequence[float]]] = MappingProxyType({}),
    ) -> None:
        self.rows = rows
        self.tops = tops

    def __getitem__(self, account: str) -> Own:
        row = self.rows[account]
        worst = _worst(row)
        return Own(
            n=row[N], y=row[Y], looks=int(row[LOOKS]), empty=int(row[EMPTY]), minutes=row[MINUTES],
            worst=worst if worst >= 0 else None, peaks=read(self.tops.get(account, ())),
        )  # fmt: skip

    @cached_property
    def n(self) -> float:
        """Trials of all accounts together."""
        return sum(row[N] for row in self.rows.values())

    @cached_property
    def y(self) -> float:
        """Bad events of all accounts together."""
        return sum(row[Y] for row in self.rows.values())

    @cached_property
    def hours(self) -> float:
        """Hours of all accounts together."""
        return sum(row[MINUTES] for row in self.rows.values()) / 60

    @cached_property
    def worst(self) -> float:
        """The worst share of any account; 0 where none is known."""
        return max(0.0, max((_worst(row) for row in self.rows.values()), default=0.0))

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _worst(row: Sequence[float]) -> float:
    """The worst share of a row, with the block that is being counted; -1: none."""
    worst = row[WORST]
    return max(worst, row[BLOCK_Y] / row[BLOCK_N]) if row[BLOCK_N] >= WORST_TRIALS else worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What the judges are given. `source`: history | baseline | nothing; `note` says it for people.

    `rho`: how the touched accounts' rate compared with control's before; `phi`: variance of the split of counts
    over that of independent events, at least 1; None where there were too few blocks to say. `drift`: the same of
    one group's own rate over time (for before-vs-after). `hours`: how much past there was; `events`: of both
    groups, (canary, control). `flow`: the same as `phi`, of trials. `own`: per account.
    """

    source: str = "nothing"
    note: str = "nothing is known from before"
    rho: float = 1.0
    phi: float | None = None
    drift: float | None = None
    flow: float | None = None
    hours: float = 0.0
    events: tuple[float, float] = (0.0, 0.0)
    own: Owns = field(default_factory=lambda: Owns({}))

    @property
    def long(self) -> bool:
        """Whether the past is long enough for blocks of hours."""
        return self.hours >= LONG / 60 and self.phi is not None

    @property
    def settled(self) -> bool:
        """Whether the past says how events cluster well enough for nothing more to be learnt during the bake."""
        return self.hours >= SETTLED and self.phi is not None


NOTHING: Final = Learnt()


class Past(NamedTuple):
    """One account in the `minutes` up to `at_us`, before anything was done to it: `y` out of `n`."""

    at_us: Instant
    account: str
    n: float
    y: float
    minutes: float


def fold(
    state: PastState, cells: Iterable[Past], touched: Mapping[str, object], source: str = BASELINE
) -> dict[str, object]:
    """The next state with cells of the past, which come in the order of time.

    `touched` has the wave's accounts as keys; all others are control. After `freeze` only the accounts' own rows
    go on (those that are not begun yet).
    """
    rows, accounts = _rows(state), _accounts(state)
    unit = _unit(state)
    frozen = state.get("frozen")
    minutes = _number(state, "minutes")
    last_us = int(_number(state, "last"))
    tops = Peaks(_mapping(state, "peaks")) if frozen is None else None
    for at_us, account, n, y, span in cells:
        if not n > 0:
            continue
        row = accounts[account] = list(accounts.get(account, _NEW))
        _add(row, int((at_us - 1) // HOUR), n, y, span)
        if tops is None:
            continue
        tops.add(at_us, account, n, y, touched=account in touched)
        if at_us != last_us:
            minutes, last_us = minutes + span, at_us
        bucket = int((at_us - 1) // (unit * MINUTE))
        if not rows or rows[-1][0] != bucket:
            rows.append([bucket, 0.0, 0.0, 0.0, 0.0])
            if len(rows) > MOST_ROWS and unit < UNITS[-1]:
                unit = UNITS[UNITS.index(unit) + 1]
                rows = _coarser(rows, unit, UNITS[UNITS.index(unit) - 1])
        last = rows[-1]
        side = 1 if account in touched else 3
        last[side] += y
        last[side + 1] += n
    said = str(state.get("source", source))
    return {
        "rows": rows, "unit": unit, "a": accounts, "minutes": minutes, "last": last_us, "frozen": frozen,
        "source": said, "peaks": _mapping(state, "peaks") if tops is None else tops.state(),
    }  # fmt: skip


def freeze(state: PastState) -> dict[str, object]:
    """The state with what was learnt fixed; the rows that it came from are let go."""
    if state.get("frozen") is not None:
        return dict(state)
    pooled = _pooled(state)
    frozen = [pooled.rho, pooled.phi, pooled.drift, pooled.flow, pooled.hours, *pooled.events]
    return {
        **state,
        "rows": [],
        "frozen": frozen,
        "a": _accounts(state),
        "source": str(state.get("source", BASELINE)),
        "peaks": Peaks(_mapping(state, "peaks")).found(),
    }


def learnt(state: PastState) -> Learnt:
    """What the state says, frozen or not."""
    frozen = state.get("frozen")
    own = Owns(_accounts(state), _mapping(state, "peaks") if frozen is not None else {})
    if isinstance(frozen, Sequence):
        rho, phi, drift, flow, hours, canary, control = frozen
        return _said(
            Learnt(rho=rho, phi=phi, drift=drift, flow=flow, hours=hours, events=(canary, control), own=own,
                   source=str(state["source"]))
        )  # fmt: skip
    pooled = _pooled(state)
    return _said(
        Learnt(rho=pooled.rho, phi=pooled.phi, drift=pooled.drift, flow=pooled.flow, hours=pooled.hours,
               events=pooled.events, own=own, source=str(state.get("source", BASELINE)))
    )  # fmt: skip


def median_chi2(freedom: int) -> float:
    """Median of the chi-squared distribution, by Wilson and Hilferty: d (1 - 2/(9 d))^3."""
    return float(freedom * (1 - 2 / (9 * freedom)) ** 3)


def _said(found: Learnt) -> Learnt:
    if not sum(found.events) > 0 and not found.hours > 0:
        return Learnt(own=found.own)
    hours = f"{found.hours:.0f} h" if found.hours >= 2 else f"{60 * found.hours:.0f} min"
    where = "of history" if found.source == HISTORY else "watched before"
    if found.phi is None:
        spread = "too short to learn how events cluster"
    else:
        spread = f"phi {found.phi:.2f}, ratio {found.rho:.2f}"
        if not found.long:
            spread += "; longer bursts are not known"
    return Learnt(
        source=found.source, note=f"{hours} {where}: {spread}", rho=found.rho, phi=found.phi, drift=found.drift,
        flow=found.flow, hours=found.hours, events=found.events, own=found.own,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pooled:
    rho: float
    phi: float | None
    drift: float | None
    flow: float | None
    hours: float
    events: tuple[float, float]


def _pooled(state: PastState) -> _Pooled:
    rows, unit = _rows(state), _unit(state)
    c, n_c, k, n_k = (sum(row[place] for row in rows) for place in range(1, 5))
    hours = _number(state, "minutes") / 60
    if not (n_c > 0 and n_k > 0):
        rho = 1.0
    else:
        q = n_c / (n_c + n_k)  # one pseudo-event shared by exposure
        rho = ((c + q) / n_c) / ((k + n_k / (n_c + n_k)) / n_k)
    lengths = LONG_BLOCKS if hours * 60 >= LONG else SHORT_BLOCKS
    blocks = [_coarser(rows, length, unit) for length in lengths if length >= unit]
    splits = [value for one in blocks if (value := _split_dispersion(one, rho)) is not None]
    flows = [
        value for one in blocks if (value := _split_dispersion(_trials(one), _odds(n_c, n_k))) is not None
    ]
    drifts = [value for one in blocks if (value := _own_dispersion(one)) is not None]
    return _Pooled(
        rho=rho,
        phi=max(1.0, *splits) if splits else None,
        drift=max(1.0, *drifts) if drifts else None,
        flow=max(1.0, *flows) if flows else None,
        hours=hours,
        events=(c, k),
    )


def _odds(n_c: float, n_k: float) -> float:
    return n_c / n_k if n_k > 0 else 1.0


def _trials(blocks: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    """The blocks with their trials as what is counted, each side of exposure 1."""
    return [(place, n_c, 1.0, n_k, 1.0) for place, _, n_c, _, n_k in blocks]


def _split_dispersion(blocks: Sequence[Sequence[float]], rho: float) -> float | None:
    """The phi of one length of blocks, or None where there are too few of them or of events."""
    total = expected = 0.0
    used = 0
    for _, c, n_c, k, n_k in blocks:
        m = c + k
        if not (m > 0 and n_c > 0 and n_k > 0):
            continue
        q = rho * n_c / (rho * n_c + n_k)
        if not 0 < q < 1:  # one side is nothing beside the other
            continue
        total += (c - m * q) ** 2 / (m * q * (1 - q))
        expected += m * q
        used += 1
    if used < LEAST_BLOCKS or not expected >= used:
        return None
    return _clear(total, used - 1)


def _own_dispersion(blocks: Sequence[Sequence[float]]) -> float | None:
    """The same of the wave's accounts alone, against their own mean rate."""
    there = [(row[1], row[2]) for row in blocks if row[2] > 0]
    y, n = sum(one[0] for one in there), sum(one[1] for one in there)
    if len(there) < LEAST_BLOCKS or not y >= len(there):
        return None
    p = y / n
    return _clear(sum((c - n_b * p) ** 2 / (n_b * p) for c, n_b in there), len(there) - 1)


def _clear(total: float, freedom: int) -> float:
    """A dispersion, or 1 where it is within one standard deviation of what independent events give.

    The largest of three noisy estimates is above 1 even where nothing clusters, and would cost a tenth of the power.
    """
    found = total / median_chi2(freedom)
    return found if found > 1 + math.sqrt(2 / freedom) else 1.0


def _coarser(rows: Sequence[Sequence[float]], unit: int, old: int) -> list[list[float]]:
    merged: list[list[float]] = []
    for bucket, *counts in rows:
        place = int(bucket) * old // unit
        if not merged or merged[-1][0] != place:
            merged.append([place, 0.0, 0.0, 0.0, 0.0])
        for at, count in enumerate(counts, start=1):
            merged[-1][at] += count
    return merged


def _add(row: list[float], hour: int, n: float, y: float, minutes: float) -> None:
    row[N] += n
    row[Y] += y
    row[LOOKS] += 1
    row[EMPTY] += y <= 0
    row[MINUTES] += minutes
    if row[BLOCK] != hour:
        if row[BLOCK_N] >= WORST_TRIALS:
            row[WORST] = max(row[WORST], row[BLOCK_Y] / row[BLOCK_N])
            row[BLOCK_N] = row[BLOCK_Y] = 0.0
        row[BLOCK] = hour
    row[BLOCK_N] += n
    row[BLOCK_Y] += y


def _rows(state: PastState) -> list[list[float]]:
    value = state.get("rows")
    return [list(row) for row in value] if isinstance(value, list) else []


def _accounts(state: PastState) -> dict[str, list[float]]:
    """Account -> row. The rows are the state's own: they are never changed, only replaced."""
    value = state.get("a")
    return dict(value) if isinstance(value, Mapping) else {}


def _mapping(state: PastState, key: str) -> Mapping[str, Any]:
    value = state.get(key)
    return value if isinstance(value, Mapping) else {}


def _unit(state: PastState) -> int:
    return int(_number(state, "unit")) or UNITS[0]


def _number(state: PastState, key: str) -> float:
    value = state.get(key, 0)
    return value if isinstance(value, int | float) else 0.0
