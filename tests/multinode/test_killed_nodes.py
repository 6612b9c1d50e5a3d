"""kill -9 of the node, again and again: the rollout finishes by itself, and nothing took effect twice."""

import random
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from ringctl.core.states import TaskState
from ringctl.engine.parts import Parts
from tests.support.command_line import CommandLine, Node, eventually
from tests.support.fleet import Fleet, make_fleet, write_bundle, write_policy
from tests.support.scale import scaled

KILLS = scaled(10, 40)
ACCOUNTS = scaled(30, 120)


def alive(parts: Parts, node: Node) -> bool:
    """Whether the node's session is open: it serves."""
    return any(not one.dead and one.node.endswith(f"-{node.pid}") for one in parts.store.nodes())


def claimed(parts: Parts, rollout: str) -> bool:
    return any(parts.store.tasks(rollout, states=[TaskState.RUNNING]))


def check_whole(
    ringctl: CommandLine, fleet: Fleet, rollout: str, *, refused: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Finished, everything exactly once, journal and counters true; the journal.

    `refused`: claims of a node that came back late. That it met the newer runner's ledger row and was refused
    is no double run.
    """
    assert fleet.not_once(refused=refused) == []
    assert ringctl.good("audit", "verify", rollout, "-o", "json").json["ok"] is True
    with ringctl.looking() as parts:
        assert parts.store.verify() == ()
        rows = list(parts.store.tasks(rollout))
    assert {row.state for row in rows} == {TaskState.DONE}
    assert all(effect.state == "done" for row in rows for effect in row.steps)
    return ringctl.events(rollout)


@pytest.mark.multinode
def test_a_node_killed_ten_times_leaves_a_rollout_that_finishes(ringctl: CommandLine) -> None:
    """DESIGN I1, I2, I11, I12: at seeded moments, some before a claim, some in each step, some between."""
    dice = random.Random(20170929)
    fleet = make_fleet(ringctl.directory, inner=ACCOUNTS // 3, outer=ACCOUNTS - ACCOUNTS // 3, builds=60)
    write_policy(fleet, canary=1, parallel=6, failures="100%", lease="1s")
    write_bundle(fleet, "b1", rows=4, pause="30ms", work="0.3")
    rollout = ringctl.start("b1")
    in_hand = 0
    with ringctl.looking() as parts:
        for _ in range(KILLS):
            node = ringctl.node("run", "--workers", "6")
            eventually(partial(alive, parts, node), what="the node serves")
            if dice.random() < 0.7:  # in the work; else wherever it is
                eventually(lambda: claimed(parts, rollout), 30, "a claim")
            time.sleep(dice.uniform(0.0, 0.8))
            in_hand += claimed(parts, rollout)
            node.kill()
            assert parts.store.load(rollout).state in {"pending", "running"}
    assert in_hand >= KILLS // 3, "the kills hardly ever met work"
    ringctl.node("run", "--workers", "6")
    waited = ringctl("wait", rollout, "--timeout", "100s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    kinds = [event["kind"] for event in check_whole(ringctl, fleet, rollout)]
    assert "rescued" in kinds
    assert not any(event == "task-resolved" for event in kinds), "no person was asked"


@pytest.mark.multinode
def test_a_node_that_is_told_to_end_drains(ringctl: CommandLine) -> None:
    """SIGTERM: what it holds is finished, nothing is left for a rescue, another node goes on at once."""
    fleet = make_fleet(ringctl.directory, inner=4, outer=12)
    write_policy(fleet, parallel=4, failures="100%", lease="30s")
    write_bundle(fleet, "b1", rows=8, pause="20ms", work="0.5")
    rollout = ringctl.start("b1")
    with ringctl.looking() as parts:
        node = ringctl.node()
        many = lambda: sum(1 for _ in parts.store.tasks(rollout, states=[TaskState.RUNNING])) >= 2  # noqa: E731
        eventually(many, what="two accounts in hand")
        held = {row.account for row in parts.store.tasks(rollout, states=[TaskState.RUNNING])}
        node.signal(15)
        assert node.ends(30) == 143, node.said()
        assert not claimed(parts, rollout)
        assert parts.store.nodes() == () or all(one.dead and not one.held for one in parts.store.nodes())
        done = {row.account for row in parts.store.tasks(rollout, states=[TaskState.DONE])}
        assert held <= done
        assert parts.store.load(rollout).state == "running"
    ringctl.node()
    assert ringctl("wait", rollout, "--timeout", "60s").code == 0
    kinds = [event["kind"] for event in check_whole(ringctl, fleet, rollout)]
    assert "rescued" not in kinds, "a drained node leaves nothing to rescue"
