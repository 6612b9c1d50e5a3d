"""Judge `shift`: accounts' own values moved, either way, against before (payload, bytes or seconds per answer).

Per account E_i, from values outside the band that it kept before and beyond `shift` of its own median (`own_band`):
    E = mean of E_i over the wave's accounts (1 for those not judged): valid whatever they have in common
    FAIL     E >= 1/alpha, at any look (Ville), and at least two accounts clearly moved (E_i >= 20; DESIGN 12.20), or
             the only one touched so far did, with ten times the evidence (decision record 0006)
    PASS     per account E_pass >= 1/miss from complete looks (evidence that it did not move by more than `shift`)
             and the mean within it; by enough accounts (`evidence.quorum`), `min_samples` answers in complete looks,
             and no account that moved (of an expansion wave one in a hundred may, and is named)

`canary-vs-control` and `unchanged`: values are divided by the drift of control (the median of what its accounts have
against their own before), and an account that is out while k of m control accounts are counts for no more than its
rank (1+k)/(1+m). `before-vs-after` has the account's own past alone, and a band 10 % wider.

Whatever is compared, control is judged by the same process: where some of its accounts ever had an E_i of b without
being touched, it takes more than two of the wave's to fail: for some b more than that share, and 3 standard deviations
above it. Bursts of hours, that a short before never saw, and drifts that all have in common make few alarms then.
Without control accounts a drift that takes two accounts beyond `shift` of what they were is taken for harm.

Only ratios to an account's own past are judged: units do not matter. A value that was 0 and is not any more moved.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
from ringctl.gates.own_band import DONE_N, MID, MOST_E, PART_DONE, SUM, E, Others, Row, T

CLEARLY: Final = 20.0
BARS: Final = (CLEARLY, 1e4, 1e8, 1e16)
DEVIATIONS: Final = 3.0
CONTROL: Final = 5  # accounts whose values a drift is taken from
ALONE_WIDE: Final = 1.1
MAY_MOVE: Final = 0.01  # of an expansion wave's accounts

Rows = dict[str, Row]
Values = list[tuple[Row, float, float]]  # of an account's look: its row, the answers, the value


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
    for row, n, value in _values(check, evidence, samples, rows, after=True):
        u = value / others.drift
        done = row[PART_DONE] > 0
        own_band.stepped(row, evidence.at_us, u, own_band.ways(row, u, wide), others)
        if done:
            own_band.passed(row, u, limit)
            row[DONE_N] += n


def _values(check: Check, evidence: Evidence, samples: Rows, rows: Rows, *, after: bool) -> Values:
    """The accounts that have a value in this look, `after`: the touched ones, else control. Samples become rows."""
    found: Values = []
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
            found.append((row, *value))
    return found


def _control(values: Values, at_us: Instant, wide: float, *, drifts: bool) -> Others:
    """What control did at this look, and each of its accounts judged; `drifts`: among the others."""
    ratios = [value / row[MID] for row, _, value in values if row[MID] > 0] if drifts else []
    drift = median(ratios) if len(ratios) >= CONTROL else 1.0
    drift = drift if 0 < drift < math.inf else 1.0
    out = [own_band.ways(row, value / drift, wide) for row, _, value in values]
    a, b, c, d = (sum(one[way] for one in out) for way in range(4))
    others = Others(drift, len(values), (a, b, c, d)) if drifts and len(values) >= CONTROL else Others()
    for (row, _, value), ways in zip(values, out, strict=True):
        own_band.stepped(row, at_us, value / drift, ways, others.without(ways))
    return others


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """Who moved: `clearly` by evidence, most of it first; `beyond` by the mean of complete looks.

    `needed`: how many must have moved clearly to fail; `enough`: they have.
    """

    e: float
    clearly: list[str]
    beyond: list[str]
    needed: int
    enough: bool


def _moved(check: Check, rows: Rows, control: Rows, expected: int) -> _Moved:
    limit = check.fail_if.shift or 0.0
    accounts = max(expected, len(rows), 1)
    e = (sum(row[E] for row in rows.values()) + accounts - len(rows)) / accounts
    clearly = sorted(
        (name for name, row in rows.items() if row[E] >= CLEARLY), key=lambda name: (-rows[name][E], name)
    )
    bars = {bar: _needed(len(rows), control, bar) for bar in BARS}
    return _Moved(
        e=e,
        clearly=clearly,
        beyond=sorted(name for name, row in rows.items() if own_band.beyond(row, limit)),
        needed=bars[CLEARLY],
        enough=any(sum(rows[name][E] >= bar for name in clearly) >= many for bar, many in bars.items()),
    )


def _needed(accounts: int, control: Rows, bar: float) -> int:
    """How many of the wave's accounts must have an E of `bar`, seeing how many of control ever had.

    Two, where control bears out that hardly any get there by chance: none, and of those of E >= 20 at most 1/20.
    """
    most = [row[MOST_E] for row in control.values()]
    moved, clearly = (sum(one >= least for one in most) for least in (bar, CLEARLY))
    if len(most) < CONTROL or (not moved and clearly <= len(most) / CLEARLY):
        return 2
    share = (moved + 1) / (len(most) + 1)
    chance = accounts * share + DEVIATIONS * math.sqrt(accounts * share * (1 - share))
    return max(2, 1 + math.floor(chance))


def _judge(check: Check, rows: Rows, control: Rows, evidence: Evidence) -> Judgement:
    moved, level = _moved(check, rows, control, evidence.expected), 1 / check.false_alarm
    sure = {name for name, row in rows.items() if own_band.absent(row) >= 1 / check.miss}
    n_done = sum(row[DONE_N] for row in rows.values())
    numbers: dict[str, object] = {
        "judge": Shift.name, "e": moved.e, "level": level, "judged": len(rows), "expected": evidence.expected,
        "moved": len(moved.clearly), "moved_needed": moved.needed, "within": len(sure), "n_done": n_done,
    }  # fmt: skip
    limit = f"{100 * (check.fail_if.shift or 0.0):.0f} %"
    shown = moved.clearly[:WORST_SHOWN]
    if moved.e >= level and shown:
        said = (
            f"{len(moved.clearly)} accounts moved by more than {limit} ({_by(rows, shown[0])}; "
            f"E = {moved.e:.3g}, FAIL from {level:.3g})"
        )
        if moved.enough or (len(rows) == 1 and moved.e >= ALONE * level):
            return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(shown))
        return undecided(f"{said}, but {moved.needed} are needed to fail", numbers, *shown)
    lacking = _lacking(check, rows, evidence, n_done)
    if lacking:
        return undecided(lacking, numbers, *shown)
    outside = list(dict.fromkeys([*moved.clearly, *moved.beyond]))
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
