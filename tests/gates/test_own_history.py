"""Accounts ranked among their own past blocks: fair on bursts, blunt on memory, quick on an account gone bad."""

import math
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ringctl.core.judging import Cell, Evidence
from ringctl.core.learning import HISTORY, Learnt
from ringctl.core.peaks import Peak, Peaks, read
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates.own_history import OwnHistory, block_hours
from tests.gates.fleets import ERRORS, START, VALUES, failed_at, only_objects, poisson, told
from tests.support.scale import scaled

PAST = 14 * 24
CHECK = replace(ERRORS, false_alarm=0.01)


def own(rows):
    return {name: SimpleNamespace(peaks=read(found)) for name, found in rows.items()}


def world(seed, *, accounts=10, memory=1, harm=None, hours=24, past=PAST, every=15, apart=0):
    """Looks of a bake; bursts last `memory` hours, of each account for itself. `harm`: account -> factor."""
    rng = random.Random(seed)
    names = [f"c{one:02d}" for one in range(accounts)]
    bursts = {}
    peaks = Peaks()

    def bad(name, hour, n):
        if hour % memory == 0 or name not in bursts:
            bursts[name] = rng.gammavariate(0.5, 2.0)
        return min(n, poisson(rng, n * 0.02 * bursts[name]))

    for hour in range(-past, 0):
        for name in names:
            peaks.add(START + (hour + 1) * HOUR, name, 300.0, bad(name, hour, 300.0), touched=True)
        peaks.add(START + (hour + 1) * HOUR, "k", 6000.0, poisson(rng, 120.0), touched=False)
    peaks.add(START + HOUR, "k", 1.0, 0.0, touched=False)
    learnt = Learnt(source=HISTORY, note="made up", hours=float(past), own=own(peaks.found()))
    per = 5.0 * every
    for minute in range(every, 60 * hours + 1, every):
        cells = []
        for place, name in enumerate(names):
            after = minute - every >= place * apart
            worse = (harm or {}).get(name, 1.0) if after else 1.0
            hour = (minute - every) // 60
            y = bad(name, hour, per) if (minute - every) % 60 == 0 else min(
                per, poisson(rng, per * 0.02 * bursts[name])
            )  # fmt: skip
            cells.append(
                Cell(account=name, n=per, y=per if worse == math.inf else min(per, y * worse), after=after)
            )
        yield Evidence(
            at_us=START + minute * MINUTE,
            interval_us=every * MINUTE,
            touched=tuple(cells),
            control=(Cell(account="k", n=100.0 * every, y=poisson(rng, 2.0 * every), after=False),),
            expected=accounts,
            intents={
                name: START + place * apart * MINUTE if place * apart < minute else None
                for place, name in enumerate(names)
            },
            learnt=learnt,
        )


@pytest.mark.bakes
@pytest.mark.parametrize("apart", [0, 30])
def test_it_seldom_rings_on_bursts_of_an_hour(apart):
    bakes, alpha = scaled(30, 600), 0.02
    check = replace(CHECK, false_alarm=alpha)
    rung = sum(
        failed_at(OwnHistory(), check, world(seed, apart=apart))[0] is not None for seed in range(bakes)
    )
    assert rung <= alpha * bakes + 3 * math.sqrt(alpha * bakes), f"{rung} of {bakes}"


@pytest.mark.bakes
def test_bursts_of_six_hours_ask_for_longer_blocks():
    hours = []
    for seed in range(12):
        first = next(iter(world(seed, memory=6, hours=1, accounts=20)))
        hours.append(block_hours(first.learnt, sorted(first.intents), 100.0))
    assert sum(one != 1 for one in hours) >= 9


@pytest.mark.bakes
def test_a_mutant_that_always_takes_an_hour_rings_on_them(monkeypatch):
    """The oracle of false alarms can fail: without the choice of the block, memory of hours is taken for harm."""
    check = replace(CHECK, false_alarm=0.1)

    def rung():
        worlds = [world(seed, memory=12, every=30) for seed in range(24)]
        return sum(failed_at(OwnHistory(), check, one)[0] is not None for one in worlds)

    chosen = rung()
    monkeypatch.setattr("ringctl.gates.own_history.block_hours", lambda *_: 1)
    monkeypatch.setattr("ringctl.gates.own_history.CLEARLY", 0.0)
    assert rung() > chosen + 3


