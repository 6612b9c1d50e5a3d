"""Judge `canary-vs-control`: a ratio of counts against accounts not touched yet, at the same time.

The count e-process J1 of GATE 5.3. At each look, with counts (n_c, y_c) of the touched accounts after
their intent and (n_k, y_k) of control in the same interval, q = rho_hi n_c/(rho_hi n_c + n_k):
    log L_r = [ y_c ln r - (y_c + y_k) ln(r q + 1 - q) ] / phi
    FAIL when E = sum of stakes x L_r + rest >= 1/alpha, at any look (Ville), AND the observed ratio is
    above 1 AND at least two touched accounts are worse than chance by themselves (DESIGN 12.20).
Only the split between the two is tested: a rate that both share may move as it likes.

What it does not do yet (issue 4): rho and phi are not learnt from days of history. Here rho_hi = 1.1 x
max(1, the ratio of the two groups before the intents, shrunk by its uncertainty), and phi = max(1,
dispersion between accounts within looks among those not touched), 2 until ten events were seen. Bursts
longer than a look are seen by phi only in part, so on clustered accounts the promised level is an
approximation. PASS is an estimate (ratio / rho <= 1 + increase on enough samples after completion), not
yet the e-process that asks for evidence of absence of harm. `false_alarm` is taken as it stands: the
caller divides it over waves and checks.

With fewer than `control_min` control accounts the check's `without_control` judges instead: the same
accounts before (`history`) or a fixed limit (`ceiling`). While only one account of the wave has been
touched it may fail by itself, on ten times the evidence and the full harm asked for (`evidence.alone`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.gates import ceiling, history
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
    keep_fail,
    log_likelihood,
    mapping,
    no_answer,
    shared_ratio,
    stakes,
    totals,
    undecided,
    unheard,
)
from ringctl.gates.spread import own_ratio, phi

MARGIN: Final = 1.1  # rho_hi / rho without days of history
CONTROL_MIN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Events and exposure of the canary and of control."""

    y_c: float
    n_c: float
    y_k: float
    n_k: float

    def added(self, row: Sequence[float]) -> list[float]:
        """[y_c, n_c, y_k, n_k] with this look."""
        return [row[0] + self.y_c, row[1] + self.n_c, row[2] + self.y_k, row[3] + self.n_k]


class CanaryVsControl:
    """`compare: canary-vs-control` with `increase`, on a ratio of counts."""

    name = "canary-vs-control"

    def __init__(self, *, control_min: int = CONTROL_MIN) -> None:
        self.control_min = control_min

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        return (
            check.compare == self.name
            and check.fail_if.increase is not None
            and isinstance(check.measure, Ratio)
            and check.measure.of_counts
        )

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        own, after = mapping(state, "own"), _folded(check, state, evidence)
        earlier = earlier_fail(state)
        if earlier is not None:
            return after, earlier
        if len({cell.account for cell in evidence.control}) >= self.control_min:
            judgement = self._judge(check, after, evidence, own)
        else:
            other = ceiling if check.without_control == "threshold" else history
            kept, judgement = other.look(check, own, evidence)
            after = {**after, "own": kept}
        return keep_fail(after, judgement)

    def _judge(self, check: Check, state: JudgeState, evidence: Evidence, before: JudgeState) -> Judgement:
        dispersion = phi(floats(before, "disp", 3))
        rho = own_ratio(floats(state, "base", 4), dispersion)
        running, done = floats(state, "sum", 4), floats(state, "done", 4)
        increase = check.fail_if.increase or 0.0
        limit, e = 1 / check.false_alarm, _stakes(state, increase).evidence
        ratio, ratio_done = shared_ratio(*running), shared_ratio(*done)
        worse = _worse(state, running, MARGIN * max(1.0, rho), dispersion)
        numbers = {
            "judge": self.name, "e": e, "level": limit, "rho": rho, "phi": dispersion,
            "ratio": ratio, "ratio_done": ratio_done, "canary": [running[0], running[1]],
            "control": [running[2], running[3]], "worse": len(worse),
        }  # fmt: skip
        if e >= limit and ratio is not None and ratio > 1:
            said = f"{ratio:.2f} times control (E = {e:.3g}, FAIL from {limit:.3g})"
            touched = sum(one.n_after > 0 for one in totals(mapping(state, "own")).values())
            if len(worse) >= 2 or alone(check, touched, len(worse), e, ratio):
                return Judgement(
                    verdict=Verdict.FAIL,
                    reason=said,
                    numbers=numbers,
                    worst=tuple(worse[:WORST_SHOWN]),
                )
            who = f"only {worse[0]} is" if worse else "no single account is"
            return undecided(
                f"{said}, but {who} clearly worse: two accounts are needed to fail",
                numbers,
                *worse,
            )
        lacking = self._lacking(check, evidence, done)
        if lacking:
            return undecided(lacking, numbers)
        if ratio_done is not None and e < limit and ratio_done / rho <= 1 + increase:
            return Judgement(
                verdict=Verdict.PASS,
                reason=f"{ratio_done / rho:.2f} times control, up to {1 + increase:.2f} is asked for",
                numbers=numbers,
            )
        return undecided(
            "more than control, but not for certain, or less than the harm asked for",
            numbers,
            *worse,
        )

    def _lacking(self, check: Check, evidence: Evidence, done: Sequence[float]) -> str:
        """What a pass still wants, or ""."""
        reason = unheard(evidence)
        if reason:
            return reason
        answering = len(fresh(evidence.control, after=False))
        if not answering >= self.control_min:
            return f"{answering} control accounts report, {self.control_min} are needed"
        if done[1] >= check.min_samples and done[3] >= check.min_samples:
            return ""
        return (
            f"{done[1]:.0f} samples of the canary and {done[3]:.0f} of control since the last account "
            f"was done, {check.min_samples} are needed"
        )


