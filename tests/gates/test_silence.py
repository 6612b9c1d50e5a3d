"""Silence of accounts that had traffic: seen in minutes where control goes on, never at night or without a source."""

import json
import math
import random
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence
from ringctl.core.learning import HISTORY, Learnt
from ringctl.core.policy import Count, Counter, StepMeasure
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates import silence
from ringctl.gates.silence import RUN, Silence
from tests.gates.fleets import ERRORS, START, only_objects, owns, poisson, told
from tests.support.scale import scaled

CHECK = replace(ERRORS, silence="fail", false_alarm=0.001)
FLOW = replace(CHECK, measure=Count(of=Counter(name="all")))
DAYS = 14 * 1440.0


def looks(
    seed, flow, *, canary=5, control=10, per=(10.0, 45.0), minutes=240, noise=0.15, count=False, flow_phi=6.6
):
    """`flow(minute, account)`: share of the usual traffic; None: the series is absent. Noise a side and 5 minutes."""
    rng = random.Random(seed)
    names = [f"c{one}" for one in range(canary)] + [f"k{one}" for one in range(control)]
    usual = {name: per[name[0] == "k"] for name in names}
    rows = {name: (one * DAYS, one * DAYS if count else one * 14.4, DAYS) for name, one in usual.items()}
    if count:
        rows = {name: (DAYS, y, minutes_) for name, (_, y, minutes_) in rows.items()}
    learnt = Learnt(
        source=HISTORY, note="made up", phi=1.0, hours=336.0, events=(100.0, 900.0), own=owns(rows)
    )
    if flow_phi is not None:
        learnt = replace(learnt, flow=flow_phi)
    sides = {"c": 1.0, "k": 1.0}
    for minute in range(minutes):
        if minute % 5 == 0:
            sides = {side: rng.gammavariate(1 / noise**2, noise**2) if noise else 1.0 for side in sides}
        cells = []
        for name in names:
            share = flow(minute, name)
            seen = None if share is None else poisson(rng, usual[name] * share * sides[name[0]])
            n, y = (None if seen is None else 1.0, seen) if count else (seen, None if seen is None else 0.0)
            cells.append(Cell(account=name, n=n, y=y, after=name[0] == "c"))
        yield Evidence(
            at_us=START + (minute + 1) * MINUTE,
            interval_us=MINUTE,
            touched=tuple(cells[:canary]),
            control=tuple(cells[canary:]),
            expected=canary,
            intents=dict.fromkeys(names[:canary], START),
            learnt=learnt,
        )


def failed(check, made):
    for minute, judgement in enumerate(told(Silence(), check, made)):
        if judgement.verdict is Verdict.FAIL:
            return minute
    return None


def usual(_, __):
    return 1.0


def mute(minute, name):
    return 0.0 if name[0] == "c" and minute >= 120 else 1.0


def gone(minute, name):
    return None if name[0] == "c" and minute >= 120 else 1.0


@pytest.mark.parametrize("flow", [mute, gone])
@pytest.mark.parametrize("count", [False, True])
def test_silence_is_seen_within_minutes_and_never_before(flow, count):
    check = FLOW if count else CHECK
    at = [failed(check, looks(seed, flow, count=count)) for seed in range(20)]
    assert all(one is not None and one >= 120 for one in at)
    assert sorted(at)[10] - 120 + 1 <= 5
    assert max(at) - 120 + 1 <= 10


@pytest.mark.bakes
@pytest.mark.parametrize("flow_phi", [6.6, None])
def test_it_seldom_rings_under_noise_and_by_night(flow_phi):
    def night(minute, _):
        return 0.0 if 60 <= minute < 180 else 0.05 if minute < 60 else 1.0

    bakes = scaled(15, 400)
    for flow in (usual, night):
        made = (looks(seed, flow, flow_phi=flow_phi) for seed in range(bakes))
        assert sum(failed(replace(CHECK, false_alarm=0.01), one) is not None for one in made) == 0


def test_a_mutant_that_does_not_ask_control_rings_at_night(monkeypatch):
    """Silence of canary and control alike is night; expected numbers without control's clock would call it harm."""
    night = lambda minute, _: 0.0 if minute >= 120 else 1.0  # noqa: E731
    assert failed(CHECK, looks(1, night)) is None

    def clockwork(check, evidence):
        return {name: (e, e) for name, (e, _) in real(check, evidence).items()}

    real = silence._control
    monkeypatch.setattr(silence, "_control", clockwork)
    assert failed(CHECK, looks(1, night)) is not None


def test_traffic_halved_is_not_silence():
    half = lambda minute, name: 0.5 if name[0] == "c" else 1.0  # noqa: E731
    assert failed(CHECK, looks(2, half)) is None


