"""SQLite with several processes on one file: contention, busy writers, kill -9; and that the guards are needed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringctl.core.audit import audit_chain
from ringctl.stores.sqlite import SQLiteStore
from ringctl.testing.store_claims import STALE_FINISH, ClaimSuite
from ringctl.testing.store_scene import Scene
from ringctl.testing.values import TestClock, a_new_rollout, bundle_of, members_of, policy_of
from tests.contracts.children import open_store
from tests.support.scale import scaled
from tests.tidy.tree import ROOT

TASKS = 2000


def child(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contracts.children", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def opened(path: Path, tasks: int) -> SQLiteStore:
    store = open_store(path)
    store.migrate()
    scene = Scene(store, TestClock())
    fields = {"parallel": 10 * tasks, "failures": tasks}
    scene.create(a_new_rollout({1: members_of("inner", tasks)}, fields=fields))
    scene.open_wave(1)
    return store


# -- two nodes, one wave ---------------------------------------------------------------------------


def contend(path: Path, *bug: str) -> list[list[tuple[int, int, str]]]:
    """Two processes claim the same wave; what each of them got, in its order."""
    nodes = [child("claim", path, name, *bug) for name in ("a", "b")]
    for node in nodes:
        assert node.stdout is not None
        assert node.stdout.readline() == "ready\n"
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write("go\n")
        node.stdin.flush()
    got = []
    for node in nodes:
        lines, _ = node.communicate(timeout=120)
        assert node.returncode == 0
        got.append([(int(t), int(f), c) for t, f, c in (line.split() for line in lines.splitlines())])
    return got


def double_claims(got: list[list[tuple[int, int, str]]]) -> int:
    tasks = [task for node in got for task, _, _ in node]
    return len(tasks) - len(set(tasks))


@pytest.mark.multinode
def test_two_processes_claim_every_task_once(tmp_path: Path) -> None:
    store = opened(tmp_path / "ringctl.db", TASKS)
    got = contend(tmp_path / "ringctl.db")
    everything = [claim for node in got for claim in node]
    assert double_claims(got) == 0
    assert len(everything) == TASKS
    assert sorted(fence for _, fence, _ in everything) == list(range(1, TASKS + 1))
    for node in got:
        assert node, "the other process took everything: nothing was contended"
        assert [fence for _, fence, _ in node] == sorted(fence for _, fence, _ in node)
    assert len({claim for _, _, claim in everything}) == TASKS
    assert store.facts(store.load("ro-1")).wave(1).running == TASKS
    assert store.verify() == ()
    store.close()


@pytest.mark.multinode
def test_without_the_claims_guard_tasks_are_claimed_twice(tmp_path: Path) -> None:
    """Octopus 2023.3 as a seeded bug: the test above goes red."""
    store = opened(tmp_path / "ringctl.db", 400)
    got = contend(tmp_path / "ringctl.db", "bug")
    assert double_claims(got) > 0
    assert store.verify() != ()
    store.close()


def test_without_the_finishs_guard_a_stale_holder_finishes(tmp_path: Path) -> None:
    """The suite's own test of stale holders goes red when the claim check is taken out."""
    clock = TestClock()
    store = SQLiteStore(
        tmp_path / "ringctl.db", decode_policy=policy_of, decode_bundle=bundle_of, clock=clock
    )
    store.migrate()
    finish = store.statements["finish_task"]
    assert "and claim = :claim" in finish
    with (
        store.statements.override(finish_task=finish.replace("and claim = :claim", "")),
        pytest.raises(AssertionError, match=STALE_FINISH),
    ):
        ClaimSuite().test_a_stale_holder_writes_nothing(Scene(store, clock))
    store.close()


# -- busy writers ----------------------------------------------------------------------------------


@pytest.mark.multinode
def test_busy_writers_wait_for_each_other(tmp_path: Path) -> None:
    store = opened(tmp_path / "ringctl.db", 4)
    each = 40
    writers = [child("write", tmp_path / "ringctl.db", f"w{n}", each) for n in range(4)]
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        assert (writer.returncode, out) == (0, "done\n")
    entries = list(store.journal("ro-1"))
    assert audit_chain(entries) is None
    assert sum(entry.kind == "signal" for entry in entries) == 4 * each
    assert store.verify() == ()
    store.close()


# -- kill -9 ---------------------------------------------------------------------------------------


@pytest.mark.multinode
def test_killed_writers_leave_nothing_half_written(tmp_path: Path) -> None:
    """At random moments; what was acknowledged is there, the chain is whole, the counters are true."""
    store = opened(tmp_path / "ringctl.db", 400)
    dice = random.Random(20170929)
    acknowledged = 0
    for _ in range(scaled(50, 400)):
        node = child("churn", tmp_path / "ringctl.db")
        assert node.stdout is not None
        assert node.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.04))
        os.kill(node.pid, signal.SIGKILL)
        out, _ = node.communicate(timeout=30)
        acknowledged += out.count("ack\n")
        assert store.verify() == ()
        written = sum(entry.kind == "ack" for entry in store.journal("ro-1"))
        assert acknowledged <= written
        acknowledged = written
        with sqlite3.connect(tmp_path / "ringctl.db") as raw:
            for (session,) in raw.execute("select id from node_session where dead = 0").fetchall():
                raw.execute("update node_session set lease_until_us = 0 where id = ?", (session,))
        raw.close()
    assert acknowledged > 0
    raw = sqlite3.connect(tmp_path / "ringctl.db")
    assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
    raw.close()
    store.close()
