"""One task from claim to end: every way a step, a wave or a node may cut it short (DESIGN 7, 12.8, 12.9, 12.19)."""

from dataclasses import replace

import pytest

from ringctl.core.errors import BugError, ClaimLost
from ringctl.core.states import EffectState, Settle, TaskState
from ringctl.engine.loop import GRACE_US
from ringctl.engine.running import UNREACHABLE_ATTEMPTS
from ringctl.ports.executor import Probed
from ringctl.testing.scripted_executor import ProcessDied
from tests.engine.hand import again, hand, opened
from tests.engine.world import World

CLOSE = "close_window: {sql: close.sql}\n"
GREEN = "live: {old_until: a, new_from: b}\n"
"""The stretch is red from the end of b on: a stop after a is green."""


@pytest.fixture
def red(plain: World) -> World:
    """b1: a, b, c with a window closer, red after a."""
    plain.bundle("b1", "a", "b", "c", more=CLOSE)
    return plain


def test_every_step_has_its_intent_and_its_result(plain: World):
    row = hand(plain).run()
    assert row.state is TaskState.DONE
    assert [(step.step, step.state) for step in row.steps] == [
        ("a", EffectState.DONE),
        ("b", EffectState.DONE),
    ]
    assert row.steps[0].outcome == {"outcome": "done", "reason": "scripted done", "rows": 1}


def test_an_order_says_everything_the_executor_needs(plain: World):
    one = hand(plain)
    one.run()
    order = plain.executor.orders[0]
    account = one.claim.account
    assert order.placeholders["account.target.database"] == f"{account}.db"
    assert order.placeholders["account.traits.region"] == "eu"
    assert order.placeholders["account.size"] == "10"
    assert order.placeholders["revision"] == order.revision == "r1"
    assert order.placeholders["task.token"] == str(one.claim.fence)
    assert (order.files / "a.sql").read_text() == "select 1 as a;\n"
    assert len({one.key for one in plain.executor.orders}) == 2
    assert order.accepts == frozenset()


@pytest.mark.parametrize(("answer", "state"), [("failed", TaskState.FAILED), ("unknown", TaskState.UNKNOWN)])
def test_a_step_that_does_not_end_well_ends_the_task(plain: World, answer, state):
    plain.executor.script(answer, step="a")
    one = hand(plain)
    assert one.run().state is state
    assert one.steps == ["a"]
    assert one.row.reason == f"a: scripted {answer}"


# -- what the wave wants between steps ------------------------------------------------------------
RED_CASES = [
    (Settle.FINISH, ["a", "b", "c"], TaskState.DONE),
    (Settle.CLOSE, ["a", "close_window"], TaskState.UNKNOWN),
    (Settle.STOP, ["a"], TaskState.UNKNOWN),
]


@pytest.mark.parametrize(("settle", "steps", "state"), RED_CASES)
def test_inside_a_red_stretch_nothing_is_parked(red: World, settle, steps, state):
    one = hand(red)
    one.wants = {1: settle}
    assert one.run().state is state
    assert one.steps == steps


def test_without_a_closer_a_closing_task_runs_to_its_end(plain: World):
    plain.bundle("b1", "a", "b", "c")
    one = hand(plain)
    one.wants = {1: Settle.CLOSE}
    assert one.run().state is TaskState.DONE


@pytest.mark.parametrize(
    ("settle", "state"),
    [(Settle.FINISH, TaskState.PENDING), (Settle.CLOSE, TaskState.UNKNOWN), (Settle.STOP, TaskState.UNKNOWN)],
)
def test_at_a_green_stop_a_begun_task_is_parked(plain: World, settle, state):
    plain.bundle("b1", "a", "b", "c", more=GREEN + CLOSE)
    one = hand(plain)
    one.wants = {1: settle}
    assert one.run().state is state
    assert one.steps == ["a"]


@pytest.mark.parametrize("settle", [Settle.FINISH, Settle.CLOSE, Settle.STOP])
def test_a_task_that_has_not_begun_is_given_back(red: World, settle):
    one = hand(red)
    one.wants = {0: settle}
    assert one.run().state is TaskState.PENDING
    assert one.steps == []


@pytest.mark.parametrize(("stop", "state"), [(0, TaskState.PENDING), (1, TaskState.UNKNOWN)])
def test_a_stop_of_the_node_carries_nothing_on(red: World, stop, state):
    one = hand(red)
    one.stops = {stop}
    assert one.run().state is state
    assert one.steps == ["a"][:stop]
    assert stop == 0 or one.row.reason == "stopped before b; its window is open"


@pytest.mark.parametrize("answer", ["done", "failed", "unknown"])
def test_a_closing_says_how_it_went(red: World, answer):
    red.executor.script(answer, step="close_window")
    one = hand(red)
    one.wants = {1: Settle.CLOSE}
    assert one.run().state is TaskState.UNKNOWN
    assert ("its window was closed" in one.row.reason) is (answer == "done")
    assert "closing the window with close.sql" in [line for _, line in red.parts.store.task_log(
        one.rollout.id, one.claim.account)]  # fmt: skip


