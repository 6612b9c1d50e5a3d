"""Judge `becomes-empty`: an account that answered with items now answers without any (DESIGN 12.20).

Each account alone, n = queries answered and y = items returned in a look:
    before  at least 20 answered queries in at least 5 answered looks, at most 5 % of these looks empty;
    FAIL    3 looks after the intent in a row, each with at least 3 answered queries and no item; or, for what comes
            and goes, or with one answer a look: E_i >= A/alpha (A accounts of the wave). One account is enough,
            long before an average over the fleet moves (VSTS 2017);
    PASS    every account of the wave (of an expansion wave: a quorum, the others are named) has its before, no run
            of empty looks going on, and evidence from complete looks that it is not half empty: E_pass >= 1/miss
            (for 5 %: five looks with items).

E_i is the one-sample process of J2 (`own_process`, GATE 5.4) over trials: a look with items is a good one; looks
without, together at least half the answers of a usual look before, are a bad one. So a night with one answer a look
is not held against an account whose looks had fifty. Its ceiling is min(0.9, 1.5 e/l + 0.02 + 3/l), e of l looks
empty before: 3/l is what l looks without an empty one cannot rule out.
    E_pass = mean over p in {0.01, 0.15} of prod (p/0.5)^x ((1-p)/0.5)^(1-x),   x = 1 for a bad trial

A look without an answer (absent, erroring, idle) is missing: it neither counts nor breaks a run. Nor does an empty
look with one or two answers: too little for a run, but no sign of life either. A look with any item ends the run.
The rule of three is not anytime-valid: where 5 % of looks are empty, three in a row are one in 8,000 per account and
place when looks are independent; in a day of minutes and 20 accounts where 1 % are, one bake in 35.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.gates import own_process
from ringctl.gates.evidence import (
    WORST_SHOWN,
    earlier_fail,
    keep_fail,
    mapping,
    no_answer,
    quorum,
    undecided,
    unheard,
)

ANSWERED: Final = 20.0
LOOKS: Final = 5
EMPTY_SHARE: Final = 0.05
RUN: Final = 3
PER_LOOK: Final = 3.0
MOST_CAP: Final = 0.9
MARGIN: Final = 1.5
FLOOR: Final = 0.02
CLEARLY: Final = 20.0  # E of an account that is emptier for certain (5 %): it does not pass
USUAL: Final = 0.5  # of the answers of a look before: what a trial without items must have
HARM: Final = 0.5
HARMLESS: Final = (0.01, 0.15)
_BAD: Final = tuple(p / HARM for p in HARMLESS)
_GOOD: Final = tuple((1 - p) / HARM for p in HARMLESS)
_MOST: Final = 1e25

# a row of the state: answered looks, queries and empty looks before; the run of empty looks since the intent, answers
# of the trial without items that is not over; E_pass of each p, and its mean; E; then the row of `own_process`
BEFORE_LOOKS, BEFORE_QUERIES, BEFORE_EMPTY, EMPTY_RUN, PENDING, PASS_AT = range(6)
E_PASS: Final = PASS_AT + len(HARMLESS)
E: Final = E_PASS + 1
PROCESS: Final = E + 1
_NEW: Final = (0.0, 0.0, 0.0, 0.0, 0.0, *(1.0 for _ in HARMLESS), 1.0, 1.0, *own_process.NEW)

Rows = dict[str, list[float]]


class BecomesEmpty:
    """`becomes_empty: true` on a value (items per answer)."""

    name = "becomes-empty"
    part = 1.0

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        return (
            check.fail_if.becomes_empty and isinstance(check.measure, Ratio) and not check.measure.of_counts
        )

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        rows = _folded(mapping(state, "a"), evidence)
        after: JudgeState = {**state, "a": rows}
        return keep_fail(after, earlier_fail(state) or _judge(check, rows, evidence))


def ceiling(looks: float, empty: float) -> float:
    """The largest share of empty looks that an account with this before is thought to have."""
    return min(MOST_CAP, MARGIN * empty / looks + FLOOR + 3 / looks)


def _folded(before: Mapping[str, object], evidence: Evidence) -> Rows:
    rows = {name: row for name, row in before.items() if isinstance(row, list)}
    for account, n, y, after in evidence.touched:
        if n is None or y is None or not (0 <= n < math.inf and 0 <= y < math.inf) or not (n > 0 or y > 0):
            continue
        row = list(rows.get(account, _NEW))
        if after:
            _since(row, evidence, n, y)
        elif n > 0:
            row[BEFORE_LOOKS] += 1
            row[BEFORE_QUERIES] += n
            row[BEFORE_EMPTY] += y <= 0
        rows[account] = row
    return rows


def _since(row: list[float], evidence: Evidence, n: float, y: float) -> None:
    """A look after the intent: `n` answers (0: items without one), `y` items."""
    bad = not y > 0
    if bad:
        row[EMPTY_RUN] += n >= PER_LOOK
        row[PENDING] += n
    else:
        row[EMPTY_RUN] = row[PENDING] = 0.0
    if not n > 0 or not _had_items(row):
        return
    if bad and not row[PENDING] >= USUAL * row[BEFORE_QUERIES] / row[BEFORE_LOOKS]:
        return
    row[PENDING] = 0.0
    if evidence.complete:
        gain = _BAD if bad else _GOOD
        row[PASS_AT] = first = max(1 / _MOST, min(_MOST, row[PASS_AT] * gain[0]))
        row[PASS_AT + 1] = second = max(1 / _MOST, min(_MOST, row[PASS_AT + 1] * gain[1]))
        row[E_PASS] = (first + second) / 2
    cap = ceiling(row[BEFORE_LOOKS], row[BEFORE_EMPTY])
    row[PROCESS:] = process = own_process.added(row[PROCESS:], evidence.at_us, cap, 1.0, float(bad))
    row[E] = own_process.evidence(process)


def _had_items(row: list[float]) -> bool:
    """Whether the account's before is established: it answered, and hardly ever without items."""
    return (
        row[BEFORE_LOOKS] >= LOOKS
        and row[BEFORE_QUERIES] >= ANSWERED
        and row[BEFORE_EMPTY] <= EMPTY_SHARE * row[BEFORE_LOOKS]
    )


