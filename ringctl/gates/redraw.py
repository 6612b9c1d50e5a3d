"""Judge `redraw`: was the canary drawn with bad luck, or is it worse? Randomisation over accounts, J3 of GATE 5.4.

At 20 times fixed in advance, 15 minutes to 24 hours after the wave's first intent and denser early, per account i of
canary (since its own intent) and control (since the wave's first):
    s_i = sqrt(y_i + 3/8) - sqrt(e_i d_i + 3/8), clipped to +-3
e_i = its trials at its own past rate (`exposure`), d_i = events over expected ones of the whole fleet since the same
moment: what all accounts do alike, by day and night, cancels out, also for accounts that began later. The canary's
sum is compared with that of M = 20/alpha random draws of as many accounts out of both:
    FAIL when (1 + draws that reach it)/(M + 1) <= alpha/20, AND the harm is not one account's alone (DESIGN 12.20):
    without its worst account the canary's sum is still 2.81 standard deviations above what is to be expected (5 %
    over 20 tests).
Exact where the canary is a random draw, whatever bursts and sizes do: then all draws are alike beforehand (ties count
against the canary). A test stops at the first draw that reaches the sum when there can be none, so healthy ones cost
next to nothing. Where M draws are more than `MOST_STEPS` steps of work, Hoeffding's bound stands in for them:
    p <= min over l of exp(-l sum) (mean over all accounts of exp(l s_j))^k
(a draw without replacement is no wilder than one with; Hoeffding 1963, theorem 4): as valid, and ten times as strict.

Draws come from SHAKE-128 over a seed made of the accounts' names and kept in the state: every node draws the same.
Of control at most 400 accounts take part, chosen by that seed at the first look. Off, and says so, where there are
fewer distinct draws than 20/alpha: the smallest share there is could not reach the level.

It only ever objects. Nothing is asked after 24 hours.
"""

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, Instant, Span
from ringctl.gates.evidence import (
    WORST_SHOWN,
    aside,
    earlier_fail,
    floats,
    keep_fail,
    mapping,
    no_answer,
)
from ringctl.gates.exposure import Rates, counted

LOOKS: Final = 20
OTHERS_Z: Final = 2.81
TIMES_US: Final[tuple[Span, ...]] = tuple(
    round(15 * 96 ** (place / (LOOKS - 1)) * MINUTE) for place in range(LOOKS)
)
CLIP: Final = 3.0
UNIT: Final = 1 << 20  # sums are of integers, so that equal draws are equal whatever their order
MOST_CONTROL: Final = 400
MOST_STEPS: Final = 1_500_000  # accounts drawn in one test: 0.2 s
BATCH: Final = 64  # draws at a time
LEAST_LOG: Final = -230.0  # of a share: 1e-100
TILTS: Final = tuple(0.05 * 1.25**power for power in range(24))  # l: 0.05 to 8.5

# an account's row: expected and observed events, and the fleet's when it began
E, Y, FLEET_E, FLEET_Y = range(4)


