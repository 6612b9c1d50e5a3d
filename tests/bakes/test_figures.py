"""The gate's promises in small: a few seeded bakes by the production path, and bugs that must break each of them.

The true figures come from thousands of bakes (`./do bench gate`, docs/reference/benchmarks.md). Here limits are loose
and seeds few, so that a promise broken by much is seen within a minute.
"""

import json
import statistics
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import pytest

from bench.gate_bounds import two_sample
from bench.gate_runs import ALPHA, STREAMS, Played, Task, _judged, check_for, evidence_of, judges_known, play
from bench.gate_streams import S1, Harm
from bench.gate_worlds import EDITED, SMALL, VSTS, Clustered
from ringctl.core import panel
from ringctl.core.states import Verdict
from ringctl.gates import absence, evidence, own_ceiling, scatter, split

BURSTY = Clustered(name="bursty", rate=0.01, canary=10, fleet=40)
HALF_A_DAY = 720
NEVER = 10_000


def clustered(seed: int, **asked: Any) -> Played:
    task = Task(stream="S1", seed=seed, **asked)
    return _judged(BURSTY.bake(seed, task.harm), task, judges_known(), None)


def unequal(seed: int, known: int) -> Played:
    """Few accounts that differ and misbehave in bursts, of which little or nothing is known."""
    return play(Task(stream=SMALL.name, seed=seed, known=known))


def alarms(bakes: Iterable[Played], most: float) -> int:
    """How many rang; counted no further than one more than there may be."""
    return sum(1 for _ in islice((one for one in bakes if one.failed is not None), int(most) + 1))


def alarms_alike(count: int, most: float) -> int:
    streams = ("S1", "S3", "S4")
    return alarms((play(Task(stream=streams[seed % 3], seed=seed)) for seed in range(count)), most)


def alarms_in_bursts(count: int, most: float) -> int:
    return alarms((clustered(seed) for seed in range(count)), most)


def alarms_with_little_known(count: int, most: float) -> int:
    return alarms((play(Task(stream="S1", seed=seed, known=20)) for seed in range(count)), most)


def alarms_unequal(count: int, most: float) -> int:
    return alarms((unequal(seed, known=0) for seed in range(count)), most)


def alarms_with_hours_known(count: int, most: float) -> int:
    return alarms((unequal(seed, known=180) for seed in range(count)), most)


def median_look(stream: str, harm: Harm, count: int, looks: int = 1440) -> float:
    """Minutes from the harm to the alarm."""
    played = [play(Task(stream=stream, seed=seed, harm=harm, looks=looks)).failed for seed in range(count)]
    return statistics.median(NEVER if one is None else one - harm.at + 1 for one in played)


def times(harm: Harm, count: int) -> float:
    """Of the two-sample bound, on S1."""
    bound = two_sample(S1.rate, harm.rate(S1.rate), S1.kappa, ALPHA)
    return median_look("S1", harm, count) * S1.per[0] / bound


def doubled_soon(count: int, most: float) -> float:
    del most
    return times(Harm(factor=2), count)


def doubled_late(count: int, most: float) -> float:
    del most
    return times(Harm(factor=2, at=HALF_A_DAY), count)


def passes_of_harm(count: int, most: float) -> int:
    ends = (Verdict.FAIL, Verdict.PASS)
    tasks = (Task(stream="S1", seed=seed, harm=Harm(factor=2), until=ends) for seed in range(count))
    passed = (task for task in tasks if play(task).passed is not None)
    return sum(1 for _ in islice(passed, int(most) + 1))


def minutes_until_pass(count: int, most: float) -> float:
    del most
    played = [
        play(Task(stream="S1", seed=seed, until=(Verdict.PASS,), looks=600)).passed for seed in range(count)
    ]
    return statistics.median(NEVER if one is None else one + 1 for one in played)


def incident(count: int, most: float) -> float:
    del most
    return median_look(VSTS.name, EDITED, count, looks=120)


def emptied(count: int, most: float) -> float:
    del most
    return median_look("S4", Harm(share=1.0, at=120), count, looks=180)


