"""The promises as functions: each says what is broken, and nothing when all is well."""

from dataclasses import replace

import pytest

from ringctl.core import invariants
from ringctl.core.audit import entry_hash
from ringctl.core.digests import GENESIS
from ringctl.core.facts import WaveFacts
from ringctl.core.invariants import SeenTask, SeenWave
from ringctl.core.model import Revision
from ringctl.core.policy import Bake
from ringctl.core.states import TaskState
from ringctl.ports.records import Entry
from tests.core import worlds as w
from tests.core.worlds import NOW, SECOND, Verdict, WaveKind, WaveState


def task(account="a1", **changes) -> SeenTask:
    base = SeenTask(account=account, ring="first", revision=1, wave=1, state=TaskState.DONE, begun=True)
    return replace(base, **changes)


def test_a_step_takes_effect_once():
    assert invariants.once([("a", "s", "d"), ("b", "s", "d"), ("a", "s", "e")]) == ()
    (said,) = invariants.once([("a", "s", "d"), ("a", "s", "d")])
    assert said == "I1: step s (d) took effect twice on a"


SECOND_REVISION = (
    Revision(number=1, digest="d1", author="ann", at_us=NOW),
    Revision(number=2, digest="d2", author="ben", at_us=NOW),
)


@pytest.mark.parametrize(
    ("changes", "revisions", "fine"),
    [
        ({"wave": 1, "revision": 1}, SECOND_REVISION, True),
        ({"wave": 2, "revision": 2}, SECOND_REVISION, True),
        ({"wave": 3, "revision": 2}, SECOND_REVISION, False),
        ({"wave": None, "revision": 2}, SECOND_REVISION, False),
        ({"wave": 3, "revision": 2, "begun": False}, SECOND_REVISION, True),
        ({"wave": 3, "revision": 2}, (replace(SECOND_REVISION[1], qualified_at_us=NOW),), True),
    ],
)
def test_nothing_outside_the_subset_receives_what_has_not_requalified(changes, revisions, fine):
    waves = [
        w.wave(1),
        w.wave(2, kind=WaveKind.REQUALIFICATION, revision=2),
        w.wave(3, kind=WaveKind.CANARY, revision=2),
    ]
    assert (invariants.requalified([task(**changes)], waves, revisions) == ()) is fine


def seen(**changes) -> SeenWave:
    facts = {"done": 2, "bake_us": 10 * SECOND, "activity": 100, **changes}
    return SeenWave(
        wave=w.wave(1, state=WaveState.PASSED),
        facts=w.seen(facts.pop("answer", Verdict.PASS), **facts),
        checks=tuple(w.policy().checks.values()),
        bake=Bake(min_us=10 * SECOND, activity=100),
    )


def test_a_wave_that_passed_on_evidence_is_fine():
    assert invariants.on_evidence([seen(), replace(seen(done=0), wave=w.wave(2))]) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": None},
        {"answer": Verdict.INCONCLUSIVE},
        {"answer": Verdict.FAIL},
        {"bake_us": 9 * SECOND},
        {"activity": 99},
        {"pending": 1},
        {"failed": 1},
        {"unknown": 1},
    ],
)
def test_a_wave_that_passed_without_its_evidence_is_named(changes):
    assert len(invariants.on_evidence([seen(**changes)])) == 1


def test_members_of_an_opened_wave_never_change():
    before = {1: frozenset({"a", "b"})}
    assert invariants.frozen(before, {1: frozenset({"b", "a"}), 2: frozenset("c")}) == ()
    assert len(invariants.frozen(before, {1: frozenset({"a", "c"})})) == 1
    assert len(invariants.frozen(before, {})) == 1


def test_an_account_is_in_one_ring_and_drawn_once_by_a_revision():
    waves = [w.wave(1), w.wave(2, "second")]
    fine = [task(), task(revision=2, wave=None), task("b", ring="second", wave=2)]
    assert invariants.one_ring(fine, waves) == ()
    assert len(invariants.one_ring([task(wave=2)], waves)) == 1
    assert len(invariants.one_ring([task(), task(ring="second", revision=2, wave=2)], waves)) == 1
    assert len(invariants.one_ring([task(), task(wave=None)], waves)) == 1


@pytest.mark.parametrize(
    ("running", "failed", "fine"), [(2, 0, True), (3, 0, False), (1, 1, True), (2, 1, False), (4, 0, False)]
)
def test_in_flight_stays_within_parallel_and_the_failures_left(running, failed, fine):
    wave = w.wave(1, parallel=3, failures=1)
    assert (invariants.bounded([(wave, WaveFacts(running=running, failed=failed))]) == ()) is fine


def test_a_changed_journal_is_named():
    entry = Entry(rollout="r", seq=1, at_us=NOW, kind="k", actor="ann", payload={}, prev=GENESIS, hash="")
    whole = replace(entry, hash=entry_hash(GENESIS, entry))
    assert invariants.chained([whole]) == ()
    assert invariants.chained([replace(whole, kind="other")]) == (
        "I11: the journal's chain is broken at entry 1",
    )


def test_counters_are_those_of_the_tasks():
    tasks = [task(), task("b", state=TaskState.PENDING), task("c", wave=None)]
    assert invariants.recounted({1: WaveFacts(done=1, pending=1)}, tasks) == ()
    assert len(invariants.recounted({1: WaveFacts(done=2)}, tasks)) == 2