class Redraw:
    """`increase` on counts against control, by drawing the canary anew."""

    name = "redraw"
    part = 0.1

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        measure = check.measure
        return (
            isinstance(measure, Ratio)
            and measure.of_counts
            and check.compare in {"canary-vs-control", "unchanged"}
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
        return keep_fail(*_judge(check, after, evidence))


def _folded(check: Check, state: JudgeState, evidence: Evidence) -> dict[str, object]:
    """The next state: seed, since (first intent), fleet: [E, Y], k, a: rows of control and canary; tests, p."""
    after: dict[str, object] = dict(state)
    if "seed" not in state:
        if not any(cell.after for cell in evidence.touched):
            return after
        after |= _begun(evidence)
    rates = Rates(check, evidence.learnt)
    canary, control = dict(mapping(after, "canary")), dict(mapping(after, "control"))
    fleet_e, fleet_y = fleet = floats(after, "fleet", 2)
    there = counted((cell for cell in evidence.control if cell.account in control), rates, after=False)
    for rows, counts in ((canary, counted(evidence.touched, rates, after=True)), (control, there)):
        for account, (e, y) in counts.items():
            row = rows.get(account)
            if isinstance(row, list) and row:
                rows[account] = [row[E] + e, row[Y] + y, *row[2:]]
            else:
                rows[account] = [e, y, *fleet]
            fleet_e, fleet_y = fleet_e + e, fleet_y + y
    return {**after, "canary": canary, "control": control, "fleet": [fleet_e, fleet_y]}


def _begun(evidence: Evidence) -> dict[str, object]:
    """The seed, and the part of control that it chooses."""
    names = sorted({cell.account for cell in (*evidence.touched, *evidence.control)})
    seed = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    control = sorted(
        {cell.account for cell in evidence.control},
        key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest(),
    )
    begun = [one for one in evidence.intents.values() if one is not None]
    since: Instant = min(begun, default=evidence.at_us - evidence.interval_us)
    chosen: dict[str, list[float]] = {name: [] for name in control[:MOST_CONTROL]}
    return {"seed": seed, "since": since, "canary": {}, "control": chosen, "tests": 0}


def scores(rows: Iterable[Sequence[float]], fleet: Sequence[float]) -> list[int]:
    """s_i of each row, in units of 2^-20. A row is [e, y, the fleet's E and Y when the account began]."""
    found = []
    for e, y, fleet_e, fleet_y in rows:
        there = fleet[0] - fleet_e
        drift = (fleet[1] - fleet_y) / there if there > 0 else 0.0
        s = math.sqrt(y + 0.375) - math.sqrt(e * drift + 0.375)
        found.append(round(UNIT * max(-CLIP, min(CLIP, s))))
    return found


def share_by_draws(values: Sequence[int], k: int, draws: int, most: float, seed: str) -> float:
    """(1 + draws that reach the sum of the first k)/(1 + draws), or as soon as it is above `most` for certain."""
    pool, size, target = list(values), len(values), sum(values[:k])
    reached, done = 0, 0
    while done < draws:
        batch = min(BATCH, draws - done)
        words = struct.unpack(
            f"<{k * batch}I", hashlib.shake_128(f"{seed}/{done}".encode()).digest(4 * k * batch)
        )
        at = 0
        for _ in range(batch):
            total = 0
            for place in range(k):  # Fisher and Yates, as far as needed; the pool stays as shuffled as it is
                other = place + (words[at] * (size - place) >> 32)
                at += 1
                drawn = pool[other]
                pool[other] = pool[place]
                pool[place] = drawn
                total += drawn
            done += 1
            if total >= target:
                reached += 1
                if reached + 1 > most * (draws + 1):
                    return (reached + 1) / (done + 1)
    return (reached + 1) / (draws + 1)


def share_by_bound(values: Sequence[int], k: int) -> float:
    """Hoeffding's bound on the share of draws of k that reach the sum of the first k."""
    target = sum(values[:k]) / UNIT
    logs = [
        k * math.log(sum(math.exp(tilt * one / UNIT) for one in values) / len(values)) - tilt * target
        for tilt in TILTS
    ]
    return math.exp(max(LEAST_LOG, min(0.0, *logs)))


def _judge(check: Check, state: dict[str, object], evidence: Evidence) -> tuple[JudgeState, Judgement]:
    level = LOOKS / check.false_alarm
    numbers: dict[str, object] = {"judge": Redraw.name, "level": level, "tests": state.get("tests", 0)}
    if "seed" not in state:
        return state, aside("no account of the wave has begun yet", numbers)
    p = state.get("p")
    if isinstance(p, float):
        numbers |= {"e": 1 / p, "p": p}
    tests, since = int(str(state["tests"])), int(str(state["since"]))
    due = sum(evidence.at_us - since >= time for time in TIMES_US)
    if due <= tests:
        if tests >= LOOKS:
            return state, aside("all 20 tests of the first 24 hours are done", numbers)
        minutes = round(TIMES_US[tests] / MINUTE)
        return state, aside(f"test {tests + 1} of {LOOKS} is {minutes} min after the first intent", numbers)
    return _tested({**state, "tests": due}, {**numbers, "tests": due}, level)


def _tested(state: JudgeState, numbers: dict[str, object], level: float) -> tuple[JudgeState, Judgement]:
    """One test. Times that were missed are not made up for: their share is lost."""
    sides = [{name: row for name, row in mapping(state, side).items() if isinstance(row, list) and row}
             for side in ("canary", "control")]  # fmt: skip
    names = [name for side in sides for name in sorted(side)]
    rows = [side[name] for side in sides for name in sorted(side)]
    k, size = len(sides[0]), len(rows)
    splits = math.comb(size, k)
    numbers |= {"accounts": [k, size - k]}
    if not splits >= level:
        return state, aside(
            f"off: {k} of {size} accounts can be drawn in {splits} ways, {level:.3g} are needed", numbers
        )
    values = scores(rows, floats(state, "fleet", 2))
    draws = math.ceil(level)
    if draws * k <= MOST_STEPS:
        p = share_by_draws(values, k, draws, 1 / level, f"{state['seed']}/{numbers['tests']}")
    else:
        p = share_by_bound(values, k)
    state = {**state, "p": p}
    numbers |= {"e": 1 / p, "p": p}
    worst = sorted(range(k), key=lambda place: (-values[place], names[place]))
    said = f"{p:.2g} of the draws of {k} out of {size} accounts are as bad (FAIL from {1 / level:.2g})"
    if not p <= 1 / level:
        return state, aside(said, numbers)
    shown = tuple(names[place] for place in worst[:WORST_SHOWN])
    if _several(values, k):
        return state, Judgement(
            verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=shown, abstains=True
        )
    return state, aside(f"{said}, but it is one account's alone", numbers)


def _several(values: Sequence[int], k: int) -> bool:
    """Whether the canary is still worse than all are without its worst account: at 5 % over all tests."""
    size = len(values)
    mean = sum(values) / size
    variance = sum((one - mean) ** 2 for one in values) / (size - 1)
    canary = sorted(values[:k], reverse=True)
    rest = sum(canary[1:]) - (k - 1) * mean
    error = math.sqrt(variance * (k - 1) * (size - k + 1) / size)
    return k > 1 and rest >= OTHERS_Z * error
