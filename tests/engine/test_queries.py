"""Read models: shapes of DESIGN 10, told over the life of a rollout."""

from dataclasses import replace

from ringctl.core.facts import Facts
from ringctl.core.states import RolloutState, WaveState
from ringctl.engine import commands, queries
from ringctl.engine.listing import rollout_list
from tests.engine.hand import hand, opened
from tests.engine.world import World


def test_status_tells_the_whole_rollout(world: World):
    rollout = world.until(world.start(), lambda r: r.waves[0].state is WaveState.BAKING, world.node())
    told = queries.status(world.parts, rollout.id)
    assert told["schema"] == "ringctl/status/v1"
    assert told["revision"] == {"name": "r1", "digest": rollout.revision.digest, "author": "ann"}
    inner = told["rings"][0]
    assert (inner["name"], inner["state"]) == ("inner", "open")
    assert inner["waves"][0]["checks"][0]["check"] == "errors"
    assert told["counts"]["done"] == 2
    assert told["counts"]["to_go"] == 12
    assert told["exposure"]["r1"] == 2
    assert told["next"]["what"] == "bake"


def test_rings_are_waiting_open_failed_or_passed(world: World):
    rollout = world.start()
    states = [ring["state"] for ring in queries.status(world.parts, rollout.id)["rings"]]
    assert states == ["waiting", "waiting"]
    node = world.node()
    world.source.harms = lambda account: account in {run.account for run in world.executor.effects}
    rollout = world.until(rollout, lambda r: r.hold("gate-failed"), node)
    assert queries.status(world.parts, rollout.id)["rings"][0]["state"] == "failed"
    world.source.heal()
    rollout = world.until(world.amend(rollout, "b2"), lambda r: r.ended_us is not None, node)
    told = queries.status(world.parts, rollout.id)
    assert {ring["state"] for ring in told["rings"]} == {"passed"}
    assert [one["failed"] for one in told["revisions"]] == [True, False]


def test_a_ring_of_an_aborted_rollout_never_says_passed(world: World):
    rollout = commands.abort(world.parts, world.start().id, reason="enough", now=False)
    told = queries.status(world.parts, rollout.id)
    assert {ring["state"] for ring in told["rings"]} == {"withdrawn"}


def test_next_says_what_whom_and_the_way_on(plain: World):
    rollout = opened(plain)
    told = queries.next_object(rollout, plain.parts.store.facts(rollout))
    assert told["what"] == "open"
    assert "no node is alive" in told["text"]
    held = commands.pause(plain.parts, rollout.id, reason="lunch")
    told = queries.next_object(held, plain.parts.store.facts(held))
    assert (told["what"], told["whom"]) == ("hold", "ana")
    assert told["way"] == f"ringctl resume {rollout.id}"
    assert queries.next_object(replace(rollout, waves=()), Facts())["what"] == "draw"
    over = replace(rollout, state=RolloutState.ABORTED)
    assert queries.next_object(over, Facts())["what"] == "nothing"


def test_why_lists_the_accounts_that_need_somebody(plain: World):
    plain.executor.script("failed", step="a")
    one = hand(plain)
    one.run()
    plain.reconcile(one.rollout)
    told = queries.why(plain.parts, one.rollout.id)
    assert [row["account"] for row in told["accounts"]] == [one.claim.account]
    assert told["holds"][0]["code"] == "accounts"
    assert told["wave"]["failed"] == 1
    commands.abort(plain.parts, one.rollout.id, reason="x", now=False)
    assert queries.why(plain.parts, one.rollout.id)["wave"] is None


def test_events_and_exposure_are_streams(plain: World):
    one = hand(plain)
    one.run()
    events = list(queries.events(plain.parts, one.rollout.id))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["kind"] == "created"
    assert list(queries.events(plain.parts, one.rollout.id, after=len(events))) == []
    rows = list(queries.exposure(plain.parts, one.rollout.id))
    assert rows[-1]["phase"] == "done"
    assert rows[-1]["to"] is None
    assert list(queries.exposure(plain.parts, one.rollout.id, revision="r2")) == []


def test_lists_and_starts_have_their_schema(plain: World):
    rollout = plain.start()
    assert rollout_list(plain.parts)["rollouts"][0]["id"] == rollout.id
    told = queries.started(rollout, attached=True)
    assert (told["schema"], told["id"], told["attached"]) == ("ringctl/start/v1", rollout.id, True)


def test_a_plan_is_told_with_its_members(plain: World):
    told = queries.plan_document(commands.plan(plain.parts, plain.request()))
    assert told["schema"] == "ringctl/plan/v1"
    assert [ring["name"] for ring in told["rings"]] == ["inner", "outer"]
    members = {m for ring in told["rings"] for wave in ring["waves"] for m in wave["members"]}
    members |= {m for wave in told["reserve"] for m in wave["members"]}
    assert len(members) == 14
    assert told["requalification"]["accounts"] == 2
