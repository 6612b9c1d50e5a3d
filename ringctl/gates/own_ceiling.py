"""Judge `own-ceiling`: an account that is (nearly) all bad against its own worst hour. J2 of GATE 5.4.

    cap_i = min(0.9, 1.5 worst_i + 0.02 + 3/n_i),   n_i trials in the account's past, worst_i its worst hour
    FAIL when E_i >= A/alpha for any of the A accounts of the wave (`own_process`; a union bound over accounts)
3/n_i is what n_i trials without a bad event cannot rule out. Needs no control, no randomisation and no dispersion:
bursts up to half again the account's worst hour are within its ceiling. The worst of a few hours foretells little of
the next ones, so an account of which less than a week is known has at least the ceiling that the worst hour of any
account allows. While that is the worst of fewer than 1,000 hours, the ceiling is at least 0.9 to 0.5, falling with
the hours: 30 accounts with bursts rang in 4 % of days with ten minutes known and one half for all.

This is the case of VSTS 2017: an account's answers become empty while it is upgraded, one account after another, and
the average over the fleet hardly moves. So one account is enough here, where at least half of what it did since the
change began is bad: that an account is broken by its own upgrade does not need a second one broken to be believed
(decision record 0018, beside DESIGN 12.20). Below half, two accounts are needed. An account without a past is judged
by what all accounts had, with twice the share, and by the worst hour of any; without that it is not judged here.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.learning import MINUTES, WORST_TRIALS, Learnt, N
from ringctl.core.policy import Check, Ratio
from ringctl.core.states import Verdict
from ringctl.gates import own_process
from ringctl.gates.evidence import MOSTLY, WORST_SHOWN, earlier_fail, keep_fail, known, mapping, no_answer

MOST_CAP: Final = 0.9
MARGIN: Final = 1.5
FLOOR: Final = 0.02
LEAST_TRIALS: Final = WORST_TRIALS
POOLED_TRIALS: Final = 200.0
OWN_HOURS: Final = 168.0
LEAST_HOURS: Final = 1000.0  # of all accounts


class OwnCeiling:
    """Ratios of counts with `increase`, beside whatever they are compared with."""

    name = "own-ceiling"
    part = 0.1

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        measure = check.measure
        counts = isinstance(measure, Ratio) and measure.of_counts
        return counts and check.fail_if.increase is not None and check.compare != "threshold"

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        silent = no_answer(evidence, state)
        if silent is not None:
            return state, silent
        rows = _folded(mapping(state, "a"), evidence)
        judgement = earlier_fail(state) or _judge(check, rows, evidence)
        return keep_fail({**state, "a": rows}, judgement)


class _Caps:
    def __init__(self, learnt: Learnt) -> None:
        self.rows = learnt.own.rows
        self.own = learnt.own

    def of(self, account: str) -> float | None:
        """The account's ceiling; None when nothing is known to make one of."""
        row = self.rows.get(account)
        if row is None or not row[N] >= LEAST_TRIALS:
            return self.pooled
        worst = self.own[account].worst
        assert worst is not None  # runs of hours are counted until they hold that many trials
        own = MARGIN * worst + FLOOR + 3 / row[N]
        return min(MOST_CAP, own if row[MINUTES] / 60 >= OWN_HOURS else max(own, self.common))

    @cached_property
    def pooled(self) -> float | None:
        """Twice what all accounts had together, or None where that is too little to go by."""
        n, y = self.own.n, self.own.y
        if not n >= POOLED_TRIALS:
            return None
        return min(MOST_CAP, max(2 * MARGIN * y / n + 2 * FLOOR + 3 / n, self.common))

    @cached_property
    def common(self) -> float:
        """What the worst hour of any account allows; the fewer hours were seen, the nearer to the most it is."""
        seen = self.own.hours / LEAST_HOURS
        least = 0.0 if seen >= 1 else MOST_CAP - (MOST_CAP - MOSTLY) * seen
        return max(least, MARGIN * self.own.worst + FLOOR)


def _folded(before: Mapping[str, object], evidence: Evidence) -> dict[str, object]:
    after = dict(before)
    ceilings = _Caps(evidence.learnt)
    for cell in evidence.touched:
        pair = known(cell) if cell.after else None
        if pair is None or not pair[0] > 0 or pair[1] > pair[0]:
            continue
        cap = ceilings.of(cell.account)
        if cap is not None:
            row = after.get(cell.account)
            start = row if isinstance(row, list) else own_process.NEW
            after[cell.account] = own_process.added(start, evidence.at_us, cap, *pair)
    return after


def _judge(check: Check, rows: Mapping[str, object], evidence: Evidence) -> Judgement:
    level = max(1, evidence.expected) / check.false_alarm
    lists = {name: row for name, row in rows.items() if isinstance(row, list)}
    found = {name: own_process.evidence(row) for name, row in lists.items()}
    over = sorted((name for name, e in found.items() if e >= level), key=lambda name: (-found[name], name))
    e = max(found.values(), default=1.0)
    numbers: dict[str, object] = {
        "judge": OwnCeiling.name, "e": e, "level": level, "judged": len(found), "expected": evidence.expected,
    }  # fmt: skip
    shares = {name: own_process.bad_share(lists[name]) for name in over}
    mostly = [name for name in over if shares[name] >= MOSTLY]
    if mostly or len(over) >= 2:
        first = (mostly or over)[0]
        more = f" and {len(over) - 1} more" if len(over) > 1 else ""
        return Judgement(
            verdict=Verdict.FAIL,
            reason=f"{100 * shares[first]:.0f} % of {first} is bad since it began{more}, above its own worst hour "
            f"(E = {found[first]:.3g}, FAIL from {level:.3g})",
            numbers=numbers,
            worst=tuple(over[:WORST_SHOWN]),
        )
    said = "no account is above its own worst hour" if found else "no account has a past to be judged by"
    if over:
        said = f"{over[0]} is above its own worst hour, but not mostly bad: a second account would fail"
    return Judgement(
        verdict=Verdict.INCONCLUSIVE,
        reason=said,
        numbers=numbers,
        worst=tuple(over[:WORST_SHOWN]),
        abstains=True,
    )
