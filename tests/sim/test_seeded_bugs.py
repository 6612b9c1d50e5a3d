"""Bugs put in on purpose: each must be seen by what watches the engine. A test that cannot fail proves nothing."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ringctl.core import decide, invariants
from ringctl.core.bundle import Bundle
from ringctl.core.errors import ClaimLost
from ringctl.core.judging import GateState, gate
from ringctl.core.model import Rollout
from ringctl.core.states import EffectState, Verdict, WaveState
from ringctl.engine.loop import GRACE_US
from ringctl.stores.counting import Moves
from ringctl.testing.scripted_executor import ProcessDied
from ringctl.testing.watching import Watching, effects_of
from tests.engine.world import World, make_world

CLOSE = "close_window: {sql: close.sql}\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path)
    made.bundle("b1", "a", "b", more=CLOSE)
    made.bundle("b2", "a", "b", more=CLOSE, texts={"b": "select 2 as b;\n"})
    yield made
    made.parts.close()


def broken(world: World, rollout: Rollout) -> tuple[str, ...]:
    return Watching(store=world.parts.store).broken(rollout.id)


def passed(rollout: Rollout) -> bool:
    return any(wave.state is WaveState.PASSED for wave in rollout.waves)


@pytest.mark.parametrize("bug", [False, True])
def test_a_skipped_requalification_is_seen(world: World, monkeypatch: pytest.MonkeyPatch, *, bug: bool):
    if bug:
        monkeypatch.setattr(Rollout, "qualified", property(lambda _: True))
    node = world.node()
    rollout = world.until(world.start(), passed, node)
    world.amend(rollout, "b2")
    world.until(rollout, lambda _: any(run.revision == "r2" for run in world.executor.runs), node)
    found = [what for what in broken(world, rollout) if "I4" in what]
    assert bool(found) is bug, found


def careless(checks, facts) -> GateState:
    """The gate as it must not be: what is not known does not count."""
    state = gate(checks, facts)
    return state if state.failed else GateState(verdict=Verdict.PASS)


@pytest.mark.parametrize("bug", [False, True])
def test_a_gate_that_passes_on_no_data_is_seen(world: World, monkeypatch: pytest.MonkeyPatch, *, bug: bool):
    if bug:
        monkeypatch.setattr(decide, "gate", careless)
    node = world.node()
    rollout = world.until(world.start(), lambda r: r.waves[0].state is WaveState.OPEN)
    world.source.absent(*world.members(rollout.waves[0]))
    for _ in range(12):
        rollout = world.look(rollout)
        node.work(rollout)
    found = [what for what in broken(world, rollout) if "I5" in what]
    assert passed(rollout) is bug
    assert bool(found) is bug, found


def stale_result(world):
    """A stalled holder writes its result after the step was settled and the next holder died. Whether it was let."""
    store = world.parts.store
    rollout = world.until(world.start(), lambda r: r.waves[0].state is WaveState.OPEN)
    stalled = store.open_session("stalled", lease_us=15_000_000)
    (claim,) = store.claim(stalled, rollout, rollout.waves[0], limit=1)
    first = rollout.bundle.steps[0]
    world.executor.script("crash-after", account=claim.account, step="a")
    node = world.node("s")
    order = _run_of(world, node, rollout, claim).orders.order(rollout.bundle, first)
    store.intent(claim, "a", first.digest, order.key, deadline_us=1_000_000)
    with pytest.raises(ProcessDied):  # it stalls here: the step took effect, nobody was told
        world.executor.run(order, None)
    world.clock.advance(30)
    store.rescue(grace_us=GRACE_US)
    second = world.node("second")
    second.claim(world.load(rollout))
    world.executor.script("crash-before", account=claim.account, step="b")
    with pytest.raises(ProcessDied):
        second.drain()
    allowed = True
    try:
        store.result(claim, "a", EffectState.FAILED, {"reason": "my lease was over"})
    except ClaimLost:
        allowed = False
    world.clock.advance(30)
    store.rescue(grace_us=GRACE_US)
    world.node("third").work(world.load(rollout))
    return allowed


def _run_of(world, node, rollout, claim):
    from ringctl.engine.guard import Guard
    from ringctl.engine.running import TaskRun

    guard = Guard(
        claim=claim, lease=node.lease, clock=world.clock, store=world.parts.store, stop=lambda: False
    )
    return TaskRun(parts=world.parts, copies=node.copies, rollout=rollout, guard=guard, refresh=lambda: None)


@pytest.mark.parametrize("bug", [False, True])
def test_a_result_without_the_claims_check_is_seen(world: World, *, bug: bool):
    store: Any = world.parts.store
    statements = store.statements
    text = statements["end_step"]
    assert text.rstrip().endswith("and state = 'running' and claim = :claim")
    unguarded = text.replace("and state = 'running' and claim = :claim", "and (:claim = :claim)")
    with statements.override(end_step=unguarded) if bug else nullcontext():
        allowed = stale_result(world)
    assert allowed is bug
    found = invariants.once(effects_of(world.executor.runs))
    assert bool(found) is bug, found


def parked_open(world: World) -> list[str]:
    """Accounts that stand between the steps with their window open."""
    half = {run.account for run in world.executor.effects if run.step == "a"}
    whole = {run.account for run in world.executor.effects if run.step == "b" or run.step.startswith("close")}
    return sorted(half - whole)


@pytest.mark.parametrize("bug", [False, True])
def test_an_account_parked_in_a_red_stretch_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, *, bug: bool
):
    if bug:
        monkeypatch.setattr(Bundle, "red_after", lambda _self, _done: False)
    node = world.node()
    rollout = world.until(world.start(), lambda r: r.waves[0].state is WaveState.OPEN)

    def amended_meanwhile(order, _control) -> None:
        if order.step.id == "a" and world.load(rollout).revision.number == 1:
            world.amend(rollout, "b2")
            world.clock.advance(2)  # the next beat is due: it says that the wave closes

    world.executor.on_run = amended_meanwhile
    node.work(rollout)
    assert bool(parked_open(world)) is bug


@pytest.mark.parametrize("bug", [False, True])
def test_counters_that_do_not_move_are_seen(world: World, monkeypatch: pytest.MonkeyPatch, *, bug: bool):
    rollout = world.until(world.start(), lambda r: r.waves[0].state is WaveState.OPEN)
    if bug:
        monkeypatch.setattr(Moves, "write", lambda _self, _tx: None)
    world.node().work(rollout)
    found = [what for what in broken(world, rollout) if "I11" in what]
    assert bool(found) is bug, found
    assert bool(world.verify()) is bug
