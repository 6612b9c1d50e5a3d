"""A node, its guard and its lease: what it claims, hears, loses and gives back (DESIGN 7)."""

import threading
from concurrent.futures import Future

import pytest

from ringctl.core.errors import SessionLost, StoreUnavailable
from ringctl.core.states import Settle, TaskState
from ringctl.engine import commands
from ringctl.engine import node as nodes
from ringctl.engine.guard import FLUSH_LINES, Guard, Lease
from ringctl.engine.loop import GRACE_US
from ringctl.engine.node import Node
from ringctl.testing.scripted_executor import ProcessDied
from ringctl.testing.stepped_node import CrashingStore, SteppedNode
from tests.engine.hand import opened
from tests.engine.world import World

CLOSE = "close_window: {sql: close.sql}\n"


def fails_once(monkeypatch: pytest.MonkeyPatch, world: World, method: str, error: Exception) -> list[str]:
    """The store's method raises once."""
    original = getattr(type(world.parts.store), method)
    raised: list[str] = []

    def call(self, *given, **named):
        if not raised:
            raised.append(method)
            raise error
        return original(self, *given, **named)

    monkeypatch.setattr(type(world.parts.store), method, call)
    return raised


def test_giving_back_is_tried_until_the_store_answers(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    node.lease.until = plain.clock.monotonic()
    node.work_one()
    fails_once(monkeypatch, plain, "finish", StoreUnavailable("locked"))
    node.beat()
    assert plain.facts(rollout).running == 1
    node.beat()
    assert plain.facts(rollout).running == 0


def test_a_task_claimed_just_before_the_lease_ended_is_given_back(plain: World):
    rollout = opened(plain)
    node = plain.node()
    assert node.claim(rollout) == 1
    plain.clock.advance(16)  # the process stalls; nobody rescued it
    node.work_one()
    assert plain.executor.runs == []
    node.beat()
    assert plain.facts(rollout).running == 0
    assert node.work(rollout)


def test_a_bug_in_a_task_leaves_it_to_the_next_claim(plain: World):
    rollout = opened(plain)
    node = plain.node()

    def bug(_order, _control):
        plain.executor.on_run = lambda _order, _control: None
        raise ValueError("nobody expected this")

    plain.executor.on_run = bug
    node.claim(rollout)
    with pytest.raises(ValueError, match="nobody expected"):
        node.work_one()
    node.work(rollout)
    assert plain.facts(rollout).done == 2


def test_an_unexpected_error_of_a_thread_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    for error in (ValueError("bug"), StoreUnavailable("busy"), None):
        future: Future[None] = Future()
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        nodes._raise_bugs(future)
    assert [one.exc_value.args for one in said] == [("bug",)]


def test_a_resolution_hears_what_its_wave_wants_before_anything_runs(plain: World):
    """The wave may have failed since the holder died: its next step must not run."""
    plain.bundle("b1", "a", "b", "c", more=CLOSE)
    rollout = opened(plain)
    plain.executor.script("crash-after", step="a")
    dead = plain.node("dead")
    dead.claim(rollout)
    with pytest.raises(ProcessDied):
        dead.work_one()
    plain.clock.advance(30)
    plain.parts.store.rescue(grace_us=GRACE_US)
    node = plain.node("alive")
    rollout = plain.load(rollout)
    commands.amend(plain.parts, commands.AmendRequest(
        rollout=rollout.id, bundle=plain.directory / "b2", author="b", reason="r"))  # fmt: skip
    node.claim(rollout)  # it still has the picture of a moment ago
    node.work_one()
    assert [run.step.split(".")[0] for run in plain.executor.runs] == ["a", "close_window"]


def test_no_more_is_claimed_than_threads_are_free(plain: World):
    plain.policy.write_text(
        plain.policy.read_text().replace("waves: [100%]", "waves: [100%], max_failures: 100%")
    )
    node = plain.node(parallel=1)
    rollout = plain.until(plain.start(), lambda r: r.waves[1].state == "open", plain.node("other"))
    assert node.claim(rollout) == 1
    assert node.claim(rollout) == 0
    assert node.busy == 1


def test_a_stopped_node_claims_nothing(plain: World):
    node = plain.node()
    node.stop_now = lambda: True
    assert node.claim(opened(plain)) == 0


def test_a_lost_session_loses_every_claim_and_a_new_one_is_opened(plain: World):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    (guard,) = node._guards.values()
    plain.clock.advance(30)
    plain.parts.store.rescue(grace_us=GRACE_US)
    node.beat()
    assert node.lease.lost.is_set()
    assert guard.gone
    assert guard.stop_requested()
    assert node.claim(plain.load(rollout)) == 0, "it is still busy with what it lost"
    node.work_one()
    assert plain.executor.runs == []
    first = node.session
    assert node.claim(plain.load(rollout)) == 1
    assert node.session is not first
    node.beat()
    node.work(plain.load(rollout))
    assert plain.facts(rollout).done == 2


def test_a_session_lost_while_claiming_is_noticed(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = opened(plain)
    node = plain.node()
    fails_once(monkeypatch, plain, "claim", SessionLost("over"))
    assert node.claim(rollout) == 0
    assert node.lease.lost.is_set()
    node.beat()
    assert node.claim(rollout) == 1


def test_a_running_step_hears_of_a_close(plain: World):
    plain.bundle("b1", "a", "b", more=CLOSE)
    rollout = opened(plain)
    node = plain.node()
    heard = []

    def beat(order, control):
        if order.step.id != "a":
            return
        plain.amend(rollout, "b2")
        node.beat()
        heard.append((control.stop_requested(), control.settle))

    plain.executor.on_run = beat
    node.claim(rollout)
    node.work_one()
    assert heard[0] == (False, Settle.CLOSE), "only a batched step is stopped by it"


def test_refreshing_beats_seldom_and_survives_a_silent_store(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    (guard,) = node._guards.values()
    beats = []
    monkeypatch.setattr(SteppedNode, "beat", lambda _self: beats.append(1))
    node.refresh(guard)
    plain.clock.advance(2)
    node.refresh(guard)
    assert len(beats) == 1

    def silent(_self):
        raise StoreUnavailable("gone")

    monkeypatch.setattr(SteppedNode, "beat", silent)
    node.refresh(guard)


def test_draining_finishes_what_runs_and_ends_the_session(plain: World):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    node.drain()
    assert plain.facts(rollout).running == 0
    assert node.session is None
    node.beat()
    assert [one.dead for one in plain.parts.store.nodes()] == [True]


def test_a_real_node_works_with_its_threads(plain: World):
    node = Node(parts=plain.parts, name="real", parallel=2, lease_us=3_600_000_000)
    node.start()
    rollout = opened(plain)
    assert node.claim(rollout) == 1
    node.wake.wait(20)
    node.drain()
    assert plain.facts(rollout).done == 1


# -- the guard ------------------------------------------------------------------------------------
def guard_of(world: World, **changes) -> Guard:
    rollout = opened(world)
    session = world.parts.store.open_session("n", lease_us=15_000_000)
    (claim,) = world.parts.store.claim(session, rollout, rollout.waves[0], limit=1)
    given = {"lease": Lease(until=world.clock.monotonic() + 10), "stop": lambda: False, **changes}
    return Guard(claim=claim, clock=world.clock, store=world.parts.store, **given)


def test_a_guard_sleeps_no_longer_than_its_deadlines(plain: World):
    guard = guard_of(plain)
    now = plain.clock.monotonic()
    guard.begin_step(3_000_000, stop_on_close=False)
    assert guard.step_deadline() == now + 3
    guard.sleep(60)
    assert plain.clock.monotonic() == now + 3
    guard.begin_step(60_000_000, stop_on_close=False)
    guard.sleep(60)
    assert plain.clock.monotonic() == guard.deadline() == now + 10
    guard.sleep(60)
    assert plain.clock.monotonic() == now + 10


@pytest.mark.parametrize(
    ("settle", "on_close", "stops"),
    [(Settle.NONE, True, False), (Settle.FINISH, True, False), (Settle.CLOSE, False, False),
     (Settle.CLOSE, True, True), (Settle.STOP, False, True)],
)  # fmt: skip
def test_what_a_wave_wants_stops_a_step_or_not(plain: World, settle, on_close, stops):
    guard = guard_of(plain)
    guard.begin_step(1, stop_on_close=on_close)
    guard.tell(settle, cancelled=False)
    assert guard.stop_requested() is stops


def test_a_stop_wakes_a_sleeping_step(plain: World):
    guard = guard_of(plain)
    now = plain.clock.monotonic()
    guard.tell(Settle.NONE, cancelled=True)
    guard.sleep(5)
    assert plain.clock.monotonic() == now


def test_many_log_lines_are_written_under_the_claim(plain: World):
    guard = guard_of(plain)
    guard.log("\n".join(str(n) for n in range(FLUSH_LINES)))
    lines = list(plain.parts.store.task_log(guard.claim.rollout, guard.claim.account))
    assert [line for _, line in lines] == [str(n) for n in range(FLUSH_LINES)]
    assert guard.take_lines() == []
    guard.flush()


def test_lines_of_a_lost_claim_are_refused_and_noticed(plain: World):
    guard = guard_of(plain)
    plain.parts.store.finish(guard.claim, TaskState.PENDING)
    guard.log("late")
    guard.flush()
    assert guard.gone
    assert list(plain.parts.store.task_log(guard.claim.rollout, guard.claim.account)) == []


def test_a_lease_holds_until_it_is_over_or_lost():
    lease = Lease(until=5.0)
    assert lease.holds(4.9)
    assert not lease.holds(5.0)
    lease.lost.set()
    assert not lease.holds(1.0)


def test_the_crashing_store_dies_when_it_is_told(plain: World):
    store, way = CrashingStore.around(plain.parts.store)
    way.die("now_us", calls=2)
    store.now_us()
    with pytest.raises(ProcessDied):
        store.now_us()
    way.die("now_us", after=True)
    way.calm()
    assert store.now_us()
