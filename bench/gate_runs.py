"""Bakes judged by the production path (`core.panel.look`), a look every minute, and by the peers beside it."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache

from bench.gate_peers import Watched
from bench.gate_streams import NO_HARM, PLAIN, START, Bake, Harm, Pairs, Plain
from bench.gate_worlds import S7, SMALL, VSTS, Clustered
from bench.tables import Table
from ringctl.bootstrap import Judges
from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judge
from ringctl.core.learning import Past
from ringctl.core.policy import Check, Count, Counter, FailIf, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE

ALPHA = 0.01
STREAMS: Mapping[str, Plain | Clustered] = {
    **PLAIN, VSTS.name: VSTS, SMALL.name: SMALL, **{one.name: one for one in S7.values()}
}  # fmt: skip

BAD = Ratio(y=Counter(name="bad"), n=Counter(name="all"), of_counts=True)
ERRORS = Check(
    name="errors", source="bench", measure=BAD, compare="canary-vs-control", fail_if=FailIf(increase=1.0)
)
FLOW = replace(ERRORS, name="throughput", measure=Count(of=Counter(name="all")), fail_if=FailIf(decrease=0.3))


def check_for(stream: str, *, alike: bool = False) -> Check:
    """A doubling of bad events, or a fall of throughput by 30 %."""
    return replace(FLOW if stream == "S6" else ERRORS, alike=alike)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bakes of each kind. `caught`: harmful ones of clustered accounts."""

    harmless: int
    harmful: int
    clustered: int
    caught: int
    incident: int
    passing: int

    def times(self, factor: float) -> "Sizes":
        """So many times as many bakes."""
        return Sizes(**{name: round(factor * count) for name, count in asdict(self).items()})


FULL = Sizes(harmless=200, harmful=100, clustered=100, caught=20, incident=1000, passing=300)
QUICK = Sizes(harmless=16, harmful=16, clustered=4, caught=2, incident=8, passing=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One bake to judge. `until`: verdicts at which it ends. `known`: minutes known from before; None: 14 days."""

    stream: str
    seed: int
    harm: Harm = NO_HARM
    alike: bool = False
    peers: bool = False
    until: tuple[Verdict, ...] = (Verdict.FAIL,)
    looks: int = 1440
    known: int | None = None


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of it: looks from 0; None: not within the bake."""

    failed: int | None = None
    passed: int | None = None
    judge: str = ""
    first: dict[str, int | None] = field(default_factory=dict)


@lru_cache(maxsize=1)
def judges_known() -> Mapping[str, Judge]:
    """The registered judges, found once a process."""
    return dict(Judges())


def play(task: Task) -> Played:
    """One bake from its seed, everything learnt from its past as in production."""
    stream = STREAMS[task.stream]
    bake = stream.bake(task.seed, task.harm)
    watched = Watched(stream.rate) if task.peers else None
    return _judged(bake, task, judges_known(), watched)


def _judged(bake: Bake, task: Task, judges: Mapping[str, Judge], watched: Watched | None) -> Played:
    check, played = check_for(task.stream, alike=task.alike), Played()
    past = bake.past() if task.known is None else known_of(bake, task.known)
    state: dict[str, object] = dict(panel.feed({}, past, bake.starts)) if past else {}
    for minute, (canary, control) in enumerate(bake.minutes()):
        if minute == task.looks:
            break
        if watched is not None:
            watched.look(_pooled(bake, minute, canary, control))
        if played.failed is None:
            evidence = evidence_of(bake, minute, canary, control)
            state, said = panel.look(check, judges, state, evidence, alpha=ALPHA)
            if said.verdict is Verdict.FAIL:
                played.failed, played.judge = minute, str(said.numbers.get("judge"))
            elif said.verdict is Verdict.PASS and played.passed is None:
                played.passed = minute
            if said.verdict in task.until and watched is None:
                break
    if watched is not None:
        played.first = watched.first
    return played


def known_of(bake: Bake, minutes: int) -> list[Past]:
    """The last `minutes` before the bake, as a source without history has them."""
    cells = []
    for place, (canary, control) in zip(range(minutes), bake.other_day().minutes(), strict=False):
        at_us = START + (place + 1 - minutes) * MINUTE
        named = zip([*bake.starts, *bake.control], [*canary, *control], strict=True)
        cells += [Past(at_us, name, n, y, 1.0) for name, (n, y) in named]
    return cells


def evidence_of(bake: Bake, minute: int, canary: Pairs, control: Pairs) -> Evidence:
    """One look, as `core.observing` would hand it on."""
    starts = bake.starts
    last = max(starts.values())
    return Evidence(
        at_us=START + (minute + 1) * MINUTE,
        interval_us=MINUTE,
        touched=tuple(
            Cell(name, n, y, minute >= begun)
            for (name, begun), (n, y) in zip(starts.items(), canary, strict=True)
        ),
        control=tuple(Cell(name, n, y, False) for name, (n, y) in zip(bake.control, control, strict=True)),
        expected=len(starts),
        complete=minute >= last,
        intents={name: START + begun * MINUTE if begun <= minute else None for name, begun in starts.items()},
    )


def _pooled(bake: Bake, minute: int, canary: Pairs, control: Pairs) -> tuple[float, float, float, float]:
    begun = [one for one, at in zip(canary, bake.starts.values(), strict=True) if minute >= at]
    return (
        sum(n for n, _ in begun), sum(y for _, y in begun), sum(n for n, _ in control), sum(y for _, y in control)
    )  # fmt: skip


def play_all(tasks: Iterable[Task], cores: int) -> list[Played]:
    """All of them, in order; on several cores when there are."""
    if cores < 2:
        return [play(task) for task in tasks]
    with ProcessPoolExecutor(cores) as pool:
        return list(pool.map(play, tasks, chunksize=2))


def share(count: int, total: int) -> str:
    """As a percentage."""
    value = 100 * count / total
    return f"{value:.0f} %" if value >= 10 or count == 0 else f"{value:.2g} %"


@dataclass(slots=True)
class Goals:
    """What was to be reached, and what was."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def at_most(self, what: str, value: float | None, limit: float, unit: str = "") -> None:
        """A figure and its target. None: never."""
        said = "never" if value is None else f"{value:.2g} {unit}".strip()
        reached = value is not None and value <= limit
        self.rows.append((what, said, f"{limit:g} {unit}".strip(), "yes" if reached else "NO"))

    def table(self, title: str) -> Table:
        """All of them."""
        text = "Targets of the health gate, and the figures of this run."
        return Table(
            f"{title}: what was to be reached", text, ("what", "found", "at most", "reached"), list(self.rows)
        )
