"""Judge `silence`: accounts that had traffic before stopped having any, while control goes on. J5b of GATE 5.4, 5.6.

Asked for by `silence: fail`. Per look, over accounts i with traffic in their past (t_i a minute): canary accounts
since their intent (c) and control (k), expected E = sum t_i x minutes, seen T; an absent series counts as none on
both sides, so that a source that loses a part of everything proves nothing. With q = m E_c/(m E_c + E_k) and
m = exp(-1.28 se):
    log L_r = [ T_c ln r - (T_c + T_k) ln(r q + 1 - q) ] / phi,  r = 0.1, 0.01;  E = sum of stakes x L_r + rest
    FAIL when E >= 1/alpha, AND in this look control lives (half of its accounts answer, with traffic), AND two canary
    accounts (or the only one of the wave, with ten times the evidence) have had nothing for 3 looks in a row
Control's own traffic is the clock: at night, when it is silent as well, T_c + T_k is 0 and nothing is learnt. A fall
to 0.39 times or less raises L, a smaller one lowers it: this is about silence; ask for less with `decrease` on a
count. phi: how traffic clusters over hours (`Learnt.flow`; of a count its `phi`), where that is known; else what
control shows between accounts within looks, at least 2. An account without past traffic is not judged: its silence
is no news.

It only ever objects.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.learning import MINUTES, Learnt, N, Y
from ringctl.core.policy import Check, Count, StepMeasure
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates.evidence import (
    ALONE,
    WORST_SHOWN,
    Stakes,
    aside,
    earlier_fail,
    floats,
    keep_fail,
    log_likelihood,
    mapping,
    no_answer,
    stakes,
)
from ringctl.gates.exposure import CERTAIN, spread, total, uncertainty
from ringctl.gates.scatter import LEAST_EVENTS, UNLEARNT_PHI

RATIOS: Final = (0.1, 0.01)
RUN: Final = 3  # looks without anything, one after another: a restart or a late scrape is one
ALIVE: Final = 0.5  # of control, in the look that fails
LEAST_MINUTES: Final = 10.0  # of past

Flow = dict[str, tuple[float, float]]  # account -> (expected, seen) in a look


class Silence:
    """`silence: fail` on anything that is counted."""

    name = "silence"
    part = 0.1

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        return check.silence == "fail" and not isinstance(check.measure, StepMeasure)

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        canary, control = _canary(check, evidence), _control(check, evidence)
        after = _folded(check, state, evidence, (canary, control))
        earlier = earlier_fail(state)
        if earlier is not None:
            return after, earlier
        return keep_fail(after, _judge(check, after, evidence, (canary, control)))


class _Past:
    """Traffic a minute of each account before anything was done to it."""

    def __init__(self, check: Check, learnt: Learnt) -> None:
        self.rows = learnt.own.rows
        self.plain = isinstance(check.measure, Count)  # a count's trials are minutes, its events the traffic
        self.place = Y if self.plain else N

    def flow(self, cells: Iterable[Cell], minutes: float, *, after: bool) -> Flow:
        """Expected and seen of the accounts with a past; an unknown is nothing seen."""
        rows, place, found = self.rows, self.place, {}
        for account, n, y, behind in cells:
            row = rows.get(account)
            if behind is after and row is not None and row[place] > 0 and row[MINUTES] >= LEAST_MINUTES:
                seen = y if self.plain else n
                there = n is not None and y is not None and seen is not None and 0 <= seen < math.inf
                found[account] = (row[place] / row[MINUTES] * minutes, seen if there and seen else 0.0)
        return found

    def events(self, accounts: Iterable[str]) -> float:
        """What they had in their past, all together."""
        return sum(self.rows[account][self.place] for account in accounts)


def _canary(check: Check, evidence: Evidence) -> Flow:
    """The wave's accounts since their intents. One whose series went away at the intent has no cell at all."""
    past, minutes = _Past(check, evidence.learnt), evidence.interval_us / MINUTE
    there = {cell.account for cell in evidence.touched}
    late_us = evidence.at_us - 2 * evidence.interval_us
    gone = [
        Cell(account, None, None, after=True)
        for account, intent_us in evidence.intents.items()
        if account not in there and intent_us is not None and intent_us <= late_us
    ]
    return past.flow((*evidence.touched, *gone), minutes, after=True)


def _control(check: Check, evidence: Evidence) -> Flow:
    return _Past(check, evidence.learnt).flow(evidence.control, evidence.interval_us / MINUTE, after=False)


def _folded(
    check: Check, state: JudgeState, evidence: Evidence, flows: tuple[Flow, Flow]
) -> dict[str, object]:
    """The next state. down: stakes; disp: see `exposure.spread`; runs: account -> looks without anything."""
    canary, control = flows
    after: dict[str, object] = dict(state)
    after["disp"] = spread(floats(state, "disp", 3), control)
    (e_c, t_c), (e_k, t_k) = total(canary), total(control)
    if not (e_c > 0 and e_k > 0 and t_k > 0):
        return after
    runs = mapping(state, "runs")
    after["runs"] = {
        account: 1 + int(str(runs.get(account, 0))) for account, (_, seen) in canary.items() if not seen > 0
    }
    past, phi = _Past(check, evidence.learnt), _dispersion(check, evidence.learnt, floats(after, "disp", 3))
    se = uncertainty(check, evidence.learnt, (past.events(canary), past.events(control)), phi)
    e_c *= math.exp(-CERTAIN * se)
    q = e_c / (e_c + e_k)
    logs = [log_likelihood(r, q, t_c, t_k) / phi for r in RATIOS]
    after["down"] = _stakes(state).at(evidence.at_us).times(logs).row()
    return after


def _dispersion(check: Check, learnt: Learnt, row: list[float]) -> float:
    flow = learnt.phi if isinstance(check.measure, Count) else learnt.flow
    if learnt.long and isinstance(flow, float):
        return max(1.0, flow)
    num, den, events = row
    seen = num / den if events >= LEAST_EVENTS and den > 0 else 1.0
    return max(UNLEARNT_PHI, seen)


def _judge(check: Check, state: JudgeState, evidence: Evidence, flows: tuple[Flow, Flow]) -> Judgement:
    canary, control = flows
    e, level = _stakes(state).evidence, 1 / check.false_alarm
    runs = {name: count for name, count in mapping(state, "runs").items() if isinstance(count, int)}
    mute = sorted(name for name, count in runs.items() if count >= RUN and name in canary)
    numbers: dict[str, object] = {
        "judge": Silence.name, "e": e, "level": level, "judged": len(canary), "silent": len(mute),
    }  # fmt: skip
    answering = sum(
        n is not None and y is not None and account in control for account, n, y, _ in evidence.control
    )
    if not canary:
        return aside("no account that had traffic before has begun yet", numbers)
    if not (total(control)[1] > 0 and answering >= ALIVE * len(control)):
        return aside(f"control is silent as well ({answering} of {len(control)} accounts answer)", numbers)
    lone = evidence.expected == 1 and len(mute) == 1 and e >= ALONE * level
    if e >= level and (len(mute) >= 2 or lone):
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{len(mute)} accounts that had traffic before have had none for {RUN} looks or more, and control "
            f"goes on (E = {e:.3g}, FAIL from {level:.3g})",
            numbers=numbers,
            worst=tuple(mute[:WORST_SHOWN]),
            abstains=True,
        )
    return aside(f"{len(mute)} of {len(canary)} accounts are silent; control goes on", numbers)


def _stakes(state: Mapping[str, object]) -> Stakes:
    return stakes(state, "down", len(RATIOS))
