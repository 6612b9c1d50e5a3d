"""The randomisation test over accounts: exact on noisy accounts, cheap on healthy ones, the same on every node."""

import itertools
import math
import random
import time
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence
from ringctl.core.policy import FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates import redraw
from ringctl.gates.redraw import LOOKS, TIMES_US, Redraw, share_by_bound, share_by_draws
from tests.gates.fleets import ERRORS, START, VALUES, Fleet, failed_at, only_objects, told
from tests.support.scale import scaled

ALL = {f"c{one:02d}": 4.0 for one in range(50)}


def exact(values, k):
    target = sum(values[:k])
    return sum(sum(one) >= target for one in itertools.combinations(values, k)) / math.comb(len(values), k)


def test_its_times_are_fixed_and_denser_early():
    assert len(TIMES_US) == LOOKS
    assert (TIMES_US[0], TIMES_US[-1]) == (15 * MINUTE, 1440 * MINUTE)
    steps = [later - sooner for sooner, later in itertools.pairwise(TIMES_US)]
    assert steps == sorted(steps)


def test_draws_come_near_the_exact_share_and_the_bound_lies_above_it():
    rng = random.Random(1)
    for k in (2, 5, 8):
        values = [rng.randrange(-3 << 20, 3 << 20) for _ in range(16)]
        values.sort(reverse=True)
        values = values[1 : k + 1] + values[:1] + values[k + 1 :]
        share = exact(values, k)
        drawn = share_by_draws(values, k, 20_000, 1.0, "seed")
        assert abs(drawn - share) <= 4 * math.sqrt(share / 20_000) + 1e-4
        assert share <= share_by_bound(values, k) <= 1.0


def test_no_draw_beyond_the_best_of_many_is_ten_times_stricter_by_the_bound():
    rng = random.Random(2)
    values = [round(rng.gauss(0, 1) * (1 << 20)) for _ in range(200)]
    values[:20] = [one + (1 << 20) for one in values[:20]]
    drawn, bound = share_by_draws(values, 20, 60_000, 1.0, "x"), share_by_bound(values, 20)
    assert drawn <= bound <= 30 * drawn


def test_a_bound_of_nothing_is_still_a_number():
    assert share_by_bound([3 << 20] * 1000 + [-3 << 20] * 400, 1000) == pytest.approx(1e-100)


def test_equal_accounts_are_never_extreme():
    assert share_by_draws([7] * 50, 10, 1000, 1 / 1000, "seed") == 1.0
    assert share_by_bound([0] * 50, 10) == 1.0


def test_a_healthy_test_stops_at_once():
    values = [0] * 200
    began = time.perf_counter()
    share_by_draws(values, 20, 10**9, 1e-9, "seed")
    assert time.perf_counter() - began < 1.0


def alarms(bakes, check, **options):
    found = [failed_at(Redraw(), check, Fleet(seed=seed, **options).looks())[0] for seed in range(bakes)]
    return [one for one in found if one is not None]


@pytest.mark.bakes
@pytest.mark.parametrize("apart", [0, 20])
def test_it_seldom_rings_on_healthy_accounts_that_differ(apart):
    bakes, alpha = scaled(30, 600), 0.05
    rung = len(alarms(bakes, replace(ERRORS, false_alarm=alpha), apart=apart))
    assert rung <= alpha * bakes + 3 * math.sqrt(alpha * bakes), f"{rung} of {bakes}"


@pytest.mark.bakes
def test_a_mutant_that_takes_sizes_for_harm_rings(monkeypatch):
    """The oracle above can fail: with the accounts' own pasts ignored, accounts begun one by one ring."""
    assert rung_by_the_largest() <= 3
    monkeypatch.setattr(redraw, "scores", lambda rows, fleet: [round(1000 * row[redraw.Y]) for row in rows])
    assert rung_by_the_largest() >= 10


def rung_by_the_largest():
    check = replace(ERRORS, false_alarm=0.05)
    fleets = [big(Fleet(seed=seed, canary=5)) for seed in range(30)]
    return sum(failed_at(Redraw(), check, fleet.looks(480))[0] is not None for fleet in fleets)


def big(fleet):
    """The canary of the largest accounts there are: a plan may want that."""
    ranked = sorted(fleet.own.values(), key=lambda one: one[0] * one[1])
    for name in fleet.own:
        fleet.own[name] = ranked.pop() if name in fleet.starts else ranked.pop(0)
    return fleet


@pytest.mark.bakes
def test_wide_harm_among_noisy_accounts_is_seen():
    found = alarms(20, replace(ERRORS, false_alarm=0.01), harm=ALL)
    assert len(found) >= 18
    assert sorted(found)[10] <= 360


def test_it_keeps_what_a_judge_that_only_objects_must():
    for apart in (0, 30):
        looks = list(Fleet(seed=4, harm={**ALL, "c00": 10.0}, apart=apart).looks())
        only_objects(Redraw(), replace(ERRORS, false_alarm=0.05), looks)


