"""Judge `split`: counts against accounts not touched yet, at the same time. The count e-process J1 of GATE 5.3.

At each look, with expected counts e (`exposure`) and events y of the touched accounts since their intent (c) and of
control in the same interval (k), q = m e_c/(m e_c + e_k), m = exp(1.28 se) for a rise, exp(-1.28 se) for a fall:
    log L_r = [ y_c ln r - (y_c + y_k) ln(r q + 1 - q) ] / phi
    FAIL when E = sum of stakes x L_r + rest >= 1/alpha, at any look (Ville's inequality), AND the harm is not one
    account's alone: two are clearly worse, or the others together still are (DESIGN 12.20), counted since the
    change began by the look of it: since the last time that the cumulative sum W = max(0, W + log L_h) was 0.
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
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Count, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import Instant
from ringctl.gates import absence, ceiling, own_past
from ringctl.gates.evidence import (
    WORSE_Z,
    WORST_SHOWN,
    Stakes,
    alone,
    earlier_fail,
    excess,
    floats,
    fresh,
    grid,
    grid_down,
    keep_fail,
    leaning,
    log_likelihood,
    mapping,
    no_answer,
    shared_ratio,
    stakes,
    undecided,
    unheard,
)
from ringctl.gates.exposure import (
    CERTAIN,
    TAU,
    Counts,
    Rates,
    counted,
    difference,
    dispersion,
    spread,
    total,
    uncertainty,
)

CONTROL_MIN: Final = 5
UNCHANGED: Final = "unchanged"


def counts_events(check: Check) -> bool:
    """Whether the check counts events: bad ones of all, or plainly."""
    measure = check.measure
    return isinstance(measure, Count) or (isinstance(measure, Ratio) and measure.of_counts)


def directions(check: Check) -> tuple[float, ...]:
    """The ratios that are harm: above 1 for a rise, below for a fall."""
    rise, fall = check.fail_if.increase, check.fail_if.decrease
    if check.compare == UNCHANGED and rise is not None:
        return 1 + rise, 1 / (1 + rise)
    up = (1 + rise,) if rise is not None else ()
    return (*up, 1 - fall) if fall is not None else up


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look's counts, and what is known of how they should split."""

    e_c: float
    y_c: float
    e_k: float
    y_k: float
    se: float
    phi: float

    def share(self, harm: float) -> float:
        """q, the canary's share of events without harm, leaning so that a `harm` is not seen by mistake."""
        lean = CERTAIN * self.se
        e_c = self.e_c * math.exp(lean if harm > 1 else -lean)
        return e_c / (e_c + self.e_k)

    def added(self, row: Sequence[float]) -> list[float]:
        """[y_c, e_c, y_k, e_k] with this look."""
        return [row[0] + self.y_c, row[1] + self.e_c, row[2] + self.y_k, row[3] + self.e_k]


