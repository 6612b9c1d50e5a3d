"""What a node does when the store does not answer, or when only its answer is lost (CLAIMS 6)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ringctl.core.errors import StoreUnavailable
from ringctl.core.states import EffectState, TaskState
from ringctl.engine import queries
from ringctl.engine.guard import Lease
from ringctl.engine.running import TaskRun, given_back
from ringctl.testing.stepped_node import SteppedNode
from tests.engine.hand import again, hand, opened
from tests.engine.world import World

LOST = StoreUnavailable("the answer was lost", code="RC5113")


class Trouble:
    """Makes calls of a store's method fail: before it does anything, or after it has committed."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._owner = type(world.parts.store)
        self._patch = monkeypatch
        self.calls: list[str] = []

    def fails(self, method: str, *, after: bool = False, times: int = 1) -> None:
        original = getattr(self._owner, method)
        left = [times]

        def call(store: Any, *given: Any, **named: Any) -> Any:
            self.calls.append(method)
            if left[0] <= 0:
                return original(store, *given, **named)
            left[0] -= 1
            if after:
                original(store, *given, **named)
            raise LOST

        self._patch.setattr(self._owner, method, call)

    def counts(self, method: str) -> None:
        self.fails(method, times=0)


@pytest.fixture
def trouble(plain: World, monkeypatch: pytest.MonkeyPatch) -> Trouble:
    return Trouble(plain, monkeypatch)


@pytest.mark.parametrize("after", [False, True], ids=["not-executed", "executed"])
@pytest.mark.parametrize("method", ["intent", "result", "finish"])
def test_nothing_known_is_lost_with_an_answer(plain: World, trouble: Trouble, method: str, after: bool):
    """No probe, no ledger: had anything been in doubt, it would wait for a person now."""
    plain.executor.blind = True
    rollout = opened(plain)
    node = plain.node()
    trouble.fails(method, after=after)
    node.claim(rollout)
    node.work_one()
    node.beat()
    node.work(rollout)
    assert plain.executor.doubles == []
    assert plain.executor.probed == []
    assert plain.facts(rollout).done == 2
    assert node.unwritten == ()
    assert plain.verify() == ()


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        ("failed", TaskState.FAILED, "a: scripted failed"),
        ("unknown", TaskState.UNKNOWN, "a: scripted unknown"),
    ],
)
def test_an_end_that_could_not_be_written_is_written_whole_later(
    plain: World, trouble: Trouble, answer: str, state: TaskState, reason: str
):
    rollout = opened(plain)
    node = plain.node()
    plain.executor.script(answer, step="a")
    plain.executor.on_run = lambda _order, control: control.log("said while it ran")
    trouble.fails("finish", times=3)
    node.claim(rollout)
    node.work_one()
    (account,) = {run.account for run in plain.executor.runs}
    node.beat()
    assert plain.state(rollout, account) is TaskState.RUNNING
    node.beat()
    node.beat()
    (row,) = plain.tasks(rollout, account)
    assert (row.state, row.reason, row.steps[0].state) == (state, reason, answer)
    lines = [line for _, line in plain.parts.store.task_log(rollout.id, account)]
    assert lines == ["said while it ran"]


def test_an_end_as_it_was_before_loses_what_is_known(plain: World, trouble: Trouble, monkeypatch):
    """Seeded bug: every stranded task is simply given back."""
    monkeypatch.setattr(TaskRun, "left", lambda self: given_back(self.claim))
    plain.executor.blind = True
    rollout = opened(plain)
    node = plain.node()
    trouble.fails("finish")
    node.claim(rollout)
    node.work_one()
    node.beat()
    with pytest.raises(AssertionError, match="unknown"):
        plain.until(rollout, lambda r: no_unknown(plain, r), node, most=3)


def no_unknown(world: World, rollout: Any) -> bool:
    states = {row.state for row in world.tasks(rollout)}
    assert TaskState.UNKNOWN not in states, "unknown"
    return world.facts(rollout).done == 2


def test_lines_wait_for_the_store(plain: World, trouble: Trouble):
    one = hand(plain)
    trouble.fails("log")
    one.guard.log("\n".join(str(n) for n in range(200)))
    one.guard.log("more")
    assert trouble.calls == ["log"], "it does not knock at every line"
    one.run()
    lines = [line for _, line in plain.parts.store.task_log(one.claim.rollout, one.claim.account)]
    assert lines == [*(str(n) for n in range(200)), "more"]


# -- claims nobody knows of -----------------------------------------------------------------------
def lost_claim(world: World, trouble: Trouble) -> tuple[Any, SteppedNode]:
    """A node that holds a task without knowing it."""
    rollout = opened(world)
    node = world.node()
    trouble.fails("claim", after=True)
    with pytest.raises(StoreUnavailable):
        node.claim(rollout)
    assert world.facts(rollout).running == 1
    return rollout, node


