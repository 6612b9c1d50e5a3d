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
from statistics import median
from typing import Final, NamedTuple

from ringctl.core.timing import Instant, Span
from ringctl.gates.evidence import HIGHEST, STAKE_EVERY_US, stake

LEAST_LOOKS: Final = 5
MOST_VALUES: Final = 40
FLOOR: Final = 0.02
QUARTER: Final = 0.25
USUAL: Final = 0.5  # of the answers and the time of a look before, which a value must rest on
INNER: Final = (0.25, 0.6)  # f, of being out of the inner band
OUTER: Final = (0.5, 0.97)
LESS: Final = tuple(1 - f for f in (*INNER, *OUTER))
HARM: Final = 0.5
HARMLESS: Final = (0.02, 0.2)
MOST_BLOCK: Final = 60
MOST_PASS: Final = 1e25
MOST_TIMES: Final = 1e6  # a value of so many times the one before is endless
TOLERANCE: Final = 1e-5  # relative: values are kept to six digits

_INSIDE: Final = tuple((1 - p) / HARM for p in HARMLESS)
_BEYOND: Final = tuple(p / HARM for p in HARMLESS)

# a sample: looks with an answer, their answers and time, every how manieth is kept; then values
LOOKS, ALL_N, ALL_SPAN, STRIDE = range(4)
VALUES: Final = 4

# a row: the sample's size, its median and mean, values of a block; answers and time that a value must rest on; of the
# value that is being gathered: answers, amount, time, and looks of it that are not complete
SIZE, MID, MEAN, BLOCK, USUAL_N, USUAL_SPAN, PART_N, PART_Y, PART_SPAN, PART_EARLY = range(10)
# values since the intent, their sum relative to the mean before; first look, stakes opened, rest, E, the most it was
T, SUM, SINCE, OPENED, REST, E, MOST_E = range(10, 17)
# complete values, their sum, their answers; values and sum of a block that is not over; E_pass of each p; its mean
DONE, DONE_SUM, DONE_N, PENDING, PENDING_SUM, PASS_AT = range(17, 23)
E_PASS: Final = PASS_AT + len(HARMLESS)
# four ways to be out: above, below a quarter; above, below all. Where each begins, how many were, two stakes of each
EDGES: Final = E_PASS + 1
OUT: Final = EDGES + 4
STAKES: Final = OUT + 4
END: Final = STAKES + 8
NOT_OUT: Final = (0, 0, 0, 0)

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
    spread = math.sqrt(sum((value / mean - 1) ** 2 for value in values) / size) if mean > 0 else 0.0
    row = [0.0] * END
    row[:PART_N] = [
        size, mid, mean, _block(spread, limit),
        USUAL * sample[ALL_N] / sample[LOOKS], USUAL * sample[ALL_SPAN] / sample[LOOKS],
    ]  # fmt: skip
    row[REST] = row[E] = row[MOST_E] = row[PASS_AT] = row[PASS_AT + 1] = row[E_PASS] = 1.0
    most, least, rank = mid * (1 + limit), mid * (1 - limit), quarter(size)
    row[EDGES:OUT] = [
        max(values[-rank], most) * (1 + TOLERANCE), min(values[rank - 1], least) * (1 - TOLERANCE),
        max(values[-1], most) * (1 + TOLERANCE), min(values[0], least) * (1 - TOLERANCE),
    ]  # fmt: skip
    return row


def quarter(size: float) -> int:
    """The rank of the inner band."""
    return math.ceil(QUARTER * size)


def _block(spread: float, limit: float) -> int:
    """Values whose mean is known well enough: `spread` is their standard deviation over their mean."""
    return max(1, math.ceil(min(MOST_BLOCK, (2 * spread / limit) ** 2))) if limit > 0 else MOST_BLOCK


class Value(NamedTuple):
    """What an account shows at a look: `answers` it rests on; `complete`: all of it lies in complete looks."""

    row: Row
    answers: float
    value: float
    complete: bool


def gathered(row: Row, n: float, y: float, span: Span, *, complete: bool) -> Value | None:
    """Adds a look to the value being gathered: the value, once it rests on enough.

    Fewer answers than usual vary more, and would lie outside the band by that alone.
    """
    if not row[PART_N] and n >= row[USUAL_N] and span >= row[USUAL_SPAN]:
        return Value(row, n, y / n, complete)
    row[PART_N] += n
    row[PART_Y] += y
    row[PART_SPAN] += span
    row[PART_EARLY] += not complete
    if not (row[PART_N] >= row[USUAL_N] and row[PART_SPAN] >= row[USUAL_SPAN]):
        return None
    found = Value(row, row[PART_N], row[PART_Y] / row[PART_N], not row[PART_EARLY])
    row[PART_N] = row[PART_Y] = row[PART_SPAN] = row[PART_EARLY] = 0.0
    return found


