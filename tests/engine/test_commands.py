"""What people ask for: start, attach, amend, pause, resume, abort, retry; history carries over (DESIGN 12.1)."""

from collections import Counter

import pytest

from ringctl.core.errors import Drifted, NotAllowed, NotFound, UnsafePlan, UsageError, VersionConflict
from ringctl.core.states import RolloutState, Settle, TaskState, WaveKind, WaveState
from ringctl.engine import commands
from ringctl.engine.commands import AmendRequest
from ringctl.engine.listing import find
from tests.engine.hand import hand
from tests.engine.world import SIMPLE, World


def failed(rollout):
    return rollout.hold("gate-failed")


def ended(rollout):
    return rollout.ended_us is not None


# -- start ----------------------------------------------------------------------------------------
def test_start_attaches_at_the_same_digests(plain: World):
    first = commands.start(plain.parts, plain.request())
    second = commands.start(plain.parts, plain.request())
    assert (first.attached, second.attached) == (False, True)
    assert first.rollout.id == second.rollout.id
    assert len(plain.parts.store.rollouts()) == 1


def test_another_bundle_of_an_open_component_is_refused_with_the_amend_line(plain: World):
    rollout = plain.start()
    with pytest.raises(Drifted) as caught:
        plain.start("b2")
    assert (caught.value.code, caught.value.exit_code) == ("RC2008", 18)
    assert f"ringctl amend {rollout.id} --bundle {plain.directory / 'b2'}" in caught.value.hint


def test_another_policy_for_an_open_component_is_refused(plain: World):
    rollout = plain.start()
    plain.policy.write_text(SIMPLE.replace("p95: 30s", "p95: 40s"))
    with pytest.raises(Drifted) as caught:
        plain.start()
    assert caught.value.code == "RC2008"
    assert rollout.id in caught.value.hint
    assert "amend" not in caught.value.hint


def test_only_the_reviewed_plan_is_started(plain: World):
    reviewed = commands.plan(plain.parts, plain.request()).plan.digest
    plain.fleet(6, 9)
    with pytest.raises(Drifted) as caught:
        plain.start(expect=reviewed)
    assert caught.value.code == "RC2014"
    now = commands.plan(plain.parts, plain.request()).plan.digest
    assert plain.start(expect=now).plan_digest == now


def test_an_unsafe_plan_is_refused(plain: World):
    rows = (plain.directory / "accounts.csv").read_text().splitlines()
    rows[-3] = rows[-3].replace(",eu,", ",us,")
    rows += [f"o{n},1,10,{region},o{n}.db" for n, region in enumerate(("x", "y", "z", "u", "v"), start=20)]
    (plain.directory / "accounts.csv").write_text("\n".join(rows) + "\n")
    planned = commands.plan(plain.parts, plain.request()).plan
    assert planned.unsafe
    with pytest.raises(UnsafePlan) as caught:
        plain.start()
    assert caught.value.exit_code == 19


def test_a_detached_start_watches_no_origin(plain: World):
    rollout = plain.start(detach_source=True)
    assert (rollout.origin, rollout.origin_host) == ("", "")
    (plain.directory / "b1" / "a.sql").write_text("edited")
    assert not plain.reconcile(rollout).rollout.holds


def test_the_journal_begins_with_who_started_what(plain: World):
    rollout = plain.start(reason="sprint 12")
    entry = next(iter(plain.parts.store.journal(rollout.id)))
    assert (entry.kind, entry.actor, entry.payload["reason"]) == ("created", "ana", "sprint 12")
    assert entry.payload["bundle"] == rollout.revision.digest


# -- history (DESIGN 12.1) ------------------------------------------------------------------------
def touched_and_aborted(world: World, bundle: str = "b1"):
    one = hand(world, bundle)
    one.run()
    return commands.abort(world.parts, one.rollout.id, reason="no", now=False)


