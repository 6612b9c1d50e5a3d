"""Release N-1 and N on one store: the schema grows under working nodes, and both go on.

`schema-2.tar.xz` is ringctl as it was when 2 was the newest schema: its code runs here in processes of its own.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringctl.bootstrap import open_store
from ringctl.core.states import TaskState
from tests.support.command_line import CommandLine, eventually
from tests.support.fleet import make_fleet, write_bundle, write_policy

PREVIOUS = Path(__file__).parent / "schema-2.tar.xz"
ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def old_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the code of release N-1 lies."""
    root = tmp_path_factory.mktemp("previous")
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(root, filter="data")
    return root / "previous"


@pytest.fixture(params=ENGINES)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:///{tmp_path / 'ringctl.db'}"


@pytest.fixture
def new(tmp_path: Path, state: str) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path, state=state)
    yield line
    line.end()


@pytest.fixture
def old(new: CommandLine, old_root: Path) -> CommandLine:
    return replace(new, root=old_root, started=new.started)


def holders(state: str) -> Counter[str]:
    """Tasks done by their last holder's session."""
    found: Counter[str] = Counter()
    with closing(open_store(state)) as store:
        database: Any = store
        with database.database.read() as tx:
            asked = "select holder, count(*) from task where state = 'done' group by holder"
            for holder, count in tx._raw.execute(asked).fetchall():
                found[holder] = count
    return found


def test_nodes_of_both_releases_finish_a_rollout(old: CommandLine, new: CommandLine, state: str) -> None:
    fleet = make_fleet(new.directory, inner=8, outer=40)
    write_policy(fleet, canary=1, parallel=4, failures="100%", lease="2s")
    write_bundle(fleet, "b1", rows=4, pause="20ms", work="0.2")
    assert old.good("db", "migrate", "-o", "json").json["migrations"] == ["0001_start", "0002_nodes"]
    refused = new("status")
    assert (refused.code, "RC5108" in refused.err) == (
        69,
        True,
    )  # not migrated yet: said, and nothing written
    rollout = old.start("b1")
    victim = old.node("run", "--workers", "2")
    eventually(lambda: old.good("nodes", "ls", "-o", "json").json["nodes"], what="the old node serves")
    assert new.good("db", "migrate", "-o", "json").json["migrations"] == ["0003_deaths"]
    new.node("run", "--workers", "2")
    with new.looking() as parts:
        eventually(lambda: len(holders(state)) == 2, 60, "both releases have finished accounts")
        eventually(lambda: any(parts.store.tasks(rollout, states=[TaskState.RUNNING])), 30, "a claim")
        victim.kill()  # what it held is rescued by the new one
        old.node("run", "--workers", "2")  # the old release starts on the new schema too
        waited = new("wait", rollout, "--timeout", "100s")
        assert waited.code == 0, waited.out + new("why", rollout).out
        assert parts.store.verify() == ()
    assert fleet.not_once() == []
    assert len(holders(state)) >= 2
    for line in (old, new):
        assert line.good("audit", "verify", rollout, "-o", "json").json["ok"] is True


def test_an_old_node_refuses_a_schema_that_is_not_for_it(old: CommandLine, new: CommandLine, state: str):
    new.good("db", "migrate")
    with closing(open_store(state)) as store:
        database: Any = store
        with database.database.write() as tx:
            tx._raw.execute("insert into migration_reach (number, works_with) values (4, 4)")
            tx._raw.execute(
                "insert into migration (number, name, checksum, applied_us) values (4, '0004_contract', 'x', 0)"
            )
    for line in (old, new):
        answer = line("run")
        assert (answer.code, "RC5105" in answer.err) == (69, True)
