"""Judge `becomes-empty`: an account that answered with items now answers without any (DESIGN 12.20).

Each account alone, n = queries answered and y = items returned in a look:
    before  at least 20 answered queries in at least 5 answered looks, at most 5 % of these looks empty;
    FAIL    3 looks after the intent in a row, each with at least 3 answered queries and no item: one
            account is enough, long before an average over the fleet moves (VSTS 2017);
    PASS    every account of the wave (of an expansion wave: a quorum, the others are named) has its
            before, at least 3 complete looks with items, and no run of empty looks going on.
A look without an answer (absent, erroring, idle) is missing: it neither counts nor breaks a run. So does
an empty look with one or two answers: too little to count, but no sign of life either. A look with any
item ends the run. Not anytime-valid by itself: with at most 5 % empty looks before, three in a row are
one in 8,000 per account and place when looks are independent. GATE's J2 (own ceiling, with its stake at
the intent; issue 4) replaces the counting by an e-process.
"""

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

ANSWERED: Final = 20.0
LOOKS: Final = 5
EMPTY_SHARE: Final = 0.05
RUN: Final = 3
PER_LOOK: Final = 3.0
WITH_ITEMS: Final = 3

# a row of the state: answered looks, queries and empty looks before; the run of empty looks after the
# intent; complete looks with items
BEFORE_LOOKS, BEFORE_QUERIES, BEFORE_EMPTY, EMPTY_RUN, DONE_LOOKS = range(5)


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
        del check  # the rule has no parameters (DESIGN 12.20)
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        rows = _folded(state, evidence)
        after: JudgeState = {**state, "a": rows}
        return keep_fail(after, earlier_fail(state) or _judge(rows, evidence))


def _folded(state: JudgeState, evidence: Evidence) -> dict[str, list[float]]:
    rows = {name: list(row) for name, row in mapping(state, "a").items() if isinstance(row, list)}
    for account, (n, y) in fresh(evidence.touched, after=False).items():
        if n > 0:
            row = rows.setdefault(account, [0.0] * 5)
            row[BEFORE_LOOKS] += 1
            row[BEFORE_QUERIES] += n
            row[BEFORE_EMPTY] += y <= 0
    for account, (n, y) in fresh(evidence.touched, after=True).items():
        row = rows.setdefault(account, [0.0] * 5)
        if y > 0:
            row[EMPTY_RUN] = 0.0
            row[DONE_LOOKS] += evidence.complete and n > 0
        elif n >= PER_LOOK:
            row[EMPTY_RUN] += 1
    return rows


def _had_items(row: list[float]) -> bool:
    """Whether the account's before is established: it answered, and hardly ever without items."""
    return (
        row[BEFORE_LOOKS] >= LOOKS
        and row[BEFORE_QUERIES] >= ANSWERED
        and row[BEFORE_EMPTY] <= EMPTY_SHARE * row[BEFORE_LOOKS]
    )


def _judge(rows: dict[str, list[float]], evidence: Evidence) -> Judgement:
    had = {account for account, row in rows.items() if _had_items(row)}
    empty = sorted(account for account in had if rows[account][EMPTY_RUN] >= RUN)
    numbers: dict[str, object] = {
        "judge": BecomesEmpty.name,
        "judged": len(had),
        "expected": evidence.expected,
        "empty": len(empty),
    }
    if empty:
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{_named(empty)} had items before and gave none in {RUN} looks in a row",
            numbers=numbers,
            worst=tuple(empty[:WORST_SHOWN]),
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
    sure = {name for name in had if rows[name][DONE_LOOKS] >= WITH_ITEMS and rows[name][EMPTY_RUN] <= 0}
    running = {name for name in had if rows[name][EMPTY_RUN] > 0}
    if running or not len(sure) >= needed:
        waiting = sorted(had - sure)
        return undecided(f"not yet {WITH_ITEMS} looks with items of {_named(waiting)}", numbers, *waiting)
    aside = f" ({len(accounts) - len(sure)} could not be judged)" if len(sure) < len(accounts) else ""
    return Judgement(
        verdict=Verdict.PASS,
        reason=f"all {len(sure)} accounts still answer with items{aside}",
        numbers=numbers,
    )


def _named(accounts: list[str]) -> str:
    more = f" and {len(accounts) - WORST_SHOWN} more" if len(accounts) > WORST_SHOWN else ""
    return ", ".join(accounts[:WORST_SHOWN]) + more
