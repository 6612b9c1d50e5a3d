"""Judge `own-history`: accounts that do worse, block after block, than ever before. J4 of GATE 5.4.

Per canary account and block of h hours since its own intent, ranked among the n blocks of its past by
`peaks.value` (its rate over control's in the same hours); after k tops in t blocks:
    M_i *= 0.5 + 0.5 top (n+t+1)/(k+1)           (`core.peaks`: exact where blocks are exchangeable)
    E = mean over the wave's accounts of E_i (1 for those without a past or not begun)
    FAIL when E >= 1/alpha, at any look (a mean of supermartingales; Ville), AND two accounts are clearly worse
    (E_i >= 20 each), or one is, so much so that E_i/accounts alone reaches the level (Bonferroni) and at least half
    of what it did in its tops was bad (decision record 0018), or it is the wave's only one, with ten times the
    evidence (0006).
h is the shortest of 1, 2, 4, 6 at which the replays of the past, averaged over the wave's accounts, stayed below the
level: bursts that outlast a block would make tops come in runs (real series rang falsely in 6.9 % of the bakes with
1 h, 0.4 % with 6 h; GATE 4.4). It is off, and says so, without days of history, and where 6 h are not enough.

It only ever objects. It needs control accounts in the same hours, then and now.
"""

import math
from collections.abc import Sequence
from typing import Final

from ringctl.core import peaks
from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.learning import Learnt
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, Instant
from ringctl.gates.evidence import (
    ALONE,
    MOSTLY,
    WORST_SHOWN,
    aside,
    earlier_fail,
    floats,
    keep_fail,
    mapping,
    no_answer,
)

COMPARED: Final = frozenset({"canary-vs-control", "before-vs-after", "unchanged"})
CLEARLY: Final = 20.0  # E of an account that is worse for certain (5 %)

# an account's row: its past (blocks, peak), start of its blocks, the block being counted (number, trials, events,
# control's totals when it began), blocks and tops so far, stakes, and trials and events of the tops
PAST, PEAK, START, BLOCK, N, Y, N_K, Y_K, T, K, ON, TOP_N, TOP_Y = range(13)


class OwnHistory:
    """`increase` on counts, against the accounts' own worst hours."""

    name = "own-history"
    part = 0.1

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        measure = check.measure
        return (
            isinstance(measure, Ratio)
            and measure.of_counts
            and check.compare in COMPARED
            and check.fail_if.increase is not None
        )

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        after = _folded(check, state, evidence)
        earlier = earlier_fail(state)
        if earlier is not None:
            return after, earlier
        return keep_fail(after, _judge(check, after, evidence))


def block_hours(learnt: Learnt, accounts: Sequence[str], level: float) -> int:
    """The shortest block at which replays of the accounts' past stay below `level`; 0: there is none."""
    for place, hours in enumerate(peaks.LENGTHS):
        past = [found[place] for name in accounts if (found := _peaks(learnt, name))]
        replays = [one.replay for one in past if one.blocks >= peaks.LEAST_BLOCKS and one.replay > 0]
        if replays and sum(replays) / len(replays) < level:
            return hours
    return 0


def _peaks(learnt: Learnt, account: str) -> tuple[peaks.Peak, ...]:
    own = learnt.own.get(account)
    return () if own is None else own.peaks


def _folded(check: Check, state: JudgeState, evidence: Evidence) -> dict[str, object]:
    """The next state: hours: length of a block; control: [n, y] so far; a: account -> row."""
    after: dict[str, object] = dict(state)
    there = [
        (account, n, y)
        for account, n, y, behind in evidence.touched
        if behind and n is not None and y is not None and 0 < n < math.inf and 0 <= y < math.inf
    ]
    if "hours" not in state:
        if not there:
            return after
        named = sorted(set(evidence.intents) | {cell.account for cell in evidence.touched})
        after["hours"] = block_hours(evidence.learnt, named, 1 / check.false_alarm)
    hours = int(str(after["hours"]))
    if hours == 0:
        return after
    n_k, y_k = floats(state, "control", 2)
    rows = dict(mapping(state, "a"))
    for account, n, y in there:
        old = rows.get(account)
        row = list(old) if isinstance(old, list) else _begun(evidence, account, hours)
        block = (evidence.at_us - 1 - row[START]) // (hours * HOUR)
        if block != row[BLOCK]:
            _count(row, n_k - row[N_K], y_k - row[Y_K])
            row[BLOCK], row[N], row[Y], row[N_K], row[Y_K] = block, 0.0, 0.0, n_k, y_k
        row[N] += n
        row[Y] += y
        rows[account] = row
    for _, n_i, y_i, _ in evidence.control:
        if n_i is not None and y_i is not None and 0 < n_i < math.inf and 0 <= y_i < math.inf:
            n_k, y_k = n_k + n_i, y_k + y_i
    return {**after, "control": [n_k, y_k], "a": rows}


