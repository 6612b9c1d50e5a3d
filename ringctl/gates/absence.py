"""PASS asks for evidence that harm of the size asked about is absent: not finding it is no evidence (GATE 5.6).

An e-process against "the ratio is h or more", from looks after the last account was done:
    E_pass = mean over r in R of prod [ (r/h)^y_c ((h q + 1 - q)/(r q + 1 - q))^(y_c + y_k) ]^(1/phi)
with q the least share of events that the canary may have without harm; PASS from E_pass >= 1/miss on. R holds 1 (no
change) and one ratio between 1 and h, so that a small harmless change may pass as well. By Ville's inequality a harm
of h passes with a chance of at most `miss`, however often it is looked at. For a fall, h < 1, everything is mirrored.
"""

import math
from collections.abc import Sequence
from typing import Final

BETWEEN: Final = 0.38  # R's second ratio is h^0.38: 1.3 for h = 2 (GATE 5.6)
MOST: Final = 600.0  # a log beyond which evidence is not told apart


def ratios(harm: float) -> tuple[float, float]:
    """R: the ratios thought harmless, for a harmful one of `harm`."""
    return 1.0, harm**BETWEEN


def added(logs: Sequence[float], harm: float, q: float, y_c: float, y_k: float, phi: float) -> list[float]:
    """The logs of the products with one more look. `q` must be the least favourable share (see above)."""
    bad = math.log(harm * q + 1 - q)
    found = []
    for log, r in zip(logs, ratios(harm), strict=True):
        gain = y_c * math.log(r / harm) + (y_c + y_k) * (bad - math.log(r * q + 1 - q))
        found.append(max(-MOST, min(MOST, log + gain / phi)))
    return found


def evidence(logs: Sequence[float]) -> float:
    """E_pass."""
    return sum(math.exp(log) for log in logs) / len(logs)
