"""Counts of the touched accounts against their own past: judge `before-vs-after`, and `split` without a control.

Each account's events fall to before and after by exposure when nothing changed: with q_i = m n_i/(m n_i + n_i')
    log L_r = sum_i [ y_i ln r - (y_i + y_i') ln(r q_i + 1 - q_i) ] / phi,   E = mean of L_r over the grid
the ratio of marginal likelihoods with each account's rate integrated out. FAIL when E >= 1/alpha at any look and the
rise is not one account's alone (as in `split`). PASS is the same process the other way: harm against no change, from
complete looks, at 1/miss (`absence`).

It has no control: a rate that moves with the hour or the week looks like harm. `phi` therefore is the dispersion of
the accounts' own rate over hours and days where they are known (`Learnt.drift`), and m = 1.1 leaves room for what is
not. Remembered baselines rang falsely in 20 % of drifting bakes without it (GATE 0): prefer a control.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.learning import MINUTES, Learnt, N, Owns, Y
from ringctl.core.policy import Check, Count
from ringctl.core.states import Verdict
from ringctl.gates import absence, scatter
from ringctl.gates.evidence import (
    HIGHEST,
    WORSE_Z,
    WORST_SHOWN,
    alone,
    earlier_fail,
    excess,
    fresh,
    grid,
    grid_down,
    keep_fail,
    log_likelihood,
    mapping,
    no_answer,
    undecided,
    unheard,
)
from ringctl.gates.exposure import Rates, counted, dispersion
from ringctl.gates.scatter import UNLEARNT_PHI

NAME: Final = "before-vs-after"
MARGIN: Final = 1.1

# a row of the state: trials and events since the intent, and of that in complete looks
SINCE_N, SINCE_Y, DONE_N, DONE_Y = range(4)


@dataclass(frozen=True, slots=True)
class _Pair:
    """One account: before and after."""

    n_b: float
    y_b: float
    n_a: float
    y_a: float

    def share(self, margin: float) -> float:
        return margin * self.n_a / (margin * self.n_a + self.n_b)


def look(check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
    """One look folded in and judged."""
    silent = no_answer(evidence, state)
    if silent is not None:
        return state, silent
    after = _folded(check, state, evidence)
    earlier = earlier_fail(state)
    if earlier is not None:
        return after, earlier
    known = sum(row[N] for name, row in _past(evidence.learnt).items() if name in evidence.intents)
    judgement = _judge(check, after, evidence)
    return keep_fail(after, replace(judgement, needs_before=not known >= check.min_samples))


def _folded(check: Check, state: JudgeState, evidence: Evidence) -> dict[str, object]:
    rows = {name: list(row) for name, row in mapping(state, "a").items() if isinstance(row, list)}
    for account, (n, y) in fresh(evidence.touched, after=True).items():
        row = rows.setdefault(account, [0.0] * 4)
        row[SINCE_N] += n
        row[SINCE_Y] += y
        if evidence.complete:
            row[DONE_N] += n
            row[DONE_Y] += y
    after: dict[str, object] = {**state, "a": rows}
    if not evidence.learnt.settled:
        rates = Rates(check, evidence.learnt)
        there = counted((*evidence.touched, *evidence.control), rates, after=False)
        after["bursts"] = scatter.added(mapping(state, "bursts"), evidence.at_us, there, rates.noise)
    return after


def _past(learnt: Learnt) -> Mapping[str, Sequence[float]]:
    return learnt.own.rows if isinstance(learnt.own, Owns) else {}


def _pairs(check: Check, state: JudgeState, learnt: Learnt, *, done: bool) -> dict[str, _Pair]:
    past, place = _past(learnt), DONE_N if done else SINCE_N
    before = MINUTES if isinstance(check.measure, Count) else N
    return {
        account: _Pair(past[account][before], past[account][Y], row[place], row[place + 1])
        for account, row in mapping(state, "a").items()
        if isinstance(row, list) and account in past and past[account][before] > 0 and row[place] > 0
    }


def evidence_for(pairs: Mapping[str, _Pair], r: float, margin: float, phi: float) -> float:
    """Log of L_r over all accounts, divided by phi."""
    return sum(log_likelihood(r, one.share(margin), one.y_a, one.y_b) for one in pairs.values()) / phi


def _judge(check: Check, state: JudgeState, evidence: Evidence) -> Judgement:
    learnt = evidence.learnt
    phi = max(learnt.drift or UNLEARNT_PHI, dispersion(learnt, mapping(state, "bursts")))
    since, done = (_pairs(check, state, learnt, done=one) for one in (False, True))
    rise = check.fail_if.increase
    harm = 1 + rise if rise is not None else 1 - (check.fail_if.decrease or 0.0)
    ratios, margin = (grid(harm - 1), MARGIN) if harm > 1 else (grid_down(1 - harm), 1 / MARGIN)
    logs = [evidence_for(since, r, margin, phi) for r in ratios]
    e = sum(math.exp(min(log, math.log(HIGHEST))) for log in logs) / len(logs)
    lean = evidence_for(done, harm, 1 / margin, phi)
    absent = absence.evidence(
        [min(absence.MOST, evidence_for(done, r, 1 / margin, phi) - lean) for r in absence.ratios(harm)]
    )
    level = 1 / check.false_alarm
    ratio, ratio_done = _pooled(since), _pooled(done)
    n_before, n_done = sum(one.n_b for one in since.values()), sum(one.n_a for one in done.values())
    numbers: dict[str, object] = {
        "judge": NAME, "e": e, "level": level, "e_pass": absent, "level_pass": 1 / check.miss,
        "phi": phi, "ratio": ratio, "ratio_done": ratio_done, "n_before": n_before, "n_done": n_done,
    }  # fmt: skip
    if e >= level and ratio is not None and (ratio - 1) * (harm - 1) > 0:
        return _raised(check, since, (harm, e, ratio, phi, numbers))
    lacking = unheard(evidence)
    if not lacking and not (n_before >= check.min_samples and n_done >= check.min_samples):
        lacking = f"{n_before:.0f} samples before and {n_done:.0f} after, {check.min_samples} are needed"
    if lacking:
        return undecided(lacking, numbers)
    if not any(one.y_b > 0 or one.y_a > 0 for one in since.values()):
        return absence.of_anything(check, n_done, "before or after", numbers)
    asked = f"a {'rise' if harm > 1 else 'fall'} to {harm:.3g} times"
    if absent >= 1 / check.miss and e < level and ratio_done is not None:
        return Judgement(
            verdict=Verdict.PASS,
            reason=f"{ratio_done:.2f} times what the same accounts had before; {asked} is ruled out "
            f"(E = {absent:.3g}, PASS from {1 / check.miss:.3g})",
            numbers=numbers,
        )
    return undecided(
        f"{asked} is not ruled out yet (E = {absent:.3g}, PASS from {1 / check.miss:.3g})", numbers
    )


def _pooled(pairs: Mapping[str, _Pair]) -> float | None:
    """Mantel and Haenszel's ratio over the accounts, with one pseudo-event shared by exposure.

    sum_i y_a n_b/N_i / sum_i y_b n_a/N_i: a weighted mean of the accounts' own ratios.
    """
    if not pairs:
        return None
    num = sum(one.y_a * one.n_b / (one.n_a + one.n_b) for one in pairs.values())
    den = sum(one.y_b * one.n_a / (one.n_a + one.n_b) for one in pairs.values())
    n_a, n_b = sum(one.n_a for one in pairs.values()), sum(one.n_b for one in pairs.values())
    pseudo = n_a / (n_a + n_b) * (n_b / (n_a + n_b))
    return (num + pseudo) / (den + pseudo)


def _raised(
    check: Check, pairs: Mapping[str, _Pair], found: tuple[float, float, float, float, Mapping[str, object]]
) -> Judgement:
    """The evidence is over its level: FAIL, unless it is one account's alone."""
    harm, e, ratio, phi, numbers = found
    sign = 1 if harm > 1 else -1
    z = {account: sign * excess(one.y_a, one.y_b, one.share(1.0), phi) for account, one in pairs.items()}
    worst = sorted(z, key=lambda one: (-z[one], one))
    worse = [one for one in worst if z[one] >= WORSE_Z]
    others = _together({name: one for name, one in pairs.items() if name != worst[0]}, phi) * sign
    said = f"{ratio:.2f} times what the same accounts had before (E = {e:.3g}, FAIL from {1 / check.false_alarm:.3g})"
    numbers = {**numbers, "worse": len(worse), "without_worst": others}
    if len(worse) >= 2 or others >= WORSE_Z or alone(check, len(z), len(worse), e, ratio):
        return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(worst[:WORST_SHOWN]))
    return undecided(
        f"{said}, but without {worst[0]} it is not: one account alone does not fail a comparison",
        numbers,
        *worst,
    )


def _together(pairs: Mapping[str, _Pair], phi: float) -> float:
    """The accounts' excess as one number of standard deviations."""
    over = variance = 0.0
    for one in pairs.values():
        q, s = one.share(1.0), one.y_a + one.y_b
        over += one.y_a - s * q
        variance += phi * s * q * (1 - q)
    return over / math.sqrt(variance) if variance > 0 else 0.0
