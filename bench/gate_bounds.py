"""What no judge can beat: the least number of canary samples until a harm is seen (GATE 3).

A rate of bad events rises from p0 to p1. KL(a, b) = a ln(a/b) + (1-a) ln((1-a)/(1-b)).
    Wald         ln(1/alpha) / KL(p1, p0), both rates known: the mean over bakes, for any schedule of looks
    with misses  [(1-beta) ln((1-beta)/alpha) + beta ln(beta/(1-alpha))] / KL(p1, p0)
    Lorden       ln G / KL(p1, p0): the harm begins at an unknown time, G is the mean time to a false alarm
    two-sample   ln(1/alpha) / (KL(p1, q) + kappa KL(p0, q)), q the pooled rate: p0 is known from control only, which
                 has kappa samples to one of the canary
Counts with a variance of phi times that of independent events carry 1/phi of the information: bound times phi.
"""

import math


def kl(a: float, b: float) -> float:
    """Kullback and Leibler's divergence of two chances, in nats; infinite where b rules out what a may do."""
    return _term(a, b) + _term(1 - a, 1 - b)


def wald(p0: float, p1: float, alpha: float) -> float:
    """Samples, both rates known."""
    return math.log(1 / alpha) / kl(p1, p0)


def wald_with_misses(p0: float, p1: float, alpha: float, beta: float) -> float:
    """Samples, both rates known, when a harm may be missed with chance beta."""
    spent = (1 - beta) * math.log((1 - beta) / alpha) + beta * math.log(beta / (1 - alpha))
    return spent / kl(p1, p0)


def lorden(p0: float, p1: float, between: float) -> float:
    """Samples after a harm that begins whenever, with one false alarm in `between` looks (or samples)."""
    return math.log(between) / kl(p1, p0)


def two_sample(p0: float, p1: float, kappa: float, alpha: float) -> float:
    """Canary samples, the good rate known from control alone. Tables divide by this."""
    q = (p1 + kappa * p0) / (1 + kappa)
    return math.log(1 / alpha) / (kl(p1, q) + kappa * kl(p0, q))


def _term(a: float, b: float) -> float:
    if a <= 0:
        return 0.0
    return math.inf if b <= 0 else a * math.log(a / b)
