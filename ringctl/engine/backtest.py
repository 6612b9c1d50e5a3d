"""What the gate would have said: recorded series through the same panel of judges as a live rollout.

A look at every interval from the first recorded time to the last. An account of cohort `canary` counts as touched
from its first such line on (or its `start` event); what it did before is its past. A recorded baseline is learnt
first, as history is. Deterministic: the same lines in any order give the same looks.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ringctl.core import panel
from ringctl.core.errors import UsageError
from ringctl.core.judging import Cell, Evidence, Judge, Judgement, JudgeState
from ringctl.core.learning import Learnt, Past, learnt
from ringctl.core.observing import GONE_LOOKS, withheld
from ringctl.core.policy import Check, Count, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, Instant
from ringctl.engine.outlook import Pace
from ringctl.engine.recorded import Recording, Row, spacing
from ringctl.gates.asked import counts_events

START_US: Final[Instant] = 946_684_800_000_000  # minute 0 of a recording; only differences matter
MOST_LOOKS: Final = 100_000
"""Of one check: 69 days of minutes."""
_NEAR: Final = 1e-4  # minutes: times are rounded, and sums of floats
_PART: Final = 2e-3  # of a step, the same
_ROUNDED: Final = 1e-5  # minutes


class Look(NamedTuple):
    """One check at one look. `t` in minutes."""

    t: float
    check: str
    judgement: Judgement

    def record(self) -> dict[str, object]:
        """As a line of output."""
        numbers = self.judgement.numbers
        return {
            "t": short(self.t),
            "verdict": self.judgement.verdict.value,
            "check": self.check,
            "judge": numbers.get("judge", ""),
            "e": numbers.get("e"),
            "level": numbers.get("level"),
            "missing": numbers.get("missing", []),
            "missing_count": numbers.get("missing_count", 0),
            "reason": self.judgement.reason,
            "worst": list(self.judgement.worst),
        }


@dataclass(slots=True)
class Outcome:
    """How it ended: `final` verdict, `at` which minute (None: never), and what was learnt and seen."""

    final: Verdict = Verdict.INCONCLUSIVE
    at: float | None = None
    learnt: dict[str, Learnt] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohorts:
    """Who is touched since when (minutes), who is control, and when the last one was done (infinite: never)."""

    begun: Mapping[str, float]
    control: tuple[str, ...]
    done: float


def cohorts(series: Recording, baseline: Recording | None = None) -> Cohorts:
    """The cohorts of a recording. Canary accounts of the baseline that the series never names were touched with the
    first ones: they are expected, and missing."""
    lines = {name: spacing(row for row in series.rows if row.check == name) for name in series.checks}
    begun: dict[str, float] = {}
    everyone: dict[str, None] = {}
    for row in series.rows:
        everyone[row.account] = None
        if row.cohort == "canary":
            since = row.t - lines[row.check]
            begun[row.account] = min(since, begun.get(row.account, since))
    started: dict[str, float] = {}
    ends: dict[str, float] = {}
    for event in series.events:  # in the order of time
        if event.event == "start":
            started.setdefault(event.account, event.t)
        else:
            ends[event.account] = event.t
    begun |= started
    if baseline is not None and begun:
        first = min(begun.values())
        expected = [
            row.account for row in baseline.rows if row.cohort == "canary" and row.account not in everyone
        ]
        begun |= {account: begun.get(account, first) for account in expected}
    done = max(begun.values(), default=math.inf)
    if ends:
        done = max([done, *(ends.get(account, math.inf) for account in begun)])
    return Cohorts(
        begun={account: begun[account] for account in sorted(begun)},
        control=tuple(sorted(account for account in everyone if account not in begun)),
        done=done,
    )


def run(
    checks: Mapping[str, Check],
    judges: Mapping[str, Judge],
    alphas: Mapping[str, float],
    series: Recording,
    baseline: Recording | None = None,
) -> Iterator[Look | Outcome]:
    """Every look of every check in the order of time; the last item is the outcome.

    Raises UsageError for a series so long and fine that it would never end.
    """
    who = cohorts(series, baseline)
    grids = {name: Grid.of(series, check, who) for name, check in checks.items()}
    states: dict[str, JudgeState] = {name: {} for name in checks}
    if baseline is not None and baseline.rows:
        before = _before(baseline, min((grid.start for grid in grids.values()), default=0.0))
        for name, check in checks.items():
            states[name] = _learn(check, judges, alphas[name], before, who)
            grids[name].known_before(before)
    outcome = Outcome()
    latest: dict[str, Verdict] = {}
    good_since: float | None = None
    times = sorted({t for grid in grids.values() for t in grid.times()})
    for t in times:
        for name, grid in grids.items():
            if not grid.due(t):
                continue
            evidence = grid.evidence(t)
            states[name], judgement = panel.look(
                checks[name], judges, states[name], evidence, alpha=alphas[name]
            )
            judgement = withheld(judgement, evidence, grid.gone())
            latest[name] = judgement.verdict
            yield Look(t, name, judgement)
        verdicts = set(latest.values())
        if Verdict.FAIL in verdicts and outcome.final is not Verdict.FAIL:
            outcome.final, outcome.at = Verdict.FAIL, t
        passes = verdicts == {Verdict.PASS} and len(latest) == len(checks)
        good_since = (t if good_since is None else good_since) if passes else None
    if outcome.final is not Verdict.FAIL and good_since is not None:
        outcome.final, outcome.at = Verdict.PASS, good_since
    for name, grid in grids.items():
        past = states[name].get("past")
        outcome.learnt[name] = learnt(past if isinstance(past, Mapping) else {})
        outcome.paces[name] = grid.pace()
    yield outcome


def at_us(t: float) -> Instant:
    """A recording's minute as an instant."""
    return START_US + round(t * MINUTE)