def ways(row: Sequence[float], value: float, wide: float) -> Ways:
    """In which ways the value is out, 1 or 0 each. `wide`: factor by which the band is widened."""
    most, least = value / wide, value * wide
    if row[EDGES + 1] <= least and most <= row[EDGES]:
        return NOT_OUT
    return (
        most > row[EDGES], least < row[EDGES + 1], most > row[EDGES + 2], least < row[EDGES + 3]
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Others:
    """What control did at one look: `drift` of its median; of `count` accounts how many were out in which ways."""

    drift: float = 1.0
    count: int = 0
    out: Ways = NOT_OUT

    def without(self, one: Ways) -> "Others":
        """The same without one account that was out in those ways."""
        if not self.count:
            return self
        a, b, c, d = self.out
        return Others(self.drift, self.count - 1, (a - one[0], b - one[1], c - one[2], d - one[3]))


def stepped(row: Row, now_us: Instant, value: float, out: Ways, others: Others) -> None:
    """Folds one value in that is out in those ways."""
    due = 1 + max(0, now_us - int(row[SINCE])) // STAKE_EVERY_US if row[OPENED] else 1
    if due > row[OPENED]:
        _open(row, now_us, due)
    a, b, c, d, e, f, g, h = row[STAKES:END]
    if out is NOT_OUT:
        stakes = [a * LESS[0], b * LESS[1], c * LESS[0], d * LESS[1],
                  e * LESS[2], f * LESS[3], g * LESS[2], h * LESS[3]]  # fmt: skip
    else:
        u, v, w, x = _gains(row, out, others)
        stakes = [
            a * (LESS[0] + INNER[0] * u), b * (LESS[1] + INNER[1] * u),
            c * (LESS[0] + INNER[0] * v), d * (LESS[1] + INNER[1] * v),
            e * (LESS[2] + OUTER[0] * w), f * (LESS[3] + OUTER[1] * w),
            g * (LESS[2] + OUTER[0] * x), h * (LESS[3] + OUTER[1] * x),
        ]  # fmt: skip
        for way in range(4):
            row[OUT + way] += out[way]
            stakes[2 * way] = min(HIGHEST, stakes[2 * way])
            stakes[2 * way + 1] = min(HIGHEST, stakes[2 * way + 1])
    row[STAKES:END] = stakes
    row[E] = e_now = min(HIGHEST, sum(stakes) + row[REST])
    row[MOST_E] = max(row[MOST_E], e_now)
    row[T] += 1
    row[SUM] += times(row, value)


def _gains(row: Row, out: Ways, others: Others) -> list[float]:
    """1/cap of each way that the value is out, 0 of the others."""
    known, rank = row[SIZE] + 1 + row[T], quarter(row[SIZE])
    gains = []
    for way, is_out in enumerate(out):
        own = ((rank if way < 2 else 1) + row[OUT + way]) / known
        shared = (1 + others.out[way]) / (1 + others.count) if others.count else 0.0
        gains.append(is_out / max(FLOOR, own, shared))
    return gains


def _open(row: Row, now_us: Instant, due: int) -> None:
    """Opens the stakes that are due."""
    if not row[OPENED]:
        row[SINCE] = now_us
    new = sum(stake(number) for number in range(int(row[OPENED]), due))
    row[OPENED], row[REST] = due, max(0.0, row[REST] - new)
    for place in range(STAKES, END):
        row[place] += new / 8


def passed(row: Row, value: float, answers: float, limit: float) -> None:
    """Counts a complete value towards PASS."""
    relative = times(row, value)
    row[DONE] += 1
    row[DONE_SUM] += relative
    row[DONE_N] += answers
    row[PENDING] += 1
    row[PENDING_SUM] += relative
    if row[PENDING] >= row[BLOCK]:
        gain = _INSIDE if within(row[PENDING_SUM] / row[PENDING], limit) else _BEYOND
        row[PASS_AT] = first = max(1 / MOST_PASS, min(MOST_PASS, row[PASS_AT] * gain[0]))
        row[PASS_AT + 1] = second = max(1 / MOST_PASS, min(MOST_PASS, row[PASS_AT + 1] * gain[1]))
        row[E_PASS] = (first + second) / 2
        row[PENDING] = row[PENDING_SUM] = 0.0


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
