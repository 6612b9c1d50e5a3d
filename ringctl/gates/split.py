"""Judge `split`: counts against accounts not touched yet, at the same time. The count e-process J1 of GATE 5.3.

At each look, with expected counts e (`exposure`) and events y of the touched accounts since their intent (c) and of
control in the same interval (k), q = m e_c/(m e_c + e_k), m = exp(1.28 se) for a rise, exp(-1.28 se) for a fall:
    log L_r = [ y_c ln r - (y_c + y_k) ln(r q + 1 - q) ] / phi
    FAIL when E = sum of stakes x L_r + rest >= 1/alpha, at any look (Ville's inequality), AND the harm is not one
    account's alone (DESIGN 12.20): without the worst one, the mean of L_r over the grid is still 20 or more. That is
    counted since the change began by the look of it: since the cumulative sum W = max(0, W + log L_h) was last 0.
Given the events of a look, without harm each falls to the canary with a chance of at most q, whatever the common
rate does over time (netflix's count test, arXiv 2011.03567): only the split is tested. Dividing by phi treats phi
events as one: exact for events that come in batches of phi, else approximate, which is why phi is learnt at several
lengths of blocks, and false alarms are measured (docs/reference/benchmarks.md).

PASS: see `absence`. `compare: unchanged` asks both ways: a release behind a flag that is off must leave its accounts
as they were, and PASS needs the absence of a rise and of a fall. Both directions share the level.

With fewer than `control_min` control accounts the check's `without_control` judges on, with what evidence there was
as its stake: level = alpha x E.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.learning import Learnt, N, Y
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.core.timing import Instant
from ringctl.gates import absence, asked, ceiling, own_past, scatter
from ringctl.gates.asked import UNCHANGED, counts_events, directions, ratios, room
from ringctl.gates.evidence import (
    OTHERS,
    SUSPECT,
    WORSE_Z,
    WORST_SHOWN,
    Stakes,
    alone,
    earlier_fail,
    excess,
    floats,
    fresh,
    keep_fail,
    leaning,
    log_likelihood,
    mapping,
    no_answer,
    shared_ratio,
    stakes,
    together,
    undecided,
    unheard,
)
from ringctl.gates.exposure import CERTAIN, Counts, Rates, apart, counted, dispersion, total

Pairs = Mapping[str, Sequence[float]]

LEAN_MOST: Final = 60.0  # what exp can hold, and far beyond what any release does


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look's counts, and what is known of how they should split."""

    e_c: float
    y_c: float
    e_k: float
    y_k: float
    se: float
    phi: float

    def share(self, harm: float, lean: float) -> float:
        """q, the canary's share of events without harm, leaning so that a `harm` is not seen by mistake."""
        e_c = self.e_c * math.exp(lean if harm > 1 else -lean)
        return e_c / (e_c + self.e_k)

    def shows(self, harm: float, lean: float) -> float:
        """The mean of the likelihood ratios over the grid."""
        q, staked = self.share(harm, lean), ratios(harm)
        logs = [log_likelihood(r, q, self.y_c, self.y_k) / self.phi for r in staked]
        return together(logs, leaning(staked, harm))

    def added(self, row: Sequence[float]) -> list[float]:
        """[y_c, e_c, y_k, e_k] with this look."""
        return [row[0] + self.y_c, row[1] + self.e_c, row[2] + self.y_k, row[3] + self.e_k]