# -- before ---------------------------------------------------------------------------------------
def _before(baseline: Recording, end: float) -> Recording:
    """A baseline moved, by whole hours, to where it ends before the series begins."""
    over = baseline.rows[-1].t - end
    shift = 60 * math.ceil(over / 60 - _PART) if over > _NEAR else 0
    rows = [row._replace(t=row.t - shift) for row in baseline.rows] if shift else baseline.rows
    return Recording(rows=rows)


def _learn(
    check: Check, judges: Mapping[str, Judge], alpha: float, before: Recording, who: Cohorts
) -> JudgeState:
    """The check's state after its baseline: history where it counts events, else looks before anything was done."""
    rows = [row for row in before.rows if row.check == check.name]
    line = spacing(rows)
    if counts_events(check):
        minutes = isinstance(check.measure, Count)
        cells = (
            Past(at_us(row.t), row.account, line if minutes else row.n, row.y, line)
            for row in rows
            if row.n is not None and row.y is not None
        )
        return panel.feed({}, cells, who.begun)
    state: JudgeState = {}
    nobody = Cohorts(begun=dict.fromkeys(who.begun, math.inf), control=who.control, done=math.inf)
    grid = Grid.of(Recording(rows=rows), check, nobody)
    for t in grid.times():
        if grid.lines(t):  # what was not recorded is no look: a baseline may have gaps
            state, _ = panel.look(check, judges, state, grid.evidence(t), alpha=alpha)
    return state


