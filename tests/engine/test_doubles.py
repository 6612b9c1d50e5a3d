"""A double claim that a target saw: counted, journalled, and the rollout held until a person looks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringctl.engine import running
from ringctl.engine.doubles import EVIDENCE, TALLY
from ringctl.executors.rivals import REPORT
from ringctl.ports.executor import Outcome, Ran
from ringctl.testing.scripted_executor import ScriptedExecutor
from tests.engine.world import SIMPLE, World, make_world


class Seeing(ScriptedExecutor):
    """Its target saw one run under two claims."""

    def run(self, order: Any, control: Any) -> Ran:
        ran = super().run(order, control)
        evidence = {"claim": "c1", "other_claim": "c2"}
        return replace(ran, outcome=Outcome.UNKNOWN, reason="", numbers={REPORT: evidence})


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = make_world(tmp_path, policy=SIMPLE)
    made.fleet()
    made.bundle("b1")
    return made


def worked(world: World) -> Any:
    executor = Seeing()
    world.parts = replace(world.parts, executor=lambda _: executor)
    rollout = world.start()
    world.reconcile(rollout)
    node = world.node(parallel=1)
    node.start()
    node.claim(world.load(rollout))
    assert node.work_one()
    return world.load(rollout)


def test_it_is_counted_journalled_and_holds(world: World) -> None:
    rollout = worked(world)
    assert world.parts.store.tallies()[TALLY] == 1
    (entry,) = [e for e in world.parts.store.journal(rollout.id) if e.kind == "double-claim"]
    assert (entry.payload["code"], entry.payload["other_claim"]) == ("RC5120", "c2")
    assert entry.payload["account"]
    hold = rollout.hold("pause")
    assert hold is not None
    assert "RC5120" in hold.reason
    assert world.verify() == ()


def test_without_the_look_at_the_evidence_nothing_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded bug: the engine does not look. The test above must be able to go red."""
    monkeypatch.setattr(running, "note_double", lambda *_: None)
    rollout = worked(world)
    assert world.parts.store.tallies().get(TALLY, 0) == 0
    assert rollout.hold("pause") is None


def test_executors_and_engine_mean_the_same_word() -> None:
    assert REPORT == EVIDENCE
