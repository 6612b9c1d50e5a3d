"""One account's values against the band that they kept before: what `shift` rests on.

Before anything is done an account's values (one a look) are sampled: at most 40, spread over all looks. With n of
them the next one lies above the j-th largest with a chance of j/(n+1), where looks are exchangeable; after k of t
did, with (j+k)/(n+1+t), exactly (ties help the account). So few looks make a wide band by themselves. With x = 1 for
a value above the j-th largest and above the limit (j = 1; and n/4, for values that vary much), and so for below:
    cap_t = max(0.02, (j+k)/(n+1+t), (1+k')/(1+m)),   k' of m control accounts as far out at the same time
    M_f *= 1 - f + f x/cap_t,   f in {0.5, 0.97} for j = 1, {0.25, 0.6} for n/4
    E = sum of stakes x M_f, half of them opened at the account's first look after its intent (`evidence.stake`)
(1+k')/(1+m) is the rank of the account among control: that many are out for a reason that all have in common.

    E_pass = mean over p in {0.02, 0.2} of prod (p/0.5)^b ((1-p)/0.5)^(1-b)
b = 1 for a block whose mean is beyond the limit of the account's mean before: evidence against "at least half of the
blocks are". A block is one value, or as many as it takes for two standard deviations of its mean to be the limit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, pstdev
from typing import Final

from ringctl.core.timing import Instant, Span
from ringctl.gates.evidence import HIGHEST, STAKE_EVERY_US, stake

LEAST_LOOKS: Final = 5
MOST_VALUES: Final = 40
FLOOR: Final = 0.02
QUARTER: Final = 0.25
USUAL: Final = 0.5  # of the answers and the time of a look before, which a value must rest on
FRACTIONS: Final = (0.25, 0.6), (0.5, 0.97)
HARM: Final = 0.5
HARMLESS: Final = (0.02, 0.2)
MOST_BLOCK: Final = 60
MOST_LOG: Final = 60.0
MOST_TIMES: Final = 1e6  # a value of so many times the one before is endless
TOLERANCE: Final = 1e-5  # relative: values are kept to six digits

_INSIDE: Final = tuple(math.log((1 - p) / HARM) for p in HARMLESS)
_BEYOND: Final = tuple(math.log(p / HARM) for p in HARMLESS)

# a sample: looks with an answer, their answers and time, every how manieth is kept; then values
LOOKS, ALL_N, ALL_SPAN, STRIDE = range(4)
VALUES: Final = 4

# a row: the sample's size, its median and mean, values of a block; answers and time of a usual look; of the value
# that is being gathered: answers, amount, time, whether all of it is complete
SIZE, MID, MEAN, BLOCK, USUAL_N, USUAL_SPAN, PART_N, PART_Y, PART_SPAN, PART_DONE = range(10)
# values since the intent, their sum relative to the mean before; first look, stakes opened, rest, E, the most it was
T, SUM, SINCE, OPENED, REST, E, MOST_E = range(10, 17)
# complete values and their sum, their answers; values and sum of the block that is not over; logs of E_pass
DONE, DONE_SUM, DONE_N, PENDING, PENDING_SUM, PASS_AT = range(17, 23)
# four ways to be out: above, below a quarter; above, below all. Of each where it begins, j, how many were, two stakes
WAYS: Final = PASS_AT + len(HARMLESS)
EDGE, RANK, OUT, STAKES = range(4)
WAY: Final = STAKES + 2
NONE_OUT: Final = (0, 0, 0, 0)

Row = list[float]
Ways = tuple[int, int, int, int]


def sampled(sample: Sequence[float] | None, n: float, y: float, span: Span) -> Row:
    """The sample with a look before: `y` of `n` > 0 answers in `span` microseconds."""
    after = [0.0, 0.0, 0.0, 1.0] if sample is None else list(sample)
    if after[LOOKS] % after[STRIDE] == 0:
        after.append(float(f"{y / n:.6g}"))
        if len(after) > VALUES + MOST_VALUES:
            after[VALUES:] = after[VALUES::2]
            after[STRIDE] *= 2
    after[LOOKS] += 1
    after[ALL_N] += n
    after[ALL_SPAN] += span
    return after


def enough(sample: Sequence[float]) -> bool:
    """Whether an account can be judged by it."""
    return sample[LOOKS] >= LEAST_LOOKS


def banded(sample: Sequence[float], limit: float) -> Row:
    """A row out of the sample, at the account's first look after its intent."""
    values = sorted(sample[VALUES:])
    size, mid = len(values), median(values)
    mean = sum(values) / size
    row = [0.0] * (WAYS + 4 * WAY)
    row[:PART_N] = [
        size, mid, mean, _block(pstdev(values) / mean if mean > 0 else 0.0, limit),
        sample[ALL_N] / sample[LOOKS], sample[ALL_SPAN] / sample[LOOKS],
    ]  # fmt: skip
    row[REST] = row[E] = row[MOST_E] = row[PART_DONE] = 1.0
    ranks = math.ceil(QUARTER * size), 1
    for place, rank in zip(range(WAYS, len(row), 2 * WAY), ranks, strict=True):
        row[place + EDGE] = max(values[-rank], mid * (1 + limit)) * (1 + TOLERANCE)
        row[place + WAY + EDGE] = min(values[rank - 1], mid * (1 - limit)) * (1 - TOLERANCE)
        row[place + RANK] = row[place + WAY + RANK] = rank
    return row


