"""Fixed limits in the style people know: simple, and not anytime-valid.

`above`: sum of y over sum of n of the touched accounts since their first intent, against the limit.
`p95`: the value of rank ceil(0.95 k) among k accounts' own values y/n. No promise about false alarms
comes with either, however often it is looked at (GATE 0.3): the reason says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, StepMeasure
from ringctl.core.states import Verdict
from ringctl.gates.evidence import (
    WORST_SHOWN,
    earlier_fail,
    fresh,
    keep_fail,
    no_answer,
    tally,
    totals,
    undecided,
    unheard,
)

STYLE: Final = "fixed threshold, not anytime-valid"

Pair = tuple[float, float]


def gather(state: JudgeState, evidence: Evidence) -> JudgeState:
    """Totals per account."""
    return {**state, **tally(state, evidence)}


def look(check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
    """One look folded in and judged."""
    silent = no_answer(evidence, state)
    if silent is not None:
        return state, silent
    after = gather(state, evidence)
    earlier = earlier_fail(state)
    if earlier is not None:
        return after, earlier
    if isinstance(check.measure, StepMeasure):
        # a snapshot: each look has all values again
        since = fresh(evidence.touched, after=True)
        done = since if evidence.complete else {}
    else:
        rows = totals(after)
        since = {name: (one.n_after, one.y_after) for name, one in rows.items()}
        done = {name: (one.n_done, one.y_done) for name, one in rows.items()}
    return keep_fail(after, _judge(check, evidence, _measured(since), _measured(done)))


def p95(values: Sequence[float]) -> float | None:
    """The value of rank ceil(0.95 k), counted from 1; None without values."""
    ranked = sorted(values)
    return ranked[math.ceil(round(0.95 * len(ranked), 9)) - 1] if ranked else None


def _measured(pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    return {account: pair for account, pair in pairs.items() if pair[0] > 0}


def _pooled(pairs: Mapping[str, Pair]) -> float | None:
    n = sum(pair[0] for pair in pairs.values())
    return sum(pair[1] for pair in pairs.values()) / n if n > 0 else None


def _judge(
    check: Check, evidence: Evidence, since: Mapping[str, Pair], done: Mapping[str, Pair]
) -> Judgement:
    own = {account: y / n for account, (n, y) in since.items()}
    numbers: dict[str, object] = {"judge": "threshold", "accounts": len(own)}
    lacking = _lacking(check, evidence, done)
    good = []
    for kind, limit in (("above", check.fail_if.above), ("p95", check.fail_if.p95)):
        if limit is None:
            continue
        now = _pooled(since) if kind == "above" else p95(list(own.values()))
        then = _pooled(done) if kind == "above" else p95([y / n for n, y in done.values()])
        numbers |= {kind: now, f"{kind}_done": then, f"{kind}_limit": limit}
        over = sorted((one for one in own if own[one] > limit), key=lambda one: -own[one])
        named = "pooled value" if kind == "above" else "95th percentile over accounts"
        if now is not None and now > limit and _enough(check, evidence, kind, since, len(over)):
            return Judgement(
                verdict=Verdict.FAIL,
                reason=f"{named} {now:.4g} is above {limit:.4g} ({STYLE})",
                numbers=numbers,
                worst=tuple(over[:WORST_SHOWN]),
            )
        if then is not None and then <= limit and (now is not None and now <= limit):
            good.append(f"{named} {then:.4g} is at most {limit:.4g}")
        elif not lacking:
            lacking = f"{named} is above {limit:.4g}, but on too few accounts or samples to fail"
    if lacking:
        return undecided(lacking, numbers)
    if good:
        return Judgement(verdict=Verdict.PASS, reason=f"{' and '.join(good)} ({STYLE})", numbers=numbers)
    return undecided("the check names no fixed limit", numbers)


def _enough(check: Check, evidence: Evidence, kind: str, since: Mapping[str, Pair], over: int) -> bool:
    """Whether a value over the limit may fail: samples, and two accounts over it (DESIGN 12.20).

    A percentile of a step measure needs one; so does a wave that has only one account (see `history`).
    """
    steps = isinstance(check.measure, StepMeasure)
    needed = 1 if evidence.expected == 1 or (steps and kind == "p95") else 2
    samples = sum(n for n, _ in since.values())
    return over >= needed and (steps or samples >= check.min_samples)


def _lacking(check: Check, evidence: Evidence, done: Mapping[str, Pair]) -> str:
    """What a pass still wants, or ""."""
    reason = unheard(evidence)
    if reason:
        return reason
    if isinstance(check.measure, StepMeasure):
        if len(done) >= evidence.expected:
            return ""
        return f"{len(done)} of {evidence.expected} accounts are measured"
    samples = sum(n for n, _ in done.values())
    if samples >= check.min_samples:
        return ""
    return f"{samples:.0f} samples since the last account was done, {check.min_samples} are needed"
