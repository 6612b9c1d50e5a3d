"""Blocks of the past: counted right, saved in between or not, and replayed to see whether bursts outlast them."""

import json
import math
import random

import pytest

from ringctl.core import peaks
from ringctl.core.peaks import LENGTHS, Peaks, bet, evidence, read, value
from ringctl.core.timing import HOUR, MINUTE
from tests.support.scale import scaled

DAYS = 14


def hours(seed, *, accounts=4, days=DAYS, burst=1):
    """Cells (at_us, account, n, y, touched): bursts of `burst` hours of each account for itself, control steady."""
    rng = random.Random(seed)
    level = dict.fromkeys(range(accounts), 1.0)
    for hour in range(24 * days):
        at_us = (hour + 1) * HOUR
        for one in range(accounts):
            if hour % burst == 0:
                level[one] = rng.gammavariate(0.5, 2.0)
            yield at_us, f"c{one}", 100.0, float(round(30 * level[one] * rng.random())), True
        yield at_us, "k", 1000.0, 30.0, False


def fed(cells, *, saved=False):
    found = Peaks()
    for at_us, account, n, y, touched in cells:
        if saved:
            found = Peaks(json.loads(json.dumps(found.state())))
        found.add(at_us, account, n, y, touched=touched)
    found.add(10**9 * HOUR, "k", 1.0, 0.0, touched=False)  # the last hour is over
    return found


def test_blocks_are_those_that_one_would_count_by_hand():
    cells = list(hours(1))
    found = fed(cells).found()
    for place, length in enumerate(LENGTHS):
        for account in ("c0", "c3"):
            blocks = {}
            for at_us, name, n, y, _ in cells:
                if name in {account, "k"}:
                    row = blocks.setdefault((at_us - 1) // (length * HOUR), [0.0] * 4)
                    row[2 * (name == "k")] += n
                    row[2 * (name == "k") + 1] += y
            by_hand = [value(*row) for _, row in sorted(blocks.items())][:-1]  # the last one is not over
            peak = read(found[account])[place]
            assert (peak.hours, peak.blocks) == (length, 24 * DAYS // length - 1)
            assert peak.peak == pytest.approx(max(by_hand), rel=1e-12)


def test_minutes_and_hours_are_the_same_blocks():
    minutes = Peaks()
    whole = Peaks()
    rng = random.Random(3)
    for hour in range(60):
        parts = [float(rng.randrange(4)) for _ in range(60)]
        for minute, y in enumerate(parts):
            at_us = hour * HOUR + (minute + 1) * MINUTE
            minutes.add(at_us, "c", 5.0, y, touched=True)
            minutes.add(at_us, "k", 50.0, 1.0, touched=False)
        whole.add((hour + 1) * HOUR, "c", 300.0, sum(parts), touched=True)
        whole.add((hour + 1) * HOUR, "k", 3000.0, 60.0, touched=False)
    assert minutes.found() == whole.found()


def test_a_state_that_was_saved_goes_on_as_if_it_had_not_been():
    cells = list(hours(2, days=4))
    assert fed(cells, saved=True).state() == fed(cells).state()
    assert fed(cells, saved=True).found() == fed(cells).found()


def test_feeding_does_not_change_the_state_it_began_with():
    first = fed(hours(4, days=2)).state()
    text = json.dumps(first)
    again = Peaks(first)
    for at_us, account, n, y, touched in hours(5, days=1):
        again.add(10**10 * HOUR + at_us, account, n, y, touched=touched)
    assert json.dumps(first) == text


def test_a_block_without_control_or_without_trials_does_not_count():
    found = Peaks()
    for hour in range(3):
        found.add((hour + 1) * HOUR, "c", 10.0, 5.0, touched=True)
        if hour != 1:
            found.add((hour + 1) * HOUR, "k", 10.0, 1.0, touched=False)
    found.add(9 * HOUR, "c", 10.0, 0.0, touched=True)
    found.add(10 * HOUR, "k", 10.0, 0.0, touched=False)
    assert read(found.found()["c"])[0].blocks == 2
    assert value(0.0, 0.0, 10.0, 1.0) is None
    assert value(10.0, 5.0, 0.0, 0.0) is None


def test_a_lone_event_of_a_quiet_night_is_no_record():
    assert value(1.0, 1.0, 1000.0, 10.0) < value(1000.0, 50.0, 1000.0, 10.0)


def test_only_so_many_accounts_are_kept(monkeypatch):
    monkeypatch.setattr(peaks, "MOST_ACCOUNTS", 2)
    found = fed(hours(6, accounts=3, days=2))
    assert sorted(found.found()) == ["c0", "c1"]


@pytest.mark.parametrize(("n", "t", "k"), [(24, 0, 0), (336, 5, 1), (336, 23, 20)])
def test_a_bet_is_fair_where_blocks_are_exchangeable(n, t, k):
    chance = (k + 1) / (n + t + 1)
    mean = chance * bet(1.0, n, t, k, top=True) + (1 - chance) * bet(1.0, n, t, k, top=False)
    stake = 0.5 if t == 0 else 0.5 / (t * (t + 1))
    assert mean == pytest.approx(1 + stake)
    # and what is not staked yet goes down by the stake
    assert evidence(0.0, t) - evidence(0.0, t + 1) == pytest.approx(stake)


def test_replays_see_bursts_that_outlast_a_block():
    seeds = scaled(20, 200)
    short = [read(rows) for seed in range(seeds) for rows in fed(hours(seed)).found().values()]
    long = [read(rows) for seed in range(seeds) for rows in fed(hours(seed, burst=6)).found().values()]
    # 13 days each: at most 13/1000 of them by Ville's inequality
    assert sum(one[0].replay >= 1000 for one in short) <= 0.013 * len(short) + 3 * math.sqrt(
        0.013 * len(short)
    )
    assert sum(one[0].replay >= 1000 for one in long) >= 0.1 * len(long)
    assert sum(one[3].replay >= 1000 for one in long) <= 0.013 * len(long) + 3 * math.sqrt(0.013 * len(long))


def test_a_short_past_has_no_replay():
    assert all(one.replay == 0 for rows in fed(hours(7, days=1)).found().values() for one in read(rows))
