"""What no judge can beat: the least number of canary samples until a harm is seen (GATE 3).

A rate of bad events rises from p0 to p1. KL(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b)).
    two-sample   ln(1/alpha) / (KL(p1, q) + kappa KL(p0, q)), q the pooled rate: p0 is known from control only, which
                 has kappa samples to one of the canary
Counts with a variance of phi times that of independent events carry 1/phi of the information: bound times phi.
"""

import math


def kl(a: float, b: float) -> float:
    """Kullback and Leibler's divergence of two chances, in nats; infinite where b rules out what a may do."""
    return _term(a, b) + _term(1 - a, 1 - b)


def two_sample(p0: float, p1: float, kappa: float, alpha: float) -> float:
    """Canary samples, the good rate known from control alone. Tables divide by this."""
    q = (p1 + kappa * p0) / (1 + kappa)
    return math.log(1 / alpha) / (kl(p1, q) + kappa * kl(p0, q))


def _term(a: float, b: float) -> float:
    if a <= 0:
        return 0.0
    return math.inf if b <= 0 else a * math.log(a / b)
