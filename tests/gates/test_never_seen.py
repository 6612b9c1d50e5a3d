"""An event that no account ever had: believed at the second account, not when it comes to all alike."""

import math
import random
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence
from ringctl.core.learning import HISTORY, Learnt
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates import never_seen
from ringctl.gates.never_seen import NeverSeen, timing
from ringctl.gates.split import Split
from tests.gates.fleets import ERRORS, START, VALUES, failed_at, only_objects, owns, told
from tests.support.scale import scaled

CHECK = replace(ERRORS, false_alarm=0.01)
PAST = 14 * 24.0


def clean(hours=PAST, events=(0.0, 0.0)):
    names = [f"{side}{one}" for side in "ck" for one in range(1000)]
    past = owns(dict.fromkeys(names, (5.0 * 60 * hours, 0.0, 60 * hours)))
    return Learnt(source=HISTORY, note="made up", hours=hours, events=events, own=past)


def looks(events, *, canary=10, control=90, minutes=120, every=1, apart=0, learnt=None):
    """`events`: (minute, account) of each."""
    names = [f"c{one}" for one in range(canary)] + [f"k{one}" for one in range(control)]
    for minute in range(every, minutes + 1, every):
        bad = [name for at, name in events if minute - every <= at < minute]
        cells = [
            Cell(account=name, n=5.0 * every, y=float(bad.count(name)),
                 after=name[0] == "c" and minute - every >= apart * int(name[1:]))
            for name in names
        ]  # fmt: skip
        yield Evidence(
            at_us=START + minute * MINUTE,
            interval_us=every * MINUTE,
            touched=tuple(cells[:canary]),
            control=tuple(cells[canary:]),
            expected=canary,
            complete=minute - every >= apart * (canary - 1),
            intents={name: START + apart * place * MINUTE if apart * place < minute else None
                     for place, name in enumerate(names[:canary])},
            learnt=learnt or clean(),
        )  # fmt: skip


ONE_BY_ONE = [(10 + 10 * place, f"c{place}") for place in range(10)]


def needed(judge, check):
    at, _ = failed_at(judge, check, looks(ONE_BY_ONE, minutes=115))
    return math.inf if at is None else sum(minute < at for minute, _ in ONE_BY_ONE)


def test_a_tenth_of_the_fleet_fails_at_the_second_event_and_a_comparison_later():
    assert needed(NeverSeen(), CHECK) == 2
    assert needed(Split(), CHECK) >= 4
    # a tenth of the level, as where the check shares it out
    assert needed(NeverSeen(), replace(CHECK, false_alarm=0.001)) == 2


def fleet_wide(rng, days=14.0):
    """Incidents at a constant rate over past and bake, hitting accounts alike. None: the past is not clean."""
    rate = 1 / rng.uniform(1.0, 60.0)  # a day
    at = rng.expovariate(rate)
    if at < days:
        return None
    events = []
    while at < days + 1:
        for _ in range(rng.choice([1, 1, 2, 5, 20])):
            name = rng.choice([f"c{one}" for one in range(10)] + [f"k{one}" for one in range(90)])
            events += [(int(1440 * (at - days)) + rng.randrange(60), name)] * rng.choice([1, 50])
        at += rng.expovariate(rate)
    return events


def test_it_seldom_rings_where_such_things_come_to_all_alike():
    rng, rung = random.Random(1), 0
    worlds = scaled(1500, 20_000)
    for _ in range(worlds):
        events = fleet_wide(rng)
        if events:
            made = looks(events, minutes=1440, every=60)
            rung += failed_at(NeverSeen(), CHECK, made)[0] is not None
    assert rung <= 0.01 * worlds + 3 * math.sqrt(0.01 * worlds), f"{rung} of {worlds}"


def rung_on_the_day(bakes):
    """A fault of the world begins five minutes after the rollout does, and goes on hitting accounts alike."""
    rng, rung = random.Random(2), 0
    for _ in range(bakes):
        names = [f"c{one}" for one in range(10)] + [f"k{one}" for one in range(90)]
        events = [(5 + place, rng.choice(names)) for place in range(30)]
        rung += failed_at(NeverSeen(), CHECK, looks(events, minutes=45))[0] is not None
    return rung / bakes


@pytest.mark.bakes
def test_a_fault_of_the_world_on_the_day_of_the_rollout_is_no_certain_alarm(monkeypatch):
    """`when` is lost then, by bad luck; `where` still holds. Of GATE's formula (a mutant here) nothing would."""
    ours = rung_on_the_day(100)
    real = never_seen.log_likelihood

    def with_past(r, q, y_c, y_k):
        odds = q / (1 - q) / PAST
        return real(r, odds / (1 + odds), y_c, y_k)

    monkeypatch.setattr(never_seen, "log_likelihood", with_past)
    monkeypatch.setattr(never_seen, "timing", lambda *_: 1.0)
    assert ours <= 0.2
    assert rung_on_the_day(100) >= 0.3


def test_one_account_that_retries_is_one():
    made = looks([(minute, "c3") for minute in range(10, 100)])
    *_, last = told(NeverSeen(), CHECK, made)
    assert last.verdict is Verdict.INCONCLUSIVE
    assert last.worst == ("c3",)
    assert last.numbers["hit"] == 1


