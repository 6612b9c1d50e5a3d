"""decide: what opens, what holds, what passes. Silence and completion alone never pass."""

from dataclasses import replace

import pytest

from ringctl.core.decide import RESERVE, bake_of, baseline_of, checks_of, decide
from ringctl.core.decisions import LiftHold, OpenWave, PlaceHold
from ringctl.core.facts import Drift
from ringctl.core.holds import paused
from ringctl.core.model import Hold, Revision
from ringctl.core.policy import Amount
from ringctl.core.states import RolloutState, Settle
from tests.core import worlds as w
from tests.core.worlds import NOW, SECOND, Verdict, WaveKind, WaveState

BAKED = {"bake_us": 60 * SECOND, "activity": 1000}


def opened(**changes):
    return w.wave(1, state=WaveState.OPEN, opened_us=NOW, **changes)


def baking(**changes):
    return w.wave(1, state=WaveState.BAKING, opened_us=NOW, baking_us=NOW, **changes)


def kinds(step):
    return [decision.kind for decision in step.decisions]


def test_decide_is_deterministic():
    rollout, facts = w.rollout(w.wave(1)), w.facts({1: w.seen()})
    assert decide(rollout, facts, NOW) == decide(rollout, facts, NOW)


@pytest.mark.parametrize("state", [RolloutState.SUCCEEDED, RolloutState.ABORTED, RolloutState.PARTIAL])
def test_an_ended_rollout_stays_as_it_is(state):
    rollout = w.rollout(w.wave(1), state=state)
    step = decide(rollout, w.facts({}), NOW)
    assert step.rollout is rollout
    assert not step.decisions


def test_a_planned_wave_waits_for_its_baseline_and_says_so():
    step = decide(w.rollout(w.wave(1)), w.facts({1: w.seen(baseline_us=SECOND)}), NOW)
    assert step.rollout.wave(1).state is WaveState.PLANNED
    assert step.rollout.hold("baseline").ends_itself
    assert step.rollout.state is RolloutState.RUNNING
    assert step.wake_at_us == NOW + SECOND


def test_a_planned_wave_opens_when_its_baseline_is_recorded():
    rollout = w.rollout(w.wave(1), holds=(_hold("baseline", ends_itself=True),))
    step = decide(rollout, w.facts({1: w.seen()}), NOW)
    assert step.rollout.wave(1).state is WaveState.OPEN
    assert [type(d) for d in step.decisions] == [LiftHold, OpenWave]


def _hold(code, **changes):
    return replace(Hold(code=code, reason="r", owner="ann", since_us=NOW), **changes)


@pytest.mark.parametrize("code", ["pause", "drift", "gate-failed", "accounts", "gate-silent"])
def test_no_wave_opens_under_a_hold(code):
    rollout = w.rollout(w.wave(1), state=RolloutState.HELD, holds=(_hold(code),))
    silent = w.verdict(Verdict.INCONCLUSIVE, error="RC8001")
    facts = w.facts({1: replace(w.seen(), checks={"errors": silent}, last_answer_us=NOW - 60 * SECOND)})
    step = decide(rollout, facts, NOW)
    assert step.rollout.wave(1).state is WaveState.PLANNED
    assert not [d for d in step.decisions if isinstance(d, OpenWave)]


def test_only_the_first_unfinished_wave_moves():
    step = decide(w.rollout(opened(), w.wave(2)), w.facts({1: w.seen(pending=1), 2: w.seen()}), NOW)
    assert step.rollout.wave(2).state is WaveState.PLANNED


def test_an_open_wave_bakes_when_all_accounts_are_done():
    step = decide(w.rollout(opened()), w.facts({1: w.seen(done=2)}), NOW)
    assert step.rollout.wave(1).state is WaveState.BAKING
    assert step.rollout.wave(1).baking_us == NOW


@pytest.mark.parametrize(
    "left", [{"pending": 1}, {"running": 1}, {"waiting": 1}, {"unknown": 1, "settling": 1}]
)
def test_an_open_wave_stays_open_while_accounts_are_not_done(left):
    step = decide(w.rollout(opened()), w.facts({1: w.seen(done=1, **left)}), NOW)
    assert step.rollout.wave(1).state is WaveState.OPEN
    assert not step.rollout.holds