def _judge(check: Check, rows: Rows, evidence: Evidence) -> Judgement:
    had = {account: row for account, row in rows.items() if _had_items(row)}
    level = max(1, evidence.expected) / check.false_alarm
    run = sorted(account for account, row in had.items() if row[EMPTY_RUN] >= RUN)
    over = sorted((name for name in had if had[name][E] >= level), key=lambda name: (-had[name][E], name))
    numbers: dict[str, object] = {
        "judge": BecomesEmpty.name, "e": max((row[E] for row in had.values()), default=1.0), "level": level,
        "judged": len(had), "expected": evidence.expected, "empty": len(run),
    }  # fmt: skip
    if run or over:
        said = f"in {RUN} looks in a row" if run else _often(had[over[0]], level)
        worst = run or over
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{_named(worst)} had items before and gave none {said}",
            numbers=numbers,
            worst=tuple(worst[:WORST_SHOWN]),
        )
    accounts = sorted({cell.account for cell in evidence.touched} | set(rows))
    without = [account for account in accounts if account not in had]
    needed = evidence.expected if evidence.strict else quorum(evidence.expected)
    if not (len(had) >= needed and had):
        who = f"no usable before of {_named(without)}" if without else "not all accounts report"
        asked = f"{ANSWERED:.0f} answered queries in {LOOKS} looks, at most {100 * EMPTY_SHARE:.0f} % of them empty"
        lacking = undecided(
            f"{who}: {len(had)} of {evidence.expected} accounts are judged; asked for are {asked}",
            numbers,
            *without,
        )
        return replace(lacking, needs_before=True)
    silent = unheard(evidence)
    if silent:
        return undecided(silent, numbers)
    doubted = {name for name, row in had.items() if row[EMPTY_RUN] > 0 or row[E] >= CLEARLY}
    sure = {name for name, row in had.items() if row[E_PASS] >= 1 / check.miss} - doubted
    if doubted or not len(sure) >= needed:
        waiting = [*sorted(doubted), *sorted(had.keys() - sure - doubted)]
        return undecided(f"not yet enough looks with items of {_named(waiting)}", numbers, *waiting)
    aside = f" ({len(accounts) - len(sure)} could not be judged)" if len(sure) < len(accounts) else ""
    return Judgement(
        verdict=Verdict.PASS,
        reason=f"all {len(sure)} accounts still answer with items{aside}",
        numbers=numbers,
    )


def _often(row: list[float], level: float) -> str:
    share = own_process.bad_share(row[PROCESS:])
    return f"in {100 * share:.0f} % of its looks since it began (E = {row[E]:.3g}, FAIL from {level:.3g})"


def _named(accounts: list[str]) -> str:
    more = f" and {len(accounts) - WORST_SHOWN} more" if len(accounts) > WORST_SHOWN else ""
    return ", ".join(accounts[:WORST_SHOWN]) + more
