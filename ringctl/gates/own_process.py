"""One account against its own ceiling: the one-sample e-process of GATE 5.4 (J2), for bad events of any kind.

"No more than a share `cap` of this account's trials is bad", against the alternatives p = cap + (1 - cap) f:
    M_f *= (p/cap)^y ((1-p)/(1-cap))^(n-y),   f in {0.15, 0.4, 0.75, 0.97}
Half the stake is opened at the account's first look after its own intent, the rest over the time that follows
(`evidence.Stakes`): the harm of an upgrade begins with the upgrade of that account, not with the wave. A
supermartingale while the account's true share stays at or below `cap`, whatever it does there.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ringctl.core.timing import Instant
from ringctl.gates.evidence import HIGHEST, LOG_MOST, STAKE_EVERY_US, stake

FRACTIONS: Final = (0.15, 0.4, 0.75, 0.97)
SIZE: Final = len(FRACTIONS)

# a row: first look, stakes opened, rest, M of each fraction, the cumulative sum of log M_0.4, and since it was 0
# trials and bad ones
SINCE, OPENED, REST, ON = 0, 1, 2, 3
SUM, TRIALS, BAD = ON + SIZE, ON + SIZE + 1, ON + SIZE + 2
NEW: Final = (0, 0, 1.0, *([0.0] * SIZE), 0.0, 0.0, 0.0)


@lru_cache(maxsize=4096)
def _logs(cap: float) -> tuple[tuple[float, float], ...]:
    """For each alternative (log p/cap, log (1-p)/(1-cap))."""
    found = []
    for f in FRACTIONS:
        p = cap + (1 - cap) * f
        found.append((math.log(p / cap), math.log((1 - p) / (1 - cap))))
    return tuple(found)


def added(row: Sequence[float], now_us: Instant, cap: float, n: float, y: float) -> list[float]:
    """The row with one look's `n` trials, `y` of them bad. 0 < cap < 1."""
    since, opened, rest, a, b, c, d, total, trials, bad = row
    if not opened:
        since = now_us
    due = 1 + max(0, now_us - int(since)) // STAKE_EVERY_US
    if due > opened:
        new = sum(stake(number) for number in range(int(opened), due))
        opened, rest = due, max(0.0, rest - new)
        a, b, c, d = a + new / SIZE, b + new / SIZE, c + new / SIZE, d + new / SIZE
    (bad_a, good_a), (bad_b, good_b), (bad_c, good_c), (bad_d, good_d) = _logs(cap)
    good = n - y
    gain = y * bad_b + good * good_b
    a = min(HIGHEST, a * math.exp(min(LOG_MOST, y * bad_a + good * good_a)))
    b = min(HIGHEST, b * math.exp(min(LOG_MOST, gain)))
    c = min(HIGHEST, c * math.exp(min(LOG_MOST, y * bad_c + good * good_c)))
    d = min(HIGHEST, d * math.exp(min(LOG_MOST, y * bad_d + good * good_d)))
    if total + gain > 0:
        return [since, opened, rest, a, b, c, d, total + gain, trials + n, bad + y]
    return [since, opened, rest, a, b, c, d, 0.0, 0.0, 0.0]


def evidence(row: Sequence[float]) -> float:
    """E: the sum of the stakes and what is not staked."""
    return min(HIGHEST, sum(row[ON : ON + SIZE]) + row[REST])


def bad_share(row: Sequence[float]) -> float:
    """The bad share since the change seems to have begun; 0 without one."""
    return row[BAD] / row[TRIALS] if row[TRIALS] > 0 else 0.0
