"""What people do to a rollout in the middle of an open wave: pause, resume, abort, retry."""

import sqlite3

import pytest

from ringctl.core.states import TaskState
from ringctl.engine.parts import Parts
from tests.support.command_line import CommandLine, eventually
from tests.support.fleet import Fleet, make_fleet, write_bundle, write_policy

CLOSE = 'close_window: {sql: close.sql, database: "{account.target.database}"}\n'
CLOSING = {"close.sql": "INSERT INTO mark (step) VALUES ('closed')"}


def in_red(parts: Parts, rollout: str) -> str:
    """An account in the middle of its batches: between the first step's end and the last one's. Or nobody."""
    rows = parts.store.tasks(rollout, states=[TaskState.RUNNING])
    return next((row.account for row in rows if row.steps and row.steps[-1].step == "tally"), "")


def begin(ringctl: CommandLine, *, closes: bool) -> tuple[Fleet, str]:
    """A rollout whose accounts take about two seconds in their red stretch, and a node."""
    fleet = make_fleet(ringctl.directory, inner=3, outer=3)
    write_policy(fleet, parallel=2, failures="50%", lease="2s")
    more = {"more": CLOSE, "files": CLOSING} if closes else {}
    write_bundle(fleet, "b1", rows=1, pause="40ms", **more)  # type: ignore[arg-type]
    rollout = ringctl.start("b1")
    ringctl.node()
    return fleet, rollout


def settled(parts: Parts, rollout: str) -> bool:
    return not any(parts.store.tasks(rollout, states=[TaskState.RUNNING]))


def row_of(parts: Parts, rollout: str, account: str) -> tuple[TaskState, str]:
    (row,) = parts.store.tasks(rollout, account=account)
    return row.state, row.reason


@pytest.mark.parametrize("closes", [True, False])
def test_a_pause_in_a_red_stretch_lets_the_account_out_of_it(ringctl: CommandLine, closes: bool) -> None:
    """Nobody is parked there (DESIGN 12.9), nothing new is claimed; after `resume` it all finishes, each once."""
    fleet, rollout = begin(ringctl, closes=closes)
    with ringctl.looking() as parts:
        account = eventually(lambda: in_red(parts, rollout), what="an account in its batches")
        assert ringctl("pause", rollout, "--reason", "lunch").code == 0
        assert ringctl("wait", rollout).code == 12
        eventually(lambda: settled(parts, rollout), what="what ran has ended")
        assert row_of(parts, rollout, account)[0] is TaskState.DONE
        attempts = [row.attempt for row in parts.store.tasks(rollout)]
        assert sum(attempts) < len(attempts)
        assert ringctl("wait", rollout).code == 12
        assert [row.attempt for row in parts.store.tasks(rollout)] == attempts
    assert ringctl("resume", rollout, "--reason", "back").code == 0
    waited = ringctl("wait", rollout, "--timeout", "60s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    assert fleet.not_once() == []


@pytest.mark.parametrize("closes", [True, False])
def test_an_abort_in_a_red_stretch_closes_the_window_or_runs_to_the_end(
    ringctl: CommandLine, closes: bool
) -> None:
    fleet, rollout = begin(ringctl, closes=closes)
    with ringctl.looking() as parts:
        account = eventually(lambda: in_red(parts, rollout), what="an account in its batches")
        assert ringctl("abort", rollout, "--reason", "enough").code == 0
        assert ringctl("wait", rollout).code == 15, "aborted at once"
        eventually(lambda: settled(parts, rollout), 30, "what ran has settled")
        state, reason = row_of(parts, rollout, account)
    found = fleet.found(account)
    if closes:
        assert (state, found.marks, found.dones) == (TaskState.UNKNOWN, ("closed", "mark"), 0)
        assert "closed" in reason
        assert account in ringctl("why", rollout).out
    else:
        assert (state, found.once) == (TaskState.DONE, True)
    untouched = [one for one in fleet.everything() if one.account != account and not one.once]
    assert all(one.untouched or one.marks[0] == "closed" for one in untouched)
    assert ringctl.good("audit", "verify").code == 0


def test_an_abort_at_once_stops_and_lists_what_is_open(ringctl: CommandLine) -> None:
    """`--now` carries nothing on: no further step, no closing; the open window stands in every view."""
    fleet, rollout = begin(ringctl, closes=True)
    with ringctl.looking() as parts:
        account = eventually(lambda: in_red(parts, rollout), what="an account in its batches")
        assert ringctl("abort", rollout, "--reason", "stop", "--now").code == 0
        eventually(lambda: settled(parts, rollout), 20, "what ran has stopped")
        state, reason = row_of(parts, rollout, account)
    found = fleet.found(account)
    assert (state, found.marks, found.dones) == (TaskState.UNKNOWN, ("mark",), 0)
    assert reason
    status = ringctl.good("status", rollout, "-o", "json").json
    assert (status["state"], status["counts"]["unknown"]) == ("aborted", 1)
    assert account in ringctl("why", rollout).out
    assert ringctl("wait", rollout).code == 15


def spoil(fleet: Fleet, account: str, *, mend: bool = False) -> None:
    """Make the account refuse the first step; or take it back."""
    raw = sqlite3.connect(fleet.database(account), timeout=10)
    refusal = "CREATE TRIGGER no BEFORE INSERT ON mark BEGIN SELECT RAISE(ABORT, 'no marks here'); END"
    raw.execute("DROP TRIGGER no" if mend else refusal)
    raw.commit()
    raw.close()


def test_a_step_that_fails_holds_and_a_retry_after_the_mending_goes_on(ringctl: CommandLine) -> None:
    fleet = make_fleet(ringctl.directory, inner=3, outer=4)
    write_policy(fleet)
    write_bundle(fleet, "b1")
    spoil(fleet, "b002")
    rollout = ringctl.start("b1")
    ringctl.node()
    assert ringctl("wait", rollout, "--timeout", "60s").code == 17
    assert "accounts" in ringctl.holds(rollout)
    why = ringctl("why", rollout).out
    assert "b002" in why
    assert "no marks here" in why
    assert ringctl("retry", rollout, "--account", "b002", "--reason", "again").code == 0
    assert ringctl("wait", rollout, "--timeout", "30s").code == 17, "not mended: held again"
    spoil(fleet, "b002", mend=True)
    assert ringctl("retry", rollout, "--failed", "--reason", "mended").code == 0
    waited = ringctl("wait", rollout, "--timeout", "60s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    assert fleet.not_once() == []


def test_a_failure_within_the_budget_is_partial(ringctl: CommandLine) -> None:
    """DESIGN 12.13: it never says succeeded."""
    fleet = make_fleet(ringctl.directory, inner=3, outer=9)
    write_policy(fleet, failures="50%")
    write_bundle(fleet, "b1")
    rollout = ringctl.start("b1")
    with ringctl.looking() as parts:
        waves = [wave for wave in parts.store.load(rollout).waves if wave.kind == "expansion"]
        last = waves[-1].id
        account = next(row.account for row in parts.store.tasks(rollout) if row.wave == last)
    spoil(fleet, account)
    ringctl.node()
    waited = ringctl("wait", rollout, "--timeout", "60s")
    assert waited.code == 21, waited.out + ringctl("why", rollout).out
    assert [found.account for found in fleet.not_once()] == [account]
