"""Octopus Server 2023.3: two nodes of one cluster ran the same task twice, because the queue's write lock was gone.

Two real nodes contend for the same tasks on one SQLite file. The oracle asks the targets, not ringctl: what each
account's own file says about who started and who ended there. Without the claim's guard it goes red; with it
it is green.
"""

import pytest

from ringctl.core.states import OPEN_ROLLOUT_STATES
from tests.support.command_line import CommandLine, eventually
from tests.support.fleet import Fleet, make_fleet, write_bundle, write_policy

BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: task, version: "1", component: proof, author: ann}
steps:
  - {id: note, command: [./note.sh, "{account.target.notes}", "0.1"], timeout: 20s}
  - {id: mark, sql: mark.sql, database: "{account.target.database}", timeout: 20s}
"""
HELPER = ("-m", "tests.incidents.contending_node")


def run_twice(fleet: Fleet) -> list[str]:
    """The double-run oracle: accounts on which a step was started, or ended, more than once."""
    return [f.account for f in fleet.everything() if f.starts > 1 or f.dones > 1]


def contend(ringctl: CommandLine, how: str) -> tuple[Fleet, str]:
    """Two nodes on a fleet of their own, until the rollout is over or double runs are there."""
    fleet = make_fleet(ringctl.directory, inner=2, outer=24, builds=4)
    write_policy(fleet, parallel=16, failures="100%", lease="10s")
    write_bundle(fleet, "b1", files={"bundle.yaml": BUNDLE})
    rollout = ringctl.start("b1")
    for _ in range(2):
        ringctl.node("run", "--workers", "2", command=(*HELPER, how))
    with ringctl.looking() as parts:

        def over() -> bool:
            return parts.store.load(rollout).state not in OPEN_ROLLOUT_STATES or bool(run_twice(fleet))

        eventually(over, 60, "the end, or a double run")
        return fleet, str(parts.store.load(rollout).state)


@pytest.mark.multinode
def test_with_the_claims_guard_no_task_runs_twice(ringctl: CommandLine) -> None:
    fleet, state = contend(ringctl, "guarded")
    assert run_twice(fleet) == []
    assert state == "succeeded"
    assert {(found.marks, found.dones) for found in fleet.everything()} == {(("mark",), 1)}
    with ringctl.looking() as parts:
        shares = {one.node: 0 for one in parts.store.nodes()}
        assert len(shares) == 2, "two nodes served"
        assert parts.store.verify() == ()


@pytest.mark.multinode
def test_without_the_claims_guard_the_oracle_goes_red(ringctl: CommandLine) -> None:
    """The seeded bug is that of the incident. Where a target keeps a ledger, it keeps the second run out even so."""
    fleet, _ = contend(ringctl, "unguarded")
    assert run_twice(fleet) != []
    assert all(len(found.marks) <= 1 for found in fleet.everything())
