"""A script edited in place (promise I3): held, and nothing of the changed bytes ever runs."""

import os
from pathlib import Path

from ringctl.core.states import TaskState
from ringctl.engine.parts import Parts
from tests.support.command_line import CommandLine, eventually
from tests.support.fleet import MARK, Fleet, make_fleet, write_bundle, write_policy


def some_done(parts: Parts, rollout: str, least: int = 1) -> bool:
    return sum(1 for _ in parts.store.tasks(rollout, states=[TaskState.DONE])) >= least


def settled(parts: Parts, rollout: str) -> bool:
    return not any(parts.store.tasks(rollout, states=[TaskState.RUNNING]))


def words_of(fleet: Fleet) -> set[str]:
    return {word for found in fleet.everything() for word in found.marks}


def check_held(ringctl: CommandLine, rollout: str, file: str) -> None:
    """Exit 18, and `why` names the file and the way on."""
    waited = ringctl("wait", rollout, "--timeout", "30s")
    assert waited.code == 18, waited.out
    assert "drift" in ringctl.holds(rollout)
    why = ringctl("why", rollout).out
    assert file in why
    assert f"ringctl amend {rollout}" in " ".join(why.split())


def test_a_script_edited_where_it_came_from_holds_until_it_is_amended(ringctl: CommandLine) -> None:
    fleet = make_fleet(ringctl.directory, inner=3, outer=5)
    write_policy(fleet, parallel=2)
    bundle = write_bundle(fleet, "b1", work="0.2")
    rollout = ringctl.start("b1")
    ringctl.node()
    with ringctl.looking() as parts:
        eventually(lambda: some_done(parts, rollout), what="the first account is done")
        (bundle / "mark.sql").write_text(MARK.format(word="edited"))
        check_held(ringctl, rollout, "mark.sql")
        eventually(lambda: settled(parts, rollout), what="what ran has ended")
        attempts = [(row.account, row.attempt) for row in parts.store.tasks(rollout)]
        assert words_of(fleet) == {"mark"}
        assert ringctl("wait", rollout).code == 18
        assert [(row.account, row.attempt) for row in parts.store.tasks(rollout)] == attempts
    resumed = ringctl("resume", rollout)
    assert resumed.code == 18, "the bytes are still others: nothing is lifted"
    assert ringctl("wait", rollout, "--timeout", "20s").code == 18
    assert words_of(fleet) == {"mark"}
    assert ringctl.amend("b1").code == 0
    waited = ringctl("wait", rollout, "--timeout", "60s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    assert fleet.not_once() == []
    assert words_of(fleet) == {"mark", "edited"}


def copy_of(ringctl: CommandLine, name: str) -> Path:
    (path,) = (ringctl.directory / ".ringctl-work" / "bundles").glob(f"*/{name}")
    return path


def test_a_copy_edited_on_the_node_is_found_and_never_runs(ringctl: CommandLine) -> None:
    fleet = make_fleet(ringctl.directory, inner=3, outer=5)
    write_policy(fleet, parallel=2)
    write_bundle(fleet, "b1", work="0.1")
    rollout = ringctl.start("b1", "--detach-source")
    with ringctl.looking() as parts:
        first = ringctl.node()
        eventually(lambda: some_done(parts, rollout), what="the first account is done")
        first.signal(15)
        assert first.ends() == 143
        copy = copy_of(ringctl, "mark.sql")
        other = copy.with_name("other")
        other.write_text(MARK.format(word="mallory"))
        os.replace(other, copy)
        ringctl.node()
        check_held(ringctl, rollout, "mark.sql")
        eventually(lambda: settled(parts, rollout), what="what ran has ended")
        assert words_of(fleet) == {"mark"}
    assert ringctl("resume", rollout).code == 0
    waited = ringctl("wait", rollout, "--timeout", "60s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    assert fleet.not_once() == []
    assert words_of(fleet) == {"mark"}, "a clean copy was written and used"
