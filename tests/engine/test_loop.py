"""Driving and waiting: one pass, a loop, and with which exit code waiting ends (DESIGN 12.25)."""

import threading
from dataclasses import replace

import pytest

from ringctl.core.errors import StoreUnavailable, VersionConflict
from ringctl.core.model import Hold
from ringctl.core.states import OPEN_ROLLOUT_STATES, RolloutState, WaveState
from ringctl.engine import commands
from ringctl.engine.loop import Driver, Goal, reached, ring_passed, state_exit
from ringctl.engine.node import Node
from tests.engine.hand import opened
from tests.engine.world import World


def held(world: World, *codes: str, ends_itself: bool = False):
    """A rollout with these holds, as the store has it."""
    rollout = world.start()
    holds = tuple(
        Hold(code=code, reason="r", owner="x", since_us=1, ends_itself=ends_itself) for code in codes
    )
    from ringctl.core.decisions import Step

    moved = replace(rollout, holds=holds)
    moved = replace(moved, state=moved.active_state)
    return world.parts.store.apply(Step(rollout=moved), expected=rollout.version, actor="test")


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        (["drift", "gate-failed", "accounts"], 18),
        (["gate-failed", "accounts", "pause"], 10),
        (["accounts", "pause", "idle"], 17),
        (["revisions-exhausted", "gate-silent"], 12),
        (["pause"], 12),
        (["idle"], 11),
        (["a-hold-of-the-future"], 12),
    ],
)
def test_a_hold_that_a_person_must_end_ends_waiting_at_once(plain: World, codes, code):
    rollout = held(plain, *codes)
    assert reached(plain.parts, Goal(rollout=rollout.id)) == code


@pytest.mark.parametrize("code", ["gate-silent", "idle", "baseline"])
def test_a_hold_that_ends_itself_is_waited_out(plain: World, code: str):
    rollout = held(plain, code, ends_itself=True)
    until = plain.clock.now_us() + 5_000_000
    assert reached(plain.parts, Goal(rollout=rollout.id, until_us=until)) is None
    plain.clock.advance(6)
    assert reached(plain.parts, Goal(rollout=rollout.id, until_us=until)) == 124
    assert state_exit(rollout) == {"gate-silent": 11, "idle": 11, "baseline": 0}[code]


@pytest.mark.parametrize(
    ("state", "code"),
    [(RolloutState.SUCCEEDED, 0), (RolloutState.PARTIAL, 21), (RolloutState.ABORTED, 15),
     (RolloutState.SUPERSEDED, 15), (RolloutState.ROLLED_BACK, 15)],
)  # fmt: skip
def test_an_end_has_its_code(plain: World, state, code):
    assert state_exit(replace(plain.start(), state=state)) == code


def test_every_closed_state_has_a_code(plain: World):
    rollout = plain.start()
    for state in set(RolloutState) - OPEN_ROLLOUT_STATES:
        state_exit(replace(rollout, state=state))


def test_waiting_ends_with_the_rollout_or_the_ring(plain: World):
    rollout = plain.start()
    goal = Goal(rollout=rollout.id, ring="inner")
    assert reached(plain.parts, goal) is None
    node = plain.node()
    rollout = plain.until(rollout, lambda r: ring_passed(r, "inner"), node)
    assert reached(plain.parts, goal) == 0
    assert reached(plain.parts, Goal(rollout=rollout.id, ring="outer")) is None
    plain.until(rollout, lambda r: r.ended_us is not None, node)
    assert reached(plain.parts, Goal(rollout=rollout.id)) == 0


def test_no_ring_has_passed_under_a_revision_that_has_not_qualified(plain: World):
    rollout = plain.until(plain.start(), lambda r: r.waves[0].state is WaveState.PASSED, plain.node())
    assert not ring_passed(plain.amend(rollout, "b2"), "inner")


# -- driving --------------------------------------------------------------------------------------
def test_a_pass_serves_every_open_rollout_or_the_one_that_is_named(plain: World):
    rollout = plain.start()
    driver = Driver(parts=plain.parts)
    assert driver.ids() == [rollout.id]
    assert not driver.step(), "without a node nothing is claimed"
    assert plain.wave(rollout).state is WaveState.OPEN
    assert driver.observe()
    assert not driver.observe(), "no look is due"
    commands.abort(plain.parts, rollout.id, reason="x", now=False)
    assert driver.ids() == []
    assert Driver(parts=plain.parts, only=rollout.id).ids() == [rollout.id]


def test_a_node_that_only_works_decides_nothing(plain: World):
    rollout = plain.start()
    driver = Driver(parts=plain.parts, node=plain.node(), decides=False)
    assert not driver.step()
    assert plain.wave(rollout).state is WaveState.PLANNED
    plain.reconcile(rollout)
    plain.clock.advance(1)
    assert driver.step()


def test_rescue_is_asked_for_at_most_once_a_second(plain: World, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(type(plain.parts.store), "rescue", lambda *_a, **_k: asked.append(1))
    driver = Driver(parts=plain.parts)
    driver.step()
    driver.step()
    plain.clock.advance(1.1)
    driver.step()
    assert len(asked) == 2


@pytest.mark.parametrize("error", [StoreUnavailable("busy"), VersionConflict("moved")])
def test_a_pass_survives_a_store_that_does_not_answer(plain: World, monkeypatch: pytest.MonkeyPatch, error):
    driver = Driver(parts=plain.parts, decides=False)
    passes = []

    def step(_self):
        passes.append(1)
        raise error

    monkeypatch.setattr(Driver, "step", step)
    driver.run(lambda: len(passes) >= 3)
    assert len(passes) >= 3
    assert driver.stopping.is_set()


def test_a_loop_drives_a_rollout_to_its_end(plain: World):
    """Threads of its own, time of the test's."""
    rollout = plain.start()
    node = Node(parts=plain.parts, name="n", parallel=2, lease_us=10**15)
    driver = Driver(parts=plain.parts, node=node)
    passes: list[int] = []
    driver.run(
        lambda: plain.load(rollout).ended_us is not None or len(passes) > 50_000,
        on_pass=lambda: passes.append(1),
    )
    assert plain.load(rollout).state is RolloutState.SUCCEEDED
    assert plain.executor.doubles == []
    assert node.session is None
    assert plain.verify() == ()


def test_an_observer_that_dies_ends_the_loop_and_says_why(plain: World, monkeypatch: pytest.MonkeyPatch):
    plain.start()
    turns = []

    def observe(_self):
        turns.append(1)
        if len(turns) == 1:
            raise StoreUnavailable("busy")
        raise ValueError("a bug")

    monkeypatch.setattr(Driver, "observe", observe)
    driver = Driver(parts=plain.parts)
    with pytest.raises(ValueError, match="a bug"):
        driver.run(lambda: False)
    assert len(turns) == 2
    assert not any(thread.name == "ringctl-observe" for thread in threading.enumerate())


def test_a_loop_that_was_told_to_stop_drains(plain: World):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    driver = Driver(parts=plain.parts, node=node, decides=False)
    driver.stopping.set()
    node.drain()
    assert plain.facts(rollout).running == 0
    assert not plain.load(rollout).ended_us
