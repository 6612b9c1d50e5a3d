"""VSTS, 29 September 2017, on a smaller fleet: real databases, the real service with users, real metrics.

Every step of it is a command that a person types, and everything that is asserted comes from the commands' JSON
or from the accounts' own databases.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringctl.demo import inspect, material, service, traffic
from ringctl.demo.world import World, make_world, write_inventory
from tests.support.command_line import CommandLine
from tests.support.scale import scaled

ACCOUNTS = scaled(14, 60)


@dataclass(frozen=True, slots=True)
class Story:
    """How it stood when the gate had failed, and at the end."""

    world: World
    ringctl: CommandLine
    waited: int
    under_r1: frozenset[str]
    held: dict[str, Any]
    amended: int
    finished: int
    status: dict[str, Any]
    events: list[dict[str, Any]]
    exposure: list[dict[str, Any]]


def quicker(policy: Path) -> None:
    """Twice as many looks as in the demo, and shorter bakes: it is the order of things that is looked at here."""
    text = policy.read_text()
    for old, new in (
        ("every: 1s", "every: 500ms"),
        ("baseline: 6s", "baseline: 4s"),
        ("min: 4s", "min: 2s"),
        ("min: 5s", "min: 3s"),
        ("activity: 40", "activity: 20"),
    ):
        assert old in text
        text = text.replace(old, new)
    policy.write_text(text)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The whole story, once."""
    directory = tmp_path_factory.mktemp("vsts")
    ringctl = CommandLine(directory)
    world = make_world(directory, accounts=ACCOUNTS)
    child, url = service.start(directory)
    with child:
        write_inventory(world, url)
        users = traffic.start(directory, url)
        with users:
            quicker(material.write_policy(directory, "scrape", url))
            material.write_bundle(directory, "r1-window")
            material.write_bundle(directory, "r2-fixed")
            try:
                yield _told(world, ringctl)
            finally:
                ringctl.end()


def _told(world: World, ringctl: CommandLine) -> Story:
    ringctl.good("plan", "--policy", "policy.yaml", "--bundle", "bundles/r1-window")
    rollout = ringctl.start("bundles/r1-window")
    ringctl.node()
    waited = ringctl("wait", rollout, "--timeout", "60s")
    while ringctl.good("status", rollout, "-o", "json").json["counts"]["running"]:
        continue  # the open windows are being closed
    held = ringctl.good("status", rollout, "-o", "json").json
    under_r1 = frozenset(account.id for account in world.accounts if inspect.ledger(account))
    amended = ringctl(
        "amend", "--bundle", "bundles/r2-fixed", "--author", "build-oncall", "--reason", "readers of both forms",
        "--watcher", "build-oncall",
    )  # fmt: skip
    finished = ringctl("wait", rollout, "--timeout", "120s")
    return Story(
        world=world,
        ringctl=ringctl,
        waited=waited.code,
        under_r1=under_r1,
        held=held,
        amended=amended.code,
        finished=finished.code,
        status=ringctl.good("status", rollout, "-o", "json").json,
        events=ringctl.events(rollout),
        exposure=ringctl.good("exposure", rollout, "-o", "ndjson").lines,
    )


def waves(status: dict[str, Any], revision: str) -> list[dict[str, Any]]:
    found = [wave for ring in status["rings"] for wave in ring["waves"]]
    return sorted((wave for wave in found if wave["revision"] == revision), key=lambda wave: wave["id"])


def members(story: Story, wave: dict[str, Any]) -> set[str]:
    """Accounts that the rollout's own file puts into a wave."""
    raw = sqlite3.connect(story.ringctl.directory / "ringctl.db")
    asked = "SELECT m.account FROM task t JOIN member m ON m.id = t.member WHERE t.wave = ?"
    names = {name for (name,) in raw.execute(asked, (wave["id"],))}
    raw.close()
    return names


def test_the_gate_fails_in_the_canary_and_holds(story: Story) -> None:
    assert story.waited == 10
    (hold,) = story.held["holds"]
    assert hold["code"] == "gate-failed"
    assert "answers" in hold["reason"]
    first, *others = waves(story.held, "r1")
    assert (first["kind"], first["state"]) == ("canary", "failed")
    assert {wave["state"] for wave in others} == {"planned"}
    assert {wave["state"] for wave in waves(story.status, "r1")} == {"withdrawn"}


def test_the_first_revision_never_leaves_its_canary(story: Story) -> None:
    exposed = {row["account"] for row in story.exposure if row["revision"] == "r1"}
    assert exposed
    assert exposed <= members(story, waves(story.status, "r1")[0])
    assert exposed == story.under_r1, "what was recorded is what the targets say"
    later = {row["account"] for row in story.exposure if row["revision"] == "r2"}
    assert exposed <= later, "every one of them was taken up by the second revision"


def test_the_second_revision_begins_in_a_small_subset_and_waits_for_it(story: Story) -> None:
    assert story.amended == 0
    subset = [wave for wave in waves(story.status, "r2") if wave["kind"] == "requalification"]
    others = [wave for wave in waves(story.status, "r2") if wave["kind"] != "requalification"]
    assert subset
    assert all(wave["accounts"] <= 5 and wave["state"] == "passed" for wave in subset)
    passed = max(wave["passed_at"] for wave in subset)
    assert all(wave["opened_at"] >= passed for wave in others)
    begun = min((row["from"], row["account"]) for row in story.exposure if row["revision"] == "r2")
    assert begun[1] in set.union(*(members(story, wave) for wave in subset))
    for row in story.exposure:
        if row["revision"] == "r2" and row["from"] < passed:
            assert row["account"] in set.union(*(members(story, wave) for wave in subset))
    kinds = [event["kind"] for event in story.events]
    opened = [event["data"]["wave_kind"] for event in story.events if event["kind"] == "wave-opened"]
    assert opened[0] == "canary"
    assert opened[1] == "requalification"
    assert kinds.index("amended") < kinds.index("requalified")
    firsts = {
        ring["name"]: [w for w in ring["waves"] if w["revision"] == "r2"] for ring in story.status["rings"]
    }
    for ring in ("early", "everyone"):
        assert firsts[ring][0]["kind"] == "canary", "every later ring begins with its canary again"


def test_all_accounts_are_done_and_nothing_is_missing(story: Story) -> None:
    assert (story.finished, story.status["state"]) == (0, "succeeded")
    assert story.status["counts"]["done"] == ACCOUNTS
    assert {row["account"] for row in story.exposure if row["phase"] == "done"} == {
        account.id for account in story.world.accounts
    }
    total = inspect.total(inspect.look_at_all(story.world))
    assert (total.whole, total.upgraded, total.broken) == (ACCOUNTS, ACCOUNTS, ())
    audit = story.ringctl.good("audit", "verify", "-o", "json").json
    assert (audit["ok"], audit["anchor"]) == (True, "unanchored")