def _begun(evidence: Evidence, account: str, hours: int) -> list[float]:
    """A row at an account's first cell after its intent."""
    began: Instant | None = evidence.intents.get(account)
    start = evidence.at_us - evidence.interval_us if began is None else began
    known = [one for one in _peaks(evidence.learnt, account) if one.hours == hours]
    blocks, peak = (known[0].blocks, known[0].peak) if known else (0, 0.0)
    return [blocks, peak, start, -1, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0]


def _count(row: list[float], n_k: float, y_k: float) -> None:
    """A block of the account is over: rank it among those of its past."""
    found = peaks.value(row[N], row[Y], n_k, y_k)
    if found is None or row[PAST] < peaks.LEAST_BLOCKS:
        return
    top = found > row[PEAK]
    row[ON] = peaks.bet(row[ON], row[PAST], row[T], row[K], top=top)
    row[T] += 1
    if top:
        row[K] += 1
        row[TOP_N] += row[N]
        row[TOP_Y] += row[Y]


def _judge(check: Check, state: JudgeState, evidence: Evidence) -> Judgement:
    level = 1 / check.false_alarm
    hours = state.get("hours")
    rows = {name: row for name, row in mapping(state, "a").items() if isinstance(row, list)}
    each = {name: peaks.evidence(row[ON], row[T]) for name, row in rows.items()}
    accounts = max(evidence.expected, len(rows), 1)
    e = (sum(each.values()) + accounts - len(rows)) / accounts
    numbers: dict[str, object] = {"judge": OwnHistory.name, "e": e, "level": level, "block_hours": hours}
    if hours is None:
        return aside("no account of the wave has begun yet", numbers)
    if hours == 0:
        return aside(_off(evidence), numbers)
    worst = sorted(each, key=lambda name: (-each[name], name))
    clearly = [name for name in worst if each[name] >= CLEARLY]
    numbers |= {
        "judged": sum(row[PAST] >= peaks.LEAST_BLOCKS for row in rows.values()),
        "worse": len(clearly),
    }
    if not e >= level:
        return aside(f"no account is worse than its own worst {hours} h, over and over", numbers)
    first = rows[worst[0]]
    said = f"worse than ever before in {first[K]:.0f} of {first[T]:.0f} blocks of {hours} h ({worst[0]})"
    if len(clearly) >= 2 or _alone(each[worst[0]] / accounts, first, accounts, level):
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{said}, {len(clearly)} accounts for certain (E = {e:.3g}, FAIL from {level:.3g})",
            numbers=numbers,
            worst=tuple(clearly[:WORST_SHOWN]),
            abstains=True,
        )
    return aside(f"{said}, but one account alone fails a check only where it is mostly bad", numbers)


def _alone(e: float, row: Sequence[float], accounts: int, level: float) -> bool:
    """Whether one account may fail the check by itself. `e`: its own, divided by the number of accounts."""
    if accounts == 1:
        return e >= ALONE * level
    return e >= level and row[TOP_Y] >= MOSTLY * row[TOP_N]


def _off(evidence: Evidence) -> str:
    known = any(_peaks(evidence.learnt, name) for name in evidence.intents)
    if known:
        return f"off: bursts outlast blocks of {peaks.LENGTHS[-1]} h, or there are too few days of history to know"
    return "off: there are no days of history with control"