def test_a_claim_whose_answer_was_lost_is_given_up(plain: World, trouble: Trouble):
    rollout, node = lost_claim(plain, trouble)
    node.beat()
    assert plain.facts(rollout).running == 1, "seen once: it may be a claim that is being asked for"
    plain.clock.advance(4)
    node.beat()
    assert plain.facts(rollout).running == 0
    node.work(plain.load(rollout))
    assert plain.facts(rollout).done == 2
    assert {row.attempt for row in plain.tasks(rollout) if row.state is TaskState.DONE} == {1, 2}


def test_what_is_being_asked_for_is_not_given_up(plain: World, trouble: Trouble):
    rollout, node = lost_claim(plain, trouble)
    node._asking.acquire()
    for _ in range(4):
        node.beat()
    assert plain.facts(rollout).running == 1
    assert node.claim(rollout) == 0, "one at a time"
    node._asking.release()
    node.beat()
    assert plain.facts(rollout).running == 0


def test_what_is_known_is_never_given_up(plain: World, trouble: Trouble):
    """In hand, waiting for a thread, or with an end that is not written yet."""
    trouble.counts("abandon")
    text = plain.policy.read_text()
    plain.policy.write_text(text.replace("waves: [100%]", "waves: [100%], max_failures: 100%"))
    rollout = plain.until(plain.start(), lambda r: r.waves[1].state == "open", plain.node("other"))
    node = plain.node(parallel=1)
    node.claim(rollout)
    for _ in range(3):
        node.beat()
    trouble.fails("finish", times=50)
    node.work_one()
    for _ in range(3):
        node.beat()
    assert len(node.unwritten) == 1
    assert "abandon" not in trouble.calls
    assert node.session is not None
    behind_its_back = plain.parts.store.claim(node.session, plain.load(rollout), rollout.waves[1], limit=1)
    assert len(behind_its_back) == 1
    node.beat()
    node.beat()
    assert "abandon" in trouble.calls
    assert plain.facts(rollout, 1).running == 1, "the known one stays"