@pytest.mark.parametrize("lost", [{"failed": 1}, {"unknown": 1}])
def test_a_failed_or_unknown_account_beyond_the_budget_holds(lost):
    step = decide(w.rollout(opened()), w.facts({1: w.seen(done=1, **lost)}), NOW)
    hold = step.rollout.hold("accounts")
    assert hold.error == "RC2004"
    assert ("--as done|not-done" in hold.next) == ("unknown" in lost)
    assert step.rollout.state is RolloutState.HELD
    assert step.rollout.wave(1).settle is Settle.FINISH


def test_failures_within_the_budget_go_on():
    step = decide(w.rollout(opened(failures=1)), w.facts({1: w.seen(done=1, failed=1)}), NOW)
    assert step.rollout.wave(1).state is WaveState.BAKING


@pytest.mark.parametrize("make", [opened, baking])
def test_a_failed_gate_fails_the_wave_and_closes_windows(make):
    step = decide(w.rollout(make(), w.wave(2)), w.facts({1: w.seen(Verdict.FAIL, done=1, running=1)}), NOW)
    failed = step.rollout.wave(1)
    assert (failed.state, failed.settle) == (WaveState.FAILED, Settle.CLOSE)
    assert step.rollout.revision.failed
    assert step.rollout.hold("gate-failed").error == "RC2002"
    assert "ringctl amend" in step.rollout.hold("gate-failed").next
    assert kinds(step) == ["gate-failed", "held"]
    again = decide(step.rollout, w.facts({1: w.seen(Verdict.FAIL)}), NOW + SECOND)
    assert again.rollout == step.rollout
    assert again.rollout.wave(2).state is WaveState.PLANNED


def test_a_fail_stays_a_fail_after_a_later_look_is_undecided():
    late = replace(w.verdict(Verdict.INCONCLUSIVE), failed=True)
    step = decide(w.rollout(baking()), w.facts({1: w.seen(checks={"errors": late}, done=2, **BAKED)}), NOW)
    assert step.rollout.wave(1).state is WaveState.FAILED


def test_a_baked_wave_passes_on_evidence():
    step = decide(w.rollout(baking(), w.wave(2)), w.facts({1: w.seen(Verdict.PASS, done=2, **BAKED)}), NOW)
    assert step.rollout.wave(1).state is WaveState.PASSED
    assert kinds(step) == ["wave-passed"]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"bake_us": 9 * SECOND, "activity": 1000}, Verdict.PASS),
        ({"bake_us": 60 * SECOND, "activity": 99}, Verdict.PASS),
        (BAKED, Verdict.INCONCLUSIVE),
        (BAKED, None),
    ],
)
def test_nothing_passes_without_time_activity_and_verdict(changes, answer):
    step = decide(w.rollout(baking()), w.facts({1: w.seen(answer, done=2, **changes)}), NOW)
    assert step.rollout.wave(1).state is WaveState.BAKING
    assert not step.rollout.holds


def test_at_the_ceiling_the_bake_holds_and_passes_only_when_evidence_comes():
    wave = baking()
    late = NOW + 101 * SECOND
    step = decide(w.rollout(wave), w.facts({1: w.seen(done=2, bake_us=60 * SECOND)}), late)
    hold = step.rollout.hold("idle")
    assert hold.error == "RC2006"
    assert "100 samples" in hold.reason
    assert "errors" in hold.reason
    after = decide(step.rollout, w.facts({1: w.seen(Verdict.PASS, done=2, **BAKED)}), late)
    assert after.rollout.hold("idle") is None
    assert after.rollout.wave(1).state is WaveState.PASSED


def test_the_bake_says_when_its_activity_will_do():
    late = NOW + 101 * SECOND
    slow = decide(w.rollout(baking()), w.facts({1: w.seen(done=2, bake_us=60 * SECOND, activity=25)}), late)
    assert (
        "75 samples of activity (about 3 m 00 s more at the rate so far)" in slow.rollout.hold("idle").reason
    )
    none = decide(w.rollout(baking()), w.facts({1: w.seen(done=2, bake_us=60 * SECOND)}), late)
    assert "100 samples of activity, of which there are none so far" in none.rollout.hold("idle").reason