def test_the_only_account_of_a_wave_fails_by_two_events_at_ten_times_the_evidence():
    for events, verdict in (([(10, "c0")], Verdict.INCONCLUSIVE), ([(10, "c0"), (20, "c0")], Verdict.FAIL)):
        *_, last = told(NeverSeen(), CHECK, looks(events, canary=1, control=199))
        assert last.verdict is verdict
    *_, last = told(NeverSeen(), CHECK, looks([(10, "c0"), (20, "c0")], canary=1, control=4))
    assert last.verdict is Verdict.INCONCLUSIVE


def test_accounts_hit_before_their_own_intent_are_control():
    events = [(5, "c8"), (7, "c9"), (95, "c8"), (96, "c9")]
    *_, last = told(NeverSeen(), CHECK, looks(events, apart=10))
    assert (last.numbers["hit"], last.numbers["control_hit"]) == (0, 2)
    assert last.reason == "no such event in the wave, as ever before"


def test_many_hits_of_control_end_it():
    events = [(5 + one, f"k{one}") for one in range(20)] + [(60, f"c{one}") for one in range(10)]
    *_, last = told(NeverSeen(), CHECK, looks(events))
    assert last.numbers["hit"] == 0
    assert last.verdict is Verdict.INCONCLUSIVE


def test_late_hits_weigh_less_and_after_a_day_nothing():
    assert timing(0.5, PAST) == pytest.approx((337 + 85 + 15) / 3)
    assert timing(2.0, PAST) == pytest.approx((85 + 15) / 3)
    assert timing(24.5, PAST) == 0.0
    late = [(1500, "c0"), (1510, "c1"), (1520, "c2")]
    assert failed_at(NeverSeen(), CHECK, looks(late, minutes=1600, every=10))[0] is None


def test_when_has_a_mean_of_at_most_one():
    """Incidents at any constant rate: W, where the past was clean, else 0."""
    rng = random.Random(3)
    for rate in (1 / 1000, 1 / 336, 1 / 50):
        draws = [rng.expovariate(rate) for _ in range(scaled(40_000, 400_000))]
        mean = sum(timing(one - PAST, PAST) for one in draws if one >= PAST) / len(draws)
        assert mean <= 1.0


def test_a_look_without_control_is_no_evidence():
    made = [replace(one, control=()) for one in looks(ONE_BY_ONE)]
    *_, last = told(NeverSeen(), CHECK, made)
    assert (last.verdict, last.numbers["e"], last.numbers["hit"]) == (Verdict.INCONCLUSIVE, 1.0, 10)


@pytest.mark.parametrize("learnt", [Learnt(), clean(20.0), clean(PAST, (0.0, 3.0))])
def test_off_where_the_past_is_not_known_or_not_clean(learnt):
    *_, last = told(NeverSeen(), CHECK, looks(ONE_BY_ONE, learnt=learnt))
    assert last.reason == "off: such events are known from before, or there is no day of history"
    assert last.abstains


def test_before_the_first_intent_and_where_intents_are_not_known():
    before = [replace(one, touched=tuple(cell._replace(after=False) for cell in one.touched))
              for one in looks(ONE_BY_ONE)]  # fmt: skip
    assert {one.reason for one in told(NeverSeen(), CHECK, before)} == {
        "no account of the wave has begun yet"
    }
    assert (
        failed_at(NeverSeen(), CHECK, [replace(one, intents={}) for one in looks(ONE_BY_ONE)])[0] is not None
    )


def test_cohorts_known_to_be_alike_need_no_margin():
    e = [
        failed_at(NeverSeen(), replace(CHECK, alike=alike), looks(ONE_BY_ONE))[1].numbers["e"]
        for alike in (True, False)
    ]
    assert e[0] > e[1]


def test_it_keeps_what_a_judge_that_only_objects_must():
    only_objects(NeverSeen(), CHECK, looks([(3, "k1"), *ONE_BY_ONE]))


def test_its_state_stays_small():
    state = {}
    for one in looks([(one, f"k{one}") for one in range(90)] + ONE_BY_ONE):
        state, _ = NeverSeen().look(CHECK, state, one)
    assert len(state["spared"]) == never_seen.MOST_CONTROL + 1
    assert (one.at_us - state["since"]) / HOUR == 2


@pytest.mark.parametrize(
    ("change", "applies"),
    [
        ({}, True),
        ({"compare": "unchanged"}, True),
        ({"compare": "threshold"}, False),
        ({"fail_if": replace(ERRORS.fail_if, increase=None)}, False),
        ({"measure": VALUES}, False),
    ],
)
def test_what_it_applies_to(change, applies):
    assert NeverSeen().applies(replace(ERRORS, **change)) is applies


def test_accounts_of_which_no_day_is_known_are_not_clean():
    """One account's long history says nothing of the others, nor does a part of a day of their own."""
    one = clean()

    def at(hours):
        canary = {f"c{place}": (300.0 * hours, 0.0, 60 * hours) for place in range(10)} if hours else {}
        control = {f"k{place}": (300.0 * PAST, 0.0, 60 * PAST) for place in range(90)}
        known = replace(one, own=owns({**control, **canary}))
        return failed_at(NeverSeen(), CHECK, looks(ONE_BY_ONE, learnt=known))[0]

    assert at(PAST) is not None
    assert at(24.0) is not None
    assert at(23.0) is None
    assert at(0) is None