def test_one_silent_account_of_several_does_not_fail_and_the_only_one_does():
    one = lambda minute, name: 0.0 if name == "c0" else 1.0  # noqa: E731
    assert failed(CHECK, looks(3, one)) is None
    lone = list(told(Silence(), CHECK, list(looks(3, mute, canary=1, per=(2.0, 45.0)))))
    first = next(place for place, one in enumerate(lone) if one.verdict is Verdict.FAIL)
    assert lone[first].numbers["e"] >= 10 * lone[first].numbers["level"]
    assert any(one.numbers["e"] >= one.numbers["level"] for one in lone[:first]), "but not on the usual"
    two = lambda minute, name: 0.0 if name in {"c0", "c1"} else 1.0  # noqa: E731
    assert failed(CHECK, looks(3, two, canary=2)) is not None


def test_a_restart_of_a_look_or_two_is_no_silence():
    def restarts(minute, name):
        return None if name[0] == "c" and minute % 30 in range(RUN - 1) else 1.0

    assert failed(CHECK, looks(4, restarts, per=(100.0, 450.0))) is None


def test_a_source_that_loses_a_part_of_everything_proves_nothing():
    rng = random.Random(5)
    lost = {name for side in "ck" for name in (f"{side}{one}" for one in range(10)) if rng.random() < 0.5}
    torn = lambda minute, name: None if name in lost and minute >= 60 else 1.0  # noqa: E731
    assert failed(CHECK, looks(5, torn)) is None
    all_gone = lambda minute, name: None if minute >= 60 else 1.0  # noqa: E731
    *_, last = told(Silence(), CHECK, looks(5, all_gone, minutes=100))
    assert last.reason == "control is silent as well (0 of 10 accounts answer)"
    assert last.verdict is Verdict.INCONCLUSIVE


def test_most_of_control_must_answer_in_the_look_that_fails():
    def part(minute, name):
        if name[0] == "k" and minute >= 120 and name != "k0":
            return None
        return mute(minute, name)

    *_, last = told(Silence(), CHECK, looks(6, part, per=(100.0, 450.0)))
    assert last.reason == "control is silent as well (1 of 10 accounts answer)"


def test_a_series_that_went_away_with_the_intent_has_no_cell_and_is_silent():
    made = [replace(one, touched=one.touched[2:]) for one in looks(7, gone)]
    made = made[:1] + [replace(one, touched=()) for one in made[1:]]
    assert failed(CHECK, made) is not None
    unknown = [replace(one, intents=dict.fromkeys(one.intents)) for one in made]
    assert failed(CHECK, unknown) is None


def test_an_account_without_past_traffic_is_not_judged():
    def bare(one, keep):
        rows = {name: (*row[:3], 0, 5.0 if keep else row[4], *row[5:]) if keep else (0.0, *row[1:])
                for name, row in one.learnt.own.rows.items() if name[0] == "c"}  # fmt: skip
        own = owns({})
        own.rows = {**one.learnt.own.rows, **rows}
        return replace(one, learnt=Learnt(source=HISTORY, own=own))

    for keep in (True, False):
        made = [bare(one, keep) for one in looks(8, mute)]
        *_, last = told(Silence(), CHECK, made)
        assert last.reason == "no account that had traffic before has begun yet"
    *_, last = told(Silence(), CHECK, [replace(one, learnt=Learnt()) for one in looks(8, mute)])
    assert last.verdict is Verdict.INCONCLUSIVE


def test_without_a_learnt_dispersion_control_shows_it():
    seen = [90.0, 10.0, 100.0]
    assert silence._dispersion(CHECK, Learnt(), [0.0, 0.0, 0.0]) == 2.0
    assert silence._dispersion(CHECK, Learnt(), seen) == 9.0
    assert silence._dispersion(CHECK, Learnt(hours=336.0, phi=3.0, flow=0.5), seen) == 1.0
    assert silence._dispersion(FLOW, Learnt(hours=336.0, phi=3.0), seen) == 3.0
    assert silence._dispersion(FLOW, Learnt(hours=0.5, phi=3.0), seen) == 9.0


def test_it_keeps_what_a_judge_that_only_objects_must():
    made = [replace(one, learnt=replace(one.learnt, flow=None)) for one in looks(9, mute, minutes=150)]
    only_objects(Silence(), CHECK, made)


def test_rows_are_plain():
    state = {}
    for one in looks(10, mute, minutes=125):
        state, _ = Silence().look(CHECK, state, one)
    assert len(json.dumps(state)) < 500
    assert all(math.isfinite(one) for one in state["down"])


@pytest.mark.parametrize(
    ("change", "applies"),
    [
        ({}, True),
        ({"silence": "hold"}, False),
        ({"measure": Count(of=Counter(name="all"))}, True),
        ({"measure": StepMeasure(name="duration")}, False),
    ],
)
def test_what_it_applies_to(change, applies):
    assert Silence().applies(replace(CHECK, **change)) is applies
