"""How large or small a number may be and still be a measurement: beyond that it is missing, as infinity is.

Judges square and divide sums of what they are given; within these bounds no sum of a rollout's looks becomes
infinite, and no quotient.
"""

from typing import Final

MOST_COUNT: Final = 2.0**53
"""Of a counter of events: above 9 x 10^15 floating point does not tell one event more from none."""
LEAST_COUNT: Final = 1e-9
MOST_AMOUNT: Final = 1e100
"""Of an amount (bytes, seconds, items), which need not be told apart by one."""
LEAST_AMOUNT: Final = 1e-100


def countable(number: float) -> bool:
    """Whether it may be a number of events or answers: 0, or 10^-9 to 2^53. NaN and what is below 0 may not."""
    return number == 0 or LEAST_COUNT <= number <= MOST_COUNT


def measurable(number: float) -> bool:
    """Whether it may be an amount: 0, or 10^-100 to 10^100."""
    return number == 0 or LEAST_AMOUNT <= number <= MOST_AMOUNT