# -- looks ----------------------------------------------------------------------------------------
class Grid:
    """The rows of one check as evidence, interval by interval.

    `start`: where the first interval begins; `step`: minutes of an interval, `line`: those of a line.
    """

    def __init__(self, check: Check, who: Cohorts, span: tuple[float, float], line: float) -> None:
        self.check, self.who, self.line = check, who, line
        self.start, end = span
        self.step = _step(check, line)
        self.looks = max(0, math.ceil((end - self.start) / self.step - _PART))
        if self.looks > MOST_LOOKS:
            minutes = f"{end - self.start:,.0f} minutes"
            message = f"{self.looks:,} looks at {check.name} in {minutes}, at most {MOST_LOOKS:,}"
            raise UsageError(message, hint="look less often: --every 1h")
        self.sums: dict[int, dict[str, list[float]]] = {}
        self.heard: dict[str, int] = {}  # account of the wave -> the last look with its line; 0: the baseline
        self.now = 0
        self.seen = [
            0.0,
            0.0,
            0.0,
        ]  # trials of the canary since it was begun, and of control; events of control
        self.since = 0  # looks since the canary was begun
        self._begun = sorted(who.begun.values())
        self._intents: tuple[int, dict[str, Instant | None]] = (-1, {})

    @classmethod
    def of(cls, series: Recording, check: Check, who: Cohorts) -> "Grid":
        """The grid of a check in a recording: from the recording's first interval to its last."""
        rows = [row for row in series.rows if row.check == check.name]
        line = spacing(rows or series.rows)
        if not series.rows:
            return cls(check, who, (0.0, 0.0), line)
        step = _step(check, line)
        start = (rows or series.rows)[0].t - line
        start -= step * math.floor(max(0.0, start - series.rows[0].t + line) / step + _PART)
        found = cls(check, who, (start, series.rows[-1].t), line)
        for row in rows:
            found._add(row)
        return found

    def _add(self, row: Row) -> None:
        if row.n is None or row.y is None:
            return
        sums = self.sums.setdefault(max(1, math.ceil((row.t - self.start) / self.step - _PART)), {})
        known = sums.setdefault(row.account, [0.0, 0.0])
        known[0] += self.line if isinstance(self.check.measure, Count) else row.n
        known[1] += row.y

    def known_before(self, baseline: Recording) -> None:
        """Accounts of the wave that the baseline has numbers of: from the first look on they are expected."""
        rows = (row for row in baseline.rows if row.check == self.check.name)
        there = {row.account for row in rows if row.n is not None and row.y is not None}
        self.heard = dict.fromkeys(sorted(there & self.who.begun.keys()), 0)

    def times(self) -> Iterator[float]:
        """When it is looked at."""
        return (self._time(number) for number in range(1, self.looks + 1))

    def _time(self, number: int) -> float:
        return round(self.start + number * self.step, 6)

    def _number(self, t: float) -> int:
        return round((t - self.start) / self.step)

    def due(self, t: float) -> bool:
        """Whether it is looked at then."""
        number = self._number(t)
        return 1 <= number <= self.looks and self._time(number) == t

    def lines(self, t: float) -> int:
        """How many accounts have something recorded in the interval up to `t`."""
        return len(self.sums.get(self._number(t), ()))

    def evidence(self, t: float) -> Evidence:
        """What lies in the interval up to `t`; looks come in the order of time."""
        self.now = self._number(t)
        sums, before = self.sums.get(self.now, {}), t - self.step + _NEAR
        touched = []
        for account, begun in self.who.begun.items():
            row = sums.get(account)
            if row is not None:
                self.heard[account] = self.now
            if (
                begun >= t - _NEAR or begun <= before
            ):  # one that the intent lies in is neither before nor after
                touched.append(_cell(account, row, after=begun <= before))
        control = tuple(_cell(account, sums.get(account), after=False) for account in self.who.control)
        self.since += any(cell.after for cell in touched)
        self.seen[0] += sum(cell.n or 0.0 for cell in touched if cell.after)
        self.seen[1] += sum(cell.n or 0.0 for cell in control)
        self.seen[2] += sum(cell.y or 0.0 for cell in control)
        return Evidence(
            at_us=at_us(t),
            interval_us=round(self.step * MINUTE),
            touched=tuple(touched),
            control=control,
            expected=len(self.who.begun),
            complete=self.who.done <= before,
            intents=self._intents_at(t),
        )

    def _intents_at(self, t: float) -> Mapping[str, Instant | None]:
        """The wave's accounts and when they were begun; the same object until another one is."""
        begun = bisect_left(self._begun, t - _NEAR)
        if begun != self._intents[0]:
            self._intents = (begun, {
                name: at_us(one) if one < t - _NEAR else None for name, one in self.who.begun.items()
            })  # fmt: skip
        return self._intents[1]

    def gone(self) -> dict[str, int]:
        """Accounts of the wave that had numbers and have had none for three looks or more: account -> looks."""
        return {
            account: self.now - last for account, last in self.heard.items() if self.now - last >= GONE_LOOKS
        }

    def pace(self) -> Pace:
        """What was seen of both groups, a minute."""
        canary, control, events = self.seen
        since, minutes = max(1, self.since) * self.step, max(1, self.looks) * self.step
        return Pace(
            accounts=(len(self.who.begun), len(self.who.control)),
            trials=(canary / since, control / minutes),
            events=events / minutes,
        )


def _step(check: Check, line: float) -> float:
    """Minutes between looks: the check's interval, or that of the lines where it is longer. `t` may be rounded: what
    is nearly a multiple of the interval is one, for a look each second of a day must not drift."""
    every = check.every_us / MINUTE
    times = round(line / every)
    if times >= 1 and abs(line - times * every) < _ROUNDED:
        return times * every
    return max(every, line)


def _cell(account: str, row: Sequence[float] | None, *, after: bool) -> Cell:
    return Cell(account, None, None, after) if row is None else Cell(account, row[0], row[1], after)


# -- levels ---------------------------------------------------------------------------------------
def alphas_of(checks: Mapping[str, Check]) -> dict[str, float]:
    """Each check's level when the whole promise is spent on this one bake."""
    total = sum(check.weight for check in checks.values())
    return {
        name: check.false_alarm * check.weight / total if total > 0 else check.false_alarm
        for name, check in checks.items()
    }


def recordable(checks: Mapping[str, Check]) -> dict[str, Check]:
    """The checks that recorded data can speak for: those with counters."""
    return {name: check for name, check in checks.items() if isinstance(check.measure, Ratio | Count)}


def short(number: float) -> float:
    """A whole number as one: shorter as JSON."""
    return int(number) if float(number).is_integer() else number