class Split:
    """`compare: canary-vs-control` and `unchanged`, on counts."""

    name = "split"
    part = 0.7

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        return (
            check.compare in {"canary-vs-control", UNCHANGED}
            and counts_events(check)
            and bool(directions(check))
        )

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        few = len({cell.account for cell in evidence.control}) < evidence.control_min
        # what so few accounts say is no evidence: E stays as it was, for it is the other judge's stake
        after, look = folded(check, state, replace(evidence, control=()) if few else evidence)
        earlier = earlier_fail(state)
        if earlier is not None:
            return after, earlier
        if not few:
            return keep_fail(after, self._judge(check, after, evidence, look))
        e = max((_e(state, harm) for harm in directions(check)), default=1.0)
        rest = replace(check, false_alarm=min(0.5, check.false_alarm * e))
        other = ceiling if check.without_control == "threshold" else own_past
        own, judgement = other.look(rest, mapping(state, "own"), evidence)
        return keep_fail({**after, "own": own}, judgement)

    def _judge(self, check: Check, state: JudgeState, evidence: Evidence, look: Look | None) -> Judgement:
        both = directions(check)
        level = len(both) / check.false_alarm
        found = {harm: _e(state, harm) for harm in both}
        harm = max(both, key=lambda one: found[one])
        e, running, done = found[harm], floats(state, "sum", 4), floats(state, "done", 4)
        ratio, ratio_done = shared_ratio(*running), shared_ratio(*done)
        absent = min(absence.evidence(_logs(state, one), _phi(state)) for one in both)
        numbers: dict[str, object] = {
            "judge": self.name, "e": e, "level": level, "e_pass": absent, "level_pass": 1 / check.miss,
            "ratio": ratio, "ratio_done": ratio_done, "canary": [running[0], running[1]],
            "control": [running[2], running[3]],
            **({"phi": look.phi, "margin": math.exp(_lean(check, look.se, harm))} if look else {}),
        }  # fmt: skip
        if e >= level:
            return _raised(check, state, (harm, e, level, numbers))
        lacking = self._lacking(check, evidence, state)
        if lacking:
            return undecided(lacking, numbers)
        if not running[0] > 0 and not running[2] > 0:
            return absence.of_anything(check, evidence.learnt, floats(state, "n", 2)[0], numbers)
        if absent >= 1 / check.miss and e < SUSPECT and ratio_done is not None:
            return Judgement(
                verdict=Verdict.PASS,
                reason=f"{ratio_done:.2f} times control; {asked.said(*both)} is ruled out (E = {absent:.3g}, "
                f"PASS from {1 / check.miss:.3g})",
                numbers=numbers,
            )
        return undecided(
            f"{asked.said(*both)} is not ruled out yet (E = {absent:.3g}, PASS from {1 / check.miss:.3g})",
            numbers,
        )

    def _lacking(self, check: Check, evidence: Evidence, state: JudgeState) -> str:
        """What a pass still wants, or ""."""
        reason = unheard(evidence)
        if reason:
            return reason
        answering = len(fresh(evidence.control, after=False))
        if not answering >= evidence.control_min:
            return f"{answering} control accounts report, {evidence.control_min} are needed"
        n_c, n_k = floats(state, "n", 2)
        if n_c >= check.min_samples and n_k >= check.min_samples:
            return ""
        return (
            f"{n_c:.0f} samples of the canary and {n_k:.0f} of control since the last account "
            f"was done, {check.min_samples} are needed"
        )


