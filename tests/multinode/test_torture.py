"""Torture: nodes killed, stopped past their lease and misled, and every step exactly once on every account."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.multinode.torture import Torture
from tests.multinode.verdict import Found, judge, logs_disordered, nodes_amazed, targets_alone
from tests.support.postgres import Server
from tests.support.scale import scaled

pytestmark = pytest.mark.multinode
SEED = 20230918
ON_ONE_FILE = {
    "kill": scaled(8, 200),
    "stall": scaled(4, 80),
    "zombie": scaled(3, 20),
    "clock": scaled(1, 20),
}
ON_A_SERVER = {
    "kill": scaled(20, 1000),
    "stall": scaled(10, 300),
    "zombie": scaled(5, 60),
    "restart": scaled(10, 200),
    "cut": scaled(10, 200),
    "lost": scaled(4, 80),
    "partition": scaled(4, 100),
    "clock": scaled(3, 50),
}
MUTANT = {"zombie": 16, "kill": 2}


def tortured(torture: Torture) -> Found:
    """Carry it out and judge; prints what was done, and fails when less was done than asked for."""
    with torture.staged():
        torture.run()
        found = judge(torture)
    asked = {kind: count for kind, count in torture.faults.items() if count}
    done = {kind: torture.done[kind] for kind in asked}
    kept = sum(one.acknowledged for one in torture.acted)
    sys.stdout.write(
        f"seed {torture.seed}: {done}, {len(torture.rollouts)} rollouts, {found.bodies} bodies,"
        f" {found.takeovers} cut short, {kept} of {len(torture.acted)} decisions acknowledged, {torture.done}\n"
    )
    assert all(done[kind] >= count for kind, count in asked.items()), f"too few faults: {done} of {asked}"
    return found


def test_nodes_killed_and_stalled_on_one_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ringctl.db'}"
    found = tortured(Torture(tmp_path, url, SEED, ON_ONE_FILE))
    assert found.wrong == {}
    assert found.takeovers > 0, "no body was ever cut short: the faults met no work"


@pytest.mark.postgres
def test_nodes_server_and_network_in_trouble_on_postgresql(tmp_path: Path) -> None:
    with Server(settings={"max_connections": "100"}) as server:
        url = server.create_database("torture")
        found = tortured(Torture(tmp_path, url, SEED, ON_A_SERVER, server=server))
    assert found.wrong == {}
    assert found.takeovers > 0, "no body was ever cut short: the faults met no work"


def seen_early(torture: Torture) -> Callable[[], bool]:
    """Whether neither targets nor logs nor nodes convict the nodes yet. Looks every second at most: it reads all."""
    looked = 0.0

    def is_patient() -> bool:
        nonlocal looked
        if time.monotonic() - looked < 1.0:
            return True
        looked = time.monotonic()
        logs = torture.quietly(lambda: logs_disordered(torture, torture.current), [])
        return not any(targets_alone(torture)) and not logs and not nodes_amazed(torture)

    return is_patient


def mutilated(torture: Torture) -> dict[str, tuple[str, ...]]:
    """What the oracle says of nodes with a seeded bug; ends as soon as it can say something."""
    torture.patience = seen_early(torture)
    with torture.staged():
        try:
            torture.run()
        except AssertionError as stuck:  # a node that died of it, or a rollout that never ends
            return {"stuck": (f"{stuck}",), **judge(torture).wrong}
        return judge(torture).wrong


SCHEDULES = 3
"""Seeds within which a seeded bug must be seen: whether a late write meets a newer holder's work is chance."""


def convicted(make: Callable[[int], Torture], bug: str) -> None:
    """By records of targets, store or nodes, not only by not coming to an end."""
    for seed in range(SEED, SEED + SCHEDULES):
        torture = make(seed)
        torture.how = ("-m", "tests.multinode.torture_node", bug)
        torture.serves_s, torture.ends_s = 25.0, 40.0
        wrong = mutilated(torture)
        said = {kind: (len(found), found[0]) for kind, found in wrong.items()}
        sys.stdout.write(f"{bug}, seed {seed}: {said}\n")
        if {"effects", "overlaps", "store", "logs", "nodes"} & wrong.keys():
            return
    raise AssertionError(f"{bug} was not seen within {SCHEDULES} seeds")


def place(directory: Path, seed: int) -> Path:
    made = directory / f"seed-{seed}"
    made.mkdir()
    return made


@pytest.mark.parametrize("bug", ["unguarded", "unfenced"])
def test_the_oracle_catches_a_seeded_bug_on_one_file(tmp_path: Path, bug: str) -> None:
    def make(seed: int) -> Torture:
        where = place(tmp_path, seed)
        return Torture(where, f"sqlite:///{where / 'ringctl.db'}", seed, MUTANT, accounts=80, long=1.0)

    convicted(make, bug)


@pytest.mark.postgres
@pytest.mark.parametrize("bug", ["unguarded", "unfenced"])
def test_the_oracle_catches_a_seeded_bug_on_postgresql(tmp_path: Path, bug: str) -> None:
    with Server(settings={"max_connections": "100"}) as server:

        def make(seed: int) -> Torture:
            url = server.create_database(f"torture_{seed}")
            return Torture(place(tmp_path, seed), url, seed, MUTANT, accounts=80, long=1.0, server=server)

        convicted(make, bug)
