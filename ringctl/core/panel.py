"""All judges of one check over one look: the one path that live rollouts, `gate check` and `gate backtest` share.

    state = {"alpha": level on this wave, "past": what is learnt (core.learning), "judges": {name: state}}
The level is fixed at the first look, so that amending a policy in mid bake cannot raise it. Inside the check it is
shared out over the judges that apply, by their `part`: a union bound, valid whatever they have in common (GATE 5.5).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from ringctl.core import learning
from ringctl.core.judging import Cell, Evidence, Judge, Judgement, JudgeState, combine
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE

MISSING_SHOWN: Final = 20


def look(
    check: Check, judges: Mapping[str, Judge], state: JudgeState, evidence: Evidence, *, alpha: float
) -> tuple[dict[str, object], Judgement]:
    """Fold one look in, and judge. `alpha` counts at the first look only."""
    level = _level(state, alpha)
    past = _part(state, "past") if evidence.error else _past(_part(state, "past"), evidence)
    evidence = replace(evidence, learnt=learning.learnt(past))
    applying = {name: judge for name, judge in sorted(judges.items()) if judge.applies(check)}
    parts = sum(judge.part for judge in applying.values())
    before, after = _part(state, "judges"), {}
    judgements = {}
    for name, judge in applying.items():
        share = level * judge.part / parts if judge.part > 0 else level
        after[name], judgements[name] = judge.look(
            replace(check, false_alarm=share), _part(before, name), evidence
        )
    total = combine(judgements.values())
    judged = replace(total, numbers=_numbers(judgements, total, evidence))
    if evidence.error:  # a look without an answer leaves everything as it was
        return dict(state), judged
    return {"alpha": level, "past": past, "judges": after}, judged


def feed(
    state: JudgeState, cells: Iterable[learning.Past], touched: Mapping[str, object]
) -> dict[str, object]:
    """The state with hours of history learnt, before the first look. `cells` come in the order of time."""
    return {**state, "past": learning.fold(_part(state, "past"), cells, touched, learning.HISTORY)}


def _level(state: JudgeState, alpha: float) -> float:
    kept = state.get("alpha")
    return kept if isinstance(kept, float) else alpha


def _part(state: JudgeState, key: str) -> JudgeState:
    value = state.get(key)
    return value if isinstance(value, Mapping) else {}


def _past(past: JudgeState, evidence: Evidence) -> dict[str, object]:
    """What is learnt goes on while nothing was begun; after that only accounts not begun yet add to their own."""
    begun = any(one is not None for one in evidence.intents.values())
    if begun:
        past = learning.freeze(past)
    minutes = evidence.interval_us / MINUTE
    cells = [_known(cell, evidence, minutes) for cell in evidence.touched if not cell.after]
    if not begun:
        cells += [_known(cell, evidence, minutes) for cell in evidence.control]
    there = [cell for cell in cells if cell is not None]
    return learning.fold(past, there, evidence.intents) if there else dict(past)


def _known(cell: Cell, evidence: Evidence, minutes: float) -> learning.Past | None:
    n, y = cell.n, cell.y
    if n is None or y is None or not (0 < n < math.inf and 0 <= y < math.inf):
        return None
    return learning.Past(evidence.at_us, cell.account, n, y, minutes)


def _numbers(judgements: Mapping[str, Judgement], total: Judgement, evidence: Evidence) -> dict[str, object]:
    """What the check rests on: the judge that decided or is nearest to its level in front, then each judge's own."""
    failed = [name for name, one in judgements.items() if one.verdict is Verdict.FAIL]
    ranked = sorted(
        judgements,
        key=lambda name: (name not in failed, judgements[name].abstains, -_nearness(judgements[name]), name),
    )
    numbers: dict[str, object] = {}
    for name in reversed(ranked):
        numbers.update(judgements[name].numbers)
    each = {name: {"verdict": one.verdict.value, **one.numbers} for name, one in judgements.items()}
    heard = {cell.account for cell in evidence.touched if cell.n is not None and cell.y is not None}
    # one that is gone since its own first step has no cell at all
    absent = sorted({cell.account for cell in evidence.touched}.union(evidence.intents) - heard)
    return {
        **numbers,
        **({"judge": ranked[0]} if ranked else {}),
        "judges": each,
        "learnt": evidence.learnt.note,
        "missing": absent[:MISSING_SHOWN],
        "missing_count": len(absent),
        **({"worst": list(total.worst)} if total.worst else {}),
    }


def _nearness(one: Judgement) -> float:
    """How far the evidence is on its way to the level: log e / log level; -1 without an e-value."""
    e, level = one.numbers.get("e"), one.numbers.get("level")
    if not isinstance(e, float | int) or not isinstance(level, float | int) or not (e > 0 and level > 1):
        return -1.0
    return math.log(e) / math.log(level)
