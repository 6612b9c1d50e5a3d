"""What sources know of the time before a wave; and two nodes at its first look."""

from dataclasses import replace

import pytest

from ringctl.core.states import WaveState
from ringctl.core.timing import DAY, HOUR, MINUTE
from ringctl.engine import observe, pasts
from ringctl.engine.observe import Observer
from ringctl.ports.metrics import Reading
from tests.engine.looked import control, numbers, remembering
from tests.engine.world import POLICY


# -- the past --------------------------------------------------------------------------------------
def test_the_past_is_asked_for_once_before_anything_is_touched(world):
    source = remembering(world)
    rollout = world.looks(world.start(), 3)
    (asked,) = source.asked
    assert (asked["to_us"] - asked["from_us"], asked["step_us"]) == (14 * DAY, HOUR)
    assert asked["to_us"] % HOUR == 0
    assert set(asked["accounts"]) == {*world.members(rollout.waves[0]), *control(world, rollout)}
    said = numbers(world, rollout)
    assert "336 h of history" in said["learnt"]
    assert "history_error" not in said


def assert_a_failed_past_is_noted(world):
    source = remembering(world, failures=99)
    rollout = world.looks(world.start(), 11)
    assert len(source.asked) == pasts.TRIES
    said = numbers(world, rollout)
    assert said["history_error"] == "RC8005: no such range"
    assert "history" not in said["learnt"]
    assert "watched before" in said["learnt"]
    assert world.load(rollout).waves[0].state is WaveState.OPEN  # learning goes on by the recorded baseline


def test_a_past_that_fails_is_noted_and_the_baseline_does(world):
    assert_a_failed_past_is_noted(world)


def test_a_failed_past_taken_for_an_empty_one_is_seen(world, monkeypatch):
    monkeypatch.setattr(pasts, "note", lambda _state: "")
    with pytest.raises((AssertionError, KeyError)):
        assert_a_failed_past_is_noted(world)


def test_a_past_that_comes_late_takes_the_place_of_the_minutes(world):
    source = remembering(world, failures=2)
    rollout = world.looks(world.start(), 4)
    assert len(source.asked) == 3
    assert "336 h of history" in numbers(world, rollout)["learnt"]


def test_a_past_that_never_ends_is_given_up(world):
    source = remembering(world)
    real = source.history

    def slow(counters, **asked):
        for track in real(counters, **asked):
            world.clock.advance(pasts.SLOW_S)
            yield track

    source.history = slow
    past = pasts.ask(source, world.load(world.start()).policy.checks.values(), ["i1"], 20 * DAY, world.clock)
    assert past.error == "RC8004: its history took longer than 20 s"


def test_a_source_without_a_past_is_not_asked(world):
    assert pasts.ask(world.source, (), ["i1"], 20 * DAY, world.clock) is None


# -- which pasts, and of whom ----------------------------------------------------------------------
def assert_a_silent_source_is_not_asked_for_its_past(world):
    """It would use up the tries, and the wave would never have its hours."""
    source = remembering(world)
    world.source.silence()
    rollout = world.looks(world.start(), pasts.TRIES + 1)
    assert source.asked == []
    world.source.answer()
    rollout = world.looks(rollout, 2)
    assert len(source.asked) == 1
    assert "336 h of history" in numbers(world, rollout)["learnt"]


def test_a_silent_source_is_not_asked_for_its_past(world):
    assert_a_silent_source_is_not_asked_for_its_past(world)


def test_a_guard_that_asks_silent_sources_would_be_noticed(world, monkeypatch):
    real = Observer._pasts
    monkeypatch.setattr(
        Observer, "_pasts", lambda self, rollout, scene, checks, answers: real(
            self, rollout, scene, checks, {name: Reading(at_us=None, values={}) for name in answers}
        ),
    )  # fmt: skip
    with pytest.raises(AssertionError):
        assert_a_silent_source_is_not_asked_for_its_past(world)


def test_each_check_has_its_own_past(world):
    """Fine and short beside coarse and long: neither depends on the other."""
    short = "    history: 12h\n  slow:\n    source: app\n    count: {counter: all}\n    fail_if: {increase: 100%}\n"
    world.policy.write_text(POLICY.replace(
        "    min_samples: 20\n", f"    min_samples: 20\n{short}").replace("[errors]", "[errors, slow]"))  # fmt: skip
    source = remembering(world)
    rollout = world.looks(world.start(), 2)
    spans = {(one["to_us"] - one["from_us"], one["step_us"]) for one in source.asked}
    assert spans == {(12 * HOUR, 5 * MINUTE), (14 * DAY, HOUR)}
    assert len(source.asked) == 2
    assert "12 h of history" in numbers(world, rollout, "errors")["learnt"]
    assert "336 h of history" in numbers(world, rollout, "slow")["learnt"]


def test_a_past_is_asked_of_some_accounts_of_very_many():
    wave, control_ = [f"w{n}" for n in range(900)], tuple(f"k{n}" for n in range(2))
    assert pasts.names(wave, control_) == [*wave[: pasts.MOST_PAST], "k0", "k1"]
    assert pasts.names(wave[:1], [*wave[1:]]) == wave[: pasts.MOST_PAST + 1]
    assert pasts.names(dict.fromkeys(wave), ()) == wave[: pasts.MOST_PAST]


# -- two nodes at the first look -------------------------------------------------------------------
def asked_of(world, monkeypatch):
    """Whom each reading is about."""
    asked, read = [], world.source.read

    def noted(*args, accounts):
        asked.append(set(accounts))
        return read(*args, accounts=accounts)

    monkeypatch.setattr(world.source, "read", noted)
    return asked


def choosing(world, monkeypatch):
    """Every choice of a control leaves out another account: what is untouched changes from moment to moment."""
    made = []
    real = observe.chosen_control

    def chosen(*args):
        found = real(*args)
        made.append(replace(found, accounts=found.accounts[:-1] if not made else found.accounts[1:]))
        return made[-1]

    monkeypatch.setattr(observe, "chosen_control", chosen)
    return made


@pytest.mark.parametrize("moment", ["read", "add_look"])
def test_a_node_reads_for_the_control_that_another_one_saved(world, monkeypatch, moment):
    """Whether the other node's first look comes before ours is saved, or before ours is even judged."""
    rollout = world.start()
    made, asked, other = (
        choosing(world, monkeypatch),
        asked_of(world, monkeypatch),
        Observer(parts=world.parts),
    )
    holder = world.source if moment == "read" else type(world.parts.store)
    real, once = getattr(holder, moment), []

    def first(*args, **more):
        if not once:
            once.append(True)
            other.observe(world.load(rollout))
        return real(*args, **more)

    monkeypatch.setattr(holder, moment, first)
    world.clock.advance(1)
    world.observer.observe(world.load(rollout))
    ours, theirs = made
    assert control(world, rollout) == list(theirs.accounts)
    del asked[:]
    world.clock.advance(1)
    world.observer.observe(world.load(rollout))
    (read,) = asked
    assert set(theirs.accounts) <= read, "from the next look on"
    assert set(ours.accounts) - set(theirs.accounts) - read
