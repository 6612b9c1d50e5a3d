"""The ceiling judged at any look: rings above it only, passes below it only, and needs no control."""

import json
import math
import random
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence
from ringctl.core.learning import Learnt
from ringctl.core.policy import FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates import limit
from ringctl.gates.limit import Limit, rates_above
from ringctl.testing.judge_suite import ORACLES, Case, Story, stream
from tests.gates.fleets import ERRORS, START, VALUES, poisson, told
from tests.support.scale import scaled

CEILING = replace(ERRORS, compare="threshold", fail_if=FailIf(ceiling=0.05), min_samples=100)
KNOWN = Learnt(phi=1.0)


def looks(seed, rates, *, accounts=4, per=12.0, phi=1.0, minutes=240, done=0, learnt=KNOWN):
    """`rates(minute, account)`; events come in batches of `phi`."""
    rng = random.Random(seed)
    for minute in range(minutes):
        cells = []
        for one in range(accounts):
            mean = per * rates(minute, one)
            y = min(per, phi * poisson(rng, mean / phi))
            cells.append(Cell(account=f"c{one}", n=per, y=y, after=True))
        yield Evidence(
            at_us=START + (minute + 1) * MINUTE,
            interval_us=MINUTE,
            touched=tuple(cells),
            expected=accounts,
            complete=minute >= done,
            learnt=learnt,
        )


def ends(check, made):
    """The first FAIL and the first PASS."""
    found = {}
    for minute, judgement in enumerate(told(Limit(), check, made)):
        found.setdefault(judgement.verdict, minute)
    return found.get(Verdict.FAIL), found.get(Verdict.PASS)


@pytest.mark.bakes
@pytest.mark.parametrize("phi", [1.0, 3.0])
def test_at_the_ceiling_it_neither_rings_nor_passes_more_often_than_promised(phi):
    bakes = scaled(80, 2000)
    check = replace(CEILING, false_alarm=0.02, miss=0.05)
    both = [
        ends(check, looks(seed, lambda *_: 0.05, phi=phi, minutes=180, learnt=Learnt(phi=phi)))
        for seed in range(bakes)
    ]
    rung, passed = (sum(one[side] is not None for one in both) for side in (0, 1))
    assert rung <= 0.02 * bakes + 3 * math.sqrt(0.02 * bakes), f"{rung} of {bakes} rang"
    assert passed <= 0.05 * bakes + 3 * math.sqrt(0.05 * bakes), f"{passed} of {bakes} passed"


@pytest.mark.bakes
def test_a_mutant_without_dispersion_rings_on_batches():
    check = replace(CEILING, false_alarm=0.02)
    both = [ends(check, looks(seed, lambda *_: 0.05, phi=6.0)) for seed in range(30)]
    assert sum(one[0] is not None for one in both) >= 5


@pytest.mark.bakes
def test_a_release_well_below_passes_and_one_above_fails():
    healthy = [ends(CEILING, looks(seed, lambda *_: 0.02)) for seed in range(40)]
    assert all(fail is None for fail, _ in healthy)
    assert sorted(one[1] for one in healthy)[20] <= 12
    harmful = [ends(CEILING, looks(seed, lambda *_: 0.1)) for seed in range(40)]
    assert all(passed is None and fail is not None for fail, passed in harmful)
    assert sorted(one[0] for one in harmful)[20] <= 20


def test_harm_that_begins_late_is_seen():
    rates = lambda minute, _: 0.02 if minute < 180 else 0.25  # noqa: E731
    delays = [ends(CEILING, looks(seed, rates))[0] - 180 for seed in range(20)]
    assert sorted(delays)[10] <= 8


def test_harm_common_to_canary_and_control_is_seen():
    """The shared database: nothing that compares with control could say so."""
    made = [replace(one, control=one.touched) for one in looks(1, lambda *_: 0.3)]
    assert ends(CEILING, made)[0] is not None


def test_one_account_alone_does_not_fail_a_wave_but_the_only_one_does():
    one_bad = looks(2, lambda _, account: 0.9 if account == 0 else 0.01)
    *_, last = told(Limit(), CEILING, one_bad)
    assert last.verdict is Verdict.INCONCLUSIVE
    assert "without c0 it is not: one account alone does not fail this check" in last.reason
    assert last.worst[0] == "c0"
    lone = list(looks(2, lambda *_: 0.12, accounts=1, minutes=120))
    found = list(told(Limit(), CEILING, lone))
    first = next(place for place, one in enumerate(found) if one.verdict is Verdict.FAIL)
    assert found[first].numbers["e"] >= 10 * found[first].numbers["level"]
    before = [one for one in found[:first] if one.numbers["e"] >= one.numbers["level"]]
    assert before, "the usual evidence was there earlier"


def test_nothing_passes_on_the_eve_of_a_fail():
    found = list(
        told(Limit(), CEILING, looks(3, lambda minute, _: 0.02 if minute < 120 else 0.1, minutes=300))
    )
    fail = next(place for place, one in enumerate(found) if one.verdict is Verdict.FAIL)
    suspect = [one for one in found[120:fail] if one.numbers["e"] >= 20]
    assert found[119].verdict is Verdict.PASS
    assert suspect
    assert not any(one.verdict is Verdict.PASS for one in suspect)


