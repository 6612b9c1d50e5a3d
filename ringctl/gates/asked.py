"""What a check of counts asks about: which ratios are harm, and which are staked on."""

import math
from typing import Final

from ringctl.core.policy import Check, Count, Ratio
from ringctl.gates.evidence import grid, grid_down

UNCHANGED: Final = "unchanged"


def counts_events(check: Check) -> bool:
    """Whether the check counts events: bad ones of all, or plainly."""
    measure = check.measure
    return isinstance(measure, Count) or (isinstance(measure, Ratio) and measure.of_counts)


def directions(check: Check) -> tuple[float, ...]:
    """The ratios that are harm: above 1 for a rise, below for a fall."""
    rise, fall = check.fail_if.increase, check.fail_if.decrease
    if check.compare == UNCHANGED and rise is not None:
        return 1 + rise, 1 / (1 + rise)
    up = (1 + rise,) if rise is not None else ()
    return (*up, 1 - fall) if fall is not None else up


def ratios(harm: float) -> tuple[float, ...]:
    """The ratios that are staked on."""
    return grid(harm - 1) if harm > 1 else grid_down(1 - harm)


def room(harm: float) -> float:
    """How far off a ratio may be, on the log scale, before anything that is staked on grows: (r - 1)/ln r."""
    least = min(ratios(harm), key=lambda r: abs(math.log(r)))
    return abs(math.log((least - 1) / math.log(least)))


def said(*harms: float) -> str:
    """In words."""
    return " or ".join(f"a {'rise' if harm > 1 else 'fall'} to {harm:.3g} times" for harm in harms)