def _block(spread: float, limit: float) -> int:
    """Values whose mean is known well enough: `spread` is their standard deviation over their mean."""
    return max(1, math.ceil(min(MOST_BLOCK, (2 * spread / limit) ** 2))) if limit > 0 else MOST_BLOCK


def gathered(row: Row, n: float, y: float, span: Span, *, complete: bool) -> tuple[float, float] | None:
    """Adds a look to the value being gathered: answers and value, once it rests on enough.

    Fewer answers than usual vary more, and would lie outside the band by that alone.
    """
    row[PART_N] += n
    row[PART_Y] += y
    row[PART_SPAN] += span
    row[PART_DONE] *= complete
    if not (row[PART_N] >= USUAL * row[USUAL_N] and row[PART_SPAN] >= USUAL * row[USUAL_SPAN]):
        return None
    return row[PART_N], row[PART_Y] / row[PART_N]


def ways(row: Sequence[float], value: float, wide: float) -> Ways:
    """In which ways the value is out, 1 or 0 each. `wide`: factor by which the band is widened."""
    least, most = value * wide, value / wide
    edges = row[WAYS::WAY]
    return most > edges[0], least < edges[1], most > edges[2], least < edges[3]


@dataclass(frozen=True, slots=True)
class Others:
    """What control did at one look: `drift` of its median; of `count` accounts how many were out in which ways."""

    drift: float = 1.0
    count: int = 0
    out: Ways = NONE_OUT

    def without(self, one: Ways) -> "Others":
        """The same without one account that was out in those ways."""
        if not self.count:
            return self
        a, b, c, d = self.out
        return Others(self.drift, self.count - 1, (a - one[0], b - one[1], c - one[2], d - one[3]))


def stepped(row: Row, now_us: Instant, value: float, out: Ways, others: Others) -> None:
    """Folds one value in that is out in those ways."""
    _opened(row, now_us)
    known = row[SIZE] + 1 + row[T]
    total = row[REST]
    for number, x in enumerate(out):
        place = WAYS + number * WAY
        gain = 0.0
        if x:
            cap = max(FLOOR, (row[place + RANK] + row[place + OUT]) / known)
            if others.count:
                cap = max(cap, (1 + others.out[number]) / (1 + others.count))
            gain = 1 / cap
            row[place + OUT] += 1
        low, high = FRACTIONS[number > 1]
        row[place + STAKES] = first = min(HIGHEST, row[place + STAKES] * (1 - low + low * gain))
        row[place + STAKES + 1] = second = min(HIGHEST, row[place + STAKES + 1] * (1 - high + high * gain))
        total += first + second
    row[E] = min(HIGHEST, total)
    row[MOST_E] = max(row[MOST_E], row[E])
    row[T] += 1
    row[SUM] += times(row, value)
    row[PART_N] = row[PART_Y] = row[PART_SPAN] = 0.0
    row[PART_DONE] = 1.0


def passed(row: Row, value: float, limit: float) -> None:
    """Counts a complete value towards PASS."""
    relative = times(row, value)
    row[DONE] += 1
    row[DONE_SUM] += relative
    row[PENDING] += 1
    row[PENDING_SUM] += relative
    if row[PENDING] >= row[BLOCK]:
        logs = _INSIDE if within(row[PENDING_SUM] / row[PENDING], limit) else _BEYOND
        for place, log in enumerate(logs, start=PASS_AT):
            row[place] = max(-MOST_LOG, min(MOST_LOG, row[place] + log))
        row[PENDING] = row[PENDING_SUM] = 0.0


def absent(row: Sequence[float]) -> float:
    """E_pass."""
    return sum(math.exp(log) for log in row[PASS_AT:WAYS]) / len(HARMLESS)


def within(relative: float, limit: float) -> bool:
    """Whether a multiple of the mean before is within the limit."""
    return abs(relative - 1) <= limit * (1 + TOLERANCE)


def beyond(row: Sequence[float], limit: float) -> bool:
    """Whether the mean of its complete values is beyond the limit, of as many as make it worth asking."""
    return row[DONE] >= max(3, row[BLOCK]) and not within(row[DONE_SUM] / row[DONE], limit)


def times(row: Sequence[float], value: float) -> float:
    """The value as a multiple of the mean before; from nothing to something is endless."""
    if row[MEAN] > 0:
        return min(MOST_TIMES, value / row[MEAN])
    return MOST_TIMES if value > 0 else 1.0


def _opened(row: Row, now_us: Instant) -> None:
    """Opens the stakes that are due."""
    if not row[OPENED]:
        row[SINCE] = now_us
    due = 1 + max(0, now_us - int(row[SINCE])) // STAKE_EVERY_US
    if due <= row[OPENED]:
        return
    new = sum(stake(number) for number in range(int(row[OPENED]), due))
    row[OPENED], row[REST] = due, max(0.0, row[REST] - new)
    for place in range(WAYS, len(row), WAY):
        row[place + STAKES] += new / 8
        row[place + STAKES + 1] += new / 8
