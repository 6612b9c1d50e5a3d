"""Random draws of the bakes."""

import math
import random


def poisson(rng: random.Random, mean: float) -> int:
    """A Poisson draw; `mean` is small."""
    count, left = 0, math.exp(-mean)
    product = rng.random()
    while product > left:
        count += 1
        product *= rng.random()
    return count
