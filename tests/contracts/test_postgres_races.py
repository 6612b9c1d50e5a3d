"""PostgreSQL: what two sessions do at the same moment, and that each lock is needed: without it the test sees it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ringctl.core.errors import ConflictError, RingctlError, StoreUnavailable
from ringctl.core.states import Settle, TaskState
from ringctl.stores.postgres import PostgresStore
from ringctl.testing.store_scene import Scene
from ringctl.testing.values import TestClock, a_new_rollout, bundle_of, members_of, policy_of

pytestmark = pytest.mark.postgres
UNLOCKED_WAVE = """
select rollout, parallel, failures from wave where id = :wave and admitting = 1 and approved = :revision
   and exists (select 1 from node_session where id = :session and dead = 0)"""


@pytest.fixture
def make(postgres_database: str) -> Iterator[Callable[[], Scene]]:
    clock = TestClock()
    with ExitStack() as stack:

        def made() -> Scene:
            store = PostgresStore(
                postgres_database, decode_policy=policy_of, decode_bundle=bundle_of, clock=clock
            )
            stack.callback(store.close)
            store.migrate()
            return Scene(store, clock)

        yield made


@contextmanager
def waiting(scene: Any, act: Callable[[], object]) -> Iterator[list[object]]:
    """`act` on a thread of its own, begun when somebody waits for a lock, or when it is over. Holds its answers."""
    answers: list[object] = []

    def call() -> None:
        try:
            answers.append(act())
        except RingctlError as error:
            answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive() and not blocked(scene):
        thread.join(0.01)
    yield answers
    thread.join(10)
    assert not thread.is_alive()


def blocked(scene: Any) -> bool:
    with scene.store.database.read() as tx:
        found = tx._raw.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock'")
        return found.fetchone() is not None


@contextmanager
def held_open(scene: Any, statement: str, **parameters: object) -> Iterator[None]:
    """A transaction of somebody who was stopped in the middle, for less than the server allows."""
    raw = scene.store.database.connections.open()
    raw.execute("begin")
    raw.execute(statement, parameters)
    yield
    raw.execute("commit")
    raw.close()


@pytest.mark.parametrize("bug", [False, True])
def test_no_claim_begins_after_a_pause_has_committed(make: Any, *, bug: bool):
    scene = make()
    scene.start(inner=6)
    node, rollout = scene.node(), scene.load()
    with ExitStack() as stack:
        if bug:
            stack.enter_context(scene.store.statements.override(lock_admitting_wave=UNLOCKED_WAVE))
        pause = held_open(scene, "update wave set admitting = 0 where id = 1")
        pause.__enter__()
        with waiting(scene, lambda: scene.store.claim(node, rollout, rollout.wave(1), limit=3)) as answers:
            began_meanwhile = bool(answers)
            pause.__exit__(None, None, None)
    assert began_meanwhile is bug
    assert (answers != [()]) is bug


@pytest.mark.parametrize("bug", [False, True])
def test_two_claims_never_count_the_same_free_places(make: Any, *, bug: bool):
    scene, other = make(), make()
    scene.start(inner=6, parallel=2)
    mine, theirs, rollout = scene.node("a"), other.node("b"), scene.load()
    with ExitStack() as stack:
        for one in (scene, other) if bug else ():
            stack.enter_context(one.store.statements.override(lock_admitting_wave=UNLOCKED_WAVE))
        with scene.store.database.write() as tx:
            place = {"wave": 1, "session": mine.id}
            key, parallel, failures = tx.one("lock_admitting_wave", revision=1, **place)
            taken = tx.rows(
                "claim_tasks", rollout=key, parallel=parallel, failures=failures, limit=2, epoch=0, **place
            )
            with waiting(
                other, lambda: other.store.claim(theirs, rollout, rollout.wave(1), limit=2)
            ) as found:
                tx._raw.execute("commit")
                tx._raw.execute("begin")
    assert len(taken) == 2
    assert (found != [()]) is bug  # I8: two may run


@pytest.mark.parametrize("bug", [False, True])
def test_nothing_is_given_back_to_a_wave_that_is_being_withdrawn(make: Any, *, bug: bool):
    scene, other = make(), make()
    scene.start(inner=2)
    claim = scene.claim_one(scene.node())
    with ExitStack() as stack:
        if bug:
            free = stack.enter_context  # the statement that waits for an apply under way
            free(other.store.statements.override(lock_rollout_of_task="select 1 where :task > 0"))
        apply = scene.store.database.write()
        tx = apply.__enter__()
        tx.run("lock_rollout", rollout=1)
        tx._raw.execute("update wave set state = 'withdrawn', settle = 'close', admitting = 0 where id = 1")
        with waiting(other, lambda: other.store.finish(claim, TaskState.PENDING)):
            apply.__exit__(None, None, None)
    states = scene.states()
    assert (claim.account, bool(states.get("pending", 0) > 1)) == (claim.account, bug)


def test_two_starts_never_hold_the_same_account(make: Any):
    scenes = [make(), make()]
    gate = threading.Barrier(2)
    answers: list[object] = []

    def start(number: int) -> None:
        new = a_new_rollout({1 + 10 * number: members_of("inner", 40)}, [], ident=f"ro-{number}")
        gate.wait()
        try:
            scenes[number].store.create_rollout(new)
            answers.append("started")
        except ConflictError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=start, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(map(str, answers)) == ["RC2016", "started"]


def test_eight_claimers_never_take_one_task_twice(make: Any):
    scene = make()
    scene.start(inner=60, early=0, parallel=100, failures=100)
    rollout = scene.load()
    taken: list[int] = []
    fences: list[int] = []

    def claim() -> None:
        node = scene.store.open_session("n", lease_us=60_000_000)
        while True:
            found = scene.store.claim(node, rollout, rollout.wave(1), limit=3)
            if not found:
                return
            taken.extend(one.task for one in found)
            fences.extend(one.fence for one in found)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == len(set(taken)) == len(set(fences)) == 60
    assert min(fences) >> 40 == scene.store.database.connections.timeline
    assert scene.store.verify() == ()


def test_a_holder_stopped_inside_a_transaction_loses_it(make: Any):
    """The server ends it after two seconds: nobody waits for ever for a lock of a stopped process."""
    scene, other = make(), make()
    scene.start(inner=2)
    stopped = scene.store.database.connections.open()
    stopped.execute("begin")
    stopped.execute("update wave set state = state where id = 1")
    rollout, node = other.load(), other.node()
    with contextlib.suppress(StoreUnavailable):  # the first may give up just before: two seconds each
        other.store.claim(node, rollout, rollout.wave(1), limit=1)
    assert len(other.store.claim(node, rollout, rollout.wave(1), limit=1)) == 1
    stopped.close()


def test_settling_waves_give_nothing_out(make: Any):
    scene = make()
    scene.start(inner=2)
    rollout = scene.settle(Settle.CLOSE)
    assert scene.store.claim(scene.node(), rollout, rollout.wave(1), limit=1) == ()