def test_a_half_run_closing_is_run_again_by_the_next_one(red: World):
    red.executor.script("unknown", step="close_window")
    first = hand(red)
    first.wants = {1: Settle.CLOSE}
    first.run()
    second = again(red, first)
    second.guard.settle = Settle.CLOSE
    assert second.run().state is TaskState.UNKNOWN
    assert second.steps == ["close_window"]


# -- stopped between batches ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settle", "steps"), [(Settle.CLOSE, ["a", "b", "close_window"]), (Settle.STOP, ["a", "b"])]
)
def test_a_step_stopped_between_batches_is_closed_where_asked(red: World, settle, steps):
    red.executor.script("stopped", step="b")
    one = hand(red)
    one.wants = {2: settle}
    assert one.run().state is TaskState.UNKNOWN
    assert one.steps == steps


# -- targets that are not there -------------------------------------------------------------------
def test_an_unreachable_target_is_tried_again_and_fails_in_the_end(plain: World):
    plain.executor.always("unreachable", step="a")
    one = hand(plain)
    began = plain.clock.monotonic()
    for attempt in range(1, UNREACHABLE_ATTEMPTS + 1):
        assert one.claim.attempt == attempt
        assert one.run().state is (TaskState.PENDING if attempt < UNREACHABLE_ATTEMPTS else TaskState.FAILED)
        if attempt < UNREACHABLE_ATTEMPTS:
            one = again(plain, one)
    assert plain.clock.monotonic() - began >= 0.5 + 1 + 2 + 4
    assert one.row.reason == "a: unreachable: scripted unreachable"


@pytest.mark.parametrize(
    ("settle", "step", "state"),
    [
        (Settle.FINISH, "a", TaskState.PENDING),
        (Settle.CLOSE, "a", TaskState.PENDING),
        (Settle.FINISH, "b", TaskState.PENDING),
        (Settle.CLOSE, "b", TaskState.UNKNOWN),
    ],
)
def test_a_pause_does_not_make_an_unreachable_account_fail(plain: World, settle, step, state):
    plain.bundle("b1", "a", "b", "c")
    plain.executor.script("unreachable", step=step)
    one = hand(plain)
    one.wants = {1 if step == "a" else 2: settle}
    assert one.run().state is state


# -- bytes that changed ---------------------------------------------------------------------------
def spoil(one, name: str) -> None:
    path = one.copies.directory(one.rollout.bundle.digest) / name
    path.chmod(0o644)
    path.write_text("drop table build;\n")


def test_a_spoilt_copy_holds_and_nothing_runs(red: World):
    one = hand(red)
    spoil(one, "a.sql")
    assert one.run().state is TaskState.PENDING
    assert one.steps == []
    drift = red.parts.store.facts(one.rollout).drift
    assert drift is not None
    assert drift.files == ("a.sql",)
    assert (one.copies.directory(one.rollout.bundle.digest) / "a.sql").read_text() == "select 1 as a;\n"
    assert red.reconcile(one.rollout).rollout.hold("drift")


@pytest.mark.parametrize(
    ("more", "steps", "state"),
    [(CLOSE, ["a", "close_window"], TaskState.UNKNOWN), ("", ["a"], TaskState.UNKNOWN)],
)
def test_a_copy_spoilt_half_way_never_parks_a_window_open(plain: World, more, steps, state):
    plain.bundle("b1", "a", "b", "c", more=more)
    one = hand(plain)
    plain.executor.on_run = lambda order, _: spoil(one, "b.sql") if order.step.id == "a" else None
    assert one.run().state is state
    assert one.steps == steps


def test_a_spoilt_closer_is_not_run(red: World):
    one = hand(red)
    one.wants = {1: Settle.CLOSE}
    red.executor.on_run = lambda _order, _: spoil(one, "close.sql")
    assert one.run().state is TaskState.UNKNOWN
    assert one.steps == ["a"]
    assert "its window is open" in one.row.reason


# -- unknown outcomes -----------------------------------------------------------------------------
def died(world: World, answer: str, bundle: str = "b1"):
    """A task whose holder died in its first step."""
    world.executor.script(answer, step="a")
    one = hand(world, bundle)
    with pytest.raises(ProcessDied):
        one.run()
    world.clock.advance(4_000)
    assert world.parts.store.rescue(grace_us=GRACE_US) == 1
    assert one.row.state is TaskState.UNKNOWN
    return one


@pytest.mark.parametrize(("answer", "steps"), [("crash-after", ["b"]), ("crash-before", ["a", "b"])])
def test_an_unknown_step_is_probed_and_never_blindly_repeated(plain: World, answer, steps):
    second = again(plain, died(plain, answer))
    assert second.claim.resolving
    assert second.run().state is TaskState.DONE
    assert second.steps == steps
    assert plain.executor.doubles == []