def test_one_account_alone_does_not_fail_it():
    harm = {"c00": 30.0}
    fleet = Fleet(seed=5, canary=2, control=60, alike=True, harm=harm)
    *_, last = told(Redraw(), replace(ERRORS, false_alarm=0.05), fleet.looks())
    assert last.verdict is Verdict.INCONCLUSIVE


def test_two_accounts_of_very_many_do():
    values = [3 << 20] * 2 + [-1000] * 8 + [0] * 190
    assert redraw._several(values, 10)
    assert not redraw._several([3 << 20] + [0] * 199, 10)
    assert not redraw._several([3 << 20] + [0] * 199, 1)


def test_off_where_there_are_too_few_draws():
    fleet = Fleet(seed=6, canary=1, control=60, harm=ALL)
    *_, last = told(Redraw(), replace(ERRORS, false_alarm=0.05), fleet.looks(60))
    assert "off: 1 of 61 accounts can be drawn in 61 ways, 400 are needed" in last.reason
    assert last.abstains


def test_missed_times_are_not_made_up_for_and_nothing_is_asked_after_a_day():
    looks = list(Fleet(seed=7).looks(1440 + 60))
    check = replace(ERRORS, false_alarm=0.01)
    (first,) = told(Redraw(), check, looks[-3:-2])
    assert first.numbers["tests"] == LOOKS
    *_, last = told(Redraw(), check, looks)
    assert last.reason == "all 20 tests of the first 24 hours are done"
    early, *_ = told(Redraw(), check, Fleet(seed=7, every=5).looks(5))
    assert early.reason == "test 1 of 20 is 15 min after the first intent"


def test_before_the_first_intent_it_waits():
    looks = [replace(one, touched=tuple(cell._replace(after=False) for cell in one.touched), intents={})
             for one in Fleet(seed=8).looks(60)]  # fmt: skip
    assert {one.reason for one in told(Redraw(), ERRORS, looks)} == {"no account of the wave has begun yet"}


def test_too_much_work_goes_by_the_bound(monkeypatch):
    check = replace(ERRORS, false_alarm=0.01)
    monkeypatch.setattr(redraw, "MOST_STEPS", 10)
    monkeypatch.setattr(redraw, "share_by_draws", None)
    at, judgement = failed_at(Redraw(), check, Fleet(seed=9, harm=ALL).looks())
    assert at is not None
    assert judgement.numbers["e"] >= judgement.numbers["level"] == 2000


def test_control_is_sampled_by_the_seed_alone(monkeypatch):
    monkeypatch.setattr(redraw, "MOST_CONTROL", 12)
    looks = list(Fleet(seed=10).looks(30))
    states = []
    for turned in (False, True):
        state = {}
        for one in looks:
            control = one.control[::-1] if turned else one.control
            state, _ = Redraw().look(ERRORS, state, replace(one, control=control))
        states.append(state)
    assert sorted(states[0]["control"]) == sorted(states[1]["control"])
    assert len(states[0]["control"]) == 12
    assert states[0]["seed"] == states[1]["seed"]


def test_without_any_past_all_accounts_are_measured_alike():
    evidence = Evidence(
        at_us=START + 15 * MINUTE,
        interval_us=15 * MINUTE,
        touched=tuple(Cell(account=f"c{one}", n=100.0, y=20.0, after=True) for one in range(5)),
        control=tuple(Cell(account=f"k{one}", n=100.0, y=1.0, after=False) for one in range(40)),
        expected=5,
    )
    _, judgement = Redraw().look(replace(ERRORS, false_alarm=0.05), {}, evidence)
    assert judgement.verdict is Verdict.FAIL
    nothing = replace(evidence, touched=tuple(cell._replace(y=0.0) for cell in evidence.touched),
                      control=tuple(cell._replace(y=0.0) for cell in evidence.control))  # fmt: skip
    _, judgement = Redraw().look(replace(ERRORS, false_alarm=0.05), {}, nothing)
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_scores_without_exposure_of_the_fleet():
    assert redraw.scores([[0.0, 0.0, 5.0, 1.0]], [5.0, 1.0]) == [0]


def test_a_full_test_is_cheap():
    rng = random.Random(11)
    values = [round(rng.gauss(0, 1) * (1 << 20)) for _ in range(200)]
    values[:20] = [one + (2 << 20) for one in values[:20]]
    began = time.perf_counter()
    share_by_draws(values, 20, 12_000, 1 / 12_000, "seed")
    assert time.perf_counter() - began < 1.0  # 0.04 s where nothing else runs


@pytest.mark.parametrize(
    ("change", "applies"),
    [
        ({}, True),
        ({"compare": "unchanged"}, True),
        ({"compare": "before-vs-after"}, False),
        ({"fail_if": FailIf(decrease=0.5)}, False),
        ({"measure": VALUES}, False),
    ],
)
def test_what_it_applies_to(change, applies):
    assert Redraw().applies(replace(ERRORS, **change)) is applies