@pytest.mark.parametrize("state", [WaveState.OPEN, WaveState.BAKING])
def test_a_step_beyond_its_class_holds_once_until_a_person_resumes(state):
    def facts(reason, *, fresh):
        state = replace(
            w.verdict(Verdict.INCONCLUSIVE, reason=reason), check="overshoot", numbers={"fresh": fresh}
        )
        return w.facts({1: w.seen(checks={"overshoot": state}, **counts)})

    baking = state is WaveState.BAKING
    counts = {"done": 2} if baking else {"running": 1, "pending": 1}
    wave = w.wave(1, state=state, opened_us=NOW, **({"baking_us": NOW} if baking else {}))
    held = decide(w.rollout(wave), facts("a17: slow", fresh=True), NOW).rollout
    hold = held.hold("overshoot")
    assert (hold.error, hold.ends_itself, hold.wave) == ("RC1020", False, 1)
    assert "a17: slow" in hold.reason
    assert held.wave(1).settle is Settle.NONE  # what runs goes on
    same = decide(held, facts("a17: slow", fresh=True), NOW + SECOND).rollout
    assert same.hold("overshoot") == hold
    more = decide(held, facts("a17: slow; a18: slow", fresh=True), NOW + SECOND).rollout
    assert more.hold("overshoot").since_us == NOW + SECOND
    told = decide(w.rollout(wave), facts("a17: slow", fresh=False), NOW).rollout
    assert told.hold("overshoot") is None
    failed = decide(held, w.facts({1: w.seen(Verdict.FAIL, **counts)}), NOW + SECOND).rollout
    assert [one.code for one in failed.holds] == ["gate-failed"], "what is final stands alone"


def test_a_silent_source_holds_after_three_intervals_and_lifts_by_itself():
    silent = w.verdict(Verdict.INCONCLUSIVE, error="RC8001", reason="connection refused")
    facts = w.seen(checks={"errors": silent}, done=2, **BAKED)
    soon = decide(w.rollout(baking()), w.facts({1: facts}), NOW + SECOND)
    assert not soon.rollout.holds
    late = decide(w.rollout(baking()), w.facts({1: facts}), NOW + 10 * SECOND)
    hold = late.rollout.hold("gate-silent")
    assert (hold.error, hold.ends_itself) == ("RC8001", True)
    assert late.rollout.state is RolloutState.HELD
    back = decide(late.rollout, w.facts({1: w.seen(Verdict.PASS, done=2, **BAKED)}), NOW + 11 * SECOND)
    assert back.rollout.wave(1).state is WaveState.PASSED
    assert back.rollout.state is RolloutState.RUNNING


def test_a_source_that_never_answered_holds_at_once():
    silent = w.verdict(Verdict.INCONCLUSIVE, error="RC8004")
    facts = w.seen(checks={"errors": silent}, last_answer_us=None, baseline_us=0)
    step = decide(w.rollout(w.wave(1)), w.facts({1: facts}), NOW)
    assert step.rollout.hold("gate-silent").error == "RC8004"


def test_drift_holds_and_settles_what_is_open():
    drift = Drift(where="/srv/bundle", files=("02.sql",), at_us=NOW)
    rollout = w.rollout(opened())
    step = decide(rollout, w.facts({1: w.seen(running=1)}, drift=drift), NOW)
    assert step.rollout.hold("drift").error == "RC2001"
    assert "02.sql" in step.rollout.hold("drift").reason
    assert step.rollout.wave(1).settle is Settle.CLOSE
    again = decide(step.rollout, w.facts({1: w.seen(running=1)}, drift=drift), NOW)
    assert not [d for d in again.decisions if isinstance(d, PlaceHold)]


def test_a_paused_bake_does_not_pass():
    rollout = w.rollout(baking(), state=RolloutState.HELD, holds=(_hold("pause"),))
    step = decide(rollout, w.facts({1: w.seen(Verdict.PASS, done=2, **BAKED)}), NOW)
    assert step.rollout.wave(1).state is WaveState.BAKING


def test_a_resumed_wave_takes_accounts_again():
    rollout = w.rollout(opened(settle=Settle.FINISH))
    step = decide(rollout, w.facts({1: w.seen(pending=1)}), NOW)
    assert step.rollout.wave(1).settle is Settle.NONE