def test_what_nobody_knows_waits_for_a_person(plain: World):
    plain.executor.blind = True
    second = again(plain, died(plain, "crash-after"))
    assert second.run().state is TaskState.UNKNOWN
    assert second.steps == []
    assert second.row.reason == "a: nobody knows whether it took effect"
    assert plain.parts.store.claim_unknown(session_of(plain), plain.load(second.rollout), limit=9) == ()


def test_an_idempotent_step_is_run_again_and_says_so(plain: World):
    directory = plain.bundle("b1", "b")
    manifest = (directory / "bundle.yaml").read_text()
    step = '  - {id: a, command: ["./a.sh"], idempotent: true}\n'
    (directory / "bundle.yaml").write_text(manifest.replace("steps:\n", "steps:\n" + step))
    (directory / "a.sh").write_text("#!/bin/sh\n")
    plain.executor.probes(Probed.UNKNOWN)
    second = again(plain, died(plain, "crash-before"))
    assert second.run().state is TaskState.DONE
    assert second.steps == ["a", "b"]
    log = [line for _, line in plain.parts.store.task_log(second.rollout.id, second.claim.account)]
    assert log == ["a: outcome unknown; it is declared idempotent and runs again"]


def test_an_intent_is_stored_before_anything_is_sent(plain: World):
    one = hand(plain)
    seen: list[EffectState] = []
    plain.executor.on_run = lambda _order, _: seen.append(one.row.steps[-1].state)
    one.run()
    assert seen == [EffectState.INTENT, EffectState.INTENT]


def test_a_holder_that_lost_its_claim_sends_nothing_more(plain: World):
    one = hand(plain)
    stolen = replace(one.claim, id="stolen")
    one.guard.claim = stolen
    with pytest.raises(ClaimLost):
        one.task().run()
    assert plain.executor.runs == []


def test_a_step_that_took_effect_is_never_begun_again(plain: World):
    one = hand(plain)
    plain.executor.script("failed", step="b")
    one.run()
    first = one.rollout.bundle.steps[0]
    with pytest.raises((BugError, ClaimLost)):
        plain.parts.store.intent(one.claim, "a", first.digest, "key", deadline_us=1)


# -- half-done accounts under a later revision -----------------------------------------------------
def half_done(world: World, more: str):
    """An account that stopped in b under r1, drawn into r2's subset; a hand on it."""
    world.executor.script("failed", step="b")
    first = hand(world)
    first.run()
    world.bundle("b2", "a", "b", "c", more=more, texts={"b": "select 2 as b;\n"})
    amended = world.amend(first.rollout, "b2")
    rollout = world.until(
        world.load(amended), lambda r: any(True for w in r.current_waves() if w.state == "open")
    )
    store = world.parts.store
    wave = next(w for w in rollout.current_waves() if w.state == "open")
    claims = store.claim(session_of(world), rollout, wave, limit=10)
    found = [one for one in claims if one.account == first.claim.account]
    return first, rollout, found


def session_of(world: World):
    return world.parts.store.open_session("r2", lease_us=3_600_000_000)


def test_a_half_done_account_goes_on_where_from_step_says(plain: World):
    plain.bundle("b1", "a", "b", "c")
    first, rollout, found = half_done(plain, "from_step: {a: b, b: b}\n")
    (claim,) = found
    assert claim.start_at == "b"
    second = type(first)(world=plain, rollout=rollout, claim=claim, copies=first.copies)
    assert second.run().state is TaskState.DONE
    assert second.steps == ["b", "c"]
    old = {spec.id: spec.digest for spec in first.rollout.bundle.steps}
    by_step = {run.step: run for run in plain.executor.runs if run.claim == claim.id}
    assert by_step["b"].accepts == {old["b"]}
    assert by_step["c"].accepts == frozenset(), "its digest is the same: nothing older to accept"


def test_a_half_done_account_that_from_step_does_not_name_waits(plain: World):
    plain.bundle("b1", "a", "b", "c")
    _, _, found = half_done(plain, "")
    assert found == []


def test_steps_before_the_first_of_from_step_accept_nothing_older(plain: World):
    plain.bundle("b1", "a", "b", "c")
    first, rollout, found = half_done(plain, "from_step: {a: b, b: b}\n")
    one = type(first)(world=plain, rollout=rollout, claim=found[0], copies=first.copies)
    assert one.task().orders.order(rollout.bundle, rollout.bundle.step("a")).accepts == frozenset()


def test_a_task_of_an_older_revision_runs_its_own_bytes(plain: World):
    one = hand(plain)
    plain.amend(one.rollout, "b2")
    one.rollout = plain.load(one.rollout)
    one.run()
    digests = {spec.digest for spec in opened_digests(plain)}
    assert {run.digest for run in plain.executor.runs} == digests
    assert {run.revision for run in plain.executor.runs} == {"r1"}


def opened_digests(world: World):
    from ringctl.settings import load_bundle

    return load_bundle(world.directory / "b1").bundle.steps


def test_a_rollout_opens_under_the_built_in_source_at_once(plain: World):
    assert opened(plain).waves[0].state == "open"
