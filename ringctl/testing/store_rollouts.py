"""Conformance of a store: rollouts, decisions, journal, counters, draws."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ringctl.core.audit import audit_chain
from ringctl.core.decisions import AddWave, Decided, LiftHold, PlaceHold, Step
from ringctl.core.errors import BugError, ConflictError, NotFound, VersionConflict
from ringctl.core.model import Hold, Rollout
from ringctl.core.states import RolloutState, Settle, TaskState, WaveState
from ringctl.testing.store_scene import Scene, StoreFactory
from ringctl.testing.values import (
    NOON,
    TestClock,
    a_member,
    a_new_rollout,
    a_rollout,
    a_wave,
    members_of,
)


class SuiteFixtures:
    """The fixtures of every suite. The user's class or module adds `make_store`: a `StoreFactory`."""

    @pytest.fixture
    def clock(self) -> TestClock:
        """The store's clock in this test."""
        return TestClock()

    @pytest.fixture
    def scene(self, make_store: StoreFactory, clock: TestClock) -> Iterator[Scene]:
        """A migrated store. After each test everything is counted anew."""
        store = make_store(clock)
        store.migrate()
        yield Scene(store, clock)
        wrong = store.verify()
        store.close()
        assert not wrong, "\n".join(wrong)


class RolloutSuite(SuiteFixtures):
    """Rollouts are created whole, loaded as they were saved, and moved by compare-and-set."""

    # -- schema ------------------------------------------------------------------------------------
    def test_migrating_again_does_nothing(self, scene: Scene) -> None:
        """Migrations are applied once; a dry run names what is missing and applies nothing."""
        assert scene.store.migrate() == ()
        assert scene.store.migrate(dry_run=True) == ()
        found, known = scene.store.check()
        assert found == known > 0

    # -- bundles -----------------------------------------------------------------------------------
    def test_bundle_is_kept_by_content(self, scene: Scene) -> None:
        """Putting a bundle twice is one bundle; bytes come back as they were."""
        files = {"a.sql": b"select 1", "b/b.sql": b"\x00\xff", "empty": b""}
        for _ in range(2):
            scene.store.put_bundle("sha256:1", "manifest", files)
        scene.store.put_bundle("sha256:2", "other", {"c.sql": b"select 1"})
        assert scene.store.bundle_manifest("sha256:1") == "manifest"
        assert scene.store.bundle_files("sha256:1") == files
        assert scene.store.bundle_files("sha256:2") == {"c.sql": b"select 1"}

    def test_absent_things_are_not_found(self, scene: Scene) -> None:
        """Nothing is made up."""
        for ask in (
            lambda: scene.store.bundle_manifest("sha256:0"),
            lambda: scene.store.bundle_files("sha256:0"),
            scene.load,
            lambda: list(scene.store.journal("ro-1")),
            lambda: list(scene.store.tasks("ro-1")),
            lambda: scene.store.record("ro-1", "signal", {}, actor="ana"),
            lambda: scene.store.facts(a_rollout()),
        ):
            with pytest.raises(NotFound):
                ask()
        with pytest.raises(NotFound):
            scene.store.apply(Step(rollout=a_rollout()), expected=1, actor="x")

    # -- creating and loading ----------------------------------------------------------------------
    def test_rollout_loads_as_created(self, scene: Scene) -> None:
        """Every field, its waves and revisions come back."""
        new = a_new_rollout({1: members_of("inner", 4)}, members_of("early", 2))
        scene.create(new)
        assert scene.load() == new.rollout
        (summary,) = scene.store.rollouts()
        assert (summary.id, summary.state, summary.version) == ("ro-1", "pending", 1)

    def test_rollout_is_created_once(self, scene: Scene) -> None:
        """The second creation under the same id changes nothing."""
        scene.create()
        with pytest.raises(ConflictError):
            scene.store.create_rollout(a_new_rollout({9: members_of("inner", 1)}))
        assert len(scene.load().waves) == 1

    def test_waves_have_the_members_they_say(self, scene: Scene) -> None:
        """A rollout whose waves and members do not add up is refused whole."""
        new = a_new_rollout({1: members_of("inner", 4)})
        short = replace(new, placed={"inner-000000": 1})
        with pytest.raises(BugError):
            scene.store.create_rollout(short)
        assert scene.store.rollouts() == ()

    def test_ranks_keep_all_64_bits(self, scene: Scene) -> None:
        """Ranks are unsigned 64-bit numbers: order and value survive the columns' signed range."""
        low = replace(a_member("low"), rank=0)
        high = replace(a_member("high"), rank=2**64 - 1)
        rollout = scene.create(a_new_rollout({}, [high, low]))
        untouched = scene.store.untouched(rollout, a_wave(99, [low]))
        assert [(one.account, one.rank) for one in untouched] == [("low", 0), ("high", 2**64 - 1)]
        found = {member.account: member for member, _, _ in scene.store.candidates(rollout)}
        assert found == {"low": low, "high": high}

    def test_only_open_rollouts_are_listed_when_asked(self, scene: Scene) -> None:
        """Newest first; ended ones are left out on request."""
        scene.create()
        scene.store.create_rollout(a_new_rollout({7: members_of("inner", 1, first=900)}, ident="ro-2"))
        scene.end()
        assert [row.id for row in scene.store.rollouts()] == ["ro-2", "ro-1"]
        assert [row.id for row in scene.store.rollouts(only_open=True)] == ["ro-2"]

    def test_an_account_is_in_one_open_rollout_at_most(self, scene: Scene) -> None:
        """A second rollout over any of its accounts is refused and leaves nothing; after the end it may come."""
        scene.create()
        with pytest.raises(ConflictError) as caught:
            scene.store.create_rollout(a_new_rollout({7: members_of("inner", 1)}, ident="ro-2"))
        assert caught.value.code == "RC2016"
        assert [row.id for row in scene.store.rollouts()] == ["ro-1"]
        scene.end()
        scene.store.create_rollout(a_new_rollout({7: members_of("inner", 1)}, ident="ro-2"))

    def test_an_account_that_still_runs_in_an_ended_rollout_is_not_taken(self, scene: Scene) -> None:
        """Aborted, but a step runs on: no other rollout may send anything there until that is settled."""
        scene.start()
        claim = scene.claim_one(scene.node())
        scene.end()
        again = a_new_rollout({7: [a_member(claim.account)]}, ident="ro-2")
        with pytest.raises(ConflictError) as caught:
            scene.store.create_rollout(again)
        assert caught.value.code == "RC2017"

    def test_wave_ids_are_never_given_twice(self, scene: Scene) -> None:
        """A counter: every call begins after the one before."""
        first = scene.store.next_wave_ids(3)
        assert scene.store.next_wave_ids(1) == first + 3

    # -- moving ------------------------------------------------------------------------------------
    def test_apply_is_compare_and_set(self, scene: Scene) -> None:
        """Who comes second changes nothing at all."""
        rollout = scene.create()
        first = scene.apply(replace(rollout, state=RolloutState.RUNNING))
        assert first.version == rollout.version + 1
        with pytest.raises(VersionConflict):
            scene.apply(replace(rollout, state=RolloutState.HELD), Decided(kind="late"))
        assert scene.load() == first
        assert "late" not in scene.kinds()

    def test_apply_saves_what_it_is_given(self, scene: Scene) -> None:
        """Holds, settling, revisions and wake time come back."""
        rollout = scene.start()
        hold = Hold(code="drift", reason="x", owner="ringctl", since_us=NOON, ends_itself=True, wave=1)
        wave = replace(rollout.wave(1), settle=Settle.CLOSE)
        qualified = replace(rollout.revision, qualified_at_us=NOON, failed=True)
        moved = replace(
            rollout.with_wave(wave),
            state=RolloutState.HELD,
            holds=(hold,),
            revisions=(qualified,),
            drawn=("inner",),
        )
        step = Step(rollout=moved, decisions=(PlaceHold(hold=hold),), wake_at_us=NOON + 5)
        saved = scene.store.apply(step, expected=rollout.version, actor="ana")
        assert saved == scene.load() == replace(moved, version=rollout.version + 1)
        assert scene.store.rollouts()[0].wake_at_us == NOON + 5

    def test_decisions_are_journalled_in_order(self, scene: Scene) -> None:
        """Each decision is one entry, in the same transaction, hash-chained and without a gap."""
        rollout = scene.start()
        scene.apply(rollout, Decided(kind="one", payload={"n": 1.5}), LiftHold(code="pause"))
        scene.store.record("ro-1", "signal", {"text": "grün", "list": [1, None]}, actor="ben")
        entries = list(scene.store.journal("ro-1"))
        assert [entry.kind for entry in entries] == ["created", "wave-opened", "one", "hold-lifted", "signal"]
        assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
        assert entries[4].actor == "ben"
        assert entries[4].payload == {"text": "grün", "list": [1, None]}
        assert audit_chain(entries) is None
        assert audit_chain([*entries[:2], *entries[3:]]) == 3
        assert audit_chain([*entries[:2], replace(entries[2], payload={"n": 2}), *entries[3:]]) == 3
        assert [entry.seq for entry in scene.store.journal("ro-1", after=3)] == [4, 5]

    def test_opening_makes_tasks_claimable(self, scene: Scene) -> None:
        """Waiting tasks of the wave become pending; others do not."""
        rollout = scene.start(inner=4, early=3)
        facts = scene.store.facts(rollout)
        assert (facts.wave(1).pending, facts.wave(1).waiting) == (4, 0)
        assert scene.states() == {"pending": 4, "waiting": 3}
        assert facts.unfinished_accounts == 7

    def test_withdrawing_cancels_what_never_began(self, scene: Scene) -> None:
        """Running tasks go on; the others are cancelled, and their accounts are free again."""
        scene.start(inner=4)
        scene.claims(scene.node(), limit=1)
        rollout = scene.amend()
        facts = scene.store.facts(rollout)
        assert (facts.wave(1).cancelled, facts.wave(1).running) == (3, 1)
        assert len(list(scene.store.candidates(rollout, ring="inner"))) == 3

    def test_ending_cancels_tasks_drawn_or_not(self, scene: Scene) -> None:
        """A rollout that ended has no task that waits for anything."""
        scene.start(inner=2, early=3)
        scene.claims(scene.node(), limit=1)
        scene.end()
        assert scene.states() == {"running": 1, "cancelled": 4}

    # -- drawing -----------------------------------------------------------------------------------
    def test_drawing_places_first_tasks(self, scene: Scene) -> None:
        """A later wave of r1 takes the tasks that wait since the start."""
        rollout = scene.start(inner=1, early=3)
        drawn = members_of("early", 2)
        wave = scene.draw(drawn)
        rollout = scene.load()
        assert scene.store.facts(rollout).wave(wave.id).waiting == 2
        assert [m.account for m, _, _ in scene.store.candidates(rollout)] == ["early-000002"]
        assert scene.states() == {"pending": 1, "waiting": 3}

    def test_nobody_is_drawn_twice(self, scene: Scene) -> None:
        """A member that is drawn, running or done is a conflict: draw again from a fresh look."""
        scene.start(inner=2)
        scene.run(scene.claim_one(scene.node()))
        with pytest.raises(VersionConflict):
            scene.draw(members_of("inner", 1))
        scene.amend()
        for member in members_of("inner", 2):
            done = scene.state_of(member.account) is TaskState.DONE
            if done:
                with pytest.raises(VersionConflict):
                    scene.draw([member])
            else:
                scene.draw([member])

    def test_drawing_needs_known_members(self, scene: Scene) -> None:
        """A wave has exactly the members it says, and they are accounts of the rollout."""
        rollout = scene.start()
        stranger = a_member("stranger", "early")
        with pytest.raises(BugError):
            scene.draw([stranger])
        wave = a_wave(99, members_of("early", 2))
        with pytest.raises(BugError):
            scene.apply(
                replace(rollout, waves=(*rollout.waves, wave)), AddWave(wave=wave, members=("early-000000",))
            )
        assert scene.load() == rollout

    def test_a_later_revision_takes_over(self, scene: Scene) -> None:
        """Older unfinished tasks are cancelled with the drawing; the new task starts where it is told to."""
        scene.start(inner=3)
        node = scene.node()
        claim = scene.claim_one(node)
        scene.run_step(claim)
        scene.intent(claim, "encode")
        scene.store.finish(claim, TaskState.UNKNOWN, "nobody knows")
        rollout = scene.amend()
        facts = scene.store.facts(rollout)
        assert facts.half_done == 1
        half = {m.account: (state, step) for m, state, step in scene.store.candidates(rollout)}
        assert half[claim.account] == (TaskState.UNKNOWN, "encode")
        wave = scene.draw(
            [m for m in members_of("inner", 3) if m.account == claim.account], {claim.account: "encode"}
        )
        facts = scene.store.facts(scene.load())
        assert (facts.wave(1).unknown, facts.wave(1).cancelled, facts.half_done) == (0, 3, 0)
        scene.open_wave(wave.id)
        again = scene.claim_one(node, wave=wave.id)
        assert (again.start_at, again.revision, again.resolving) == ("encode", 2, False)
        assert [(e.step, str(e.state)) for e in again.earlier] == [("readers", "done"), ("encode", "intent")]
        assert again.effects == ()

    def test_half_done_is_remembered_over_a_revision_that_never_began(self, scene: Scene) -> None:
        """An account taken over by r2, whose wave is withdrawn before it began, is still half done for r3."""
        scene.start(inner=1, early=0)
        claim = scene.claim_one(scene.node())
        scene.run_step(claim)
        scene.store.finish(claim, TaskState.UNKNOWN, "closed half way")
        scene.amend()
        scene.draw(members_of("inner", 1), {claim.account: "encode"})
        rollout = scene.amend()
        ((_, state, step),) = scene.store.candidates(rollout)
        assert (state, step) == (TaskState.UNKNOWN, "readers")

    def test_candidates_stream_in_order(self, scene: Scene) -> None:
        """By ring, size, rank; over more than a page; by ring and reserve on request."""
        members = [
            a_member(f"a-{n}", ring, size=float(n % 7), reserve=n % 5 == 0)
            for n in range(2500)
            for ring in (("inner", "early")[n % 2],)
        ]
        rollout = scene.create(a_new_rollout({}, members))
        order = {"inner": 0, "early": 1}
        wanted = sorted(members, key=lambda m: (order[m.ring], m.size, m.rank))
        found = [member for member, _, _ in scene.store.candidates(rollout)]
        assert found == wanted
        some = [m for m, _, _ in scene.store.candidates(rollout, ring="early", reserve=True)]
        assert some == [m for m in wanted if m.ring == "early" and m.reserve]

    def test_drift_is_kept_until_it_is_gone(self, scene: Scene) -> None:
        """Cleared by the place that reported it, by an empty place, or by an amendment."""
        rollout = scene.start()
        scene.store.set_drift("ro-1", "host:/b", ["a.sql"])
        drift = scene.store.facts(rollout).drift
        assert drift is not None
        assert (drift.where, drift.files) == ("host:/b", ("a.sql",))
        scene.store.set_drift("ro-1", "elsewhere", [])
        assert scene.store.facts(rollout).drift is not None
        scene.store.set_drift("ro-1", "host:/b", [])
        assert scene.store.facts(rollout).drift is None
        scene.store.set_drift("ro-1", "host:/b", ["a.sql"])
        scene.store.set_drift("ro-1", "", [])
        assert scene.store.facts(rollout).drift is None
        scene.store.set_drift("ro-1", "host:/b", ["a.sql"])
        assert scene.store.facts(scene.amend()).drift is None

    def test_waves_are_never_lost(self, scene: Scene) -> None:
        """A rollout that forgets a wave is refused."""
        rollout = scene.start()
        with pytest.raises(BugError):
            scene.apply(replace(rollout, waves=()))

    def test_every_thread_sees_the_same(self, scene: Scene) -> None:
        """Methods may be called from any thread."""
        scene.start()
        with ThreadPoolExecutor(4) as pool:
            found: list[Rollout] = list(pool.map(lambda _: scene.load(), range(20)))
        assert found == [scene.load()] * 20
        assert found[0].wave(1).state is WaveState.OPEN

    # -- hints -------------------------------------------------------------------------------------
    def test_a_decision_is_told(self, scene: Scene, make_store: StoreFactory) -> None:
        """Who listens at another store on the same state hears of a decision; not any more after the end."""
        scene.start()
        told = threading.Event()
        stop = make_store(scene.clock).on_change(told.set)
        assert told.wait(10)  # at the beginning: what happened while nobody listened
        told.clear()
        scene.store.record("ro-1", "noted", {}, actor="ana")
        assert told.wait(10)
        stop()
