"""Amendments at bad moments: the node dies before the subset is drawn, two in a row, a third revision."""

import sqlite3
import time

from ringctl.core.states import TaskState
from ringctl.engine.parts import Parts
from tests.support.command_line import CommandLine, eventually
from tests.support.fleet import Fleet, make_fleet, write_bundle, write_policy

GO_ON = "from_step: {mark: mark, tally: tally, note: note}\n"


def running_step(parts: Parts, rollout: str, step: str) -> bool:
    rows = parts.store.tasks(rollout, states=[TaskState.RUNNING])
    return any(row.steps and row.steps[-1].step == step for row in rows)


def done_accounts(parts: Parts, rollout: str) -> set[str]:
    return {row.account for row in parts.store.tasks(rollout, states=[TaskState.DONE])}


def done(parts: Parts, rollout: str) -> int:
    return sum(1 for _ in parts.store.tasks(rollout, states=[TaskState.DONE]))


def drawn(ringctl: CommandLine, rollout: str, revision: str) -> list[dict[str, object]]:
    """The requalification waves of a revision, as the journal has them."""
    events = [event["data"] for event in ringctl.events(rollout) if event["kind"] == "wave-drawn"]
    return [e for e in events if e["revision"] == revision and e["wave_kind"] == "requalification"]


