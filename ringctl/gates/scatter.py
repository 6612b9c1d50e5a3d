"""How far accounts that nothing was done to scatter while the others bake: phi where the past cannot say it.

In a block of hours, with e_i expected and y_i counted of account i, E and Y of all, m_i = e_i Y/E:
    num = sum (y_i - m_i)^2 - m_i^2 v_i,   den = sum m_i (1 - e_i/E)
have the same expectation when events are independent, v_i being how far e_i itself may be off (relative variance, for
its past was short; who compares with e_i accounts for that elsewhere). Within a block, so that a rate common to all
may drift. Bursts of an account that last an hour show in blocks of an hour and not in looks of a minute, longer ones
in blocks of four hours: so both are kept, and the block that is being counted goes in as it stands. For each length
    phi = num/den x d/chi2_0.16(d),   d = 2/(2/D + 1/Y),   D = sum over blocks of (sum m)^2/sum m^2 - 1
the largest value that is still within one standard deviation of what was seen: a handful of accounts cannot show that
events are independent. D counts accounts, fewer where few are large; 1/Y is what the counts' own noise adds.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from ringctl.core.timing import MINUTE, Instant
from ringctl.gates.evidence import floats, mapping

LENGTHS: Final = (60, 240)  # minutes
UNLEARNT_PHI: Final = 2.0
LEAST_EVENTS: Final = 10.0
SURE: Final = 1.0  # standard deviations
LEAST_ROOT: Final = 1 / 3  # 27 times: with less than one degree of freedom nothing is known

Counts = Mapping[str, tuple[float, float]]
Noise = Callable[[str], float]
ScatterState = Mapping[str, object]


def added(state: ScatterState, at_us: Instant, counts: Counts, noise: Noise) -> dict[str, object]:
    """The state with one look's account -> (e, y): length -> {block, sums: [num, den, D, Y] of full blocks, a}.

    `a`: account -> [e, y, v] of the block that is being counted. `noise`: account -> v.
    """
    there = {account: (e, y, noise(account)) for account, (e, y) in counts.items()}
    return {str(length): _added(mapping(state, str(length)), at_us, length, there) for length in LENGTHS}


def phi(state: ScatterState) -> float:
    """How many events count as one, at least 1; no less than 2 until there were ten."""
    found = [1.0]
    for length in LENGTHS:
        kept = mapping(state, str(length))
        now = _block(_rows(kept))
        num, den, freedom, events = (
            one + more for one, more in zip(floats(kept, "sums", 4), now, strict=True)
        )
        if not events >= LEAST_EVENTS:
            found.append(UNLEARNT_PHI)
        if den > 0 and freedom > 0:
            found.append(num / den * caution(2 / (2 / freedom + 1 / events)))
    return max(found)


def lopsided(canary: Mapping[str, object], control: Mapping[str, object]) -> float:
    """How much more the canary's accounts scatter than control's because they are larger, at least 1.

    Bursts of an account scale its events, so phi - 1 grows with its size: in proportion to sum n^2/sum n of a group.
    With q the canary's share, the split of both scatters by (1 - q) of the canary's and q of control's.
    """
    (n_c, size_c), (n_k, size_k) = _size(canary), _size(control)
    if not (size_c > 0 and size_k > 0):
        return 1.0
    q = n_c / (n_c + n_k)
    return max(1.0, (1 - q) * size_c / size_k + q)


def _size(rows: Mapping[str, object]) -> tuple[float, float]:
    sizes = [row[0] for row in rows.values() if isinstance(row, list)]
    n = sum(sizes)
    return n, (sum(one * one for one in sizes) / n if n > 0 else 0.0)


def caution(freedom: float) -> float:
    """d/chi2_0.16(d): how much larger a dispersion may be than the one that was seen (Wilson and Hilferty)."""
    root = 1 - 2 / (9 * freedom) - SURE * math.sqrt(2 / (9 * freedom))
    return 1 / max(root, LEAST_ROOT) ** 3


def _added(
    kept: Mapping[str, object], at_us: Instant, length: int, counts: Mapping[str, tuple[float, float, float]]
) -> dict[str, object]:
    block = int((at_us - 1) // (length * MINUTE))
    rows, sums = _rows(kept), floats(kept, "sums", 4)
    if kept and kept.get("block") != block:
        sums = [one + more for one, more in zip(sums, _block(rows), strict=True)]
        rows = {}
    for account, (e, y, v) in counts.items():
        row = rows.get(account)
        rows[account] = [row[0] + e, row[1] + y, v] if row else [e, y, v]
    return {"block": block, "sums": sums, "a": rows}


def _rows(kept: Mapping[str, object]) -> dict[str, list[float]]:
    return {name: row for name, row in mapping(kept, "a").items() if isinstance(row, list)}


def _block(rows: Mapping[str, list[float]]) -> tuple[float, float, float, float]:
    """num, den, D and Y of one block; nothing where there is nothing to compare."""
    e_all, y_all = sum(row[0] for row in rows.values()), sum(row[1] for row in rows.values())
    if len(rows) < 2 or not (y_all > 0 and e_all > 0):
        return 0.0, 0.0, 0.0, 0.0
    p = y_all / e_all
    num = den = squares = 0.0
    for e, y, v in rows.values():
        num += (y - e * p) ** 2 - (e * p) ** 2 * v
        den += e * p * (1 - e / e_all)
        squares += (e / e_all) ** 2
    return num, den, 1 / squares - 1, y_all
