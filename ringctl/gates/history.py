"""Before against after on the same accounts: the count e-process with each account as its own control.

Per account i with (n_b, y_b) before its first intent and (n_a, y_a) since, q = rho n_a/(rho n_a + n_b):
    log L_r = sum_i [ y_a ln r - (y_a + y_b) ln(r q_i + 1 - q_i) ] / phi,   E = mean over r of L_r
FAIL when E >= 1/alpha. The accounts' own rates and shares of the traffic cancel out. Given the scale of
its own rate, an account's L_r is the likelihood ratio of the invariant split (the Bayes factor under the
right Haar prior on the scale; Perez-Ortiz et al., arXiv 2208.07610): an e-process, up to the grouping of
events into looks, while the account's own rate stands still but for the change, within the margin
rho = 1.1. It does not know of rates that move with the hour: GATE 0 measures 20 % false alarms of
remembered baselines under common drift, so prefer a control. Issue 4 adds the learnt margin, history of
the hour, and the PASS e-process.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.gates.evidence import (
    HIGHEST,
    WORSE_Z,
    WORST_SHOWN,
    Totals,
    alone,
    earlier_fail,
    excess,
    floats,
    fresh,
    grid,
    keep_fail,
    log_likelihood,
    no_answer,
    shared_ratio,
    tally,
    totals,
    undecided,
    unheard,
)
from ringctl.gates.spread import phi, spread

MARGIN: Final = 1.1  # rho: how much worse an account may become by itself


def gather(state: JudgeState, evidence: Evidence) -> JudgeState:
    """Totals per account, and the dispersion among accounts that nothing was done to yet."""
    apart = [
        *fresh(evidence.touched, after=False).values(),
        *fresh(evidence.control, after=False).values(),
    ]
    return {
        **state,
        **tally(state, evidence),
        "disp": spread(floats(state, "disp", 3), apart),
    }


def look(check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
    """One look folded in and judged."""
    silent = no_answer(evidence, state)
    if silent is not None:
        return state, silent
    after = gather(state, evidence)
    earlier = earlier_fail(state)
    if earlier is not None:
        return after, earlier
    judgement = _judge(check, after, evidence, phi(floats(state, "disp", 3)))
    n_before = sum(one.n_before for one in totals(after).values())
    return keep_fail(after, replace(judgement, needs_before=not n_before >= check.min_samples))


def evidence_against(rows: Mapping[str, Totals], ratios: tuple[float, ...], dispersion: float) -> float:
    """E: the mean over the grid of the accounts' joint likelihood ratio."""
    each = []
    for r in ratios:
        log = sum(log_likelihood(r, _share(one), one.y_after, one.y_before) for one in rows.values())
        each.append(math.exp(min(log / dispersion, math.log(HIGHEST))))
    return sum(each) / len(each)


def _share(one: Totals) -> float:
    return MARGIN * one.n_after / (MARGIN * one.n_after + one.n_before)


def _pooled(rows: Mapping[str, Totals], *, done: bool) -> float | None:
    """Mantel and Haenszel's ratio over the accounts, with one pseudo-event shared by exposure.

    sum_i y_a n_b/N_i / sum_i y_b n_a/N_i: a weighted mean of the accounts' own ratios.
    """
    num = den = n_a_all = n_b_all = 0.0
    for one in rows.values():
        n_a, y_a = (one.n_done, one.y_done) if done else (one.n_after, one.y_after)
        num += y_a * one.n_before / (n_a + one.n_before)
        den += one.y_before * n_a / (n_a + one.n_before)
        n_a_all += n_a
        n_b_all += one.n_before
    if shared_ratio(0, n_a_all, 0, n_b_all) is None:
        return None
    q = n_a_all / (n_a_all + n_b_all)
    return (num + q * (1 - q)) / (den + q * (1 - q))


def _judge(check: Check, state: JudgeState, evidence: Evidence, dispersion: float) -> Judgement:
    increase = check.fail_if.increase or 0.0
    both = {account: one for account, one in totals(state).items() if one.n_before > 0 and one.n_after > 0}
    e, limit = evidence_against(both, grid(increase), dispersion), 1 / check.false_alarm
    ratio, ratio_done = _pooled(both, done=False), _pooled(both, done=True)
    z = {account: excess(one.y_after, one.y_before, _share(one), dispersion) for account, one in both.items()}
    worse = sorted((one for one in z if z[one] >= WORSE_Z), key=lambda one: -z[one])
    n_before = sum(one.n_before for one in both.values())
    n_done = sum(one.n_done for one in both.values())
    numbers = {
        "judge": "before-vs-after", "e": e, "level": limit, "phi": dispersion, "ratio": ratio,
        "ratio_done": ratio_done, "n_before": n_before, "n_done": n_done, "worse": len(worse),
    }  # fmt: skip
    if e >= limit and ratio is not None and ratio > 1:
        return _raised(ratio, e, worse, (check, len(both), numbers))
    lacking = unheard(evidence)
    if not lacking and not (n_before >= check.min_samples and n_done >= check.min_samples):
        lacking = f"{n_before:.0f} samples before and {n_done:.0f} after, {check.min_samples} are needed"
    if lacking:
        return undecided(lacking, numbers)
    if ratio_done is not None and e < limit and ratio_done <= 1 + increase:
        return Judgement(
            verdict=Verdict.PASS,
            reason=f"{ratio_done:.2f} times what the same accounts had before, up to "
            f"{1 + increase:.2f} is asked for",
            numbers=numbers,
        )
    return undecided(
        "more than before, but not for certain, or less than the harm asked for", numbers, *worse
    )


def _raised(
    ratio: float,
    e: float,
    worse: list[str],
    context: tuple[Check, int, Mapping[str, object]],
) -> Judgement:
    """The evidence is over its level: FAIL, if two accounts carry it, or the only one touched so far does."""
    check, touched, numbers = context
    said = (
        f"{ratio:.2f} times what the same accounts had before (E = {e:.3g}, "
        f"FAIL from {1 / check.false_alarm:.3g})"
    )
    if len(worse) >= 2 or alone(check, touched, len(worse), e, ratio):
        return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(worse[:WORST_SHOWN]))
    who = f", but only {worse[0]} is clearly worse" if worse else ", but no account clearly"
    return undecided(f"{said}{who}: two accounts are needed to fail", numbers, *worse)
