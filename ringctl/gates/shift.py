"""Judge `shift`: an account's own value moved, either way, against before (payload, bytes per answer).

Per account, v = y/n of each look with an answer; m and s^2 their mean and variance over k looks, before
the first intent and since:
    change = (m_after - m_before)/m_before;   se = sqrt(s_b^2/k_b + s_a^2/k_a)
    beyond   |change| > shift and |m_after - m_before| > 3 se, with at least 3 looks on each side
    FAIL     at least two accounts beyond (DESIGN 12.20), at least `min_samples` answers since the intents
    PASS     every judged account within by |change| <= shift in complete looks, enough accounts judged
             (see `evidence.quorum`) and `min_samples` answers in complete looks
A value that was 0 and is not any more is an endless change; 0 before and after is none. The guard of three
standard errors makes it a plain two-sample test of looks: not anytime-valid, and blind to drift that is
common to all accounts (issue 4: own-quantile indicators under J1 and J4). A wave of one account cannot
fail by this judge.
"""

import math
from dataclasses import replace
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.gates.evidence import (
    WORST_SHOWN,
    earlier_fail,
    fresh,
    keep_fail,
    mapping,
    no_answer,
    quorum,
    undecided,
    unheard,
)

LOOKS: Final = 3
ERRORS: Final = 3.0

# a row of the state: three times [looks, answers, mean, sum of squares about it]: before, since, complete
BEFORE, SINCE, DONE = 0, 4, 8
SIZE: Final = 12


class Shift:
    """`shift: SHARE` on a value."""

    name = "shift"
    part = 1.0

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        return (
            check.fail_if.shift is not None
            and isinstance(check.measure, Ratio)
            and not check.measure.of_counts
        )

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        rows = _folded(state, evidence)
        after: JudgeState = {**state, "a": rows}
        judgement = earlier_fail(state) or _judge(check, rows, evidence)
        known = sum(row[BEFORE] >= LOOKS for row in rows.values())
        return keep_fail(after, replace(judgement, needs_before=not known >= quorum(evidence.expected)))


def _folded(state: JudgeState, evidence: Evidence) -> dict[str, list[float]]:
    rows = {name: list(row) for name, row in mapping(state, "a").items() if isinstance(row, list)}
    for after in (False, True):
        for account, (n, y) in fresh(evidence.touched, after=after).items():
            if n > 0:
                row = rows.setdefault(account, [0.0] * SIZE)
                _add(row, SINCE if after else BEFORE, n, y / n)
                if after and evidence.complete:
                    _add(row, DONE, n, y / n)
    return rows


def _add(row: list[float], at: int, n: float, value: float) -> None:
    """One more value of a look, by Welford's recurrence."""
    row[at] += 1
    row[at + 1] += n
    step = value - row[at + 2]
    row[at + 2] += step / row[at]
    row[at + 3] += step * (value - row[at + 2])


def _change(row: list[float], at: int) -> float | None:
    """Relative change of the mean against before; None with too few looks."""
    if not (row[BEFORE] >= LOOKS and row[at] >= LOOKS):
        return None
    before, after = row[BEFORE + 2], row[at + 2]
    if before > 0:
        return (after - before) / before
    return math.inf if after > 0 else 0.0


def _certain(row: list[float]) -> bool:
    """Whether the difference is more than three standard errors of the looks' values."""
    squared = sum(row[at + 3] / (row[at] - 1) / row[at] for at in (BEFORE, SINCE))
    return abs(row[SINCE + 2] - row[BEFORE + 2]) > ERRORS * math.sqrt(max(0.0, squared))


def _judge(check: Check, rows: dict[str, list[float]], evidence: Evidence) -> Judgement:
    most = check.fail_if.shift or 0.0
    since = {name: change for name, row in rows.items() if (change := _change(row, SINCE)) is not None}
    done = {name: change for name, row in rows.items() if (change := _change(row, DONE)) is not None}
    beyond = sorted(
        (name for name, change in since.items() if abs(change) > most and _certain(rows[name])),
        key=lambda name: (-abs(since[name]), name),
    )
    n_since, n_done = (sum(row[at + 1] for row in rows.values()) for at in (SINCE, DONE))
    numbers: dict[str, object] = {
        "judge": Shift.name, "judged": len(done), "expected": evidence.expected, "beyond": len(beyond),
        "n_since": n_since, "n_done": n_done,
    }  # fmt: skip
    if len(beyond) >= 2 and n_since >= check.min_samples:
        first = f"{100 * since[beyond[0]]:+.0f} % on {beyond[0]}"
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{len(beyond)} accounts moved by more than {100 * most:.0f} % ({first}; "
            f"fixed threshold, not anytime-valid)",
            numbers=numbers,
            worst=tuple(beyond[:WORST_SHOWN]),
        )
    lacking = unheard(evidence)
    if not lacking and not len(done) >= quorum(evidence.expected):
        lacking = f"{len(done)} of {evidence.expected} accounts have {LOOKS} looks before and after"
    if not lacking and not n_done >= check.min_samples:
        lacking = f"{n_done:.0f} answers since the last account was done, {check.min_samples} are needed"
    if lacking:
        return undecided(lacking, numbers, *beyond)
    outside = [name for name, change in done.items() if not abs(change) <= most]
    if outside or beyond:
        worst = list(dict.fromkeys([*beyond, *sorted(outside)]))
        return undecided(
            f"{', '.join(worst[:WORST_SHOWN])} moved, but two accounts for certain are needed to fail",
            numbers,
            *worst,
        )
    return Judgement(
        verdict=Verdict.PASS,
        reason=f"{len(done)} accounts are within {100 * most:.0f} % of what they had before",
        numbers=numbers,
    )
