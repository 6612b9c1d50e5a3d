"""What people do: pause, resume, abort, amend."""

from dataclasses import replace

import pytest

from ringctl.core import acts
from ringctl.core.decisions import LiftHold, WithdrawWave
from ringctl.core.errors import NotAllowed
from ringctl.core.holds import exhausted
from ringctl.core.model import Hold
from ringctl.core.states import RolloutState, Settle
from tests.core import worlds as w
from tests.core.worlds import NOW, WaveState


def hold(code, **changes):
    return replace(Hold(code=code, reason="r", owner="ann", since_us=NOW), **changes)


def amendment(name="two", **changes):
    base = acts.Amendment(bundle=w.bundle(name), author="ann", reason="fix", actor="bob", watcher="ann")
    return replace(base, **changes)


def running(**changes):
    return w.rollout(w.wave(1, state=WaveState.OPEN), w.wave(2), **changes)


def pause(rollout):
    return acts.pause(rollout, actor="ann", reason="lunch", now_us=NOW)


def abort(rollout, *, now=False):
    return acts.abort(rollout, actor="ann", reason="bad", now=now, now_us=NOW)


def test_pause_holds_and_lets_running_steps_finish():
    step = pause(running())
    assert step.rollout.state is RolloutState.HELD
    assert step.rollout.hold("pause").reason == "lunch"
    assert step.rollout.wave(1).settle is Settle.FINISH
    assert not pause(step.rollout).decisions


def test_pause_does_not_soften_a_closing_wave():
    closing = w.rollout(w.wave(1, state=WaveState.OPEN, settle=Settle.CLOSE))
    assert pause(closing).rollout.wave(1).settle is Settle.CLOSE


def test_resume_lifts_what_a_person_may_lift_and_nothing_else():
    held = running(state=RolloutState.HELD, holds=(hold("pause"), hold("gate-silent", ends_itself=True)))
    step = acts.resume(held, actor="ann", reason="back")
    assert [h.code for h in step.rollout.holds] == ["gate-silent"]
    assert step.rollout.state is RolloutState.HELD
    alone = running(state=RolloutState.HELD, holds=(hold("drift"),))
    assert acts.resume(alone, actor="ann", reason="").rollout.state is RolloutState.RUNNING


def test_a_failed_gate_cannot_be_resumed_away():
    held = running(state=RolloutState.HELD, holds=(hold("gate-failed", error="RC2002"),))
    with pytest.raises(NotAllowed) as caught:
        acts.resume(held, actor="ann", reason="please")
    assert caught.value.code == "RC2002"


def test_resume_without_a_hold_is_refused():
    with pytest.raises(NotAllowed):
        acts.resume(running(), actor="ann", reason="")


@pytest.mark.parametrize(("now", "settle"), [(False, Settle.CLOSE), (True, Settle.STOP)])
def test_abort_ends_at_once_and_withdraws_everything(now, settle):
    step = abort(running(), now=now)
    assert step.rollout.state is RolloutState.ABORTED
    assert [wave.state for wave in step.rollout.waves] == [WaveState.WITHDRAWN] * 2
    assert step.rollout.wave(1).settle is settle
    assert sum(isinstance(d, WithdrawWave) for d in step.decisions) == 2


@pytest.mark.parametrize("act", [pause, abort, lambda r: acts.amend(r, amendment(), NOW)])
def test_nothing_can_be_done_to_an_ended_rollout(act):
    with pytest.raises(NotAllowed):
        act(running(state=RolloutState.SUCCEEDED))


def test_an_amendment_withdraws_and_requalifies():
    passed = w.wave(0, state=WaveState.PASSED)
    before = w.rollout(passed, w.wave(1, state=WaveState.OPEN), w.wave(2))
    step = acts.amend(before, amendment(), NOW)
    after = step.rollout
    assert after.state is RolloutState.REQUALIFYING
    assert (after.revision.name, after.revision.digest, after.revision.watcher) == ("r2", "sha256:two", "ann")
    assert not after.qualified
    assert after.drawn == ()
    assert [wave.state for wave in after.waves] == [
        WaveState.PASSED,
        WaveState.WITHDRAWN,
        WaveState.WITHDRAWN,
    ]
    assert after.wave(1).settle is Settle.CLOSE


def test_an_amendment_ends_the_old_revisions_holds_but_not_a_persons():
    codes = ("gate-failed", "drift", "pause")
    held = running(state=RolloutState.HELD, holds=tuple(hold(code) for code in codes))
    step = acts.amend(held, amendment(), NOW)
    assert [h.code for h in step.rollout.holds] == ["pause"]
    assert step.rollout.state is RolloutState.HELD
    assert {d.code for d in step.decisions if isinstance(d, LiftHold)} == {"gate-failed", "drift"}


def test_a_cosmetic_amendment_does_not_clear_a_failed_gate():
    held = running(state=RolloutState.HELD, holds=(hold("gate-failed"),))
    step = acts.amend(held, amendment(change="cosmetic"), NOW)
    assert step.rollout.hold("gate-failed")


def test_bytes_the_rollout_had_before_are_no_amendment():
    with pytest.raises(NotAllowed) as caught:
        acts.amend(running(), amendment("one"), NOW)
    assert caught.value.code == "RC2013"
    twice = acts.amend(running(), amendment("two"), NOW).rollout
    with pytest.raises(NotAllowed):
        acts.amend(twice, amendment("one"), NOW)


def test_another_components_bundle_is_refused():
    foreign = replace(w.bundle("two"), component="mail")
    with pytest.raises(NotAllowed) as caught:
        acts.amend(running(), amendment(bundle=foreign), NOW)
    assert caught.value.code == "RC2012"


def test_the_exhausted_hold_names_the_way_out():
    assert "retry" in exhausted(running(), NOW).next