@pytest.mark.bakes
def test_two_accounts_gone_bad_are_seen_after_some_blocks():
    harm = {"c03": 12.0, "c04": 12.0}
    found = [failed_at(OwnHistory(), CHECK, world(seed, harm=harm)) for seed in range(12)]
    at = sorted(one for one, _ in found if one is not None)
    assert len(at) >= 10
    assert at[5] <= 6 * 60
    assert {name for one, judgement in found if one is not None for name in judgement.worst} == {"c03", "c04"}


def test_one_account_nearly_all_bad_fails_alone_and_one_that_is_worse_does_not():
    at, judgement = failed_at(
        OwnHistory(), replace(CHECK, false_alarm=0.002), world(1, harm={"c05": math.inf})
    )
    assert at is not None
    assert at <= 3 * 60
    assert judgement.worst == ("c05",)
    looks = list(world(1, harm={"c05": 8.0}))
    *_, last = told(OwnHistory(), CHECK, looks)
    assert last.verdict is Verdict.INCONCLUSIVE
    assert last.numbers["e"] >= last.numbers["level"]
    assert "one account alone fails a check only where it is mostly bad" in last.reason


def test_the_only_account_of_a_wave_needs_ten_times_the_evidence():
    found = list(told(OwnHistory(), CHECK, list(world(0, accounts=1, harm={"c00": 10.0}))))
    first = next(place for place, one in enumerate(found) if one.verdict is Verdict.FAIL)
    assert found[first].numbers["e"] >= 10 * found[first].numbers["level"]
    earlier = [one for one in found[:first] if one.numbers.get("e", 0.0) >= one.numbers["level"]]
    assert earlier, "the usual evidence was there earlier"


def test_it_keeps_what_a_judge_that_only_objects_must():
    only_objects(OwnHistory(), CHECK, world(3, harm={"c03": math.inf, "c04": math.inf}, hours=8, apart=40))


def test_off_without_days_of_history():
    *_, last = told(OwnHistory(), CHECK, world(4, past=20, hours=2))
    assert last.reason.startswith("off: bursts outlast blocks of 6 h, or there are too few days of history")
    looks = [replace(one, learnt=Learnt()) for one in world(4, past=0, hours=2)]
    *_, last = told(OwnHistory(), CHECK, looks)
    assert last.reason == "off: there are no days of history with control"
    assert last.abstains


def test_off_where_no_block_is_long_enough():
    found = tuple(Peak(hours, 100, 1.0, math.inf) for hours in (1, 2, 4, 6))
    learnt = Learnt(own={"c": SimpleNamespace(peaks=found)})
    assert block_hours(learnt, ["c", "d"], 100.0) == 0
    better = (*found[:2], Peak(4, 90, 1.0, 5.0), found[3])
    assert block_hours(Learnt(own={"c": SimpleNamespace(peaks=better)}), ["c", "d"], 100.0) == 4


def test_an_account_without_a_past_is_not_judged():
    looks = [
        replace(one, learnt=replace(one.learnt, own={"c01": one.learnt.own["c01"]}))
        for one in world(5, harm={"c00": math.inf}, hours=6)
    ]
    *_, last = told(OwnHistory(), CHECK, looks)
    assert last.numbers["judged"] == 1
    assert last.verdict is Verdict.INCONCLUSIVE


def test_without_control_in_the_bake_no_block_counts():
    looks = list(world(6, harm={"c00": math.inf, "c01": math.inf}, hours=6))
    *_, last = told(OwnHistory(), CHECK, [replace(one, control=()) for one in looks])
    assert last.numbers["e"] == 1.0
    blank = [
        replace(one, control=tuple(cell._replace(n=None, y=None) for cell in one.control)) for one in looks
    ]
    assert list(told(OwnHistory(), CHECK, blank))[-1] == last


def test_before_the_first_intent_and_where_intents_are_not_known():
    before = [replace(one, touched=tuple(cell._replace(after=False) for cell in one.touched))
              for one in world(7, hours=1)]  # fmt: skip
    assert {one.reason for one in told(OwnHistory(), CHECK, before)} == {
        "no account of the wave has begun yet"
    }
    looks = [replace(one, intents={}) for one in world(7, harm={"c03": math.inf, "c04": math.inf}, hours=8)]
    assert failed_at(OwnHistory(), CHECK, looks)[0] is not None


@pytest.mark.parametrize(
    ("change", "applies"),
    [
        ({}, True),
        ({"compare": "before-vs-after"}, True),
        ({"compare": "threshold"}, False),
        ({"fail_if": replace(ERRORS.fail_if, increase=None)}, False),
        ({"measure": VALUES}, False),
    ],
)
def test_what_it_applies_to(change, applies):
    assert OwnHistory().applies(replace(ERRORS, **change)) is applies