def check_finished(ringctl: CommandLine, fleet: Fleet, rollout: str, revision: str) -> None:
    waited = ringctl("wait", rollout, "--timeout", "90s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    assert fleet.not_once() == []
    status = ringctl.good("status", rollout, "-o", "json").json
    assert (status["state"], status["revision"]["name"]) == ("succeeded", revision)
    assert ringctl.good("audit", "verify").code == 0
    with ringctl.looking() as parts:
        assert parts.store.verify() == ()
    subset = drawn(ringctl, rollout, revision)
    assert subset
    assert all(wave["accounts"] <= 5 for wave in subset)  # type: ignore[operator]
    passed = next(
        e["at"]
        for e in ringctl.events(rollout)
        if e["kind"] == "requalified" and e["data"]["revision"] == revision
    )
    names = {name for wave in subset for name in wave["members"]}  # type: ignore[attr-defined]
    for row in ringctl.good("exposure", rollout, "--revision", revision, "-o", "ndjson").lines:
        assert row["from"] >= passed or row["account"] in names


def test_nodes_killed_between_amend_and_drawing_change_nothing(ringctl: CommandLine) -> None:
    """The account that was in the middle of its command is asked, not run again (promise I2)."""
    fleet = make_fleet(ringctl.directory, inner=4, outer=6)
    write_policy(fleet, canary=1, parallel=1, lease="1s")
    write_bundle(fleet, "b1", work="0.4")
    write_bundle(fleet, "b2", work="0.4", pause="6ms", more=GO_ON)
    rollout = ringctl.start("b1")
    with ringctl.looking() as parts:
        node = ringctl.node()
        eventually(lambda: running_step(parts, rollout, "note"), what="an account in its command")
        node.kill()
        killed = time.monotonic()
        account = next(row.account for row in parts.store.tasks(rollout, states=[TaskState.RUNNING]))
        assert ringctl.amend("b2").code == 0
        second = ringctl.node()
        eventually(lambda: any(n.node.endswith(f"-{second.pid}") for n in parts.store.nodes()), what="a node")
        time.sleep(0.5)
        early = drawn(ringctl, rollout, "r2")
        rescued = time.monotonic() - killed > 7.0  # a slow machine: lease and grace may be over by now
        assert early == [] or rescued, "not while a task of r1 may still run"
        second.kill()
        ringctl.node()
        eventually(lambda: drawn(ringctl, rollout, "r2"), 30, "the subset is drawn")
    check_finished(ringctl, fleet, rollout, "r2")
    assert len(drawn(ringctl, rollout, "r2")) == len(
        {str(w["members"]) for w in drawn(ringctl, rollout, "r2")}
    )
    assert fleet.found(account).dones == 1


def test_a_command_that_took_effect_before_its_node_died_is_not_run_again(ringctl: CommandLine) -> None:
    """The result was never written: the next revision asks the probe first, `from_step` or not (promise I2)."""
    fleet = make_fleet(ringctl.directory, inner=4, outer=4)
    write_policy(fleet, canary=1, parallel=1, lease="1s")
    note = '#!/bin/sh\necho "done $RINGCTL_TASK_TOKEN" >> "$1"\nsleep "$2"\n'
    write_bundle(fleet, "b1", work="2", files={"note.sh": note})
    write_bundle(fleet, "b2", work="2", pause="6ms", files={"note.sh": note}, more=GO_ON)
    rollout = ringctl.start("b1")
    with ringctl.looking() as parts:
        node = ringctl.node()
        account = eventually(
            lambda: next((f.account for f in fleet.everything() if f.dones), ""), what="an effect"
        )
        node.kill()
        assert ringctl.amend("b2").code == 0
        ringctl.node()
        eventually(lambda: account in done_accounts(parts, rollout), 40, "the account is done")
        rows = list(parts.store.tasks(rollout, account=account))
    assert [row.state for row in rows] == [TaskState.CANCELLED, TaskState.DONE]
    assert fleet.found(account).dones == 1


def test_a_command_of_which_nobody_knows_waits_for_a_person_whatever_from_step_says(
    ringctl: CommandLine,
) -> None:
    """Without an answer it is not sent again (promise I2); a person's word ends the doubt."""
    fleet = make_fleet(ringctl.directory, inner=4, outer=4)
    write_policy(fleet, canary=1, parallel=1, lease="1s")
    silent = "#!/bin/sh\nexit 7\n"
    write_bundle(fleet, "b1", work="2", files={"noted.sh": silent})
    write_bundle(fleet, "b2", work="2", pause="6ms", files={"noted.sh": silent}, more=GO_ON)
    rollout = ringctl.start("b1")
    with ringctl.looking() as parts:
        node = ringctl.node()
        account = eventually(
            lambda: next((f.account for f in fleet.everything() if f.starts), ""), what="a command begun"
        )
        node.kill()
        assert ringctl.amend("b2").code == 0
        ringctl.node()
        waited = ringctl("wait", rollout, "--timeout", "40s")
        assert waited.code == 17, waited.out
        assert "nobody knows" in ringctl("why", rollout).out
        assert fleet.found(account).starts == 1
        said = ("--reason", "looked at it", "--account", account)
        assert ringctl("retry", rollout, *said, "--as", "not-done").code == 0
        assert ringctl("retry", rollout, *said).code == 0
        eventually(lambda: account in done_accounts(parts, rollout), 40, "the account is done")
    found = fleet.found(account)
    assert (found.starts, found.dones) == (2, 1)


def test_two_amendments_in_a_row_and_a_third_later(ringctl: CommandLine) -> None:
    fleet = make_fleet(ringctl.directory, inner=6, outer=12)
    write_policy(fleet, canary=1, parallel=2)
    for number, pause in enumerate(("5ms", "6ms", "7ms", "8ms"), start=1):
        write_bundle(fleet, f"b{number}", work="0.1", pause=pause, more=GO_ON if number > 1 else "")
    rollout = ringctl.start("b1")
    with ringctl.looking() as parts:
        ringctl.node()
        eventually(lambda: done(parts, rollout) >= 1, what="an account is done under r1")
        assert ringctl.amend("b2").code == 0
        assert ringctl.amend("b3").code == 0
        eventually(lambda: done(parts, rollout) >= 4, 40, "r3 goes on")
        assert ringctl.amend("b4").code == 0
        assert ringctl.amend("b2").code == 4, "bytes of an earlier revision"
    check_finished(ringctl, fleet, rollout, "r4")
    status = ringctl.good("status", rollout, "-o", "json").json
    assert [one["name"] for one in status["revisions"]] == ["r1", "r2", "r3", "r4"]
    raw = sqlite3.connect(ringctl.directory / "ringctl.db")
    twice = raw.execute(
        "SELECT member FROM task WHERE state = 'done' GROUP BY member HAVING count(*) > 1"
    ).fetchall()
    raw.close()
    assert twice == []
