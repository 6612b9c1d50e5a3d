"""Judge `shift`: accounts' own values moved, either way, against before (payload, bytes or seconds per answer).

Per account E_i, from values outside the band that it kept before and beyond `shift` of its own median (`own_band`):
    E = mean of E_i over the wave's accounts (1 for those not judged): valid whatever they have in common
    FAIL     E >= 1/alpha, at any look (Ville), and without the account that moved most it is still 20, so that no
             account fails alone (DESIGN 12.20); or the only one touched so far has ten times the evidence
             (decision record 0006)
    PASS     per account E_pass >= 1/miss from complete looks (evidence that it did not move by more than `shift`)
             and the mean within it; by enough accounts (`evidence.quorum`), `min_samples` answers in complete looks,
             and no account that moved (of an expansion wave one in a hundred may, and is named)

`canary-vs-control` and `unchanged`: values are divided by the drift of control (the median of what its accounts have
against their own before), and an account that is out while k of m control accounts are counts for no more than its
rank (1+k)/(1+m). `before-vs-after` has the account's own past alone, and a band 10 % wider.

Whatever is compared, control is judged by the same process: for some b more of the wave's accounts must have an E_i
of b than chance puts there, were the wave drawn from all that ever had (Fisher's exact test). Where at most 1/50 of
control ever had an E_i of 20 untouched, and none as high as the wave's second, that is asked at 1.5 %, and at 10 % if
the wave without the account that moved most is over the level too; else looks are not exchangeable, and it is asked
at 0.1 %. Bursts of hours, that a short before never saw, and drifts that all have in common make few alarms so.
Without control accounts a drift that takes two accounts beyond `shift` of what they were is taken for harm.

Only ratios to an account's own past are judged: units do not matter. A value that was 0 and is not any more moved.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from statistics import median
from typing import Final

from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import Instant
from ringctl.gates import own_band
from ringctl.gates.evidence import (
    ALONE,
    WORST_SHOWN,
    earlier_fail,
    keep_fail,
    mapping,
    no_answer,
    quorum,
    undecided,
    unheard,
)
from ringctl.gates.own_band import DONE_N, E_PASS, MID, MOST_E, SUM, E, Others, Row, T, Value

CLEARLY: Final = 20.0
BARS: Final = (CLEARLY, 1e4, 1e8, 1e16)
CHANCE: Final = 0.1
STRICT: Final = 0.015
STRICTEST: Final = 0.001
BORNE_OUT: Final = 0.02
CONTROL: Final = 5  # accounts whose values a drift is taken from
ALONE_WIDE: Final = 1.1
MAY_MOVE: Final = 0.01  # of an expansion wave's accounts

Rows = dict[str, Row]


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
        """Fold one look in. State: s: account -> sample of its before; a, k: touched and control -> row."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        samples, rows, control = (_rows(state, key) for key in "sak")
        _folded(check, evidence, samples, rows, control)
        after: JudgeState = {**state, "s": samples, "a": rows, "k": control}
        judgement = earlier_fail(state) or _judge(check, rows, control, evidence)
        named = {cell.account for cell in evidence.touched}
        known = len(rows) + sum(name in named and own_band.enough(one) for name, one in samples.items())
        return keep_fail(after, replace(judgement, needs_before=not known >= quorum(evidence.expected)))


def _rows(state: JudgeState, key: str) -> Rows:
    """Account -> row. The rows are the state's own: they are never changed, only replaced."""
    return {name: row for name, row in mapping(state, key).items() if isinstance(row, list)}


def _known(cells: Iterable[Cell], *, after: bool) -> Iterable[tuple[str, float, float]]:
    """Account, answers and amount of the known cells with an answer on that side of the intent."""
    for account, n, y, behind in cells:
        if behind is after and n is not None and y is not None and 0 < n < math.inf and 0 <= y / n < math.inf:
            yield account, n, y


def _folded(check: Check, evidence: Evidence, samples: Rows, rows: Rows, control: Rows) -> None:
    """Folds the look into the three maps. Control is compared with from the wave's first intent on."""
    begun = any(one is not None for one in evidence.intents.values())
    early = [*_known(evidence.touched, after=False)]
    if not begun:
        early += _known(evidence.control, after=False)
    for account, n, y in early:
        samples[account] = own_band.sampled(samples.get(account), n, y, evidence.interval_us)
    limit, others, wide = check.fail_if.shift or 0.0, Others(), ALONE_WIDE
    if begun:
        beside = _values(check, evidence, samples, control, after=False)
        compared = check.compare != "before-vs-after"
        others = _control(beside, evidence.at_us, 1.0 if compared else wide, drifts=compared)
        wide = 1.0 if others.count else wide
    for row, answers, value, complete in _values(check, evidence, samples, rows, after=True):
        u = value / others.drift
        own_band.stepped(row, evidence.at_us, u, own_band.ways(row, u, wide), others)
        if complete:
            own_band.passed(row, u, answers, limit)


def _values(check: Check, evidence: Evidence, samples: Rows, rows: Rows, *, after: bool) -> list[Value]:
    """The accounts that have a value in this look, `after`: the touched ones, else control. Samples become rows."""
    found = []
    for account, n, y in _known(evidence.touched if after else evidence.control, after=after):
        row = rows.get(account)
        if row is not None:
            row = list(row)
        else:
            sample = samples.get(account)
            if sample is None or not own_band.enough(sample):
                continue
            row = own_band.banded(sample, check.fail_if.shift or 0.0)
            del samples[account]
        rows[account] = row
        value = own_band.gathered(row, n, y, evidence.interval_us, complete=evidence.complete)
        if value is not None:
            found.append(value)
    return found