def test_an_unknown_account_within_the_budget_holds_when_nothing_else_is_left():
    """Otherwise the wave neither bakes nor says what it waits for (promise I12)."""
    wave = opened(failures=3)
    going = decide(w.rollout(wave), w.facts({1: w.seen(done=1, running=1, unknown=1)}), NOW)
    assert not going.rollout.holds
    settling = decide(w.rollout(wave), w.facts({1: w.seen(done=2, unknown=1, settling=1)}), NOW)
    assert not settling.rollout.holds
    step = decide(w.rollout(wave), w.facts({1: w.seen(done=2, unknown=1)}), NOW)
    assert "nobody knows" in step.rollout.hold("accounts").reason
    after = decide(step.rollout, w.facts({1: w.seen(done=3)}), NOW)
    assert after.rollout.hold("accounts") is None
    assert after.rollout.wave(1).state is WaveState.BAKING


def test_an_account_given_back_during_the_bake_opens_the_wave_again():
    step = decide(w.rollout(baking()), w.facts({1: w.seen(done=1, pending=1)}), NOW)
    assert step.rollout.wave(1).state is WaveState.OPEN


def test_after_the_last_wave_the_rollout_succeeds():
    done = w.wave(1, state=WaveState.PASSED)
    step = decide(w.rollout(done), w.facts({1: w.seen(done=2)}), NOW)
    assert step.rollout.state is RolloutState.SUCCEEDED
    assert step.rollout.ended_us == NOW


def test_with_accounts_left_over_it_is_partial():
    done = w.wave(1, state=WaveState.PASSED)
    held = (_hold("baseline", ends_itself=True),)
    step = decide(
        w.rollout(done, holds=held), w.facts({1: w.seen(done=1, failed=1)}, unfinished_accounts=1), NOW
    )
    assert step.rollout.state is RolloutState.PARTIAL


def test_an_account_that_nobody_accounts_for_holds_the_end():
    done = w.wave(1, state=WaveState.PASSED)
    step = decide(w.rollout(done), w.facts({1: w.seen(done=1)}, unfinished_accounts=1), NOW)
    assert step.rollout.hold("accounts") is not None
    again = decide(step.rollout, w.facts({1: w.seen(done=1)}, unfinished_accounts=1), NOW)
    assert again.rollout == step.rollout
    assert not again.decisions


def test_half_done_accounts_that_nobody_takes_up_hold_the_end():
    done = w.wave(1, state=WaveState.PASSED)
    step = decide(w.rollout(done), w.facts({}, half_done=1, unfinished_accounts=1), NOW)
    assert step.rollout.hold("accounts") is not None
    assert step.rollout.state is RolloutState.HELD


def second_revision(**changes):
    revisions = (
        Revision(number=1, digest="sha256:one", author="ann", at_us=NOW),
        Revision(number=2, digest="sha256:two", author="ann", at_us=NOW, **changes),
    )
    return {"revisions": revisions, "drawn": (), "state": RolloutState.REQUALIFYING}


def test_an_amended_rollout_asks_for_its_subset_first():
    old = w.wave(1, state=WaveState.WITHDRAWN)
    step = decide(w.rollout(old, **second_revision()), w.facts({}), NOW)
    assert step.draw.what == "requalification"
    assert step.rollout.state is RolloutState.REQUALIFYING


def test_the_subset_is_drawn_only_when_nothing_of_the_old_revision_runs():
    old = w.wave(1, state=WaveState.WITHDRAWN)
    step = decide(w.rollout(old, **second_revision()), w.facts({1: w.seen(running=1)}), NOW)
    assert step.draw is None
    assert step.wake_at_us == NOW + SECOND


def test_no_ring_is_drawn_before_the_subset_has_passed():
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2, state=WaveState.BAKING, baking_us=NOW)
    step = decide(w.rollout(subset, **second_revision()), w.facts({2: w.seen(done=2, bake_us=SECOND)}), NOW)
    assert step.draw is None
    assert not step.rollout.qualified


def test_a_passed_subset_qualifies_and_the_rings_are_drawn():
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2, state=WaveState.PASSED)
    step = decide(w.rollout(subset, **second_revision()), w.facts({}, proven=2), NOW)
    assert step.rollout.qualified
    assert kinds(step) == ["requalified"]
    assert step.rollout.state is RolloutState.RUNNING
    after = decide(step.rollout, w.facts({}), NOW)
    assert after.draw.what == "rings"