# figure, bakes, the most that it may be
FIGURES: dict[str, tuple[Callable[[int, float], float], int, float]] = {
    "harmless bakes of accounts that are alike": (alarms_alike, 21, 1),
    "harmless bakes of bursty accounts": (alarms_in_bursts, 12, 1),
    "harmless bakes with 20 minutes known": (alarms_with_little_known, 15, 1),
    "harmless bakes of unequal accounts, nothing known": (alarms_unequal, 20, 1),
    "harmless bakes of unequal accounts, 3 hours known": (alarms_with_hours_known, 12, 1),
    "a doubling, times the bound": (doubled_soon, 30, 2.1),
    "a doubling at 12 h, times the bound": (doubled_late, 12, 3.6),
    "a doubling that passes": (passes_of_harm, 30, 4),
    "a healthy bake passes": (minutes_until_pass, 20, 45),
    "the incident of 2017, minutes": (incident, 8, 9),
    "all answers empty, looks": (emptied, 9, 1),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure(name: str) -> None:
    figure, count, most = FIGURES[name]
    assert figure(count, most) <= most


def no_margin(patch: pytest.MonkeyPatch) -> None:
    """What little is known is taken for certain: the accounts' own rates, and how their events cluster.

    Control's scatter holds how accounts differ as well, so that either guard alone keeps the promise here;
    `test_split` has a case in which only the margin does.
    """
    patch.setattr(split, "_lean", lambda check, se, harm: 0.0)
    patch.setattr(scatter, "phi", lambda seen: 1.0)


def independent(patch: pytest.MonkeyPatch) -> None:
    """phi = 1: events that come in bursts are counted as if each were for itself."""
    patch.setattr(split, "dispersion", lambda learnt, row: 1.0)


def looks_only(patch: pytest.MonkeyPatch) -> None:
    """What control shows during the bake is not asked: events cluster as the short past has it."""
    patch.setattr(scatter, "phi", lambda seen: 1.0)


def worst_of_few_hours(patch: pytest.MonkeyPatch) -> None:
    """An account's worst of three hours is its ceiling."""
    patch.setattr(own_ceiling, "OWN_HOURS", 0.0)


def first_stake_only(patch: pytest.MonkeyPatch) -> None:
    """All is staked at the first look: harm that begins late has to make up for what was lost."""
    patch.setattr(evidence, "stake", lambda number: 1.0 if number == 0 else 0.0)


def no_harm_seen_is_pass(patch: pytest.MonkeyPatch) -> None:
    """Finding nothing is taken for evidence of absence."""
    patch.setattr(absence, "evidence", lambda logs, phi: 1e9)


def absent_never(patch: pytest.MonkeyPatch) -> None:
    """Evidence of absence is never enough."""
    patch.setattr(absence, "evidence", lambda logs, phi: 0.0)


def pooled_only(patch: pytest.MonkeyPatch) -> None:
    """No account is judged by its own ceiling."""
    patch.setattr(own_ceiling.OwnCeiling, "applies", lambda self, check: False)


def each_look_for_itself(patch: pytest.MonkeyPatch) -> None:
    """Any evidence at any look is enough, as if it were the only one: what a peeked test does."""
    patch.setattr(panel, "_level", lambda state, alpha: 0.9)


BUGS: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (no_margin, "harmless bakes of unequal accounts, nothing known"),
    (looks_only, "harmless bakes of unequal accounts, 3 hours known"),
    (worst_of_few_hours, "harmless bakes of unequal accounts, 3 hours known"),
    (independent, "harmless bakes of bursty accounts"),
    (first_stake_only, "a doubling at 12 h, times the bound"),
    (no_harm_seen_is_pass, "a doubling that passes"),
    (absent_never, "a healthy bake passes"),
    (pooled_only, "the incident of 2017, minutes"),
    (each_look_for_itself, "harmless bakes of accounts that are alike"),
]


@pytest.mark.parametrize(("bug", "name"), BUGS, ids=[bug.__name__ for bug, _ in BUGS])
def test_seeded_bug_is_seen(
    bug: Callable[[pytest.MonkeyPatch], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, count, most = FIGURES[name]
    bug(monkeypatch)
    assert figure(count, most) > most


def test_the_same_seed_is_the_same_bake() -> None:
    task = Task(stream="S4", seed=5, harm=Harm(share=0.3, at=60), looks=120)
    assert play(task) == play(task)


def test_a_restart_between_two_looks_changes_nothing() -> None:
    """State goes through JSON after each look, as the store has it."""
    check, judges = check_for("S1"), judges_known()
    verdicts = []
    for restarting in (False, True):
        bake = STREAMS["S1"].bake(3, Harm(factor=3))
        state: dict[str, Any] = panel.feed({}, bake.past(), bake.starts)
        said = []
        for minute, (canary, control) in zip(range(60), bake.minutes(), strict=False):
            state, one = panel.look(
                check, judges, state, evidence_of(bake, minute, canary, control), alpha=ALPHA
            )
            if restarting:
                state = json.loads(json.dumps(state))
            said.append((one.verdict, one.reason))
        verdicts.append(said)
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][-1][0] is Verdict.FAIL