def test_evidence_of_what_is_over_says_so():
    calm = looks(3, lambda minute, account: 0.9 if account == 0 and minute < 5 else 0.0)
    *_, last = told(Limit(), replace(CEILING, false_alarm=0.5), list(calm)[:20])
    assert last.verdict in {Verdict.INCONCLUSIVE, Verdict.PASS}
    judge, state = Limit(), {}
    for one in list(looks(3, lambda _, account: 0.9 if account == 0 else 0.0))[:40]:
        state, _ = judge.look(CEILING, state, one)
    state = {**state, "a": {}, "w": [0.0]}
    quiet = replace(one, touched=tuple(cell._replace(y=0.0) for cell in one.touched))
    _, judgement = judge.look(CEILING, state, quiet)
    assert "not of late" in judgement.reason


def test_a_share_beyond_all_is_cut():
    made = [replace(one, touched=tuple(cell._replace(y=50.0) for cell in one.touched))
            for one in looks(4, lambda *_: 0.0)]  # fmt: skip
    fail, passed = ends(CEILING, made)
    assert (fail is not None, passed) == (True, None)
    *_, last = told(Limit(), CEILING, made)
    assert last.numbers["share"] == 1.0


def test_what_it_wants_for_a_pass():
    late = list(looks(5, lambda *_: 0.0, done=10**6))
    assert ends(CEILING, late) == (None, None)
    few = list(looks(5, lambda *_: 0.0, per=1.0, minutes=10))
    *_, last = told(Limit(), CEILING, few)
    assert last.reason == "40 samples since the last account was done, 100 are needed"
    *_, last = told(Limit(), CEILING, list(looks(5, lambda *_: 0.05, minutes=60)))
    assert last.reason.startswith("5 % or more is not ruled out yet")
    nobody = [replace(one, touched=()) for one in late]
    *_, last = told(Limit(), replace(CEILING, min_samples=0), nobody)
    assert last.verdict is Verdict.INCONCLUSIVE


def test_idle_accounts_are_no_evidence():
    idle = [replace(one, touched=tuple(cell._replace(n=0.0, y=0.0) for cell in one.touched))
            for one in looks(6, lambda *_: 0.0, minutes=50)]  # fmt: skip
    assert {one.verdict for one in told(Limit(), replace(CEILING, min_samples=0), idle)} == {
        Verdict.INCONCLUSIVE
    }


def test_restarts_change_nothing():
    made = list(looks(7, lambda *_: 0.08))
    assert list(told(Limit(), CEILING, made)) == list(told(Limit(), CEILING, made, saved=True))
    state = {}
    for one in made:
        text = json.dumps(state)
        after, _ = Limit().look(CEILING, state, one)
        assert json.dumps(state) == text
        state = after


def test_nothing_learnt_asks_for_twice_the_evidence():
    *_, last = told(Limit(), CEILING, list(looks(8, lambda *_: 0.02, minutes=3, learnt=Learnt())))
    assert last.numbers["phi"] == 2.0


@pytest.mark.parametrize("ceiling", [0.0001, 0.05, 0.6, 0.95])
def test_the_shares_staked_on_lie_between_the_ceiling_and_all(ceiling):
    rates = rates_above(ceiling)
    assert all(ceiling < one < 1 for one in rates)
    assert list(rates) == sorted(rates)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("accounts", [1, 3])
def test_it_conforms(oracle, accounts):
    def made(after):
        return stream(Story(), accounts=accounts, control=0, before=(50.0, 0.5), after=after)

    oracle(Case(judge=Limit(), check=CEILING, healthy=made((50.0, 0.5)), harmful=made((50.0, 20.0))))


@pytest.mark.parametrize(
    ("change", "applies"),
    [
        ({}, True),
        ({"compare": "canary-vs-control"}, True),
        ({"fail_if": FailIf(increase=1.0)}, False),
        ({"fail_if": FailIf(ceiling=1.0)}, False),
        ({"measure": VALUES}, False),
    ],
)
def test_what_it_applies_to(change, applies):
    assert Limit().applies(replace(CEILING, **change)) is applies


def test_a_check_without_a_ceiling_is_not_judged():
    one = next(iter(looks(9, lambda *_: 0.0)))
    _, judgement = Limit().look(ERRORS, {}, one)
    assert judgement.reason == "no ceiling is asked for"


def test_an_account_without_trials_has_no_excess():
    assert limit._excess([0.0, 0.0], 0.05, 1.0) == 0.0


def bursting(seed):
    """20 accounts of the wave and 40 not touched, 4.8 % bad in bursts of an hour, of which nothing is known."""
    rng = random.Random(seed)
    names = [f"c{one:02d}" for one in range(60)]
    level = {}
    for minute in range(300):
        if minute % 60 == 0:
            level = {one: rng.gammavariate(0.5, 2) for one in names}
        cells = [Cell(one, 10.0, min(10.0, poisson(rng, 0.48 * level[one])), one < "c20") for one in names]
        yield Evidence(
            at_us=START + (minute + 1) * MINUTE, interval_us=MINUTE, touched=tuple(cells[:20]),
            control=tuple(cells[20:]), expected=20, complete=True,
        )  # fmt: skip


@pytest.mark.bakes
def test_bursts_of_which_nothing_is_known_seldom_ring(monkeypatch):
    def rung(bakes):
        return sum(ends(CEILING, bursting(seed))[0] is not None for seed in range(bakes))

    assert rung(scaled(10, 100)) <= 1
    monkeypatch.setattr(limit, "dispersion", lambda learnt, seen: 1.0)
    monkeypatch.setattr(limit, "UNLEARNT_PHI", 1.0)
    assert rung(10) > 3, "a mutant that asks nobody else"