def _control(values: list[Value], at_us: Instant, wide: float, *, drifts: bool) -> Others:
    """What control did at this look, and each of its accounts judged; `drifts`: among the others."""
    ratios = [one.value / one.row[MID] for one in values if one.row[MID] > 0] if drifts else []
    drift = median(ratios) if len(ratios) >= CONTROL else 1.0
    drift = drift if 0 < drift < math.inf else 1.0
    out = [own_band.ways(one.row, one.value / drift, wide) for one in values]
    a, b, c, d = (sum(each[way] for each in out) for way in range(4))
    others = Others(drift, len(values), (a, b, c, d)) if drifts and len(values) >= CONTROL else Others()
    for one, ways in zip(values, out, strict=True):
        own_band.stepped(one.row, at_us, one.value / drift, ways, others.without(ways))
    return others


def _by_chance(moved: int, of: int, moved_k: int, of_k: int) -> float:
    """Fisher's exact test: how likely the wave has `moved` or more of all who did, were it drawn at random."""
    total = moved + moved_k
    whole = _log_choose(of + of_k, total)
    return sum(
        math.exp(_log_choose(of, k) + _log_choose(of_k, total - k) - whole)
        for k in range(moved, min(of, total) + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _enough(rows: Rows, control: Rows, accounts: int, level: float) -> bool:
    """Whether more than one account has moved, and more of them than of control ever did."""
    found = sorted((row[E] for row in rows.values()), reverse=True)
    others = sum(found[1:]) / accounts
    if not others >= CLEARLY:
        return False
    most = [row[MOST_E] for row in control.values()]
    if len(most) < CONTROL:
        return True
    borne_out = sum(one >= CLEARLY for one in most) <= BORNE_OUT * len(most) and max(most) < found[1]
    limit = (CHANCE if others >= level else STRICT) if borne_out else STRICTEST
    for bar in BARS:
        moved, moved_k = (sum(one >= bar for one in many) for many in (found, most))
        if moved >= 2 and _by_chance(moved, len(found), moved_k, len(most)) <= limit:
            return True
    return False


def _judge(check: Check, rows: Rows, control: Rows, evidence: Evidence) -> Judgement:
    level, accounts = 1 / check.false_alarm, max(evidence.expected, len(rows), 1)
    e = (sum(row[E] for row in rows.values()) + accounts - len(rows)) / accounts
    clearly = sorted(
        (name for name in rows if rows[name][E] >= CLEARLY), key=lambda name: (-rows[name][E], name)
    )
    sure = {name for name, row in rows.items() if row[E_PASS] >= 1 / check.miss}
    n_done = sum(row[DONE_N] for row in rows.values())
    numbers: dict[str, object] = {
        "judge": Shift.name, "e": e, "level": level, "judged": len(rows), "expected": evidence.expected,
        "moved": len(clearly), "control_moved": sum(row[MOST_E] >= CLEARLY for row in control.values()),
        "within": len(sure), "n_done": n_done,
    }  # fmt: skip
    limit = f"{100 * (check.fail_if.shift or 0.0):.0f} %"
    if e >= level and clearly:
        said = (
            f"{len(clearly)} accounts moved by more than {limit} ({_by(rows, clearly[0])}; "
            f"E = {e:.3g}, FAIL from {level:.3g})"
        )
        if _enough(rows, control, accounts, level) or (len(rows) == 1 and e >= ALONE * level):
            worst = tuple(clearly[:WORST_SHOWN])
            return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=worst)
        why = "more are" if len(clearly) > 1 else "a second one is"
        return undecided(f"{said}, but {why} needed to fail", numbers, *clearly)
    lacking = _lacking(check, rows, evidence, n_done)
    if lacking:
        return undecided(lacking, numbers, *clearly)
    beyond = sorted(name for name, row in rows.items() if own_band.beyond(row, check.fail_if.shift or 0.0))
    outside = list(dict.fromkeys([*clearly, *beyond]))
    allowed = 0 if evidence.strict else int(MAY_MOVE * evidence.expected)
    if len(outside) > allowed:
        said = f"{_named(rows, outside)}: not certain enough to fail, too much to pass"
        return undecided(said, numbers, *outside)
    within = len(sure.difference(outside))
    if not within >= quorum(evidence.expected):
        said = f"{within} of {evidence.expected} accounts are known to be within {limit}"
        return undecided(said, numbers, *sorted(rows.keys() - sure))
    aside = f"; {_named(rows, outside)}" if outside else ""
    return Judgement(
        verdict=Verdict.PASS,
        reason=f"{within} accounts are within {limit} of what they had before{aside}",
        numbers=numbers,
        worst=tuple(outside[:WORST_SHOWN]),
    )


def _lacking(check: Check, rows: Rows, evidence: Evidence, n_done: float) -> str:
    """What a pass still wants, or ""."""
    reason = unheard(evidence)
    if reason:
        return reason
    if not len(rows) >= quorum(evidence.expected):
        looks = own_band.LEAST_LOOKS
        return f"{len(rows)} of {evidence.expected} accounts have a before of {looks} looks with answers"
    if not n_done >= check.min_samples:
        return f"{n_done:.0f} answers since the last account was done, {check.min_samples} are needed"
    return ""


def _by(rows: Rows, account: str) -> str:
    """By how much, in words."""
    row = rows[account]
    change = row[SUM] / row[T] - 1
    return f"{100 * change:+.0f} % on {account}" if change < 1000 else f"from next to nothing on {account}"


def _named(rows: Rows, accounts: list[str]) -> str:
    more = f" and {len(accounts) - WORST_SHOWN} more" if len(accounts) > WORST_SHOWN else ""
    return ", ".join(_by(rows, one) for one in accounts[:WORST_SHOWN]) + more
