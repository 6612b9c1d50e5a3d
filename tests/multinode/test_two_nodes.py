"""Two nodes on one SQLite file, one of them stopped in the middle for longer than its lease."""

import signal
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from ringctl.core.states import TaskState
from ringctl.engine.parts import Parts
from tests.multinode.test_killed_nodes import alive, check_whole
from tests.support.command_line import CommandLine, Node, eventually
from tests.support.fleet import Fleet, make_fleet, write_bundle, write_policy


def held_by(ringctl: CommandLine, node: Node) -> dict[int, tuple[str, str, int]]:
    """task -> (account, claim, fence) of what a node holds now; read from the file itself."""
    raw = sqlite3.connect(ringctl.directory / "ringctl.db", timeout=10)
    try:
        rows = raw.execute(
            "SELECT t.id, m.account, t.claim, t.fence FROM task t JOIN member m ON m.id = t.member"
            " JOIN node_session s ON s.id = t.holder WHERE t.state = 'running' AND s.node LIKE ?",
            (f"%-{node.pid}",),
        ).fetchall()
    finally:
        raw.close()
    return {task: (account, claim, fence) for task, account, claim, fence in rows}


def locked(path: Path) -> bool:
    """Whether somebody is inside a write transaction of the file."""
    raw = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        raw.close()
    return False


def stop_in_hand(ringctl: CommandLine, fleet: Fleet, node: Node) -> dict[int, tuple[str, str, int]]:
    """SIGSTOP the node with two accounts or more in hand and outside every write transaction: a SQLite file whose
    writer is stopped keeps everybody out, and nothing could be seen. What it holds."""

    def caught() -> dict[int, tuple[str, str, int]]:
        if len(held_by(ringctl, node)) < 2:
            return {}
        node.signal(signal.SIGSTOP)
        held = held_by(ringctl, node)
        files = [fleet.database(account) for account, _, _ in held.values()]
        if len(held) >= 2 and not any(locked(path) for path in (ringctl.directory / "ringctl.db", *files)):
            return held
        node.signal(signal.SIGCONT)
        return {}

    found: dict[int, tuple[str, str, int]] = eventually(caught, 60, "the first node has two accounts in hand")
    return found


def holders(parts: Parts, rollout: str, accounts: set[str]) -> set[TaskState]:
    rows = parts.store.tasks(rollout)
    return {row.state for row in rows if row.account in accounts}


def reopened(parts: Parts, node: Node) -> bool:
    """Whether the node gave its dead session up for a new one, or for none."""
    sessions = [one for one in parts.store.nodes() if one.node.endswith(f"-{node.pid}")]
    return len(sessions) > 1 or all(one.dead for one in sessions)


@pytest.mark.multinode
def test_a_node_stopped_past_its_lease_changes_nothing_when_it_comes_back(ringctl: CommandLine) -> None:
    """DESIGN I1: SIGSTOP, the other node takes over and finishes, SIGCONT: what the stale one writes is refused."""
    fleet = make_fleet(ringctl.directory, inner=4, outer=14, builds=60)
    write_policy(fleet, parallel=8, failures="100%", lease="1s")
    write_bundle(fleet, "b1", rows=2, pause="60ms", work="0.3")
    rollout = ringctl.start("b1")
    stale, other = ringctl.node("run", "--workers", "4"), ringctl.node("run", "--workers", "4")
    with ringctl.looking() as parts:
        eventually(lambda: alive(parts, stale) and alive(parts, other), what="two nodes serve")
        held = stop_in_hand(ringctl, fleet, stale)
        accounts = {account for account, _, _ in held.values()}
        try:
            eventually(lambda: holders(parts, rollout, accounts) == {TaskState.DONE}, 60, "the other's work")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{ringctl('why', rollout).out}\n{other.said()[-3000:]}") from late
        before = {account: fleet.found(account) for account in accounts}
        assert all(found.once for found in before.values()), before
        stale.signal(signal.SIGCONT)
        eventually(partial(reopened, parts, stale), what="the stale node notices that its session is over")
    waited = ringctl("wait", rollout, "--timeout", "60s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out
    assert stale.process.poll() is None, stale.said()
    stale.signal(15)
    other.signal(15)
    assert (stale.ends(), other.ends()) == (143, 143)
    assert "Traceback" not in stale.said() + other.said()
    stale_claims = {claim for _, claim, _ in held.values()}
    events = check_whole(ringctl, fleet, rollout, refused=stale_claims)
    assert {"rescued"} <= {event["kind"] for event in events}
    # under the stale claims nothing was written after the stop, neither here nor in the targets
    raw = sqlite3.connect(ringctl.directory / "ringctl.db")
    for task, (account, claim, fence) in held.items():
        (current,) = raw.execute("SELECT fence FROM task WHERE id = ?", (task,)).fetchone()
        assert current > fence
        last = raw.execute("SELECT claim FROM effect WHERE task = ? ORDER BY seq DESC", (task,)).fetchone()
        assert last[0] != claim
        found = fleet.found(account)
        assert (found.marks, found.tallies, found.dones) == (("mark",), (1,), 1)
    raw.close()