def test_what_was_claimed_before_an_answer_was_lost_is_worked_on(plain: World, trouble: Trouble):
    rollout = opened(plain)
    first = replace(rollout.waves[0])
    both = replace(rollout, waves=(first, first))
    node = plain.node()
    original = plain.parts.store.claim
    calls: list[int] = []

    def claim(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise LOST
        return original(*given, **named)

    trouble._patch.setattr(type(plain.parts.store), "claim", lambda _self, *a, **k: claim(*a, **k))
    with pytest.raises(StoreUnavailable):
        node.claim(both)
    assert node.busy == 1
    assert node.work_one()


# -- the lease ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("lease_s", "pause_s"), [(2.0, 0.5), (15.0, 3.75), (60.0, 5.0)])
def test_a_beat_comes_four_times_a_lease(plain: World, lease_s: float, pause_s: float):
    assert plain.node(lease_s=lease_s).pause_s == pause_s


def test_a_lease_is_fresh_for_half_its_length():
    lease = Lease(until=10.0, span_s=4.0)
    assert lease.fresh(8.0)
    assert not lease.fresh(8.1)
    assert lease.holds(9.9)
    lease.lost.set()
    assert not lease.fresh(7.0)


def silent_from(world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> Callable[[], None]:
    """Once that step was sent the node's beats are not answered, until the value is called."""
    quiet: list[int] = []
    honest = SteppedNode.beat

    def beat(node: SteppedNode) -> None:
        if quiet:
            raise LOST
        honest(node)

    def sent(order: Any, _control: Any) -> None:
        if order.step.id == step:
            quiet.append(1)
            world.clock.advance(10)

    monkeypatch.setattr(SteppedNode, "beat", beat)
    world.executor.on_run = sent
    return quiet.clear


def test_no_step_begins_under_a_lease_that_is_half_over(plain: World, monkeypatch: pytest.MonkeyPatch):
    """CLAIMS 7.5. The lease is 15 s and step a took 10 of them without a beat: b does not begin."""
    rollout = opened(plain)
    node = plain.node()
    answers = silent_from(plain, monkeypatch, "a")
    node.claim(rollout)
    node.work_one()
    assert [run.step for run in plain.executor.runs] == ["a"]
    assert [ending.state for ending in node.unwritten] == [TaskState.PENDING]
    answers()
    node.work(rollout)
    assert plain.executor.doubles == []


def test_without_that_rule_the_step_begins(plain: World, monkeypatch: pytest.MonkeyPatch):
    """Seeded bug: the test above must be able to go red."""
    monkeypatch.setattr(TaskRun, "_await_renewal", lambda _self: None)
    rollout = opened(plain)
    node = plain.node()
    silent_from(plain, monkeypatch, "a")
    node.claim(rollout)
    node.work_one()
    assert [run.step for run in plain.executor.runs] == ["a", "b"]


def test_a_step_waits_for_a_beat_and_goes_on(plain: World, monkeypatch: pytest.MonkeyPatch):
    rollout = opened(plain)
    node = plain.node()
    answers = silent_from(plain, monkeypatch, "a")
    refused: list[int] = []
    honest = SteppedNode.refresh

    def refresh(self: SteppedNode, guard: Any) -> None:
        refused.append(1)
        if len(refused) == 4:
            answers()
        honest(self, guard)

    monkeypatch.setattr(SteppedNode, "refresh", refresh)
    node.claim(rollout)
    node.work_one()
    assert [run.step for run in plain.executor.runs] == ["a", "b"]
    assert len(refused) == 4


def test_a_rollout_with_a_shorter_lease_gets_a_session_of_its_own(plain: World):
    rollout = opened(plain)
    short = replace(rollout, policy=replace(rollout.policy, lease_us=2_000_000))
    node = plain.node(lease_s=15)
    node.claim(rollout)
    first = node.session
    assert node.claim(short) == 0, "not while a step's shim counts on the longer one"
    assert node.session is first
    node.work_one()
    assert node.claim(short) == 1
    assert node.session is not None
    assert node.session.lease_us == 2_000_000
    assert (node.lease.span_s, node.pause_s) == (2.0, 0.5)
    ended = {one.session: (one.dead, one.ended) for one in plain.parts.store.nodes()}
    assert ended[first.id if first else ""] == (True, True)


# -- draining -------------------------------------------------------------------------------------
def test_a_node_hears_that_it_should_drain(plain: World):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    (told,) = plain.parts.store.drain(node.name, actor="ana")
    assert told.held == 1
    before = node.called_off
    node.beat()
    assert (before, node.called_off) == (False, True)
    assert node.claim(rollout) == 0
    node.drain()
    (row,) = plain.parts.store.nodes()
    assert (row.ended, row.held, row.drained_by) == (True, 0, "ana")
    assert plain.facts(rollout).done == 1


def test_a_node_is_new_at_each_start(plain: World):
    first, second = plain.node("same"), plain.node("same")
    assert first.session is not None
    assert second.session is not None
    assert first.session.id != second.session.id


def test_draining_without_a_store_ends_with_the_lease(plain: World, trouble: Trouble):
    rollout = opened(plain)
    node = plain.node()
    node.claim(rollout)
    trouble.fails("finish", times=1000)
    trouble.fails("close_session", times=1000)
    began = plain.clock.monotonic()
    node.drain()
    assert [ending.state for ending in node.unwritten] == [TaskState.DONE]
    assert 10 < plain.clock.monotonic() - began <= 16


def test_a_stop_does_not_wait_for_a_silent_store(plain: World, trouble: Trouble):
    plain.bundle("b1", "a", "b")
    rollout = opened(plain)
    node = plain.node()
    stopped: list[int] = []
    plain.executor.on_run = lambda _order, _control: stopped.append(1)
    node.stop_now = lambda: bool(stopped)
    node.claim(rollout)
    trouble.fails("finish", times=1000)
    began = plain.clock.monotonic()
    node.drain()
    assert plain.clock.monotonic() == began
    assert [run.step for run in plain.executor.runs] == ["a"]
    assert node.halfway == list(node.unwritten)
    assert [ending.state for ending in node.halfway] == [TaskState.UNKNOWN]


# -- reruns ---------------------------------------------------------------------------------------
def test_a_rerun_of_an_idempotent_step_is_counted(plain: World):
    plain.bundle("b1", "a", "b")
    manifest = plain.directory / "b1" / "bundle.yaml"
    step = '{id: a, sql: a.sql, database: "{account.target.database}"}'
    manifest.write_text(manifest.read_text().replace(step, "{id: a, command: [echo], idempotent: true}"))
    plain.executor.blind = True
    plain.executor.script("unknown", step="a")
    first = hand(plain)
    assert first.run().state is TaskState.UNKNOWN
    row = again(plain, first).run()
    assert row.state is TaskState.DONE
    assert row.steps[0].state is EffectState.DONE
    assert row.steps[0].outcome["rerun"] is True
    assert "rerun" not in row.steps[1].outcome
    assert plain.kinds(first.rollout).count("rerun") == 1
    assert queries.status(plain.parts, first.rollout.id)["reruns"] == 1