class Split:
    """`compare: canary-vs-control` and `unchanged`, on counts."""

    name = "split"
    part = 0.7

    def __init__(self, *, control_min: int = CONTROL_MIN) -> None:
        self.control_min = control_min

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
        after, look = folded(check, state, evidence)
        earlier = earlier_fail(state)
        if earlier is not None:
            return after, earlier
        if len({cell.account for cell in evidence.control}) >= self.control_min:
            return keep_fail(after, self._judge(check, after, evidence, look))
        e = max((_stakes(state, harm).evidence for harm in directions(check)), default=1.0)
        rest = replace(check, false_alarm=min(0.5, check.false_alarm * e))
        other = ceiling if check.without_control == "threshold" else own_past
        own, judgement = other.look(rest, mapping(state, "own"), evidence)
        return keep_fail({**after, "own": own}, judgement)

    def _judge(self, check: Check, state: JudgeState, evidence: Evidence, look: Look | None) -> Judgement:
        both = directions(check)
        level = len(both) / check.false_alarm
        found = {harm: _stakes(state, harm).evidence for harm in both}
        harm = max(both, key=lambda one: found[one])
        e, running, done = found[harm], floats(state, "sum", 4), floats(state, "done", 4)
        ratio, ratio_done = shared_ratio(*running), shared_ratio(*done)
        absent = min(absence.evidence(_logs(state, one)) for one in both)
        numbers: dict[str, object] = {
            "judge": self.name, "e": e, "level": level, "e_pass": absent, "level_pass": 1 / check.miss,
            "ratio": ratio, "ratio_done": ratio_done, "canary": [running[0], running[1]],
            "control": [running[2], running[3]],
            **({"phi": look.phi, "margin": math.exp(CERTAIN * look.se)} if look else {}),
        }  # fmt: skip
        if e >= level:
            return _raised(check, state, (harm, e, level, numbers))
        lacking = self._lacking(check, evidence, state)
        if lacking:
            return undecided(lacking, numbers)
        if _nothing_anywhere(evidence, running):
            return Judgement(
                verdict=Verdict.PASS,
                reason=f"no event at all, on neither side, before or after, in {floats(state, 'n', 2)[0]:.0f} "
                "samples of the canary",
                numbers=numbers,
            )
        if absent >= 1 / check.miss and e < level and ratio_done is not None:
            return Judgement(
                verdict=Verdict.PASS,
                reason=f"{ratio_done:.2f} times control; {_asked(both)} is ruled out (E = {absent:.3g}, PASS from "
                f"{1 / check.miss:.3g})",
                numbers=numbers,
            )
        return undecided(
            f"{_asked(both)} is not ruled out yet (E = {absent:.3g}, PASS from {1 / check.miss:.3g})", numbers
        )

    def _lacking(self, check: Check, evidence: Evidence, state: JudgeState) -> str:
        """What a pass still wants, or ""."""
        reason = unheard(evidence)
        if reason:
            return reason
        answering = len(fresh(evidence.control, after=False))
        if not answering >= self.control_min:
            return f"{answering} control accounts report, {self.control_min} are needed"
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
    control in complete looks; up, down: stakes; since_up, since_down: what came since the change seems to have
    begun (`_since`); pass_up, pass_down: see `absence`; disp, k: how control's accounts scatter (`exposure`).
    """
    rates = Rates(check, evidence.learnt)
    canary, control = (
        counted(evidence.touched, rates, after=True),
        counted(evidence.control, rates, after=False),
    )
    after: dict[str, object] = dict(state)
    if not evidence.learnt.long:
        after["disp"] = spread(floats(state, "disp", 3), control)
    (e_c, y_c), (e_k, y_k) = total(canary), total(control)
    if not (e_c > 0 and e_k > 0):
        return after, None
    phi = dispersion(evidence.learnt, floats(after, "disp", 3))
    tau = TAU
    if not evidence.learnt.long and not check.alike:
        seen = [row for row in mapping(state, "k").values() if isinstance(row, list)]
        tau = difference(seen, phi, len(canary))
        after["k"] = _summed(mapping(state, "k"), control)
    se = uncertainty(check, evidence.learnt, (rates.events(canary), rates.events(control)), phi, tau)
    look = Look(e_c=e_c, y_c=y_c, e_k=e_k, y_k=y_k, se=se, phi=phi)
    after["sum"] = look.added(floats(state, "sum", 4))
    for harm in directions(check):
        q = look.share(harm)
        ratios = grid(harm - 1) if harm > 1 else grid_down(1 - harm)
        logs = [log_likelihood(r, q, y_c, y_k) / phi for r in ratios]
        weights = leaning(ratios, harm)
        after[_way(harm)] = _stakes(state, harm).at(evidence.at_us, weights).times(logs).row()
        gain = log_likelihood(harm, q, y_c, y_k) / phi
        after[f"since_{_way(harm)}"] = _since(state, harm, gain, look, (evidence.at_us, canary))
        if evidence.complete:
            after[f"pass_{_way(harm)}"] = absence.added(
                _logs(state, harm), harm, look.share(1 / harm), y_c, y_k, phi
            )
    if evidence.complete:
        after["done"] = look.added(floats(state, "done", 4))
        n = floats(state, "n", 2)
        trials = [
            _trials(cells, counts)
            for cells, counts in ((evidence.touched, canary), (evidence.control, control))
        ]
        after["n"] = [n[0] + trials[0], n[1] + trials[1]]
    return after, look


def _nothing_anywhere(evidence: Evidence, running: Sequence[float]) -> bool:
    """Whether no event was ever seen: a split of nothing says nothing, and twice nothing is nothing.

    Zero events in real exposure (`min_samples` on both sides, asked before) are good evidence; zero exposure is none.
    """
    return not running[0] > 0 and not running[2] > 0 and not sum(evidence.learnt.events) > 0


def _trials(cells: Sequence[tuple[str, float | None, float | None, bool]], counts: Counts) -> float:
    return sum(n for account, n, _, _ in cells if n is not None and account in counts)


def _since(
    state: JudgeState, harm: float, gain: float, look: Look, now: tuple[Instant, Counts]
) -> dict[str, object]:
    """What came since the cumulative sum was last 0: {w, at, sum: [y_c, e_c, y_k, e_k], a: account -> [e, y]}."""
    at_us, canary = now
    before = mapping(state, f"since_{_way(harm)}")
    w = floats(before, "w", 1)[0] + gain
    if not w > 0:
        return {"w": [0.0]}
    rows = _summed(mapping(before, "a"), canary)
    return {"w": [w], "at": before.get("at", at_us), "sum": look.added(floats(before, "sum", 4)), "a": rows}


def _summed(rows: Mapping[str, object], counts: Counts) -> dict[str, object]:
    """Account -> [e, y] with this look's counts."""
    after = dict(rows)
    for account, (e, y) in counts.items():
        row = after.get(account)
        after[account] = [row[0] + e, row[1] + y] if isinstance(row, list) else [e, y]
    return after


