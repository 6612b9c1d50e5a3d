"""`nodes ls`, `nodes drain`, the stop file, and nodes that are pointed at no store."""

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from ringctl.bootstrap import open_parts
from ringctl.cli.driving import node_of
from ringctl.cli.nodes import state_of
from ringctl.core.model import Session
from ringctl.engine.parts import Parts
from ringctl.engine.stopping import StopSwitch
from ringctl.ports.records import Node
from tests.cli.conftest import Ring

SECOND = 1_000_000


def session(parts: Parts, name: str, lease_s: float = 60) -> Session:
    return parts.store.open_session(name, lease_us=round(lease_s * SECOND))


@pytest.mark.parametrize(
    "words",
    [("run",), ("work", "--exit-when-idle"), ("tick",), ("pause",), ("resume",), ("abort", "--reason", "x"),
     ("retry", "--failed"), ("nodes", "drain", "x"), ("nodes", "ls")],
    ids=" ".join,
)  # fmt: skip
def test_a_mistyped_state_is_no_empty_store(tmp_path: Path, ring: Ring, words: tuple[str, ...]) -> None:
    answer = ring(*words)
    assert (answer.code, "RC5108" in answer.err) == (69, True)
    assert list(tmp_path.iterdir()) == []


def test_who_may_make_a_store(fleet: Path, ring: Ring) -> None:
    assert ring("db", "migrate").code == 0
    assert ring("tick", "--budget", "1s").code == 0


def row(**changes: object) -> Node:
    given: dict[str, object] = {
        "session": "s", "node": "n", "started_us": 0, "lease_until_us": 100, "dead": False, "held": 0, **changes,
    }  # fmt: skip
    made: Node = cast("Any", Node)(**given)
    return made


@pytest.mark.parametrize(
    ("changes", "state"),
    [({}, "alive"), ({"drained_by": "ana"}, "draining"), ({"dead": True}, "dead"),
     ({"dead": True, "ended": True}, "ended"), ({"dead": True, "ended": True, "drained_by": "ana"}, "ended"),
     ({"lease_until_us": 49}, "dead"), ({"lease_until_us": 49, "drained_by": "ana"}, "dead")],
)  # fmt: skip
def test_a_node_is_alive_draining_ended_or_dead(changes: dict[str, object], state: str) -> None:
    assert state_of(row(**changes), 50) == state


def test_nodes_are_told_to_drain(begun: str, ring: Ring) -> None:
    with open_parts(environ={}) as parts:
        one, two = session(parts, "here-1"), session(parts, "here-2")
        gone = session(parts, "here-3")
        parts.store.close_session(gone)
        refused = ring("nodes", "drain", "here-3")
        assert (refused.code, "alive: here-1, here-2" in refused.err) == (5, True)
        told = ring("nodes", "drain", "here-1", "--actor", "ana", "-o", "json").json
        assert [(row["node"], row["state"], row["held"]) for row in told["nodes"]] == [
            ("here-1", "draining", 0)
        ]
        assert parts.store.beat(one).draining
        assert not parts.store.beat(two).draining
        assert "here-2 drains: it holds 0 accounts" in ring("nodes", "drain", two.id[:8]).out
        rows = {row["node"]: row for row in ring("nodes", "ls", "-o", "json").json["nodes"]}
        assert {name: (row["state"], row["alive"]) for name, row in rows.items()} == {
            "here-1": ("draining", True), "here-2": ("draining", True), "here-3": ("ended", False),
        }  # fmt: skip
        assert rows["here-1"]["drained_by"] == "ana"
        assert "draining" in ring("nodes", "ls").out


@pytest.mark.parametrize("lost", [False, True])
def test_draining_may_be_waited_for(begun: str, ring: Ring, lost: bool) -> None:
    with open_parts(environ={}) as parts:
        one = session(parts, "here-1", 0.6 if lost else 60)
        if not lost:
            threading.Timer(0.6, parts.store.close_session, [one]).start()
        answer = ring("nodes", "drain", "here-1", "--wait")
    assert (answer.code, "was lost" in answer.out, "has ended" in answer.out) == (int(lost), lost, not lost)


def test_a_stop_file_lets_nothing_begin(begun: str, ring: Ring, tmp_path: Path) -> None:
    stop = tmp_path / ".ringctl-work" / "STOP"
    stop.parent.mkdir(exist_ok=True)
    stop.touch()
    for words in (("run",), ("work",), ("tick",)):
        answer = ring(*words)
        assert (answer.code, "RC4002" in answer.err, str(stop) in answer.err) == (4, True, True)
    assert ring("status", "last").code == 0, "looking is allowed"
    assert ring("nodes", "ls", "-o", "json").json["nodes"] == []
    assert ring("start", "--policy", "policy.yaml", "--bundle", "b1", "--wait").code == 4
    elsewhere = ("--stop-file", str(tmp_path / "none"))
    assert ring("tick", "--budget", "1s", *elsewhere).code == 0


def test_the_environment_stops_too(begun: str, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGCTL_STOP", "1")
    assert ring("work", "--exit-when-idle").code == 4
    monkeypatch.setenv("RINGCTL_STOP", "0")
    assert ring("work", "--exit-when-idle").code == 0


def test_a_node_of_the_command_line_has_a_stop(begun: str, tmp_path: Path) -> None:
    with open_parts(environ={"RINGCTL_STOP_FILE": str(tmp_path / "halt")}) as parts:
        switch = node_of(parts, 1).stop_now
        assert isinstance(switch, StopSwitch)
        assert switch.path == tmp_path / "halt"
        assert isinstance(given := node_of(parts, 1, stop="given").stop_now, StopSwitch)
        assert given.path == tmp_path / "given"
