"""What a node claims beyond its free threads: quick tasks in batches, nothing that would wait behind a slow step."""

from ringctl.core.states import TaskState
from ringctl.engine.node import AHEAD_S, HAND_BACK_S
from tests.engine.hand import opened
from tests.engine.world import World


def test_the_reserve_is_what_was_finished_a_moment_ago(plain: World):
    rollout = opened(plain)
    node = plain.node(parallel=1)
    assert node.wants() == 1
    node.claim(rollout)
    assert (node.busy, node.wants()) == (1, 0)
    assert node.work_one()
    assert node.wants() == 2  # its thread, and as much as it just finished
    plain.clock.advance(AHEAD_S * 2)
    assert node.wants() == 1
    assert plain.verify() == ()


def test_a_claimed_task_that_no_thread_begins_goes_back(plain: World):
    rollout = opened(plain)
    node = plain.node()
    claimed = node.claim(rollout)
    assert claimed
    node._hand_back(HAND_BACK_S)
    assert node.busy == claimed
    plain.clock.advance(HAND_BACK_S)
    node._hand_back(HAND_BACK_S)
    node.beat()
    assert node.busy == 0
    assert plain.facts(rollout).running == 0
    assert TaskState.PENDING in {row.state for row in plain.tasks(rollout)}
    other = plain.node("n2")
    assert other.work(rollout) == 2
    assert plain.executor.doubles == []
    assert plain.facts(rollout).done == 2
    assert plain.verify() == ()