def _raised(
    check: Check, state: JudgeState, found: tuple[float, float, float, dict[str, object]]
) -> Judgement:
    """The evidence is over its level: FAIL, unless it is one account's alone."""
    harm, e, level, numbers = found
    since = mapping(state, f"since_{_way(harm)}")
    y_c, e_c, y_k, e_k = row = floats(since, "sum", 4)
    ratio = shared_ratio(*row)
    rows = {name: one for name, one in mapping(since, "a").items() if isinstance(one, list)}
    if ratio is None or not rows:
        return undecided("evidence of harm, but none of late", numbers)
    sign, phi = (1 if harm > 1 else -1), float(str(numbers.get("phi", 1.0)))
    z = {name: sign * excess(y, y_k, e / (e + e_k), phi) for name, (e, y) in rows.items()}
    worst = sorted(z, key=lambda one: (-z[one], one))
    worse = [one for one in worst if z[one] >= WORSE_Z]
    rest_e, rest_y = e_c - rows[worst[0]][0], y_c - rows[worst[0]][1]
    others = sign * excess(rest_y, y_k, rest_e / (rest_e + e_k), phi) if rest_e > 0 else 0.0
    numbers = {
        **numbers,
        "since": since["at"],
        "ratio_since": ratio,
        "worse": len(worse),
        "without_worst": others,
    }
    said = f"{ratio:.2f} times control of late (E = {e:.3g}, FAIL from {level:.3g})"
    if len(worse) >= 2 or others >= WORSE_Z or alone(check, len(z), len(worse), e, ratio):
        return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(worst[:WORST_SHOWN]))
    return undecided(
        f"{said}, but without {worst[0]} it is not: one account alone does not fail a comparison",
        numbers,
        *worst,
    )


def _asked(both: Sequence[float]) -> str:
    return " or ".join(f"a {'rise' if harm > 1 else 'fall'} to {harm:.3g} times" for harm in both)


def _way(harm: float) -> str:
    return "up" if harm > 1 else "down"


def _stakes(state: JudgeState, harm: float) -> Stakes:
    return stakes(state, _way(harm), len(grid(harm - 1) if harm > 1 else grid_down(1 - harm)))


def _logs(state: JudgeState, harm: float) -> list[float]:
    return floats(state, f"pass_{_way(harm)}", 2)