def test_abort_edit_and_start_again_requalifies(plain: World):
    touched_and_aborted(plain)
    again = plain.start("b2")
    assert [rev.number for rev in again.revisions] == [1, 2]
    assert not again.qualified
    assert again.waves == ()
    node = plain.node()
    rollout = plain.until(again, lambda r: r.qualified, node)
    assert [wave.kind for wave in rollout.waves if wave.state is WaveState.PASSED] == [
        WaveKind.REQUALIFICATION
    ]
    assert plain.until(rollout, ended, node).state is RolloutState.SUCCEEDED
    assert plain.verify() == ()


def test_another_version_name_is_no_way_round(plain: World):
    touched_and_aborted(plain)
    plain.bundle("b3", version="2")
    assert [rev.number for rev in plain.start("b3").revisions] == [1, 2]


def test_starting_and_aborting_in_between_is_no_way_round(plain: World):
    touched_and_aborted(plain)
    between = plain.start("b1")
    commands.abort(plain.parts, between.id, reason="no", now=False)
    assert not plain.start("b2").qualified


def test_accounts_without_a_size_count_as_touched(plain: World):
    names = plain.fleet(
        sizes=dict.fromkeys([f"i{n}" for n in range(1, 7)] + [f"o{n}" for n in range(1, 9)], 0)
    )
    assert len(names) == 14
    touched_and_aborted(plain)
    assert not plain.start("b2").qualified


def test_a_rollout_that_touched_nothing_leaves_no_history(plain: World):
    rollout = plain.start()
    commands.abort(plain.parts, rollout.id, reason="no", now=False)
    assert len(plain.start("b2").revisions) == 1


def test_the_same_digest_starts_again_as_the_same_revision(plain: World):
    touched_and_aborted(plain)
    again = plain.start()
    assert [rev.number for rev in again.revisions] == [1]
    assert again.waves


def test_after_a_success_another_version_starts_afresh_and_the_same_one_does_not(plain: World):
    rollout = plain.until(plain.start(), ended, plain.node())
    assert rollout.state is RolloutState.SUCCEEDED
    plain.bundle("next", version="2")
    assert commands._history(plain.parts, commands.plan(plain.parts, plain.request("next"))) == ()
    changed = commands._history(plain.parts, commands.plan(plain.parts, plain.request("b2")))
    assert [rev.number for rev in changed] == [1]


def test_what_was_done_before_an_abort_is_not_done_again_under_the_same_bytes(plain: World):
    touched_and_aborted(plain)
    before = {(run.account, run.step) for run in plain.executor.effects}
    assert before
    again = plain.until(plain.start(), ended, plain.node())
    assert again.state is RolloutState.SUCCEEDED
    times = Counter((run.account, run.step) for run in plain.executor.effects)
    assert set(times.values()) == {1}
    assert before < set(times)


def test_failed_bytes_in_disguise_are_refused(world: World):
    world.source.harms = lambda account: account in {run.account for run in world.executor.effects}
    rollout = world.until(world.start(), failed, world.node())
    commands.abort(world.parts, rollout.id, reason="no", now=False)
    world.bundle("renamed", version="9")
    with pytest.raises(NotAllowed) as caught:
        world.start("renamed")
    assert caught.value.code == "RC2015"
    assert "but for cosmetics" in caught.value.message


def test_bytes_that_failed_their_gate_are_refused_for_good(world: World):
    world.source.harms = lambda account: account in {run.account for run in world.executor.effects}
    rollout = world.until(world.start(), failed, world.node())
    commands.abort(world.parts, rollout.id, reason="no", now=False)
    with pytest.raises(NotAllowed) as caught:
        world.start()
    assert caught.value.code == "RC2015"
    world.start("b2")


def test_a_history_of_another_component_is_nobodys(plain: World):
    touched_and_aborted(plain)
    directory = plain.bundle("other")
    manifest = directory / "bundle.yaml"
    manifest.write_text(manifest.read_text().replace("component: build", "component: other"))
    assert len(plain.start("other").revisions) == 1