def _folded(check: Check, state: JudgeState, evidence: Evidence) -> JudgeState:
    """The next state.

    own: totals per account and dispersion (see `history`).   base: the two groups before the intents.
    sum: since the intents.   done: of that, in complete looks.   e: the stakes.
    """
    own = mapping(state, "own")
    rho = own_ratio(floats(state, "base", 4), phi(floats(own, "disp", 3)))
    control = fresh(evidence.control, after=False)
    then, now = (_split(fresh(evidence.touched, after=after), control) for after in (False, True))
    after: dict[str, object] = {
        **state,
        "own": history.gather(own, evidence),
        "base": floats(state, "base", 4),
        "sum": floats(state, "sum", 4),
        "done": floats(state, "done", 4),
    }
    increase = check.fail_if.increase or 0.0
    if then is not None:
        after["base"] = then.added(floats(state, "base", 4))
    if now is not None:
        after["sum"] = now.added(floats(state, "sum", 4))
        if evidence.complete:
            after["done"] = now.added(floats(state, "done", 4))
        share = MARGIN * max(1.0, rho) * now.n_c
        q = share / (share + now.n_k)
        dispersion = phi(floats(own, "disp", 3))
        logs = [log_likelihood(r, q, now.y_c, now.y_k) / dispersion for r in grid(increase)]
        after["e"] = _stakes(state, increase).at(evidence.at_us).times(logs).row()
    return after


def _stakes(state: JudgeState, increase: float) -> Stakes:
    return stakes(state, "e", len(grid(increase)))


def _split(
    canary: Mapping[str, tuple[float, float]], control: Mapping[str, tuple[float, float]]
) -> _Split | None:
    """The look's counts; None when one side has no exposure: nothing is compared then."""
    n_c, n_k = (sum(n for n, _ in side.values()) for side in (canary, control))
    y_c, y_k = (sum(y for _, y in side.values()) for side in (canary, control))
    return _Split(y_c=y_c, n_c=n_c, y_k=y_k, n_k=n_k) if n_c > 0 and n_k > 0 else None


def _worse(state: JudgeState, running: Sequence[float], rho_hi: float, dispersion: float) -> list[str]:
    """Touched accounts that are worse than control by themselves (one-sided 5 %), worst first."""
    y_k, n_k = running[2], running[3]
    z = {
        account: excess(one.y_after, y_k, rho_hi * one.n_after / (rho_hi * one.n_after + n_k), dispersion)
        for account, one in totals(mapping(state, "own")).items()
        if one.n_after > 0 and n_k > 0
    }
    return sorted((one for one in z if z[one] >= WORSE_Z), key=lambda one: -z[one])
