"""The way of one datum (DESIGN 3): start, reconcile, claim, run, look, pass, finish."""

from ringctl.core.states import RolloutState, TaskState, Verdict, WaveState
from tests.engine.world import World


def ended(rollout):
    return rollout.ended_us is not None


def test_a_rollout_with_nothing_wrong_finishes(world: World):
    rollout = world.start()
    node = world.node()
    rollout = world.until(rollout, ended, node)
    assert rollout.state is RolloutState.SUCCEEDED
    assert {row.state for row in world.tasks(rollout)} == {TaskState.DONE}
    assert world.executor.doubles == []
    assert len(world.executor.effects) == 14 * 2
    assert [wave.state for wave in rollout.waves] == [WaveState.PASSED] * 6
    assert world.verify() == ()
    node.drain()


def test_the_widening_stops_at_a_harmful_canary(world: World):
    rollout = world.start()
    node = world.node()
    world.source.harms = lambda account: account in {run.account for run in world.executor.effects}
    rollout = world.until(rollout, lambda r: r.hold("gate-failed"), node)
    canary = set(world.members(rollout.waves[0]))
    assert {run.account for run in world.executor.runs} == canary
    assert rollout.revision.failed
    assert world.facts(rollout).checks["errors"].verdict is Verdict.FAIL