# -- people's acts --------------------------------------------------------------------------------
def test_an_amendment_needs_an_author_and_a_reason(plain):
    rollout = plain.start()
    for fields in ({"author": "", "reason": "x"}, {"author": "x", "reason": ""}):
        with pytest.raises(UsageError):
            commands.amend(
                plain.parts, AmendRequest(rollout=rollout.id, bundle=plain.directory / "b2", **fields)
            )


def test_an_amendment_is_a_revision_that_has_to_requalify(plain: World):
    one = hand(plain)
    rollout = plain.amend(one.rollout, "b2")
    assert (rollout.revision.name, rollout.revision.author, rollout.revision.actor) == ("r2", "ben", "ana")
    assert rollout.revision.change == "code"
    assert rollout.state is RolloutState.REQUALIFYING
    assert plain.parts.store.bundle_files(rollout.revision.digest)["b.sql"] == b"select 2 as b;\n"
    assert all(wave.state is WaveState.WITHDRAWN for wave in rollout.waves)


def test_an_amendment_keeps_drift_that_was_seen_of_its_own_bytes(
    plain: World, monkeypatch: pytest.MonkeyPatch
):
    rollout = plain.start()
    store = plain.parts.store
    apply = type(store).apply

    def seen_at_once(self, step, **given):
        done = apply(self, step, **given)
        store.set_drift(rollout.id, "here", ["b.sql"])
        return done

    monkeypatch.setattr(type(store), "apply", seen_at_once)
    plain.amend(rollout, "b2")
    assert store.facts(plain.load(rollout)).drift


def test_pause_and_resume(plain: World):
    one = hand(plain)
    held = commands.pause(plain.parts, one.rollout.id, reason="lunch")
    assert (held.state, held.waves[0].settle) == (RolloutState.HELD, Settle.FINISH)
    assert commands.pause(plain.parts, held.id, reason="again").version == held.version
    assert plain.node().claim(held) == 0
    back = commands.resume(plain.parts, held.id, reason="back")
    assert (back.state, back.waves[0].settle) == (RolloutState.RUNNING, Settle.NONE)
    assert plain.kinds(back)[-3:] == ["held", "resumed", "hold-lifted"]


def test_abort_ends_at_once_and_cancels_what_never_began(plain: World):
    one = hand(plain)
    one.run()
    rollout = commands.abort(plain.parts, one.rollout.id, reason="no", now=True)
    assert rollout.state is RolloutState.ABORTED
    states = [row.state for row in plain.tasks(rollout)]
    assert sorted(set(states)) == [TaskState.CANCELLED, TaskState.DONE]
    with pytest.raises(NotAllowed):
        commands.pause(plain.parts, rollout.id, reason="late")
    with pytest.raises(NotAllowed):
        commands.retry(plain.parts, rollout.id, one.claim.account)


@pytest.mark.parametrize("act", ["abort", "amend"])
def test_an_account_given_back_half_way_is_never_called_cancelled(plain: World, act: str):
    """Its window is open: it is listed as unknown, and a later revision takes it up where `from_step` says."""
    plain.bundle("b1", "a", "b", "c")
    plain.executor.script("unreachable", step="b")
    one = hand(plain)
    assert one.run().state is TaskState.PENDING
    if act == "abort":
        commands.abort(plain.parts, one.rollout.id, reason="x", now=False)
    else:
        plain.amend(one.rollout, "b2")
    assert one.row.state is TaskState.UNKNOWN
    assert plain.facts(one.rollout).unknown == 1
    assert plain.verify() == ()


def test_an_act_that_is_overtaken_is_decided_anew(plain: World):
    rollout = plain.start()
    calls = []

    def act(now):
        calls.append(now.version)
        if len(calls) == 1:
            commands.pause(plain.parts, rollout.id, reason="first")
        return commands.acts.resume(now, actor="ben", reason="r") if now.holds else commands.acts.pause(
            now, actor="ben", reason="mine", now_us=1)  # fmt: skip

    after = commands.change(plain.parts, rollout.id, act, actor="ben")
    assert len(calls) == 2
    assert not after.holds


