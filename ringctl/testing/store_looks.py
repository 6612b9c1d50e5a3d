"""Conformance of a store: looks, verdicts, what an observer needs, exposure."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from ringctl.core.errors import BugError, VersionConflict
from ringctl.core.facts import CheckState
from ringctl.core.states import EffectState, TaskState, Verdict, WaveState
from ringctl.core.timing import SECOND
from ringctl.ports.records import LookRecord
from ringctl.testing.store_rollouts import SuiteFixtures
from ringctl.testing.store_scene import Scene
from ringctl.testing.values import NOON, members_of


def a_look(number: int, phase: str = "during", **changes: object) -> LookRecord:
    """One look of wave 1."""
    look = LookRecord(
        wave=1,
        number=number,
        at_us=NOON + number * SECOND,
        phase=phase,
        credit_us=SECOND,
        activity=10,
        answered=True,
    )
    return replace(look, **changes)  # type: ignore[arg-type]


def a_verdict(verdict: Verdict, at_us: int, *, failed: bool = False) -> CheckState:
    """A verdict of the check `errors`."""
    return CheckState(
        check="errors", verdict=verdict, reason="r", at_us=at_us, failed=failed, numbers={"ratio": 0.5}
    )


class LookSuite(SuiteFixtures):
    """Looks are saved by compare-and-set; facts are aggregates; exposure follows the effects."""

    def test_looks_credit_by_phase(self, scene: Scene) -> None:
        """Baseline before the wave opens, bake after its last account; nothing in between."""
        rollout = scene.create()
        for number, phase in enumerate(("before", "during", "bake", "bake"), start=1):
            scene.store.add_look(a_look(number, phase))
        scene.store.add_look(a_look(5, "bake", answered=False, credit_us=0, activity=0))
        facts = scene.store.facts(rollout).wave(1)
        assert (facts.baseline_us, facts.bake_us, facts.activity) == (SECOND, 2 * SECOND, 20)
        assert (facts.last_look_us, facts.last_answer_us) == (NOON + 5 * SECOND, NOON + 4 * SECOND)
        with pytest.raises(BugError):
            scene.store.add_look(a_look(6, "sideways"))

    def test_a_look_is_saved_once(self, scene: Scene) -> None:
        """Two nodes that looked at the same moment: the second one's look is thrown away whole."""
        rollout = scene.create()
        scene.store.add_look(a_look(1, states={"errors": "a"}))
        with pytest.raises(VersionConflict):
            scene.store.add_look(a_look(1, states={"errors": "b"}))
        with pytest.raises(VersionConflict):
            scene.store.add_look(a_look(3))
        watched = scene.store.watched(rollout, rollout.wave(1))
        assert (watched.number, watched.last_us, watched.states) == (1, NOON + SECOND, {"errors": "a"})

    def test_a_failure_is_sticky(self, scene: Scene) -> None:
        """The latest verdict is shown, and that it once failed; every verdict stays on record."""
        rollout = scene.create()
        verdicts = [(Verdict.INCONCLUSIVE, False), (Verdict.FAIL, True), (Verdict.PASS, False)]
        for number, (verdict, failed) in enumerate(verdicts, start=1):
            scene.store.add_look(a_look(number, verdicts=(a_verdict(verdict, NOON + number, failed=failed),)))
        latest = scene.store.facts(rollout).wave(1).checks["errors"]
        assert (latest.verdict, latest.failed, latest.numbers) == (Verdict.PASS, True, {"ratio": 0.5})
        shown = list(scene.store.looks("ro-1"))
        assert [row["verdict"] for row in shown] == ["inconclusive", "fail", "pass"]
        assert shown[0]["revision"] == "r1"
        assert list(scene.store.looks("ro-1", 1)) == shown
        assert list(scene.store.looks("ro-1", 2)) == []

    def test_bake_starts_anew_when_accounts_come_back(self, scene: Scene) -> None:
        """What was credited after the last account does not count when it was not the last."""
        rollout = scene.start()
        baking = scene.apply(rollout.with_wave(replace(rollout.wave(1), state=WaveState.BAKING)))
        scene.store.add_look(a_look(1, "bake"))
        again = scene.apply(baking.with_wave(replace(baking.wave(1), state=WaveState.OPEN)))
        facts = scene.store.facts(again).wave(1)
        assert (facts.bake_us, facts.activity) == (0, 0)

    def test_watched_tells_when_accounts_began(self, scene: Scene) -> None:
        """The first intent, not the claim; and the end of the last account done."""
        rollout = scene.start(inner=2)
        node = scene.node()
        claim = scene.claim_one(node)
        watched = scene.store.watched(rollout, rollout.wave(1))
        assert set(watched.accounts.values()) == {None}
        assert watched.last_done_us is None
        began = scene.clock.now_us
        scene.run(claim)
        watched = scene.store.watched(rollout, rollout.wave(1))
        at_us = watched.accounts[claim.account]
        assert at_us is not None
        assert began < at_us < (watched.last_done_us or 0)

    def test_a_person_s_word_is_no_measure(self, scene: Scene) -> None:
        """An account that a person settled is named: nothing of its steps is measured."""
        rollout = scene.start(inner=2)
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        scene.store.result(claim, "readers", EffectState.UNKNOWN, {})
        scene.store.finish(claim, TaskState.UNKNOWN, "nobody knows")
        assert scene.store.watched(rollout, rollout.wave(1)).settled == frozenset()
        scene.store.resolve_task("ro-1", claim.account, TaskState.DONE, actor="ana", reason="looked")
        assert scene.store.watched(rollout, rollout.wave(1)).settled == {claim.account}
        assert scene.store.step_measures("ro-1", 1)["duration"] == {}
        assert scene.store.step_times("ro-1", 1) == ()

    def test_nothing_is_measured_of_what_never_began(self, scene: Scene) -> None:
        """Withdrawn before it began, or failed without a step: nobody waits for its numbers."""
        scene.start(inner=4)
        never, begun = scene.claims(scene.node(), limit=2)
        scene.store.finish(never, TaskState.FAILED, "no target")
        scene.run_step(begun, "readers", EffectState.FAILED)
        scene.store.finish(begun, TaskState.FAILED, "refused")
        rollout = scene.load()
        assert scene.store.watched(rollout, rollout.wave(1)).settled == {never.account}
        rollout = scene.amend()
        watched = scene.store.watched(rollout, rollout.wave(1))
        assert len(watched.accounts) == 4
        assert watched.settled == set(watched.accounts) - {begun.account}

    def test_control_is_what_was_never_touched(self, scene: Scene) -> None:
        """In rank order, the reserve included; without the wave's own and what a wave at work will touch next."""
        rollout = scene.start(inner=3)
        early = sorted(members_of("early", 3), key=lambda one: one.rank)
        inner = [one.account for one in members_of("inner", 3)]
        found = list(scene.store.untouched(rollout, rollout.wave(1)))
        assert found == [replace(member, columns=()) for member in early]
        wave = scene.draw(early[:1])
        assert [one.account for one in scene.store.untouched(scene.load(), wave)] == [
            member.account for member in early[1:]
        ]
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        asked = [*inner, "stranger"]
        left = scene.store.untouched_among(rollout, asked)
        assert left == tuple(name for name in inner if name != claim.account)
        assert scene.store.untouched_among(rollout, []) == ()

    def test_the_strata_of_a_wave(self, scene: Scene) -> None:
        """Traits and size decade with the number of accounts."""
        rollout = scene.create(inner=12)
        traits = (("edition", "std"),)
        expected = Counter((traits, member.decade) for member in members_of("inner", 12))
        assert scene.store.strata(rollout.wave(1)) == dict(expected)

    def test_measures_of_steps(self, scene: Scene) -> None:
        """Duration, failures, retries and key violations per account touched."""
        scene.start(inner=2)
        claim, other = scene.claims(scene.node(), limit=2)
        scene.run_step(claim, "readers", EffectState.FAILED)
        scene.intent(claim)
        scene.clock.pass_us(2 * SECOND)
        scene.store.result(claim, "readers", EffectState.DONE, {})
        scene.intent(other)
        violated = {"outcome": "failed", "reason": 'say "duplicate_key":', "duplicate_key": 1}
        scene.store.result(other, "readers", EffectState.FAILED, violated)
        measures = scene.store.step_measures("ro-1", 1)
        assert measures["retries"] == {claim.account: 1.0, other.account: 0.0}
        assert measures["failures"] == {claim.account: 0.0, other.account: 1.0}
        assert measures["duplicates"] == {claim.account: 0.0, other.account: 1.0}
        assert measures["duration"][claim.account] == pytest.approx(2.0, abs=0.01)
        assert scene.store.step_measures("ro-1", 2)["retries"] == {}

    def test_times_of_steps(self, scene: Scene) -> None:
        """Done ones, and those that a living node runs; another wave of the revision has them in classes."""
        rollout = scene.start(inner=2)
        claim, other = scene.claims(scene.node(), limit=2)
        scene.intent(claim)
        scene.clock.pass_us(4 * SECOND)
        scene.store.result(claim, "readers", EffectState.DONE, {})
        scene.intent(other)
        done, running = sorted(scene.store.step_times("ro-1", 1), key=lambda one: one.ended_us is None)
        assert (done.account, done.step, done.decade) == (claim.account, "readers", 0)
        assert (done.ended_us or 0) - done.began_us == pytest.approx(4 * SECOND, abs=SECOND / 100)
        assert (running.account, running.ended_us) == (other.account, None)
        scene.run_step(claim, "encode")
        scene.store.finish(claim, TaskState.DONE)
        elsewhere = replace(rollout.wave(1), id=9)
        counted, seconds, size = scene.store.step_classes(rollout, elsewhere)["readers"][0]
        assert (counted, size) == (1, claim.size)
        assert seconds == pytest.approx(4, abs=0.01)
        assert scene.store.step_classes(rollout, rollout.wave(1)) == {}
        scene.lose()
        assert [one.step for one in scene.store.step_times("ro-1", 1)] == ["readers", "encode"]

    @pytest.mark.parametrize("how", ["resolved", "already"])
    def test_what_was_settled_by_asking_has_no_length(self, scene: Scene, how: str) -> None:
        """Nor what was there already: neither is one of the times, nor of the classes."""
        rollout = scene.start(inner=1)
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        scene.store.result(claim, "readers", EffectState.DONE, {how: True})
        scene.run_step(claim, "encode")
        scene.store.finish(claim, TaskState.DONE)
        assert [one.step for one in scene.store.step_times("ro-1", 1)] == ["encode"]
        assert set(scene.store.step_classes(rollout, replace(rollout.wave(1), id=9))) == {"encode"}

    @pytest.mark.parametrize("word", [TaskState.DONE, TaskState.FAILED])
    def test_classes_are_of_accounts_that_were_seen_done(self, scene: Scene, word: TaskState) -> None:
        """An account that a person settled has no part in them; nor has a task that was never done, though its
        account is done under a later revision."""
        rollout = scene.start(inner=1, early=0)
        elsewhere = replace(rollout.wave(1), id=9)
        claim = scene.claim_one(scene.node())
        scene.run_step(claim, "readers")
        scene.intent(claim, "encode")
        scene.store.result(claim, "encode", EffectState.UNKNOWN, {})
        scene.store.finish(claim, TaskState.UNKNOWN, "nobody knows")
        scene.store.resolve_task("ro-1", claim.account, word, actor="ana", reason="looked")
        assert [one.step for one in scene.store.step_times("ro-1", 1)] == ["readers"]
        assert scene.store.step_classes(rollout, elsewhere) == {}
        scene.amend()
        for member, _, _ in scene.store.candidates(scene.load()):
            wave = scene.draw([member])
            scene.open_wave(wave.id)
            scene.run(scene.claim_one(scene.node(), wave=wave.id))
        assert scene.state_of(claim.account) is TaskState.DONE
        assert scene.store.step_classes(rollout, elsewhere) == {}

    # -- exposure ----------------------------------------------------------------------------------
    def _phases(self, scene: Scene, revision: int | None = None) -> list[tuple[str, str, bool]]:
        rows = list(scene.store.exposure("ro-1", revision=revision))
        for one, following in itertools.pairwise(rows):
            if one.account == following.account:
                assert one.to_us == following.from_us
        return [(row.revision, row.phase, row.to_us is None) for row in rows]

    def test_exposure_follows_the_steps(self, scene: Scene) -> None:
        """Running from intent to result, between steps, done after the last; open while it lasts."""
        scene.start(inner=1)
        assert self._phases(scene) == []
        claim = scene.claim_one(scene.node())
        scene.intent(claim)
        assert self._phases(scene) == [("r1", "running:readers", True)]
        scene.store.result(claim, "readers", EffectState.DONE, {})
        ran = ("r1", "running:readers", False)
        assert self._phases(scene) == [ran, ("r1", "between:readers,encode", True)]
        scene.run_step(claim, "encode")
        scene.store.finish(claim, TaskState.DONE)
        assert self._phases(scene) == [
            ran,
            ("r1", "between:readers,encode", False),
            ("r1", "running:encode", False),
            ("r1", "done", True),
        ]
        assert self._phases(scene, 2) == []

    def test_a_failed_step_exposes_only_while_it_ran(self, scene: Scene) -> None:
        """It took no effect for certain: the account stands where it stood before."""
        scene.start(inner=1)
        claim = scene.claim_one(scene.node())
        scene.run_step(claim, "readers", EffectState.FAILED)
        assert self._phases(scene) == [("r1", "running:readers", False)]

    def test_an_unknown_step_goes_on(self, scene: Scene) -> None:
        """Until another step begins, under whatever revision."""
        scene.start(inner=1, early=0)
        claim = scene.claim_one(scene.node())
        scene.run_step(claim)
        scene.intent(claim, "encode")
        scene.store.result(claim, "encode", EffectState.UNKNOWN, {})
        scene.run_step(claim, "close_window.1")
        scene.store.finish(claim, TaskState.UNKNOWN, "closed")
        closed = [
            ("r1", "running:readers", False),
            ("r1", "between:readers,encode", False),
            ("r1", "running:encode", False),
            ("r1", "running:close_window.1", False),
        ]
        assert self._phases(scene) == [*closed, ("r1", "between:close_window.1,encode", True)]
        scene.amend()
        ((member, _, _),) = scene.store.candidates(scene.load())
        wave = scene.draw([member], {claim.account: "encode"})
        scene.open_wave(wave.id)
        scene.run(scene.claim_one(scene.node(), wave=wave.id), "encode")
        assert self._phases(scene) == [
            *closed,
            ("r1", "between:close_window.1,encode", False),
            ("r2", "running:encode", False),
            ("r2", "done", True),
        ]