def folded(check: Check, state: JudgeState, evidence: Evidence) -> tuple[dict[str, object], Look | None]:
    """The next state, and the look's counts; None when one side has no exposure: nothing is compared then.

    sum, done: [y_c, e_c, y_k, e_k] since the intents, and of that in complete looks; n: trials of the canary and of
    control in complete looks; up, down: stakes, open_up, open_down: what came since the last one was opened
    (`_staked`); since_up, since_down: what came since the change seems to have begun (`_since`); pass_up, pass_down:
    see `absence`; phi, se; bursts: see `scatter`, c, k: [n, y] of the accounts, apart: how accounts differ
    (`exposure`), from so many hours of past.
    """
    after, rates, phi = _known(check, state, evidence)
    canary, control = (
        counted(evidence.touched, rates, after=True),
        counted(evidence.control, rates, after=False),
    )
    (e_c, y_c), (e_k, y_k) = total(canary), total(control)
    if not (e_c > 0 and e_k > 0):
        return after, None
    if not evidence.learnt.settled:
        after["bursts"] = scatter.added(mapping(state, "bursts"), evidence.at_us, control, rates.noise)
        seen = dispersion(evidence.learnt, mapping(after, "bursts"))
        phi = 1 + (seen - 1) * scatter.lopsided(mapping(after, "c"), mapping(after, "k"))
    se = math.sqrt(rates.doubt(canary, phi) + rates.doubt(control, phi))
    after |= {"phi": [phi], "se": [se]}
    look = Look(e_c=e_c, y_c=y_c, e_k=e_k, y_k=y_k, se=se, phi=phi)
    after["sum"] = look.added(floats(state, "sum", 4))
    for harm in directions(check):
        after |= _evidence(check, state, evidence, look, harm)
        gain = log_likelihood(harm, look.share(harm, _lean(check, se, harm)), y_c, y_k) / phi
        after[f"since_{_way(harm)}"] = _since(state, harm, gain, look, (evidence.at_us, canary))
    if evidence.complete:
        after["done"] = look.added(floats(state, "done", 4))
        n = floats(state, "n", 2)
        trials = [
            _trials(cells, counts)
            for cells, counts in ((evidence.touched, canary), (evidence.control, control))
        ]
        after["n"] = [n[0] + trials[0], n[1] + trials[1]]
    return after, look


def _known(check: Check, state: JudgeState, evidence: Evidence) -> tuple[dict[str, object], Rates, float]:
    """What is known by now of accounts that nothing was done to: the state with it, their rates, and phi."""
    learnt, after = evidence.learnt, dict(state)
    phi = dispersion(learnt, mapping(state, "bursts"))
    if check.alike:
        return after, Rates(check, learnt), phi
    cv2, at_hours = floats(state, "apart", 2)
    if not (learnt.settled and cv2 > 0 and at_hours == learnt.hours):
        rows = _past(learnt)
        if not learnt.settled:
            after["c"] = _summed(_pairs(state, "c"), fresh(evidence.touched, after=True))
            after["k"] = control = _summed(_pairs(state, "k"), fresh(evidence.control, after=False))
            rows = _summed(rows, control)
        cv2 = apart([row for row in rows.values() if row[0] > 0], phi)
        after["apart"] = [cv2, learnt.hours]
    return after, Rates(check, learnt, pseudo=1 / cv2, phi=phi), phi


def _evidence(
    check: Check, state: JudgeState, evidence: Evidence, look: Look, harm: float
) -> dict[str, object]:
    """Stakes and evidence of absence, with one more look."""
    way, staked = _way(harm), ratios(harm)
    stakes_then, logs = _stakes(state, harm), _open(state, harm)
    now = stakes_then.at(evidence.at_us, leaning(staked, harm), [log / look.phi for log in logs])
    if now.opened > stakes_then.opened:
        logs = [0.0] * len(staked)
    q = look.share(harm, _lean(check, look.se, harm))
    gains = [log_likelihood(r, q, look.y_c, look.y_k) for r in staked]
    after: dict[str, object] = {
        way: now.row(), f"open_{way}": [log + gain for log, gain in zip(logs, gains, strict=True)]
    }  # fmt: skip
    if evidence.complete:
        q = look.share(1 / harm, min(LEAN_MOST, CERTAIN * look.se))
        after[f"pass_{way}"] = absence.added(_logs(state, harm), harm, q, look.y_c, look.y_k)
    return after


def _lean(check: Check, se: float, harm: float) -> float:
    """How far the two groups may differ without harm, on the log scale.

    1.28 se, as GATE 5.2 has it, is certain at 90 %: enough where the least ratio that is staked on, r, leaves room,
    for it grows only from (r - 1)/ln r on. Where little is known that room is used up, and the two together must
    reach as far as the level asks (half of it for this, one-sided).
    """
    z = -NormalDist().inv_cdf(check.false_alarm / 2)
    return min(LEAN_MOST, max(CERTAIN * se, z * se - room(harm)))


def _trials(cells: Sequence[tuple[str, float | None, float | None, bool]], counts: Counts) -> float:
    return sum(n for account, n, _, _ in cells if n is not None and account in counts)