def test_when_everything_drawn_is_over_the_rollout_ends():
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2, state=WaveState.PASSED)
    drawn = ("first", "second", "third", RESERVE)
    rollout = w.rollout(subset, **{**second_revision(qualified_at_us=NOW), "drawn": drawn})
    assert decide(rollout, w.facts({}), NOW).rollout.state is RolloutState.SUCCEEDED


def test_a_failed_subset_holds_for_the_next_amendment():
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2, state=WaveState.OPEN)
    step = decide(w.rollout(subset, **second_revision()), w.facts({2: w.seen(Verdict.FAIL)}), NOW)
    assert step.rollout.hold("gate-failed").error == "RC2010"
    again = decide(step.rollout, w.facts({}), NOW)
    assert again.draw is None


def test_nothing_is_drawn_while_a_person_holds():
    rollout = w.rollout(w.wave(1, state=WaveState.PASSED), holds=(paused(w.rollout(), "ann", "", NOW),))
    step = decide(replace(rollout, state=RolloutState.HELD), w.facts({}), NOW)
    assert step.draw is None
    assert step.rollout.state is RolloutState.HELD


def test_requalification_is_watched_by_every_check_and_has_its_own_bake():
    rollout = w.rollout()
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION)
    assert [check.name for check in checks_of(rollout, subset)] == ["errors"]
    assert bake_of(rollout, subset) == rollout.policy.requalify.bake
    assert bake_of(rollout, w.wave(1)) == rollout.policy.rings[0].bake


def test_the_built_in_source_needs_no_baseline():
    steps = replace(w.policy().checks["errors"], source="steps")
    assert baseline_of((steps,)) == 0


def test_amounts_round_up_for_waves_and_down_for_budgets():
    assert Amount(share=0.07).of(100) == 7
    assert Amount(share=0.005).of(10) == 1
    assert Amount(share=0.005).budget(199) == 0
    assert Amount(share=0.005).budget(200) == 1
    assert Amount(count=5).budget(3) == 3
    assert str(Amount(share=0.005)) == "0.5%"
    assert str(Amount(count=3)) == "3"


def test_drift_leaves_waves_that_have_not_begun_alone():
    drift = Drift(where="/srv/bundle", files=("02.sql",), at_us=NOW)
    step = decide(
        w.rollout(opened(settle=Settle.STOP), w.wave(2)), w.facts({1: w.seen(running=1)}, drift=drift), NOW
    )
    assert step.rollout.wave(2).settle is Settle.NONE
    assert step.rollout.wave(1).settle is Settle.STOP


def test_a_wave_that_settles_already_is_not_told_again():
    step = decide(w.rollout(opened(settle=Settle.CLOSE)), w.facts({1: w.seen(failed=1, running=1)}), NOW)
    assert step.rollout.wave(1).settle is Settle.CLOSE
    assert step.rollout.hold("accounts") is not None


def test_the_payload_of_holds_names_code_and_way_out():
    step = decide(w.rollout(opened()), w.facts({1: w.seen(Verdict.FAIL, running=1)}), NOW)
    held = next(d for d in step.decisions if isinstance(d, PlaceHold))
    assert held.payload["code"] == "gate-failed"
    assert LiftHold(code="pause").payload == {"code": "pause"}


def test_a_qualified_revision_with_rings_to_draw_is_not_called_unaccounted():
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2, state=WaveState.PASSED)
    held = (_hold("accounts"),)
    rollout = w.rollout(
        subset, **{**second_revision(qualified_at_us=NOW), "holds": held, "state": RolloutState.HELD}
    )
    step = decide(rollout, w.facts({}, unfinished_accounts=7), NOW)
    assert step.rollout.hold("accounts") is None
    assert step.draw.what == "rings"


def test_a_subset_resolved_by_hand_proves_nothing():
    subset = w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2, state=WaveState.PASSED)
    step = decide(w.rollout(subset, **second_revision()), w.facts({}, proven=1), NOW)
    assert not step.rollout.qualified
    assert step.draw is None
    assert step.rollout.hold("unproven").error == "RC2010"
    assert "1 of 2" in step.rollout.hold("unproven").reason
