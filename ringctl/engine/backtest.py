"""What the gate would have said: recorded series through the same panel of judges as a live rollout.

A look at every interval from the first recorded time to the last. An account of cohort `canary` counts as touched
from its first such line on (or its `start` event); what it did before is its past. A recorded baseline is learnt
first, as history is. Deterministic: the same lines in any order give the same looks.
"""

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judge, Judgement, JudgeState
from ringctl.core.learning import Learnt, Past, learnt
from ringctl.core.policy import Check, Count, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, Instant
from ringctl.engine.recorded import Event, Recording, Row, step_of
from ringctl.gates.split import counts_events

START_US: Final[Instant] = 946_684_800_000_000  # minute 0 of a recording; only differences matter


class Look(NamedTuple):
    """One check at one look. `t` in minutes."""

    t: float
    check: str
    judgement: Judgement

    def record(self) -> dict[str, object]:
        """As a line of output."""
        numbers = self.judgement.numbers
        return {
            "t": _short(self.t),
            "verdict": self.judgement.verdict.value,
            "check": self.check,
            "judge": numbers.get("judge", ""),
            "e": numbers.get("e"),
            "level": numbers.get("level"),
            "missing": numbers.get("missing", []),
            "reason": self.judgement.reason,
            "worst": list(self.judgement.worst),
        }


@dataclass(slots=True)
class Outcome:
    """How it ended: `final` verdict, `at` which minute (None: never), and the rates seen (events a minute)."""

    final: Verdict = Verdict.INCONCLUSIVE
    at: float | None = None
    learnt: dict[str, Learnt] = field(default_factory=dict)
    rates: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohorts:
    """Who is touched since when (minutes), who is control, and when the last one was done."""

    begun: Mapping[str, float]
    control: tuple[str, ...]
    done: float

    @property
    def touched(self) -> tuple[str, ...]:
        """The wave's accounts."""
        return tuple(self.begun)


def cohorts(series: Recording, step: float) -> Cohorts:
    """The cohorts of a recording whose lines lie `step` minutes apart."""
    begun: dict[str, float] = {}
    everyone: dict[str, None] = {}
    for row in series.rows:
        everyone[row.account] = None
        if row.cohort == "canary" and row.account not in begun:
            begun[row.account] = row.t - step
    for event in series.events:
        if event.event == "start" and event.account in everyone:
            begun[event.account] = event.t
    ends = [event.t for event in series.events if event.event == "done" and event.account in begun]
    done = max(ends) if len({one.account for one in _ends(series.events)}) >= len(begun) > 0 else None
    return Cohorts(
        begun={account: begun[account] for account in sorted(begun)},
        control=tuple(sorted(account for account in everyone if account not in begun)),
        done=max(begun.values(), default=math.inf) if done is None else done,
    )


def _ends(events: Iterable[Event]) -> Iterator[Event]:
    return (event for event in events if event.event == "done")


def run(
    checks: Mapping[str, Check],
    judges: Mapping[str, Judge],
    alphas: Mapping[str, float],
    series: Recording,
    baseline: Recording | None = None,
) -> Iterator[Look | Outcome]:
    """Every look of every check in the order of time; the last item is the outcome."""
    times = sorted({row.t for row in series.rows})
    every = max((check.every_us / MINUTE for check in checks.values()), default=1.0)
    step = max(every, step_of(times))
    who = cohorts(series, step)
    states: dict[str, JudgeState] = {name: {} for name in checks}
    if baseline is not None and baseline.rows:
        before = _before(baseline.rows, times[0] - step if times else 0.0)
        for name, check in checks.items():
            states[name] = _learn(
                check, judges, alphas[name], [row for row in before if row.check == name], who
            )
    grids = {
        name: _Grid([row for row in series.rows if row.check == name], who, step, check)
        for name, check in checks.items()
    }
    outcome = Outcome()
    good_since: float | None = None
    for t in _looks(times, step):
        verdicts = set()
        for name, check in checks.items():
            states[name], judgement = panel.look(
                check, judges, states[name], grids[name].evidence(t), alpha=alphas[name]
            )
            verdicts.add(judgement.verdict)
            yield Look(t, name, judgement)
        if Verdict.FAIL in verdicts and outcome.final is not Verdict.FAIL:
            outcome.final, outcome.at = Verdict.FAIL, t
        good_since = (t if good_since is None else good_since) if verdicts == {Verdict.PASS} else None
    if outcome.final is not Verdict.FAIL and good_since is not None:
        outcome.final, outcome.at = Verdict.PASS, good_since
    for name in checks:
        past = states[name].get("past")
        outcome.learnt[name] = learnt(past if isinstance(past, Mapping) else {})
        outcome.rates[name] = grids[name].rates()
    yield outcome