def _past(learnt: Learnt) -> dict[str, Sequence[float]]:
    """Account -> [n, y] of its past."""
    return {name: [row[N], row[Y]] for name, row in learnt.own.rows.items()}


def _since(
    state: JudgeState, harm: float, gain: float, look: Look, now: tuple[Instant, Counts]
) -> dict[str, object]:
    """What came since the cumulative sum was last 0: {w, at, sum: [y_c, e_c, y_k, e_k], a: account -> [e, y]}."""
    at_us, canary = now
    before = mapping(state, f"since_{_way(harm)}")
    w = floats(before, "w", 1)[0] + gain
    if not w > 0:
        return {"w": [0.0]}
    rows = _summed(_pairs(before, "a"), canary)
    return {"w": [w], "at": before.get("at", at_us), "sum": look.added(floats(before, "sum", 4)), "a": rows}


def _pairs(state: JudgeState, key: str) -> dict[str, list[float]]:
    """Account -> two numbers, out of a state."""
    return {name: row for name, row in mapping(state, key).items() if isinstance(row, list)}


def _summed(rows: Pairs, counts: Pairs) -> dict[str, Sequence[float]]:
    """Account -> two numbers, with those of another such mapping added."""
    after = dict(rows)
    for account, (first, second) in counts.items():
        row = after.get(account)
        after[account] = [first, second] if row is None else [row[0] + first, row[1] + second]
    return after


def _raised(
    check: Check, state: JudgeState, found: tuple[float, float, float, dict[str, object]]
) -> Judgement:
    """The evidence is over its level: FAIL, unless it is one account's alone."""
    harm, e, level, numbers = found
    since = mapping(state, f"since_{_way(harm)}")
    y_c, e_c, y_k, e_k = row = floats(since, "sum", 4)
    ratio, rows, phi = shared_ratio(*row), _pairs(since, "a"), _phi(state)
    if ratio is None or not rows:
        return undecided("evidence of harm, but none of late", numbers)
    sign = 1 if harm > 1 else -1
    z = {name: sign * excess(y, y_k, e / (e + e_k), phi) for name, (e, y) in rows.items()}
    worst = sorted(z, key=lambda one: (-z[one], one))
    e_i, y_i = rows[worst[0]]
    se = floats(state, "se", 1)[0]
    rest = Look(e_c=e_c - e_i, y_c=y_c - y_i, e_k=e_k, y_k=y_k, se=se, phi=phi)
    others = rest.shows(harm, _lean(check, se, harm)) if len(rows) > 1 else 0.0
    numbers = {
        **numbers,
        "since": since["at"],
        "ratio_since": ratio,
        "worse": sum(one >= WORSE_Z for one in z.values()),
        "without_worst": others,
    }
    said = f"{ratio:.2f} times control of late (E = {e:.3g}, FAIL from {level:.3g})"
    if others >= OTHERS or (len(rows) == 1 and alone(harm, level, e, ratio)):
        return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(worst[:WORST_SHOWN]))
    return undecided(
        f"{said}, but without {worst[0]} it is not: one account alone does not fail a comparison",
        numbers,
        *worst,
    )


def _way(harm: float) -> str:
    return "up" if harm > 1 else "down"


def _stakes(state: JudgeState, harm: float) -> Stakes:
    return stakes(state, _way(harm), len(ratios(harm)))


def _open(state: JudgeState, harm: float) -> list[float]:
    """Logs of the likelihood ratios since the last stake was opened, phi still 1."""
    return floats(state, f"open_{_way(harm)}", len(ratios(harm)))


def _e(state: JudgeState, harm: float) -> float:
    """E: what came since the last stake is tempered by the phi that is known now."""
    return _stakes(state, harm).times([log / _phi(state) for log in _open(state, harm)]).evidence


def _phi(state: JudgeState) -> float:
    return max(1.0, floats(state, "phi", 1)[0])


def _logs(state: JudgeState, harm: float) -> list[float]:
    return floats(state, f"pass_{_way(harm)}", 2)
