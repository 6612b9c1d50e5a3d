"""`doctor --contend`: real nodes on real stores pass; a store whose claim has lost its guard is found out."""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ringctl.__main__ import main
from ringctl.bootstrap import open_parts, open_store
from ringctl.cli import doctor
from ringctl.core.timing import SECOND
from ringctl.ports.store import Store
from tests.support.command_line import CommandLine

pytestmark = pytest.mark.multinode
Contend = Callable[..., tuple[int, Any]]
SQLITE_BUG = ("-m", "tests.incidents.contending_node", "unguarded")
POSTGRES_BUG = ("-m", "tests.multinode.contend_node")


@pytest.fixture
def contend(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Contend:
    """Call `ringctl doctor --contend` on a store; its exit code and what it printed as JSON."""
    monkeypatch.chdir(tmp_path)

    def call(url: str, *words: str, node: tuple[str, ...] = ("-m", "ringctl")) -> tuple[int, Any]:
        monkeypatch.setattr(doctor, "NODE", (sys.executable, *node))
        with closing(open_store(url)) as store:
            store.migrate()
        capsys.readouterr()
        code = main(["--state", url, "doctor", "--contend", "3", *words, "-o", "json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out.strip() else err

    return call


def held(found: Any) -> None:
    """What a good store comes to."""
    assert found["evidence"] == []
    figures = found["figures"]
    assert (figures["double_runs"], figures["double_claims"], figures["without_intent"]) == (0, 0, 0)
    assert figures["claims"] >= figures["tasks"]
    assert found["faults"]["kills"] >= 1
    assert found["faults"]["freezes"] >= 1
    assert figures["rescues"] >= 1, "the faults hit nobody who held anything"
    assert figures["rescue_max_s"] < 20


def test_a_sqlite_store_holds(contend: Contend, ringctl: CommandLine) -> None:
    code, found = contend(ringctl.url, "--seconds", "12", "--tasks", "60")
    assert code == 0, found
    held(found)
    with ringctl.looking() as parts:
        assert parts.store.verify() == ()
        assert [str(row.state) for row in parts.store.rollouts()] == ["succeeded"]
        assert all(node.dead for node in parts.store.nodes())


def test_a_postgresql_store_holds(contend: Contend, postgres_database: str) -> None:
    code, found = contend(postgres_database, "--seconds", "12", "--tasks", "60")
    assert code == 0, found
    held(found)
    assert found["faults"]["cut_connections"] >= 1


def test_a_claim_without_its_guard_is_found_on_sqlite(contend: Contend, ringctl: CommandLine) -> None:
    code, found = contend(ringctl.url, "--seconds", "12", "--tasks", "60", node=SQLITE_BUG)
    assert code == 1
    assert found["figures"]["double_runs"] >= 1
    assert any("ran twice" in line for line in found["evidence"])
    with ringctl.looking() as parts:
        assert [str(row.state) for row in parts.store.rollouts()] == ["aborted"]


def test_a_claim_without_its_guard_is_found_on_postgresql(contend: Contend, postgres_database: str) -> None:
    code, found = contend(postgres_database, "--seconds", "12", "--tasks", "60", node=POSTGRES_BUG)
    assert code == 1
    assert found["figures"]["double_runs"] >= 1


def test_other_nodes_are_not_drawn_in(contend: Contend, ringctl: CommandLine) -> None:
    with open_parts(ringctl.url, migrate=True, environ={}) as parts:
        store: Store = parts.store
        store.open_session("other", lease_us=60 * SECOND)
        code, said = contend(ringctl.url)
        assert (code, store.rollouts()) == (4, ())
    assert "RC5121" in json.dumps(said)


def test_nodes_that_do_not_run_at_all_are_told_soon(contend: Contend, ringctl: CommandLine) -> None:
    code, found = contend(
        ringctl.url, "--seconds", "12", "--tasks", "60", node=("-c", "raise SystemExit('no')")
    )
    assert code == 1
    assert any("exit 1: no" in line for line in found["evidence"])
