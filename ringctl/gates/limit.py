"""Judge `limit`: a share of bad events against a fixed ceiling, at any look. J5a of GATE 5.4.

`fail_if.ceiling: p` needs no control and no past: it is the one judge that sees harm common to canary and control (a
shared database), and the one left in the last ring. On the wave's accounts together, n events and y bad of a look:
    log L(b) = [ y ln(b/p) + (n - y) ln((1-b)/(1-p)) ] / phi
FAIL: b = 1.5 p, 2 p, 5 p, 20 p (at most 1 - (1-p)/10); E = sum of stakes x L + rest >= 1/alpha from the first intent
    on, at any look, AND the excess is not one account's alone (DESIGN 12.20): without the worst one the mean of L is
    still 20 or more, or the wave has but one, with ten times the evidence (decision record 0006). That is counted
    since the change began by the look of it: since the cumulative sum of log L(2 p) was last 0.
PASS: the same the other way, b = 0.5 p and 0.8 p: mean of the two products over complete looks >= 1/miss, against
    "the share is p or more". A release whose true share is p or more passes with a chance of at most `miss`, however
    often it is looked at; one between 0.8 p and p is neither, and holds.
Given its past, each look's L has a mean of at most 1 for any share at or below p (FAIL), at or above p (PASS): a
supermartingale, and Ville's inequality holds at every look. phi treats phi events as one: what was learnt of how
events cluster (`Learnt.phi`), 2 where nothing was, and with less than two days of past no less than accounts that
nothing was done to show meanwhile (`scatter`): what came since the last stake, and all of PASS, by what is known now.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.gates import absence
from ringctl.gates.evidence import (
    ALONE,
    OTHERS,
    SUSPECT,
    WORSE_Z,
    WORST_SHOWN,
    Stakes,
    earlier_fail,
    floats,
    fresh,
    keep_fail,
    mapping,
    no_answer,
    stakes,
    together,
    undecided,
    unheard,
)
from ringctl.gates.exposure import dispersion, with_bursts
from ringctl.gates.scatter import UNLEARNT_PHI

ABOVE: Final = (1.5, 2.0, 5.0, 20.0)
BELOW: Final = (0.5, 0.8)
TRACKED: Final = 2.0  # the multiple that the cumulative sum looks for
MOST_LOG: Final = 600.0


class Limit:
    """`ceiling: SHARE` on counts, with any `compare`."""

    name = "limit"
    part = 0.7

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        measure = check.measure
        return isinstance(measure, Ratio) and measure.of_counts and _ceiling(check) is not None

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        limit = _ceiling(check)
        if limit is None:
            return state, undecided("no ceiling is asked for", {"judge": self.name})
        state = with_bursts(check, state, evidence)
        phi = max(evidence.learnt.phi or UNLEARNT_PHI, dispersion(evidence.learnt, mapping(state, "bursts")))
        after = _folded(limit, phi, state, evidence)
        earlier = earlier_fail(state)
        if earlier is not None:
            return after, earlier
        return keep_fail(after, _judge(check, limit, phi, (after, evidence)))


def _ceiling(check: Check) -> float | None:
    """The ceiling, where it is one: neither 0 nor 1."""
    limit = check.fail_if.ceiling
    return limit if limit is not None and 0 < limit < 1 else None


def rates_above(limit: float) -> tuple[float, ...]:
    """The shares staked on, none of them 1: a single good event must not end all evidence."""
    return tuple(min(times * limit, 1 - (1 - limit) / 10) for times in ABOVE)


def log_ratio(share: float, limit: float, n: float, y: float) -> float:
    """Log of the likelihood of y out of n at `share` over that at `limit`."""
    return y * math.log(share / limit) + (n - y) * math.log((1 - share) / (1 - limit))


def _folded(limit: float, phi: float, state: JudgeState, evidence: Evidence) -> dict[str, object]:
    """The next state. up: stakes, open: logs since the last one was opened; pass: two logs; sum, done: [n, y] since
    the intents, and in complete looks; w: the cumulative sum; a: account -> [n, y] since it was 0; bursts: `scatter`.
    """
    after: dict[str, object] = dict(state)
    there = {name: (n, min(n, y)) for name, (n, y) in fresh(evidence.touched, after=True).items() if n > 0}
    if not there:
        return after
    n, y = sum(one[0] for one in there.values()), sum(one[1] for one in there.values())
    then, logs = _stakes(state), floats(state, "open", len(ABOVE))
    now = then.at(evidence.at_us, logs=[log / phi for log in logs])
    if now.opened > then.opened:
        logs = [0.0] * len(ABOVE)
    gains = [log_ratio(share, limit, n, y) for share in rates_above(limit)]
    after |= {"up": now.row(), "open": [log + more for log, more in zip(logs, gains, strict=True)]}
    after["sum"] = _added(floats(state, "sum", 2), n, y)
    gain = log_ratio(rates_above(limit)[ABOVE.index(TRACKED)], limit, n, y) / phi
    w = min(MOST_LOG, floats(state, "w", 1)[0] + gain)
    rows = dict(mapping(state, "a")) if w > 0 else {}
    if w > 0:
        for name, pair in there.items():
            row = rows.get(name)
            rows[name] = _added(row if isinstance(row, list) else [0.0, 0.0], *pair)
    after |= {"w": [max(0.0, w)], "a": rows}
    if evidence.complete:
        after["done"] = _added(floats(state, "done", 2), n, y)
        logs = floats(state, "pass", len(BELOW))
        gains = [log_ratio(times * limit, limit, n, y) for times in BELOW]
        after["pass"] = [log + more for log, more in zip(logs, gains, strict=True)]
    return after


def _judge(check: Check, limit: float, phi: float, now: tuple[JudgeState, Evidence]) -> Judgement:
    state, evidence = now
    tempered = [log / phi for log in floats(state, "open", len(ABOVE))]
    e, level = _stakes(state).times(tempered).evidence, 1 / check.false_alarm
    absent = absence.evidence(floats(state, "pass", len(BELOW)), phi)
    (n, y), (n_done, y_done) = floats(state, "sum", 2), floats(state, "done", 2)
    numbers: dict[str, object] = {
        "judge": Limit.name, "e": e, "level": level, "e_pass": absent, "level_pass": 1 / check.miss, "phi": phi,
        "ceiling": limit, "share": y / n if n > 0 else None, "share_done": y_done / n_done if n_done > 0 else None,
        "n_done": n_done,
    }  # fmt: skip
    if e >= level:
        return _raised(limit, phi, now, numbers)
    lacking = unheard(evidence)
    if not lacking and not (n_done >= check.min_samples and n_done > 0):
        lacking = f"{n_done:.0f} samples since the last account was done, {check.min_samples} are needed"
    if lacking:
        return undecided(lacking, numbers)
    against = f"(E = {absent:.3g}, PASS from {1 / check.miss:.3g})"
    if absent >= 1 / check.miss and e < SUSPECT:
        return Judgement(
            verdict=Verdict.PASS,
            reason=f"{100 * y_done / n_done:.3g} % are bad; {100 * limit:g} % or more is ruled out {against}",
            numbers=numbers,
        )
    return undecided(f"{100 * limit:g} % or more is not ruled out yet {against}", numbers)


def _raised(
    limit: float, phi: float, now: tuple[JudgeState, Evidence], numbers: dict[str, object]
) -> Judgement:
    """The evidence is over its level: FAIL, unless it is one account's alone."""
    state, evidence = now
    rows = {name: row for name, row in mapping(state, "a").items() if isinstance(row, list)}
    said = (
        f"above the ceiling of {100 * limit:g} % (E = {numbers['e']:.3g}, FAIL from {numbers['level']:.3g})"
    )
    z = {name: _excess(row, limit, phi) for name, row in rows.items()}
    worst = sorted(z, key=lambda name: (-z[name], name))
    clearly = sum(one >= WORSE_Z for one in z.values())
    n, y = (sum(rows[name][place] for name in worst[1:]) for place in range(2))
    rest = together([log_ratio(share, limit, n, y) / phi for share in rates_above(limit)])
    numbers = {**numbers, "worse": clearly, "without_worst": rest}
    lone = evidence.expected == 1 and float(str(numbers["e"])) >= ALONE * float(str(numbers["level"]))
    if rest >= OTHERS or lone:
        return Judgement(verdict=Verdict.FAIL, reason=said, numbers=numbers, worst=tuple(worst[:WORST_SHOWN]))
    why = f"without {worst[0]} it is not" if clearly else "not of late"
    return undecided(f"{said}, but {why}: one account alone does not fail this check", numbers, *worst)


def _excess(row: Sequence[float], limit: float, phi: float) -> float:
    """How many standard deviations y lies above what the ceiling allows."""
    n, y = row
    variance = phi * n * limit * (1 - limit)
    return (y - n * limit) / math.sqrt(variance) if variance > 0 else 0.0


def _added(row: Sequence[float], n: float, y: float) -> list[float]:
    return [row[0] + n, row[1] + y]


def _stakes(state: Mapping[str, object]) -> Stakes:
    return stakes(state, "up", len(ABOVE))