def test_an_act_that_is_always_overtaken_gives_up(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = plain.start()

    def never(*_given, **_named):
        raise VersionConflict("moved")

    monkeypatch.setattr(type(plain.parts.store), "apply", never)
    with pytest.raises(VersionConflict, match="moved 20 times"):
        commands.pause(plain.parts, rollout.id, reason="x")


# -- retry ----------------------------------------------------------------------------------------
def lost(world: World, answer: str = "failed"):
    world.executor.script(answer, step="a")
    one = hand(world)
    one.run()
    rollout = world.reconcile(one.rollout).rollout
    assert rollout.hold("accounts")
    assert rollout.waves[0].settle is Settle.FINISH
    return one, rollout


def test_a_retry_gives_the_account_back_and_lifts_the_hold(plain: World):
    one, rollout = lost(plain)
    back = commands.retry(plain.parts, rollout.id, one.claim.account)
    assert not back.holds
    assert back.waves[0].settle is Settle.NONE
    assert one.row.state is TaskState.PENDING
    assert plain.until(back, ended, plain.node()).state is RolloutState.SUCCEEDED


def test_a_retry_under_a_pause_leaves_the_wave_settling(plain: World):
    one, rollout = lost(plain)
    commands.pause(plain.parts, rollout.id, reason="x")
    back = commands.retry(plain.parts, rollout.id, one.claim.account)
    assert [hold.code for hold in back.holds] == ["pause"]
    assert back.waves[0].settle is Settle.FINISH


def test_a_persons_word_goes_on_record(plain: World):
    one, rollout = lost(plain)
    account = one.claim.account
    with pytest.raises(UsageError):
        commands.retry(plain.parts, rollout.id, account, outcome="perhaps", reason="x")
    with pytest.raises(UsageError):
        commands.retry(plain.parts, rollout.id, account, outcome="done")
    with pytest.raises(NotFound) as caught:
        commands.retry(plain.parts, rollout.id, "nobody")
    assert caught.value.code == "RC2405"
    commands.abort(plain.parts, rollout.id, reason="x", now=False)
    with pytest.raises(NotAllowed):
        commands.retry(plain.parts, rollout.id, account, outcome="done", reason="it was failed, not unknown")


def test_an_unknown_account_may_be_settled_after_the_end(plain: World):
    plain.executor.script("unknown", step="a")
    one = hand(plain)
    one.run()
    commands.abort(plain.parts, one.rollout.id, reason="x", now=False)
    commands.retry(plain.parts, one.rollout.id, one.claim.account, outcome="done", reason="looked")
    assert one.row.state is TaskState.DONE
    assert one.row.reason == "looked"


# -- names ----------------------------------------------------------------------------------------
def test_a_rollout_is_found_by_every_name_it_has(plain: World):
    with pytest.raises(UsageError):
        find(plain.parts, "")
    first = plain.start()
    assert find(plain.parts, "").id == first.id
    commands.abort(plain.parts, first.id, reason="x", now=False)
    with pytest.raises(UsageError) as caught:
        find(plain.parts, "")
    assert first.id in caught.value.hint
    second = plain.start(release="named")
    for name in ("last", second.id, second.id[: len(second.id)], "named", ""):
        assert find(plain.parts, name).id == second.id
    assert find(plain.parts, first.release).id == first.id
    with pytest.raises(UsageError, match="fits 2"):
        find(plain.parts, "build-")
    with pytest.raises(NotFound) as missing:
        find(plain.parts, "nothing")
    assert second.id in missing.value.hint


def test_an_open_release_is_meant_before_an_ended_one(plain: World):
    first = plain.start(release="same")
    commands.abort(plain.parts, first.id, reason="x", now=False)
    second = plain.start(release="same")
    assert find(plain.parts, "same").id == second.id


def test_ids_name_the_component_and_are_never_issued_twice(plain: World):
    first = plain.start()
    commands.abort(plain.parts, first.id, reason="x", now=False)
    second = plain.start()
    assert first.id != second.id
    assert {first.id.split("-")[0], second.id.split("-")[0]} == {"build"}
