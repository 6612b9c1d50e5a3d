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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.learning import MINUTES, Learnt, N, Y
from ringctl.core.policy import Check, Count
from ringctl.core.states import Verdict
from ringctl.gates import absence, asked
from ringctl.gates.asked import directions, ratios
from ringctl.gates.evidence import (
    OTHERS,
    SUSPECT,
    WORSE_Z,
    WORST_SHOWN,
    alone,
    earlier_fail,
    excess,
    fresh,
    keep_fail,
    log_likelihood,
    mapping,
    no_answer,
    together,
    undecided,
    unheard,
)
from ringctl.gates.exposure import dispersion, with_bursts
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
    return with_bursts(check, after, evidence)


def _past(learnt: Learnt) -> Mapping[str, Sequence[float]]:
    return learnt.own.rows


def _pairs(check: Check, state: JudgeState, learnt: Learnt, *, done: bool) -> dict[str, _Pair]:
    past, place = _past(learnt), DONE_N if done else SINCE_N
    before = MINUTES if isinstance(check.measure, Count) else N
    return {
        account: _Pair(past[account][before], past[account][Y], row[place], row[place + 1])
        for account, row in mapping(state, "a").items()
        if isinstance(row, list) and account in past and past[account][before] > 0 and row[place] > 0
    }


def evidence_for(pairs: Mapping[str, _Pair], r: float, harm: float, phi: float) -> float:
    """Log of L_r over all accounts, divided by phi; the margin leans against seeing `harm`."""
    margin = MARGIN if harm > 1 else 1 / MARGIN
    return sum(log_likelihood(r, one.share(margin), one.y_a, one.y_b) for one in pairs.values()) / phi


def _absent(done: Mapping[str, _Pair], harm: float, phi: float) -> float:
    """Evidence that a ratio of `harm` is absent."""
    bad = evidence_for(done, harm, 1 / harm, phi)
    return absence.evidence([evidence_for(done, r, 1 / harm, phi) - bad for r in absence.ratios(harm)])


def _judge(check: Check, state: JudgeState, evidence: Evidence) -> Judgement:
    learnt = evidence.learnt
    phi = max(learnt.drift or UNLEARNT_PHI, dispersion(learnt, mapping(state, "bursts")))
    since, done = (_pairs(check, state, learnt, done=one) for one in (False, True))
    both = directions(check)
    level = len(both) / check.false_alarm
    found = {harm: together([evidence_for(since, r, harm, phi) for r in ratios(harm)]) for harm in both}
    harm = max(both, key=lambda one: found[one])
    e, absent = found[harm], min(_absent(done, one, phi) for one in both)
    ratio, ratio_done = _pooled(since), _pooled(done)
    n_before, n_done = sum(one.n_b for one in since.values()), sum(one.n_a for one in done.values())
    numbers: dict[str, object] = {
        "judge": NAME, "e": e, "level": level, "e_pass": absent, "level_pass": 1 / check.miss,
        "phi": phi, "ratio": ratio, "ratio_done": ratio_done, "n_before": n_before, "n_done": n_done,
    }  # fmt: skip
    if e >= level and ratio is not None and (ratio - 1) * (harm - 1) > 0:
        return _raised(since, (harm, e, ratio, phi, numbers))
    lacking = unheard(evidence)
    if not lacking and not (n_before >= check.min_samples and n_done >= check.min_samples):
        lacking = f"{n_before:.0f} samples before and {n_done:.0f} after, {check.min_samples} are needed"
    if lacking:
        return undecided(lacking, numbers)
    if not any(one.y_b > 0 or one.y_a > 0 for one in since.values()):
        return absence.of_anything(check, learnt, n_done, numbers)
    harmful = asked.said(*both)
    if absent >= 1 / check.miss and e < SUSPECT and ratio_done is not None:
        return Judgement(
            verdict=Verdict.PASS,
            reason=f"{ratio_done:.2f} times what the same accounts had before; {harmful} is ruled out "
            f"(E = {absent:.3g}, PASS from {1 / check.miss:.3g})",
            numbers=numbers,
        )
    return undecided(
        f"{harmful} is not ruled out yet (E = {absent:.3g}, PASS from {1 / check.miss:.3g})", numbers
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
    pairs: Mapping[str, _Pair], found: tuple[float, float, float, float, Mapping[str, object]]
) -> Judgement:
    """The evidence is over its level: FAIL, unless it is one account's alone."""
    harm, e, ratio, phi, numbers = found
    sign, level = (1 if harm > 1 else -1), float(str(numbers["level"]))
    z = {account: sign * excess(one.y_a, one.y_b, one.share(1.0), phi) for account, one in pairs.items()}
    worst = sorted(z, key=lambda one: (-z[one], one))
    rest = {name: one for name, one in pairs.items() if name != worst[0]}
    others = together([evidence_for(rest, r, harm, phi) for r in ratios(harm)]) if rest else 0.0
    said = f"{ratio:.2f} times what the same accounts had before (E = {e:.3g}, FAIL from {level:.3g})"
    worse = sum(one >= WORSE_Z for one in z.values())
    numbers = {**numbers, "worse": worse, "without_worst": others}
    if others >= OTHERS or (not rest and alone(harm, level, e, ratio)):
        return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(worst[:WORST_SHOWN]))
    return undecided(
        f"{said}, but without {worst[0]} it is not: one account alone does not fail a comparison",
        numbers,
        *worst,
    )
