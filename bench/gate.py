"""The health gate: how often it rings falsely, how soon it sees harm, what it costs; beside other ways to judge.

`./do bench gate`: thousands of bakes of a day, a look every minute, each with draws from its own seed
(where accounts differ, four bakes each share a fleet and its past); an hour of two cores, and
`RINGCTL_BENCH_TIMES=5` makes it five times as many bakes of each. Streams: `gate_streams`, `gate_worlds`; bounds:
`gate_bounds`; others: `gate_peers`; the gate itself by its production path: `gate_runs`.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import gate_clusters, gate_cost, gate_known, gate_passing
from bench.gate_bounds import two_sample
from bench.gate_peers import peers
from bench.gate_runs import ALPHA, FULL, QUICK, STREAMS, Goals, Sizes, Task, play_all, share
from bench.gate_streams import SLOW, Harm, Plain
from bench.tables import Table

TITLE = "the health gate"
LEARNT = "ringctl, everything learnt"
ALIKE = "ringctl, cohorts: alike"
HARMLESS = ("S1", "S2", "S3", "S4", "S5")
HALF_A_DAY = 720
IN_BETWEEN = 360


@dataclass(frozen=True, slots=True)
class Case:
    """A harm in a stream."""

    name: str
    stream: str
    harm: Harm

    @property
    def bound(self) -> float:
        """The two-sample bound, in canary samples."""
        stream = STREAMS[self.stream]
        return two_sample(stream.rate, self.harm.rate(stream.rate), stream.kappa, ALPHA)


CASES = (
    Case("S1 2x", "S1", Harm(factor=2)),
    Case("S1 5x", "S1", Harm(factor=5)),
    Case("S1 2x at 12 h", "S1", Harm(factor=2, at=HALF_A_DAY)),
    Case("S2 10x", "S2", Harm(factor=10)),
    Case("S2 10x at 12 h", "S2", Harm(factor=10, at=HALF_A_DAY)),
    Case("S3 2x", "S3", Harm(factor=2)),
    Case("S4 5 % empty", "S4", Harm(share=0.05, at=IN_BETWEEN)),
    Case("S4 30 %", "S4", Harm(share=0.3, at=IN_BETWEEN)),
    Case("S4 all", "S4", Harm(share=1.0, at=IN_BETWEEN)),
    Case("S5 +25 %", "S5", Harm(factor=SLOW / 0.05)),
)


def gate(folder: Path, *, quick: bool) -> Iterator[Table]:
    """All tables, each as soon as it is there; what was to be reached comes last."""
    del folder
    sizes = QUICK if quick else FULL.times(float(os.environ.get("RINGCTL_BENCH_TIMES", "1")))
    cores = 1 if quick else (os.cpu_count() or 1)
    goals = Goals()
    yield false_alarms(sizes, cores, goals)
    yield detection(sizes, cores, goals)
    yield from gate_clusters.tables(TITLE, sizes, cores, goals)
    yield from gate_known.tables(TITLE, sizes, cores, goals)
    yield from gate_passing.tables(TITLE, sizes, cores, goals)
    yield gate_cost.cost(TITLE, goals, accounts=10_000)
    yield goals.table(TITLE)


def false_alarms(sizes: Sizes, cores: int, goals: Goals) -> Table:
    """Harmless bakes on streams whose accounts are alike."""
    found = {}
    for stream in HARMLESS:
        tasks = [Task(stream=stream, seed=seed, peers=True) for seed in range(sizes.harmless)]
        played = play_all(tasks, cores)
        alike = play_all(
            [Task(stream=stream, seed=seed, alike=True) for seed in range(sizes.harmless // 2)], cores
        )
        column = {
            LEARNT: share(sum(one.failed is not None for one in played), len(played)),
            ALIKE: share(sum(one.failed is not None for one in alike), len(alike)),
        }
        for name in peers(0.01):
            column[name] = share(sum(one.first[name] is not None for one in played), len(played))
        found[stream] = column
        rung = sum(one.failed is not None for one in played)
        kind = "drifting" if stream == "S3" else "independent"
        goals.at_most(f"false alarms in 24 h, {stream} ({kind})", 100 * rung / len(played), 1.0, "%")
    table = Table(
        f"{TITLE}: false alarms",
        f"Bakes of 24 h with nothing wrong, a look every minute, that rang at least once: {sizes.harmless} of each "
        f"stream ({sizes.harmless // 2} for `cohorts: alike`), level {ALPHA:.0%}. S1 errors 1 %, 50 requests a "
        "minute of "
        "the canary and 450 of control; S2 0.1 %, 20 and 180; S3 = S1 with traffic +-70 % and rates +-50 % by "
        "day and "
        "night; S4 empty answers 3 %, 10 and 90; S5 slower than the p95 before, 50 and 450. All see the same counts.",
        ("judge", *HARMLESS),
    )
    for name in (LEARNT, ALIKE, *peers(0.01)):
        table.rows.append((name, *(found[stream][name] for stream in HARMLESS)))
    return table


def detection(sizes: Sizes, cores: int, goals: Goals) -> Table:
    """How soon harm is seen, as multiples of the bound."""
    names = (LEARNT, ALIKE, *peers(0.01))
    columns = {}
    for case in CASES:
        seeds = range(sizes.harmful)
        learnt = play_all(
            [Task(stream=case.stream, harm=case.harm, seed=seed, peers=True) for seed in seeds], cores
        )
        alike = play_all(
            [Task(stream=case.stream, harm=case.harm, seed=seed, alike=True) for seed in seeds], cores
        )
        column = {
            LEARNT: _delays(case, [one.failed for one in learnt]),
            ALIKE: _delays(case, [one.failed for one in alike]),
            **{name: _delays(case, [one.first[name] for one in learnt]) for name in peers(0.01)},
        }
        columns[case.name] = {name: delays.said() for name, delays in column.items()}
        _compare(case, column[LEARNT], column[ALIKE], goals)
    table = Table(
        f"{TITLE}: samples until harm is seen",
        f"Median canary samples from the harm to the alarm, as a multiple of the two-sample bound at {ALPHA:.0%}, of "
        f"{sizes.harmful} bakes each. (early): most had rung before the harm. A look is 10 to 50 samples: 5.6 in "
        "`S4 all` is the first look. In S4 answers go empty from the sixth hour on.",
        ("judge", *(case.name for case in CASES)),
    )
    table.rows.append(("bound, samples", *(f"{case.bound:,.0f}" for case in CASES)))
    for name in names:
        table.rows.append((name, *(columns[case.name][name] for case in CASES)))
    return table


@dataclass(frozen=True, slots=True)
class Delays:
    """Minutes from the harm to the alarm, of the bakes that had not rung before; None: not seen."""

    case: Case
    minutes: Sequence[float | None]
    early: int

    @property
    def median(self) -> float | None:
        """Of all, those not seen included; None: fewer than half saw it."""
        ordered = sorted((one is None, one or 0.0) for one in self.minutes)
        missed, value = ordered[len(ordered) // 2] if ordered else (True, 0.0)
        return None if missed else value

    @property
    def times(self) -> float | None:
        """Of the bound."""
        if self.median is None:
            return None
        stream = STREAMS[self.case.stream]
        assert isinstance(stream, Plain)
        return self.median * stream.per[0] / self.case.bound

    def said(self) -> str:
        """For a cell."""
        if self.early > len(self.minutes):
            return "(early)"
        missed = sum(one is None for one in self.minutes) / max(1, len(self.minutes))
        lost = f", missed {missed:.0%}" if missed >= 0.05 else ""
        return f"{self.times:.1f}{lost}" if self.times is not None else f"missed {missed:.0%}"


def _delays(case: Case, looks: Sequence[int | None]) -> Delays:
    after = [look for look in looks if look is None or look >= case.harm.at]
    return Delays(
        case, [None if look is None else look - case.harm.at + 1 for look in after], len(looks) - len(after)
    )


def _compare(case: Case, learnt: Delays, alike: Delays, goals: Goals) -> None:
    if case.name == "S1 2x":
        goals.at_most("S1 2x, cohorts: alike, times the bound", alike.times, 1.5)
        goals.at_most("S1 2x, everything learnt, times the bound", learnt.times, 2.1)
    elif case.harm.at == HALF_A_DAY:
        goals.at_most(f"{case.name}, times the bound", learnt.times, 3.2)
    elif case.name == "S4 30 %":
        goals.at_most("30 % of 10 answers/min go empty at 6 h: median minutes", learnt.median, 5)
    elif case.name == "S4 all":
        goals.at_most("all of them: median looks", learnt.median, 1)