def _looks(times: Sequence[float], step: float) -> Iterator[float]:
    if not times:
        return
    count = round((times[-1] - times[0]) / step)
    for number in range(count + 1):
        yield round(times[0] + number * step, 6)
    if times[0] + count * step < times[-1] - 1e-9:
        yield round(times[0] + (count + 1) * step, 6)


def _before(rows: Sequence[Row], end: float) -> list[Row]:
    """A baseline moved, by whole hours, to where it ends before the series begins."""
    over = rows[-1].t - end
    shift = 60 * math.ceil(over / 60) if over > 0 else 0
    return [row._replace(t=row.t - shift) for row in rows] if shift else list(rows)


def at_us(t: float) -> Instant:
    """A recording's minute as an instant."""
    return START_US + round(t * MINUTE)


def _learn(
    check: Check, judges: Mapping[str, Judge], alpha: float, rows: Sequence[Row], who: Cohorts
) -> JudgeState:
    """The check's state after its baseline."""
    touched = dict.fromkeys(who.begun)
    step = step_of(sorted({row.t for row in rows}))
    if counts_events(check):
        return panel.feed({}, (_past(check, row, step) for row in rows if row.n is not None), touched)
    state: JudgeState = {}
    nobody = Cohorts(begun=dict.fromkeys(who.begun, math.inf), control=who.control, done=math.inf)
    grid = _Grid(rows, nobody, step, check)
    for t in sorted({row.t for row in rows}):
        state, _ = panel.look(check, judges, state, grid.evidence(t), alpha=alpha)
    return state


def _past(check: Check, row: Row, step: float) -> Past:
    n = step if isinstance(check.measure, Count) else row.n or 0.0
    return Past(at_us(row.t), row.account, n, row.y or 0.0, step)


class _Grid:
    """The rows of one check as evidence, interval by interval."""

    def __init__(self, rows: Sequence[Row], who: Cohorts, step: float, check: Check) -> None:
        self.who, self.step = who, step
        self.minutes = isinstance(check.measure, Count)
        self.times = sorted({row.t for row in rows})
        self.at: dict[float, dict[str, Row]] = {}
        for row in rows:
            self.at.setdefault(row.t, {})[row.account] = row
        self.intents = {name: at_us(t) if t < math.inf else None for name, t in who.begun.items()}
        self.seen = [0.0, 0.0]  # events of the canary since it was begun, of control
        self.looks = 0

    def evidence(self, t: float) -> Evidence:
        """What lies in the interval up to `t`."""
        first = bisect.bisect_right(self.times, t - self.step + 1e-9)
        last = bisect.bisect_right(self.times, t + 1e-9)
        slices = [self.at[one] for one in self.times[first:last]]
        who = self.who
        self.looks += 1
        touched = []
        for account, begun in who.begun.items():
            cell = self._cell(slices, account, after=begun <= t - self.step + 1e-9)
            if (
                begun >= t - 1e-9 or cell.after
            ):  # an interval that the intent lies in is neither before nor after
                touched.append(cell)
                self.seen[0] += cell.y or 0.0 if cell.after else 0.0
        control = [self._cell(slices, account, after=False) for account in who.control]
        self.seen[1] += sum(cell.y or 0.0 for cell in control)
        return Evidence(
            at_us=at_us(t),
            interval_us=round(self.step * MINUTE),
            touched=tuple(touched),
            control=tuple(control),
            expected=len(who.begun),
            complete=who.done <= t - self.step + 1e-9,
            intents={
                name: one if one is not None and one < at_us(t) else None
                for name, one in self.intents.items()
            },
        )

    def _cell(self, slices: Sequence[Mapping[str, Row]], account: str, *, after: bool) -> Cell:
        n = y = 0.0
        there = False
        for rows in slices:
            row = rows.get(account)
            if row is None:
                continue
            if row.n is None or row.y is None:
                return Cell(account, None, None, after)
            n, y, there = n + row.n, y + row.y, True
        if not there:
            return Cell(account, None, None, after)
        return Cell(account, self.step if self.minutes else n, y, after)

    def rates(self) -> tuple[float, float]:
        """Events a minute of the canary and of control."""
        minutes = max(1.0, self.looks * self.step)
        return self.seen[0] / minutes, self.seen[1] / minutes


def alphas_of(checks: Mapping[str, Check]) -> dict[str, float]:
    """Each check's level when the whole promise is spent on this one bake."""
    total = sum(check.weight for check in checks.values())
    return {name: check.false_alarm * check.weight / total for name, check in checks.items()}


def recordable(checks: Mapping[str, Check]) -> dict[str, Check]:
    """The checks that recorded data can speak for: those with counters."""
    return {name: check for name, check in checks.items() if isinstance(check.measure, Ratio | Count)}


def _short(t: float) -> float:
    return int(t) if float(t).is_integer() else t
