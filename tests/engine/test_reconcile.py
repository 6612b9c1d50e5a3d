"""load, decide, apply: conflicts, draws, origins, and what a revision that nobody can requalify comes to."""

from dataclasses import replace
from pathlib import Path

import pytest

from ringctl.core.decisions import Draw, Step
from ringctl.core.errors import Drifted, InvalidInput, NotFound, VersionConflict
from ringctl.core.states import RolloutState, TaskState, WaveKind, WaveState
from ringctl.engine import commands
from ringctl.engine import reconcile as reconciling
from ringctl.engine.copies import Copies, Origins
from tests.engine.hand import hand, opened
from tests.engine.world import World


def ended(rollout):
    return rollout.ended_us is not None


def passed(rollout):
    return rollout.waves and rollout.waves[0].state is WaveState.PASSED


# -- compare-and-set ------------------------------------------------------------------------------
def overtaken(world: World, monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """The store refuses the first `times` steps as if somebody else had been first."""
    store = type(world.parts.store)
    apply = store.apply
    refused: list[int] = []

    def call(self, step, *, expected, actor):
        if len(refused) < times:
            refused.append(expected)
            raise VersionConflict("moved")
        return apply(self, step, expected=expected, actor=actor)

    monkeypatch.setattr(store, "apply", call)
    return refused


def test_a_lost_race_is_decided_anew(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = plain.start()
    refused = overtaken(plain, monkeypatch, 3)
    found = plain.reconcile(rollout)
    assert len(refused) == 3
    assert found.rollout.waves[0].state is WaveState.OPEN
    assert found.facts.wave(found.rollout.waves[0].id).pending == 2


def test_a_pass_that_never_wins_ends_and_asks_for_another_one(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = plain.start()
    overtaken(plain, monkeypatch, 10_000)
    found = plain.reconcile(rollout)
    assert found.wake_at_us is not None
    assert found.rollout.waves[0].state is WaveState.PLANNED


def test_a_quiet_rollout_says_when_to_look_again_and_writes_nothing(plain: World):
    rollout = opened(plain)
    version = plain.load(rollout).version
    found = plain.reconcile(rollout)
    assert found.wake_at_us is not None
    assert plain.load(rollout).version == version


def test_an_ended_rollout_is_left_alone(plain: World):
    rollout = plain.start()
    ended_one = commands.abort(plain.parts, rollout.id, reason="x", now=False)
    assert plain.reconcile(rollout).rollout == ended_one


# -- draws ----------------------------------------------------------------------------------------
def test_a_revision_is_drawn_small_first_and_everywhere_again_after(world: World):
    node = world.node()
    rollout = world.until(world.start(), passed, node)
    done_before = {row.account for row in world.tasks(rollout) if row.state is TaskState.DONE}
    rollout = world.until(world.amend(rollout, "b2"), lambda r: any(True for _ in r.current_waves()))
    (subset,) = rollout.current_waves()
    assert (subset.kind, subset.ring) == (WaveKind.REQUALIFICATION, "inner")
    assert subset.accounts <= 2
    assert not set(world.members(subset)) & done_before
    rollout = world.until(rollout, lambda r: r.qualified, node)
    rollout = world.until(rollout, lambda r: len(list(r.current_waves())) > 1)
    kinds = [(wave.ring, wave.kind) for wave in rollout.current_waves()]
    assert ("outer", WaveKind.CANARY) in kinds
    assert kinds[-1][1] is WaveKind.RESERVE
    finished = world.until(rollout, ended, node)
    assert finished.state is RolloutState.SUCCEEDED
    assert {run.account for run in world.executor.runs if run.revision == "r2"}.isdisjoint(done_before)
    assert "requalified" in world.kinds(finished)


def test_nothing_is_drawn_while_an_older_task_runs(plain: World):
    one = hand(plain)
    plain.amend(one.rollout, "b2")
    rollout = plain.reconcile(one.rollout).rollout
    assert not list(rollout.current_waves())
    one.run()
    assert list(plain.reconcile(one.rollout).rollout.current_waves())


def test_a_revision_with_nothing_left_to_do_ends(plain: World):
    plain.fleet(2, 0)
    plain.policy.write_text("\n".join(
        line for line in plain.policy.read_text().splitlines() if "outer" not in line) + "\n")  # fmt: skip
    rollout = opened(plain)
    plain.node().work(rollout)
    rollout = plain.amend(rollout, "b2")
    rollout = plain.until(rollout, ended)
    assert rollout.state is RolloutState.SUCCEEDED
    assert "nothing-left" in plain.kinds(rollout)


def test_a_revision_that_nobody_is_left_for_waits_for_people(plain: World):
    plain.bundle("b1", "a", "b", "c")
    plain.fleet(2, 0)
    plain.policy.write_text("\n".join(
        line for line in plain.policy.read_text().splitlines() if "outer" not in line) + "\n")  # fmt: skip
    plain.executor.script("failed", step="b")
    one = hand(plain)
    one.run()
    rollout = plain.amend(one.rollout, "b2")
    plain.executor.script("failed", step="b")
    rollout = plain.until(rollout, lambda r: r.holds or ended(r), plain.node())
    assert rollout.holds[0].code in {"accounts", "revisions-exhausted"}


def test_exhausted_revisions_hold(plain: World):
    rollout = plain.start()
    facts = replace(plain.parts.store.facts(rollout), unfinished_accounts=3)
    step = reconciling._nothing_to_requalify(plain.parts, Step(rollout=rollout), facts)
    assert [hold.code for hold in step.rollout.holds] == ["revisions-exhausted"]
    assert step.rollout.state is RolloutState.HELD


def test_many_members_are_counted_and_not_listed_in_the_journal(plain: World):
    wave = opened(plain).waves[0]
    assert "members" in reconciling._drawn(wave, ("a",))
    assert "members" not in reconciling._drawn(wave, tuple(str(n) for n in range(101)))


def test_rings_with_nobody_left_are_drawn_as_nothing(plain: World):
    node = plain.node()
    rollout = plain.until(plain.start(), ended, node)
    rollout = replace(rollout, drawn=())
    facts = plain.parts.store.facts(rollout)
    step = reconciling.draw(plain.parts, Step(rollout=rollout), Draw(what="rings"), facts)
    assert [decision.kind for decision in step.decisions] == ["nothing-left"]
    assert step.rollout.drawn == ("inner", "outer", "*reserve*")


# -- origins and copies (DESIGN 12.2) --------------------------------------------------------------
def edit(world: World, text: str = "drop table x;\n") -> None:
    (world.directory / "b1" / "b.sql").write_text(text)


def test_an_edit_in_place_holds_and_nothing_more_runs(plain: World):
    rollout = opened(plain)
    edit(plain)
    rollout = plain.reconcile(rollout).rollout
    hold = rollout.hold("drift")
    assert hold is not None
    assert (hold.error, rollout.state) == ("RC2001", RolloutState.HELD)
    assert "b.sql" in hold.reason
    assert "ringctl amend" in hold.next
    assert plain.node().claim(rollout) == 0


def test_an_edit_that_is_taken_back_may_be_resumed(plain: World):
    rollout = opened(plain)
    edit(plain)
    plain.reconcile(rollout)
    edit(plain, "select 1 as b;\n")
    commands.resume(plain.parts, rollout.id, reason="put back")
    assert not plain.reconcile(rollout).rollout.holds


def test_an_edit_that_stays_cannot_be_resumed(plain: World):
    rollout = opened(plain)
    edit(plain)
    plain.reconcile(rollout)
    with pytest.raises(Drifted):
        commands.resume(plain.parts, rollout.id, reason="never mind")
    assert plain.reconcile(rollout).rollout.hold("drift")


def test_an_amendment_with_the_edited_bytes_goes_on(plain: World):
    rollout = opened(plain)
    edit(plain)
    plain.reconcile(rollout)
    amended = plain.amend(rollout, "b1")
    assert not plain.reconcile(amended).rollout.hold("drift")


@pytest.mark.parametrize("how", ["gone", "elsewhere", "unwatched"])
def test_an_origin_that_cannot_be_seen_does_not_hold(plain, how):
    rollout = plain.start()
    edit(plain)
    changes = {
        "gone": {"origin": str(plain.directory / "nowhere")},
        "elsewhere": {"origin_host": "other"},
        "unwatched": {"origin": ""},
    }[how]
    assert Origins(host="here").changed(replace(rollout, **changes)) is None


def test_an_origin_is_hashed_again_only_when_something_moved(plain: World, monkeypatch: pytest.MonkeyPatch):
    from ringctl.engine import copies
    from ringctl.settings import LoadedBundle, load_bundle

    loads: list[Path] = []

    def load(path: Path) -> LoadedBundle:
        loads.append(path)
        return load_bundle(path)

    monkeypatch.setattr(copies, "load_bundle", load)
    origins, rollout = Origins(host="here"), plain.start()
    assert origins.changed(rollout) == ()
    assert origins.changed(rollout) == ()
    assert len(loads) == 1
    edit(plain)
    assert origins.changed(rollout) == ("b.sql",)
    assert len(loads) == 2


@pytest.mark.parametrize(
    ("text", "said"), [("nonsense: [", "bundle.yaml ("), ("", "bundle.yaml (")], ids=["broken", "empty"]
)
def test_an_origin_that_no_longer_loads_differs(plain: World, text: str, said: str):
    rollout = plain.start()
    (plain.directory / "b1" / "bundle.yaml").write_text(text)
    found = Origins(host="here").changed(rollout)
    assert found is not None
    assert found[0].startswith(said)


def test_a_change_of_the_manifest_alone_is_named(plain: World):
    rollout = plain.start()
    path = plain.directory / "b1" / "bundle.yaml"
    path.write_text(path.read_text().replace("sql: a.sql", "timeout: 5s, sql: a.sql"))
    assert Origins(host="here").changed(rollout) == ("bundle.yaml",)


def test_a_file_that_vanishes_while_it_is_looked_at_is_no_error(plain: World):
    rollout = plain.start()
    (plain.directory / "b1" / "dangling").symlink_to("nowhere")
    assert Origins(host="here").changed(rollout) is not None


def test_a_copy_is_read_only_and_written_once(plain: World):
    rollout = plain.start()
    copies = Copies(store=plain.parts.store, root=plain.directory / "copies")
    where = copies.directory(rollout.bundle.digest)
    assert copies.directory(rollout.bundle.digest) == where
    assert (where / "a.sql").stat().st_mode & 0o777 == 0o555
    assert copies.changed(rollout.bundle, ["a.sql", "b.sql"]) == ()
    (where / "a.sql").unlink()
    assert copies.changed(rollout.bundle, ["a.sql", "b.sql"]) == ("a.sql",)
    copies.rewrite(rollout.bundle.digest)
    assert copies.changed(rollout.bundle, ["a.sql"]) == ()
    assert [path.name for path in copies.root.iterdir()] == [where.name]


def test_two_threads_may_write_the_same_copy(plain: World):
    rollout = plain.start()
    copies = Copies(store=plain.parts.store, root=plain.directory / "copies")
    files = plain.parts.store.bundle_files(rollout.bundle.digest)
    target = copies.root / "same"
    copies._write(target, files)
    copies._write(target, files)
    assert (target / "a.sql").exists()
    blocked = plain.directory / "copies" / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match="file"):
        copies._write(blocked, files)


def test_a_bundle_that_the_store_does_not_have_is_not_found(plain: World):
    copies = Copies(store=plain.parts.store, root=plain.directory / "copies")
    with pytest.raises(NotFound):
        copies.bundle("sha256:none")
    with pytest.raises(InvalidInput):
        commands.plan(plain.parts, plain.request("nowhere"))
