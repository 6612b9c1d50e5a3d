"""`from_step` and what an earlier revision left in doubt: never skipped unasked, never repeated unasked."""

import pytest

from ringctl.core.states import TaskState
from ringctl.engine import commands
from ringctl.ports.executor import Probed
from ringctl.testing.scripted_executor import ProcessDied
from tests.engine.hand import Hand, hand
from tests.engine.world import World


def in_doubt(world: World, from_step: str, *, crash: str, changed: str = "b") -> Hand:
    """Step a of r1 was sent when its node died; r2 is drawn before anybody asked. A hand on its task."""
    world.bundle("b1", "a", "b", "c")
    world.executor.script(crash, step="a")
    first = hand(world)
    with pytest.raises(ProcessDied):
        first.run()
    world.bundle("b2", "a", "b", "c", more=from_step, texts={changed: f"select 2 as {changed};\n"})
    rollout = world.amend(first.rollout, "b2")
    world.clock.advance(4_000)
    world.parts.store.rescue(grace_us=0)
    rollout = world.until(
        world.load(rollout), lambda r: any(wave.state == "open" for wave in r.current_waves())
    )
    wave = next(wave for wave in rollout.current_waves() if wave.state == "open")
    node = world.parts.store.open_session("r2", lease_us=3_600_000_000)
    claims = world.parts.store.claim(node, rollout, wave, limit=10)
    (claim,) = (one for one in claims if one.account == first.claim.account)
    return Hand(world=world, rollout=rollout, claim=claim, copies=first.copies)


@pytest.mark.parametrize(("crash", "sent"), [("crash-before", ["a", "b", "c"]), ("crash-after", ["b", "c"])])
def test_a_step_in_doubt_is_asked_after_before_it_is_skipped(plain: World, crash: str, sent: list[str]):
    second = in_doubt(plain, "from_step: {a: b}\n", crash=crash)
    assert second.claim.start_at == "b"
    assert second.run().state is TaskState.DONE
    assert second.steps == sent
    took = [run.step for run in plain.executor.effects if run.account == second.claim.account]
    assert sorted(took) == ["a", "b", "c"]


def test_a_step_nobody_knows_of_is_not_skipped(plain: World):
    """A person says; and what he says is heard: the task begins at the step that did not happen."""
    second = in_doubt(plain, "from_step: {a: b}\n", crash="crash-before")
    plain.executor.probes(Probed.UNKNOWN, account=second.claim.account, step="a")
    row = second.run()
    assert (row.state, "nobody knows" in row.reason) == (TaskState.UNKNOWN, True)
    assert second.steps == []
    store = plain.parts.store
    for word in (TaskState.FAILED, TaskState.PENDING):
        store.resolve_task(second.rollout.id, second.claim.account, word, actor="ana", reason="looked")
    rollout = plain.until(
        plain.load(second.rollout), lambda r: any(wave.state == "open" for wave in r.current_waves())
    )
    wave = next(wave for wave in rollout.current_waves() if wave.state == "open")
    node = store.open_session("r3", lease_us=3_600_000_000)
    (claim,) = store.claim(node, rollout, wave, limit=10)
    third = Hand(world=plain, rollout=rollout, claim=claim, copies=second.copies)
    assert third.run().state is TaskState.DONE
    assert third.steps == ["a", "b", "c"]


@pytest.mark.parametrize(("crash", "sent"), [("crash-before", ["a", "b", "c"]), ("crash-after", ["b", "c"])])
def test_the_same_bytes_are_not_repeated_where_from_step_leads_back(
    plain: World, crash: str, sent: list[str]
):
    second = in_doubt(plain, "from_step: {a: a}\n", crash=crash)
    assert second.claim.start_at == "a"
    assert second.run().state is TaskState.DONE
    assert second.steps == sent
    assert plain.executor.doubles == []


def test_an_ended_rollout_is_served_until_its_doubts_are_settled(plain: World):
    """`abort --now` leaves the step it stopped unknown: the probe is asked, no person is."""
    plain.executor.script("unknown-done", step="a")
    first = hand(plain)
    first.run()
    commands.abort(plain.parts, first.rollout.id, reason="enough", now=True)
    store = plain.parts.store
    assert store.served() == (first.rollout.id,)
    plain.clock.advance(60)
    node = plain.node("later")
    node.work(plain.load(first.rollout))
    assert [order.step.id for order in plain.executor.probed] == ["a"]
    row = plain.tasks(first.rollout, first.claim.account)[-1]
    assert {effect.step: str(effect.state) for effect in row.steps}["a"] == "done"
    assert store.served() == ()
