"""Conformance of a store: what becomes of a task of which nobody knows how its step ended."""

import pytest

from ringctl.core.errors import NotAllowed, NotFound
from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import MINUTE, SECOND
from ringctl.testing.store_rollouts import SuiteFixtures
from ringctl.testing.store_scene import GRACE, LEASE, Scene


class ResolveSuite(SuiteFixtures):
    """Unknown tasks: settled by a claimed resolution or by a person, never run again blindly."""

    def _unknown(self, scene: Scene) -> str:
        """An account whose holder died during `readers`."""
        scene.start(inner=1, early=0)
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        scene.lose()
        return claim.account

    def test_a_resolution_is_claimed_once(self, scene: Scene) -> None:
        """It carries the open step; the settled task goes on under the same claim."""
        self._unknown(scene)
        assert scene.store.facts(scene.load()).wave(1).settling == 1
        node = scene.node("b")
        (claim,) = scene.store.claim_unknown(node, scene.load(), limit=5)
        assert claim.resolving
        assert [e.state for e in claim.effects] == [EffectState.UNKNOWN]
        assert scene.store.claim_unknown(node, scene.load(), limit=5) == ()
        scene.store.result(claim, "readers", EffectState.DONE, {"resolved": True})
        scene.run(claim, "encode")
        assert scene.store.facts(scene.load()).wave(1).done == 1

    def test_one_resolved_to_nothing_waits_for_a_person(self, scene: Scene) -> None:
        """It is not claimed for ever."""
        account = self._unknown(scene)
        (claim,) = scene.store.claim_unknown(scene.node("b"), scene.load(), limit=5)
        scene.store.finish(claim, TaskState.UNKNOWN, "nobody knows")
        scene.clock.pass_us(MINUTE)
        assert scene.store.facts(scene.load()).wave(1).settling == 0
        node = scene.node("c")
        assert scene.store.claim_unknown(node, scene.load(), limit=5) == ()
        scene.store.resolve_task("ro-1", account, TaskState.PENDING, actor="ana", reason="looked")
        again = scene.claim_one(node)
        assert again.resolving, "the open step is settled before anything runs"

    def test_a_resolver_that_dies_is_followed_a_few_times(self, scene: Scene) -> None:
        """A resolution that kills its nodes is bounded too."""
        self._unknown(scene)
        tries = 0
        while tries < 10 and scene.store.claim_unknown(scene.node(f"n{tries}"), scene.load(), limit=1):
            tries += 1
            scene.lose()
        assert tries == 2  # the first holder was lost too

    def test_a_task_that_kills_its_holders_is_parked(self, scene: Scene) -> None:
        """Three were lost with it, though no step was ever open: a person says how it goes on."""
        scene.start(inner=1, early=0)
        claim = scene.claim_one(scene.node("n0"))
        scene.lose()
        for number in range(1, 3):
            scene.claim_one(scene.node(f"n{number}"))
            scene.lose()
        (task,) = scene.store.tasks("ro-1", account=claim.account)
        assert (task.state, task.reason[:14]) == (TaskState.UNKNOWN, "3 holders were")
        assert scene.claims(scene.node("n4")) == ()
        assert scene.store.facts(scene.load()).wave(1).settling == 0
        scene.store.resolve_task("ro-1", claim.account, TaskState.PENDING, actor="ana", reason="fixed")
        again = scene.claim_one(scene.node("n5"))
        assert not again.resolving
        scene.lose()
        assert scene.state_of(claim.account) is TaskState.PENDING  # counted anew

    def test_a_hung_holder_keeps_its_grace(self, scene: Scene) -> None:
        """After a deadline the holder may be alive: nobody resolves before its lease and grace are over."""
        scene.start(inner=1)
        node = scene.node()
        scene.intent(scene.claim_one(node))
        for _ in range(6):
            scene.clock.pass_us(LEASE - SECOND)
            scene.store.beat(node)
        assert scene.store.rescue(grace_us=GRACE) == 1
        other = scene.node("b")
        assert scene.store.claim_unknown(other, scene.load(), limit=1) == ()
        scene.clock.pass_us(LEASE + GRACE)
        assert len(scene.store.claim_unknown(scene.node("c"), scene.load(), limit=1)) == 1

    def test_half_way_without_an_open_step_is_not_resolved(self, scene: Scene) -> None:
        """There is nothing a ledger or probe could say."""
        scene.start(inner=1)
        claim = scene.claim_one(scene.node())
        scene.run_step(claim)
        scene.store.finish(claim, TaskState.UNKNOWN, "closed half way")
        assert scene.store.claim_unknown(scene.node("b"), scene.load(), limit=1) == ()

    @pytest.mark.parametrize("word", [TaskState.DONE, TaskState.FAILED])
    def test_a_persons_word_settles(self, scene: Scene, word: TaskState) -> None:
        """Journalled with name and reason; never evidence (I4)."""
        account = self._unknown(scene)
        scene.store.resolve_task("ro-1", account, word, actor="ana", reason="looked")
        entry = list(scene.store.journal("ro-1"))[-1]
        assert (entry.kind, entry.actor, entry.payload["reason"]) == ("task-resolved", "ana", "looked")
        (row,) = scene.store.tasks("ro-1", account=account)
        assert row.state is word
        assert str(row.steps[0].state) == word
        assert scene.store.largest_done("ro-1") == 0.0
        assert scene.store.done_traits("ro-1", 1) == (frozenset(), {})
        left = scene.store.facts(scene.load()).unfinished_accounts
        assert left == (0 if word is TaskState.DONE else 1)

    def test_a_failed_task_is_retried_at_the_same_digest(self, scene: Scene) -> None:
        """A person gives it back; its next claim knows what was done."""
        scene.start(inner=1)
        node = scene.node()
        claim = scene.claim_one(node)
        scene.run_step(claim)
        scene.run_step(claim, "encode", EffectState.FAILED)
        scene.store.finish(claim, TaskState.FAILED, "no")
        scene.store.resolve_task("ro-1", claim.account, TaskState.PENDING, actor="ana", reason="again")
        again = scene.claim_one(node)
        assert not again.resolving
        assert [(e.step, str(e.state)) for e in again.effects] == [("readers", "done"), ("encode", "failed")]
        scene.run(again, "encode")

    def test_what_a_person_may_not_say(self, scene: Scene) -> None:
        """Edges that are not in the table, tasks that nobody could run, accounts that are not there."""
        account = self._unknown(scene)

        def say(state: TaskState, name: str = account) -> None:
            scene.store.resolve_task("ro-1", name, state, actor="ana", reason="x")

        with pytest.raises(NotFound):
            say(TaskState.DONE, "stranger")
        for state in (TaskState.RUNNING, TaskState.UNKNOWN, TaskState.SKIPPED, TaskState.CANCELLED):
            with pytest.raises(NotAllowed):
                say(state)
        scene.amend()
        with pytest.raises(NotAllowed):
            say(TaskState.PENDING)
        say(TaskState.FAILED)
        with pytest.raises(NotAllowed):
            say(TaskState.DONE)
