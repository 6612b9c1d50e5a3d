"""Conformance of a store: who may run a task, what he may write, and what becomes of it when he is gone."""

from dataclasses import replace

import pytest

from ringctl.core.errors import BugError, ClaimLost, SessionLost
from ringctl.core.states import EffectState, RolloutState, Settle, TaskState, WaveState
from ringctl.core.timing import MINUTE, SECOND
from ringctl.ports.records import Result
from ringctl.testing.store_rollouts import SuiteFixtures
from ringctl.testing.store_scene import GRACE, LEASE, Scene
from ringctl.testing.values import members_of

STALE_FINISH = "a stale holder's finish was accepted"


class ClaimSuite(SuiteFixtures):
    """Exclusive claims: a random id that every write names, a fence that rises, limits that hold."""

    # -- claiming ----------------------------------------------------------------------------------
    def test_claims_go_by_rank_and_are_exclusive(self, scene: Scene) -> None:
        """No task twice, ids never the same, fences rising, in rank order."""
        scene.start(inner=6)
        ranked = [one.account for one in sorted(members_of("inner", 6), key=lambda one: one.rank)]
        first = scene.claims(scene.node("a"), limit=4)
        second = scene.claims(scene.node("b"), limit=4)
        claims = [*first, *second]
        assert [claim.account for claim in claims] == ranked
        assert len({claim.id for claim in claims}) == 6
        fences = [claim.fence for claim in claims]
        assert fences == sorted(set(fences))
        assert {claim.attempt for claim in claims} == {1}
        assert first[0].columns == {"database": f"{first[0].account}.db"}
        assert first[0].traits == {"edition": "std"}

    def test_fences_rise_over_the_whole_store(self, scene: Scene) -> None:
        """Also over the attempts of one task."""
        scene.start(inner=1)
        node = scene.node()
        fences = []
        for attempt in range(1, 4):
            claim = scene.claim_one(node)
            assert claim.attempt == attempt
            fences.append(claim.fence)
            scene.store.finish(claim, TaskState.PENDING)
        assert fences == sorted(set(fences))

    @pytest.mark.parametrize("how", ["held", "settling", "failed", "withdrawn", "ended", "planned"])
    def test_nothing_is_claimed_where_nothing_may_run(self, scene: Scene, how: str) -> None:
        """A claim reads its wave in its own transaction: after the change has committed none begins, even
        for a node that still believes the old picture."""
        believed = scene.start()
        node = scene.node()
        if how == "held":
            scene.hold()
        elif how == "settling":
            scene.settle(Settle.FINISH)
        elif how == "failed":
            failed = replace(believed.wave(1), state=WaveState.FAILED)
            scene.apply(believed.with_wave(failed))
        elif how == "withdrawn":
            scene.amend()
        elif how == "ended":
            scene.end()
        else:
            wave = scene.draw(members_of("early", 2))
            assert scene.claims(node, wave=wave.id) == ()
            return
        assert scene.store.claim(node, believed, believed.wave(1), limit=10) == ()

    def test_resuming_admits_again(self, scene: Scene) -> None:
        """Lifting the last hold gives the wave back to the nodes."""
        scene.start()
        held = scene.hold()
        scene.apply(replace(held, state=RolloutState.RUNNING, holds=()))
        assert len(scene.claims(scene.node())) == 4

    def test_in_flight_stays_within_parallel(self, scene: Scene) -> None:
        """Over all nodes together."""
        scene.start(inner=6, parallel=3)
        assert len(scene.claims(scene.node("a"), limit=2)) == 2
        claims = scene.claims(scene.node("b"), limit=9)
        assert len(claims) == 1
        assert scene.claims(scene.node("c"), limit=9) == ()
        scene.run(claims[0])
        assert len(scene.claims(scene.node("c"), limit=9)) == 1

    def test_in_flight_shrinks_with_failures(self, scene: Scene) -> None:
        """Never more in flight than failures left + 1 (I8)."""
        scene.start(inner=8, parallel=8, failures=2)
        node = scene.node()
        claims = scene.claims(node)
        assert len(claims) == 3
        scene.store.finish(claims[0], TaskState.FAILED, "no")
        assert scene.claims(node) == ()
        scene.store.finish(claims[1], TaskState.UNKNOWN, "?")
        scene.run(claims[2])
        assert len(scene.claims(node)) == 1
        assert scene.claims(node) == ()

    def test_an_empty_budget_runs_one_by_one(self, scene: Scene) -> None:
        """With no failure allowed one account is at risk, and after one failure none."""
        scene.start(inner=3, failures=0)
        node = scene.node()
        claim = scene.claim_one(node)
        assert scene.claims(node) == ()
        scene.store.finish(claim, TaskState.FAILED, "no")
        assert scene.claims(node) == ()

    # -- steps -------------------------------------------------------------------------------------
    def test_a_task_runs_to_its_end(self, scene: Scene) -> None:
        """Intent, result, finish; counters, evidence and log move with it."""
        rollout = scene.start(inner=2, early=0)
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        scene.store.result(claim, "readers", EffectState.DONE, {"rows": 3}, lines=["one", "two"])
        scene.store.log(claim, ["three"])
        scene.run_step(claim, "encode")
        scene.store.finish(claim, TaskState.DONE, lines=["four"])
        facts = scene.store.facts(rollout)
        assert (facts.wave(1).done, facts.wave(1).pending, facts.unfinished_accounts) == (1, 1, 1)
        log = list(scene.store.task_log("ro-1", claim.account))
        assert log == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
        (row,) = scene.store.tasks("ro-1", account=claim.account)
        assert [(e.step, e.state, e.outcome) for e in row.steps] == [
            ("readers", EffectState.DONE, {"rows": 3}),
            ("encode", EffectState.DONE, {"rows": 1}),
        ]
        assert scene.store.largest_done("ro-1") == scene.store.largest_done("ro-1", 1) == claim.size
        assert scene.store.largest_done("ro-1", 2) == 0.0
        traits, decades = scene.store.done_traits("ro-1", 1)
        assert traits == {("edition", "std")}
        assert decades == {0: 1}

    def test_a_step_that_took_effect_is_not_begun_again(self, scene: Scene) -> None:
        """I2: under the same task it is refused; a failed one may be tried again."""
        scene.start(inner=1)
        claim = scene.claim_one(scene.node())
        scene.run_step(claim, "readers", EffectState.FAILED)
        scene.run_step(claim)
        with pytest.raises(BugError):
            scene.intent(claim)
        with pytest.raises(BugError):
            scene.store.result(claim, "encode", EffectState.DONE, {})

    def test_largest_touched_counts_from_the_first_intent(self, scene: Scene) -> None:
        """Whatever became of it."""
        scene.start(inner=1)
        assert scene.store.largest_touched("ro-1") == 0.0
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        assert scene.store.largest_touched("ro-1") == claim.size

    # -- stale holders -----------------------------------------------------------------------------
    def test_a_stale_holder_writes_nothing(self, scene: Scene) -> None:
        """Every write names its claim: intent, result, log and finish of a lost claim are refused, its lines kept
        apart."""
        scene.start(inner=1)
        stale = scene.claim_one(scene.node("a"))
        scene.intent(stale)
        scene.store.result(stale, "readers", EffectState.DONE, {}, lines=["mine"])
        assert scene.lose() == 1
        fresh = scene.claim_one(scene.node("b"))
        assert fresh.fence > stale.fence
        assert [e.step for e in fresh.effects] == ["readers"]
        before = list(scene.store.tasks("ro-1"))
        with pytest.raises(ClaimLost):
            scene.intent(stale, "encode")
        with pytest.raises(ClaimLost):
            scene.store.result(stale, "readers", EffectState.FAILED, {}, lines=["late"])
        with pytest.raises(ClaimLost):
            scene.store.log(stale, ["late"])
        refused = False
        try:
            scene.store.finish(stale, TaskState.DONE, "mine!", lines=[])
        except ClaimLost:
            refused = True
        assert refused, STALE_FINISH
        with pytest.raises(ClaimLost):
            scene.store.finish(stale, TaskState.DONE, lines=["late"])
        assert list(scene.store.tasks("ro-1")) == before
        assert list(scene.store.task_log("ro-1", stale.account)) == [(1, "mine")]
        scene.run(fresh, "encode")

    def test_a_finished_claim_is_over(self, scene: Scene) -> None:
        """Also for its own holder."""
        scene.start(inner=1)
        claim = scene.claim_one(scene.node())
        scene.run(claim)
        with pytest.raises(ClaimLost):
            scene.store.finish(claim, TaskState.FAILED)
        with pytest.raises(ClaimLost):
            scene.intent(claim)

    # -- sessions ----------------------------------------------------------------------------------
    def test_a_beat_tells_what_is_held_and_wanted(self, scene: Scene) -> None:
        """Claims, settling and cancelling by row: no message that can be lost."""
        scene.start(inner=2)
        node = scene.node()
        claim = scene.claim_one(node)
        (held,) = scene.store.beat(node).held
        assert (held.task, held.claim, held.settle, held.cancelled) == (
            claim.task,
            claim.id,
            Settle.NONE,
            False,
        )
        scene.settle(Settle.CLOSE)
        assert [(h.settle, h.cancelled) for h in scene.store.beat(node).held] == [(Settle.CLOSE, False)]
        scene.settle(Settle.STOP)
        assert [(h.settle, h.cancelled) for h in scene.store.beat(node).held] == [(Settle.STOP, True)]
        with pytest.raises(ClaimLost):
            scene.intent(claim)
        scene.store.finish(claim, TaskState.PENDING)
        assert scene.store.beat(node).held == ()

    def test_a_dead_session_is_told_so(self, scene: Scene) -> None:
        """Its beat and its claims are refused; a renewed lease keeps it alive."""
        scene.start()
        node, other = scene.node("a"), scene.node("b")
        scene.clock.pass_us(LEASE // 2)
        scene.store.beat(other)
        scene.lose(LEASE // 2 + SECOND)
        with pytest.raises(SessionLost):
            scene.store.beat(node)
        with pytest.raises(SessionLost):
            scene.claims(node)
        assert scene.store.beat(other).held == ()
        assert {(n.node, n.dead) for n in scene.store.nodes()} == {("a", True), ("b", False)}
        assert scene.store.facts(scene.load()).nodes == 1

    def test_closing_a_session_leaves_the_rest_to_rescue(self, scene: Scene) -> None:
        """What it still held is rescued after the grace."""
        scene.start(inner=1)
        node = scene.node()
        scene.claim_one(node)
        scene.store.close_session(node)
        assert scene.lose(GRACE // 2) == 0
        assert scene.lose(GRACE) == 1
        assert scene.states()["pending"] == 1

    # -- rescue ------------------------------------------------------------------------------------
    def test_rescue_waits_for_lease_and_grace(self, scene: Scene) -> None:
        """Not before both are over; then everything of the dead session, journalled."""
        scene.start(inner=3)
        scene.claims(scene.node())
        assert scene.lose(LEASE + SECOND) == 0
        assert scene.lose(GRACE) == 3
        assert scene.states() == {"pending": 3, "waiting": 3}
        assert scene.kinds()[-1] == "rescued"
        assert scene.lose(GRACE) == 0

    def test_rescue_never_guesses_about_a_step(self, scene: Scene) -> None:
        """With an open intent the task is unknown; without one it goes back."""
        scene.start(inner=2)
        opened, between = scene.claims(scene.node(), limit=2)
        scene.intent(opened)
        scene.run_step(between)
        assert scene.lose() == 2
        assert scene.state_of(opened.account) is TaskState.UNKNOWN
        assert scene.state_of(between.account) is TaskState.PENDING
        (row,) = scene.store.tasks("ro-1", account=opened.account)
        assert row.steps[0].state is EffectState.UNKNOWN

    def test_rescue_is_bounded(self, scene: Scene) -> None:
        """At most `limit` tasks a call; the next call goes on."""
        scene.start(inner=5)
        scene.claims(scene.node())
        scene.clock.pass_us(LEASE + GRACE + SECOND)
        assert [scene.store.rescue(grace_us=GRACE, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    def test_a_hung_step_is_rescued_at_its_deadline(self, scene: Scene) -> None:
        """The deadline counts from the intent, not from the claim, and ends with the result."""
        scene.start(inner=2)
        node = scene.node()
        hung, idle = scene.claims(node, limit=2)
        scene.run_step(idle)
        scene.intent(hung)
        for _ in range(7):
            scene.clock.pass_us(MINUTE // 7 + SECOND)
            scene.store.beat(node)
        assert scene.store.rescue(grace_us=GRACE) == 1
        assert scene.state_of(hung.account) is TaskState.UNKNOWN
        assert scene.state_of(idle.account) is TaskState.RUNNING
        assert [held.task for held in scene.store.beat(node).held] == [idle.task]
        with pytest.raises(ClaimLost):
            scene.store.result(hung, "readers", EffectState.DONE, {})

    # -- settling of withdrawn waves ---------------------------------------------------------------
    def test_a_withdrawn_wave_settles(self, scene: Scene) -> None:
        """Its holders' results still count; what is given back is cancelled, or unknown when it stands half way."""
        scene.start(inner=4)
        done, untouched, half, lost = scene.claims(scene.node())
        scene.run_step(half)
        scene.amend()
        scene.run(done)
        scene.store.finish(untouched, TaskState.PENDING)
        scene.store.finish(half, TaskState.PENDING)
        scene.lose()
        states = [scene.state_of(c.account) for c in (done, untouched, half, lost)]
        assert states == [TaskState.DONE, TaskState.CANCELLED, TaskState.UNKNOWN, TaskState.CANCELLED]
        facts = scene.store.facts(scene.load())
        assert facts.half_done == 1

    def test_a_steps_output_may_be_anything(self, scene: Scene) -> None:
        """Quotes, backslashes, control characters, what looks like an escape: lines come back; NUL may be shown."""
        scene.start(inner=1)
        claim = scene.claim_one(scene.node())
        lines = ["'\"\\", "\\u0000", "{,}", "a\0b", "\x1b[31m", "snow \N{SNOWMAN} \N{GRINNING FACE}", ""]
        scene.intent(claim)
        scene.store.result(claim, "readers", EffectState.FAILED, {"reason": "a\0b\\u0000"}, lines=lines)
        scene.store.log(claim, lines)
        last = Result(step="readers", state=EffectState.DONE, outcome={"x": "\\"})
        scene.store.finish(claim, TaskState.DONE, '"\\', lines=lines, last=last)
        found = [
            line.replace("\N{SYMBOL FOR NULL}", "\0")
            for _, line in scene.store.task_log("ro-1", claim.account)
        ]
        assert found == lines * 3
        (task,) = scene.store.tasks("ro-1", account=claim.account)
        assert task.reason == '"\\'
