"""Judge `never-seen`: a kind of bad event that no account had in all its past appears in the canary. J5c of GATE 5.4.

A clean past says something that a comparison of the same minutes cannot: how rare this is. Used only where history is
known and no account had a single such event in it. Counted are accounts, not events (one that retries all night is
one): at its first event an account is hit, and leaves. Two things must come together:
    when   the fleet's first hit is t after the wave's first intent, after D hours of clean past. If hours are
           exchangeable when nothing is done, that it falls within h hours of the intent and not in the D before has a
           chance of at most 1/(D/h + 1):   W = mean over h in {1, 4, 24} of (D/h + 1) [t <= h]   has a mean of <= 1
    where  given a hit in a look, it falls to the canary with a chance of at most q = m n_c/(m n_c + n_k), over the
           trials of accounts not hit yet, however many there are (m = 1.1, or 1 for cohorts known to be alike):
           log L_r = y_c ln r - (y_c + y_k) ln(r q + 1 - q),   r in {10, 100, 1000}
    E = W x mean of L_r; FAIL when E >= 1/alpha AND two canary accounts are hit (DESIGN 12.20), or the wave has but
    one, and it had two such events, with ten times the evidence (decision record 0006)
Valid because E[W] <= 1 over what the past was, and given when the first hit came each L_r is a supermartingale. A
fault of the world that begins in the very first hour (one rollout in D/1 h) takes W away, not `where`: 11 % of such
bakes ring at 1 %, 3 % at 0.1 %. Adding the clean exposure to control's instead, as GATE has it, rings in 37 % of them
at any level; and both ring at the second account of a 10 % canary, where a comparison of the same minutes needs four
events or more.
Hits of control past ten end it: `split` has enough to compare by then.

It only ever objects. Nothing is asked 24 hours after the first intent if nothing was hit until then.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.learning import MINUTES, Owns
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, Instant
from ringctl.gates.evidence import (
    ALONE,
    HIGHEST,
    WORST_SHOWN,
    aside,
    earlier_fail,
    floats,
    keep_fail,
    log_likelihood,
    mapping,
    no_answer,
)

COMPARED: Final = frozenset({"canary-vs-control", "before-vs-after", "unchanged"})
WINDOWS: Final = (1, 4, 24)  # hours after the first intent
RATIOS: Final = (10.0, 100.0, 1000.0)
LEAN: Final = 1.1
LEAST_HOURS: Final = 24.0  # of past
MOST_CONTROL: Final = 10


class NeverSeen:
    """`increase` on counts of something that never happened before."""

    name = "never-seen"
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
        earlier = earlier_fail(state)
        if earlier is not None:
            return state, earlier
        after = _folded(check, state, evidence)
        return keep_fail(after, _judge(check, after, evidence))


def timing(hours: float, past: float) -> float:
    """W for a first hit `hours` after the intent, with `past` clean hours before it."""
    return sum((past / window + 1) for window in WINDOWS if hours <= window) / len(WINDOWS)


def _folded(check: Check, state: JudgeState, evidence: Evidence) -> dict[str, object]:
    """The next state. since: first intent; past: clean hours, 0 where it is off; w: W, from the first hit on; logs:
    of L_r; hit: canary account -> events; spared: control accounts hit."""
    after: dict[str, object] = dict(state)
    if "since" not in state:
        if not any(cell.after for cell in evidence.touched):
            return after
        begun = [one for one in evidence.intents.values() if one is not None]
        learnt = evidence.learnt
        clean = learnt.hours >= LEAST_HOURS and not sum(learnt.events) > 0
        after["since"] = min(begun, default=evidence.at_us - evidence.interval_us)
        after["past"] = learnt.hours if clean else 0.0
    hit, spared = dict(mapping(state, "hit")), dict(mapping(state, "spared"))
    if not float(str(after["past"])) > 0 or len(spared) > MOST_CONTROL:
        return after
    touched = [cell for cell in evidence.touched if _known(evidence.learnt.own, cell)]
    control = (cell for cell in evidence.control if _known(evidence.learnt.own, cell))
    n_c, struck = _hits((cell for cell in touched if cell.account not in spared), hit, after=True)
    n_k, others = _hits((*touched, *control), spared, after=False)
    new = len(struck.keys() - hit.keys())
    for account, y in struck.items():
        hit[account] = float(str(hit.get(account, 0.0))) + y
    if (new or others) and n_c > 0 and n_k > 0:
        lean = 1.0 if check.alike else LEAN
        q = lean * n_c / (lean * n_c + n_k)
        logs = floats(state, "logs", len(RATIOS))
        after["logs"] = [
            log + log_likelihood(r, q, new, len(others)) for log, r in zip(logs, RATIOS, strict=True)
        ]
        if "w" not in state:
            since: Instant = int(str(after["since"]))
            after["w"] = timing((evidence.at_us - since) / HOUR, float(str(after["past"])))
    return {**after, "hit": hit, "spared": {**spared, **dict.fromkeys(others, 1)}}


def _known(own: Owns, cell: Cell) -> bool:
    """Whether a day of the account is known: that an event never happened on another says nothing."""
    row = own.rows.get(cell.account)
    return row is not None and row[MINUTES] >= 60 * LEAST_HOURS


def _hits(
    cells: Iterable[Cell], known: Mapping[str, object], *, after: bool
) -> tuple[float, dict[str, float]]:
    """Trials of the accounts on that side that were not hit before this look, and events of all that had any.

    Of control's side only accounts not hit before are of interest.
    """
    trials, struck = 0.0, {}
    for account, n, y, behind in cells:
        if behind is after and n is not None and y is not None and 0 < n < math.inf and 0 <= y < math.inf:
            if account not in known:
                trials += n
            if y > 0 and (after or account not in known):
                struck[account] = y
    return trials, struck


def _judge(check: Check, state: JudgeState, evidence: Evidence) -> Judgement:
    level = 1 / check.false_alarm
    hit, spared = mapping(state, "hit"), mapping(state, "spared")
    logs, w = floats(state, "logs", len(RATIOS)), state.get("w")
    e = 1.0
    if isinstance(w, float):
        e = min(HIGHEST, w * sum(math.exp(min(200.0, log)) for log in logs) / len(logs))
    numbers: dict[str, object] = {
        "judge": NeverSeen.name, "e": e, "level": level, "hit": len(hit), "control_hit": len(spared),
    }  # fmt: skip
    past = state.get("past")
    if past is None:
        return aside("no account of the wave has begun yet", numbers)
    if not float(str(past)) > 0:
        return aside("off: such events are known from before, or there is no day of history", numbers)
    if not hit:
        return aside("no such event in the wave, as ever before", numbers)
    said = f"{len(hit)} accounts of the wave and {len(spared)} of control had what none had in {past:.0f} h before"
    events = sum(float(str(one)) for one in hit.values())
    lone = evidence.expected == 1 and events >= 2 and e >= ALONE * level
    if e >= level and (len(hit) >= 2 or lone):
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{said} (E = {e:.3g}, FAIL from {level:.3g})",
            numbers=numbers,
            worst=tuple(sorted(hit)[:WORST_SHOWN]),
            abstains=True,
        )
    return aside(said, numbers, *sorted(hit))
