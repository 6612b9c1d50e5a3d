"""A disk that stays full: the command line says so, nothing is half written, and a later run goes on."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.fleet import make_fleet, write_bundle, write_policy

pytestmark = pytest.mark.needs("gcc")

SAID = "error[RC5103]: {path} cannot grow: the disk is full\n   = make room; nothing was half written"
WRITING = (
    ("tick",),
    ("run",),
    ("pause", "--reason", "x"),
    ("amend", "--bundle", "b2", "--author", "ann", "--reason", "better"),
    ("abort", "--reason", "x"),
)


@pytest.fixture
def ringctl(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line beside a fleet of five accounts."""
    fleet = make_fleet(tmp_path, inner=2, outer=3, builds=10)
    write_policy(fleet)
    write_bundle(fleet, "b1")
    write_bundle(fleet, "b2", word="again")
    line = CommandLine(tmp_path)
    yield line
    line.end()


def full(monkeypatch: pytest.MonkeyPatch, disk: Path, store: Path) -> None:
    """From here on the store's files cannot grow."""
    monkeypatch.setenv("LD_PRELOAD", str(disk))
    monkeypatch.setenv("FAULTS_FULL", str(store))


def whole(path: Path) -> bool:
    """SQLite's own opinion of the file."""
    with sqlite3.connect(path) as raw:
        found = raw.execute("pragma integrity_check").fetchall()
    raw.close()
    return bool(found == [("ok",)])


def test_a_full_disk_is_said_and_a_later_run_goes_on(
    ringctl: CommandLine, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ringctl.directory / "ringctl.db"
    rollout = ringctl.start("b1")
    before = ringctl.events(rollout)
    with monkeypatch.context() as patched:
        full(patched, disk, store)
        for words in WRITING:
            answer = ringctl(*words)
            assert answer.code == 69, f"{words}: {answer.err}"
            assert SAID.format(path=store) in answer.err, words
        assert ringctl.events(rollout) == before, "reading goes on"
    assert ringctl.events(rollout) == before
    assert whole(store)
    with ringctl.looking() as parts:
        assert parts.store.verify() == ()
    ringctl.node("run")
    assert ringctl("wait", rollout, "--timeout", "60s").code == 0
    assert ringctl.good("audit", "verify", rollout, "-o", "json").json["ok"] is True


def test_no_room_for_the_store_itself(
    ringctl: CommandLine, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file at all, and no room for one: the first command leaves nothing that a later one stumbles over."""
    store = ringctl.directory / "ringctl.db"
    with monkeypatch.context() as patched:
        full(patched, disk, store)
        answer = ringctl("start", "--policy", "policy.yaml", "--bundle", "b1")
        assert answer.code == 69
        assert SAID.format(path=store) in answer.err
        assert not store.exists() or store.stat().st_size == 0
    rollout = ringctl.start("b1")
    assert [event["kind"] for event in ringctl.events(rollout)] == ["created"]
