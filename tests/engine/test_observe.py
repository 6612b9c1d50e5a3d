"""Looks: what is read, what it credits, what holds. Silence is never health (I5)."""

from dataclasses import replace
from itertools import pairwise
from math import nan

import pytest

from ringctl.core.states import Verdict, WaveState
from ringctl.core.timing import SECOND
from ringctl.engine.observe import Observer, watched_waves
from tests.engine.hand import opened
from tests.engine.world import POLICY

OWN = POLICY.replace("compare: canary-vs-control", "compare: before-vs-after").replace(
    "min_samples: 20", "min_samples: 2000")  # fmt: skip


def test_the_baseline_is_sampled_before_a_wave_opens(world):
    rollout = world.start()
    rollout = world.look(rollout)
    assert rollout.hold("baseline").ends_itself
    assert rollout.waves[0].state is WaveState.PLANNED
    rollout = world.looks(rollout, 10)
    assert rollout.waves[0].state is WaveState.OPEN
    assert not rollout.holds


@pytest.mark.parametrize("every", [1.0, 2.0])
def test_the_baseline_waits_for_its_samples_however_seldom_it_is_looked_at(world, every):
    world.policy.write_text(OWN)
    rollout = world.start()
    canary = world.members(rollout.waves[0])
    for account in canary:
        world.source.rate(account, "all", 20.0)
    while world.load(rollout).waves[0].state is WaveState.PLANNED and world.clock.monotonic() < 200:
        world.look(rollout, every)
    sampled = 20.0 * len(canary) * world.clock.monotonic()
    assert world.load(rollout).waves[0].state is WaveState.OPEN
    assert sampled >= 2000, f"opened on {sampled} samples"


def test_a_look_is_taken_when_it_is_due_and_not_before(world):
    rollout = world.start()
    assert world.observer.observe(rollout)
    world.clock.advance(0.4)
    assert not world.observer.observe(rollout)
    world.clock.advance(0.7)
    assert world.observer.observe(rollout)


def test_a_clock_that_goes_back_blinds_nobody(world):
    rollout = opened(world)
    world.look(rollout)
    world.clock.jump(-3600)
    asked = len(world.source.asked)
    world.clock.advance(1)
    assert world.observer.observe(world.load(rollout))
    assert len(world.source.asked) == asked + 1


def test_a_backward_jump_credits_nothing(world):
    rollout = world.start()
    world.looks(rollout, 3)
    before = world.facts(rollout).baseline_us
    world.clock.jump(-20)
    world.look(rollout)
    assert world.facts(rollout).baseline_us == before


def test_two_observers_at_one_look_count_once(world, monkeypatch):
    rollout = world.start()
    world.looks(rollout, 2)
    world.clock.advance(1)
    other = Observer(parts=world.parts)
    store = world.parts.store
    watched = type(store).watched
    once = []

    def both(self, now, wave):
        found = watched(self, now, wave)
        if not once:
            once.append(True)
            other.observe(now)
        return found

    monkeypatch.setattr(type(store), "watched", both)
    before = store.facts(rollout).wave(rollout.waves[0].id).baseline_us
    assert world.observer.observe(world.load(rollout))
    after = store.facts(rollout).wave(rollout.waves[0].id).baseline_us
    assert 0 < after - before <= 1.1 * SECOND


def test_looks_are_counted_over_all_nodes(world):
    """Two nodes that look in turn do not look twice as often: rules that count looks would be met sooner."""
    rollout = world.start()
    other = Observer(parts=world.parts)
    looked = []
    for _ in range(12):
        for observer in (world.observer, other):
            world.clock.advance(0.5)
            if observer.observe(world.load(rollout)):
                looked.append(world.parts.store.now_us())
    gaps = {round((b - a) / SECOND, 3) for a, b in pairwise(looked)}
    assert len(looked) > 5
    assert min(gaps) >= 1.0, gaps


@pytest.mark.parametrize("code", ["RC8001", "RC8004"])
def test_a_silent_source_holds_with_its_code_and_goes_on_by_itself(world, code):
    node = world.node()
    rollout = opened(world)
    node.work(rollout)
    world.source.silence(code)
    rollout = world.looks(rollout, 6)
    hold = rollout.hold("gate-silent")
    assert (hold.error, hold.ends_itself) == (code, True)
    credited = world.facts(rollout).bake_us
    rollout = world.looks(rollout, 20)
    assert world.facts(rollout).bake_us == credited
    assert rollout.waves[0].state is not WaveState.PASSED
    world.source.answer()
    rollout = world.until(rollout, lambda r: r.waves[0].state is WaveState.PASSED)
    assert not rollout.hold("gate-silent")


@pytest.mark.parametrize("how", ["partial", "stale", "off"])
def test_an_answer_in_part_or_of_another_time_is_none(world, how):
    rollout = opened(world)
    world.node().work(rollout)
    now = world.clock.now_us()
    world.source.partial = how == "partial"
    world.source.at_us = {"partial": None, "stale": now, "off": now + 3_600 * SECOND}[how]
    rollout = world.looks(rollout, 8)
    expected = {"partial": "RC8006", "stale": "RC8007", "off": "RC8008"}[how]
    assert rollout.hold("gate-silent").error == expected


@pytest.mark.parametrize("how", ["absent", "nan", "still"])
def test_accounts_without_usable_numbers_never_pass(world, how):
    rollout = opened(world)
    for account in world.members(rollout.waves[0]):
        if how == "absent":
            world.source.absent(account)
        elif how == "nan":
            world.source.fix(account, "all", nan)
        else:
            world.source.rate(account, "all", 0.0)
    world.node().work(rollout)
    rollout = world.looks(rollout, 70)
    assert rollout.waves[0].state is WaveState.BAKING
    assert world.facts(rollout).checks["errors"].verdict is Verdict.INCONCLUSIVE
    assert rollout.hold("idle"), "at the ceiling it holds, it never passes"


def test_a_fail_stays_a_fail_when_the_accounts_recover(world):
    rollout = opened(world)
    world.source.harm(world.members(rollout.waves[0]))
    world.node().work(rollout)
    for _ in range(30):
        world.clock.advance(1)
        world.observer.observe(rollout)
        if world.facts(rollout).checks["errors"].failed:
            break
    world.source.heal()
    for _ in range(30):
        world.clock.advance(1)
        world.observer.observe(rollout)
    assert world.facts(rollout).checks["errors"].failed
    assert world.reconcile(rollout).rollout.hold("gate-failed")


def test_the_wave_at_work_and_the_next_one_are_watched(world):
    rollout = opened(world)
    assert [wave.id for wave, _ in watched_waves(rollout)] == [w.id for w in rollout.waves[:2]]
    done = replace(rollout, waves=(replace(rollout.waves[0], state=WaveState.FAILED), *rollout.waves[1:]))
    assert [wave.id for wave, _ in watched_waves(done)] == [rollout.waves[1].id]


def test_an_ended_rollout_is_not_looked_at(world):
    rollout = world.start()
    assert not world.observer.observe(replace(rollout, state="aborted"))


def test_a_source_that_was_never_read_is_no_answer(world):
    rollout = opened(world)
    wave, checks = next(iter(watched_waves(rollout)))
    world.observer._look(rollout, wave, checks, {})
    state = world.facts(rollout).checks["errors"]
    assert (state.error, state.verdict) == ("RC8001", Verdict.INCONCLUSIVE)
    assert "was not read" in state.reason
