"""The commands over a rollout that stands still: no node serves it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringctl.cli import driving, signals
from ringctl.cli.style import Painter
from ringctl.ports.records import Entry
from tests.cli.conftest import BUNDLE, Ring

START = ("start", "--policy", "policy.yaml", "--bundle", "b1")


def test_start_ends_standard_output_with_the_id(fleet: Path, ring: Ring) -> None:
    answer = ring(*START)
    assert answer.code == 0
    name = answer.out.splitlines()[-1]
    again = ring(*START, "-o", "json").json
    assert (again["schema"], again["id"], again["attached"]) == ("ringctl/start/v1", name, True)
    assert "Attached to" in ring(*START).out


def test_start_refuses_what_does_not_fit(begun: str, ring: Ring) -> None:
    other = ring("start", "--policy", "policy.yaml", "--bundle", "b2")
    assert (other.code, "RC2008" in other.err, "ringctl amend" in other.err) == (18, True, True)
    assert ring("start").code == 2
    assert ring(*START, "--until", "inner").code == 2
    assert ring(*START, "--wait", "--until", "innr").code == 5
    assert ring(*START, "--wait", "--timeout", "5").code == 2


def test_start_dry_run_is_the_plan(fleet: Path, ring: Ring) -> None:
    answer = ring(*START, "--dry-run")
    assert answer.out.startswith("Plan for release")
    assert not Path("ringctl.db").exists()


def test_status_lists_and_shows(begun: str, ring: Ring) -> None:
    assert ring("status").out.startswith("ID ")
    listing = ring("status", "-o", "json").json
    assert [one["id"] for one in listing["rollouts"]] == [begun]
    answer = ring("status", "last", "-o", "json")
    assert (answer.code, answer.json["schema"], answer.json["id"]) == (0, "ringctl/status/v1", begun)
    assert answer.json["counts"]["accounts"] == 4
    text = ring("status", begun[:8], "--accounts").out
    assert "no account is failed or unknown" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "<testsuites>" in ring("status", "last", "-o", "junit").out
    assert ring("status", "zz").code == 5


def test_an_empty_store_has_no_rollouts(ring: Ring) -> None:
    ring("db", "migrate")
    assert ring("status").out.startswith("no rollouts yet")
    assert ring("audit", "verify").out == "no rollouts yet\n"
    assert ring("why").code == 2
    assert ring("tick", "--budget", "1s", "-o", "json").json == {"schema": "ringctl/tick/v1", "open": []}


def test_why_says_what_it_waits_for(begun: str, ring: Ring) -> None:
    answer = ring("why", "-o", "json").json
    assert answer["schema"] == "ringctl/why/v1"
    assert "no node is alive" in ring("why").out


def test_pause_and_resume(begun: str, ring: Ring) -> None:
    dry = ring("pause", "--reason", "look", "--dry-run", "-o", "json").json
    assert (dry["dry_run"], dry["state"]) == (True, "held")
    assert ring("status", "last", "-o", "json").json["state"] == "pending"
    paused = ring("pause", "--reason", "look \x1b[31m", "--actor", "ann")
    assert paused.code == 0
    assert "look \\x1b[31m" in paused.out
    assert "owner    ann" in paused.out
    waited = ring("wait")
    assert waited.code == 12
    assert "HELD" in waited.out
    assert "pause" in ring("why").out
    assert ring("resume", "--dry-run").out.startswith(f"{begun} would be ")
    assert ring("resume").code == 0
    assert ring("resume").code == 4


def test_wait_times_out_and_the_rollout_goes_on(begun: str, ring: Ring) -> None:
    answer = ring("wait", "--timeout", "10ms", "-o", "json")
    assert answer.code == 124
    assert answer.json["id"] == begun
    assert "the rollout goes on" in answer.err
    assert ring("wait", "--until", "nowhere").code == 5
    assert ring(*START, "--wait", "--detach", "--timeout", "10ms").code == 124


def test_abort_needs_a_reason_and_ends_it(begun: str, ring: Ring) -> None:
    assert ring("abort").code == 2
    assert ring("abort", "--reason", "x", "--dry-run", "-o", "json").json["state"] == "aborted"
    assert ring("abort", "--reason", "x", "--now").code == 0
    assert ring("wait", "last").code == 15
    gone = ring("abort", "last", "--reason", "x")
    assert (gone.code, "RC2011" in gone.err) == (4, True)


def test_retry_wants_accounts(begun: str, ring: Ring) -> None:
    assert ring("retry").code == 2
    assert ring("retry", "--failed", "--account", "a1").code == 2
    assert ring("retry", "--failed").out == "no account is failed\n"
    assert ring("retry", "--account", "nobody").code == 5
    assert ring("retry", "--account", "a1", "--dry-run").out.startswith("a1 would be given back; now ")
    assert ring("retry", "--account", "a1").code == 4


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_persons_word_needs_a_reason(begun: str, ring: Ring, dry: tuple[str, ...]) -> None:
    assert ring("retry", "--account", "a1", "--as", "maybe", "--reason", "x", *dry).code == 2
    assert ring("retry", "--account", "a1", "--as", "done", *dry).code == 2
    said = ring("retry", "--account", "a1", "--as", "not-done", "--reason", "looked", "--dry-run").out
    assert said.startswith("a1 would count as failed; now ")


@pytest.mark.parametrize(
    ("outcome", "before", "state", "said"),
    [
        ("not-done", "unknown", "held", "ringctl retry, without --as"),
        ("not-done", "unknown", "aborted", ""),
        ("done", "unknown", "held", ""),
        ("", "unknown", "running", "--as done|not-done"),
        ("", "failed", "running", ""),
    ],
)
def test_a_retry_says_what_to_do_next_only_where_it_can_be_done(
    outcome: str, before: str, state: str, said: str
) -> None:
    told = "\n".join(map(str, signals.what_next(outcome, [before], state)))
    assert said in told
    assert bool(told) == bool(said)


def test_amend_says_the_class_and_makes_a_revision(begun: str, ring: Ring) -> None:
    words = ("amend", "--bundle", "b2", "--author", "ann", "--reason", "slower")
    dry = ring(*words, "--dry-run", "-o", "json").json
    assert (dry["class"], dry["revision"], dry["dry_run"]) == ("timing", "r1", True)
    answer = ring(*words, "--watcher", "bob")
    assert (answer.code, "amended: r2" in answer.out, "class timing" in answer.out) == (0, True, True)
    again = ring(*words)
    assert (again.code, "RC2013" in again.err) == (4, True)
    Path("b2/bundle.yaml").write_text(BUNDLE.replace("component: build", "component: other"))
    assert ring(*words).code == 4
    status = ring("status", "-q", "last", "-o", "json").json
    assert [one["name"] for one in status["revisions"]] == ["r1", "r2"]


def test_the_record_is_kept_and_verified(begun: str, ring: Ring) -> None:
    ring("pause", "--reason", "x")
    lines = ring("events", "-o", "ndjson").lines
    assert [one["seq"] for one in lines] == list(range(1, len(lines) + 1))
    assert set(lines[0]) == {"schema", "seq", "at", "kind", "rollout", "actor", "data", "prev", "hash"}
    assert ring("events", "--after", "1", "-o", "json").json["events"][0]["seq"] == 2
    assert "held" in ring("events").out
    assert "| AT | KIND |" in ring("events", "-o", "markdown").out
    assert ring("events", "--follow", "-o", "json").code == 2
    assert ring("exposure", "-o", "ndjson").out == ""
    assert ring("exposure", "--revision", "x").code == 2
    assert ring("exposure").out.endswith("0 rows\n")
    audit = ring("audit", "verify", "-o", "json").json
    assert (audit["ok"], audit["anchor"], audit["rollouts"][0]["entries"]) == (True, "unanchored", len(lines))
    assert ring("audit", "verify", "last").out.count(" ok ") == 1


def test_a_changed_journal_is_found(begun: str, ring: Ring) -> None:
    import sqlite3

    with sqlite3.connect("ringctl.db") as connection:
        names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        [table] = [name for name in names if name in {"journal", "entry", "journal_entry"}]
        for [trigger] in connection.execute(
            "select name from sqlite_master where type = 'trigger'"
        ).fetchall():
            connection.execute(f"drop trigger {trigger}")
        connection.execute(f"update {table} set actor = 'mallory'")
    connection.close()
    answer = ring("audit", "verify")
    assert (answer.code, "broken at 1" in answer.out) == (18, True)


def test_gates_have_not_looked_yet(begun: str, ring: Ring) -> None:
    assert ring("gate", "show").out == "no looks yet\n"
    assert ring("gate", "show", "last", "slow", "-o", "json").json["looks"] == []
    assert ring("gate", "show", "last", "slw").code == 5


def entry(kind: str, **payload: object) -> Entry:
    return Entry(
        rollout="r", seq=1, at_us=0, kind=kind, actor="ann\x1b", payload=payload, prev="", hash=""
    )  # fmt: skip


def test_event_lines_put_what_matters_first() -> None:
    said = entry(
        "wave-passed",
        bake_us=5_000_000,
        accounts=3,
        ring="a\x1b",
        members=["x"],
        digest="sha256:1",
        none=None,
    )
    assert driving.event_line(said, 100, Painter(on=False)) == (
        "00:00:00  wave-passed       a\\x1b, accounts 3, bake 5.0 s (ann\\x1b)"
    )
    held = driving.event_text(
        {"code": "idle", "error": "RC2006", "reason": "why", "next": "x", "numbers": {}}
    )
    assert held == "idle, RC2006: why"
    assert driving.event_text({"reason": "r"}) == "r"
    assert driving.event_line(entry("x"), 100, Painter(on=False)) == "00:00:00  x                 (ann\\x1b)"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a rollout that a node of its own process carried through."""
    from tests.cli.conftest import write_fleet

    directory = write_fleet(tmp_path_factory.mktemp("finished"))
    done = subprocess.run(
        [sys.executable, "-m", "ringctl", *START, "--wait", "--timeout", "60s"],
        check=False, capture_output=True, text=True, timeout=90, cwd=directory, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "wave-opened" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("build-")
    return directory


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGCTL")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_a_finished_rollout_in_every_view(
    finished: Path, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    assert ring("wait", "last", "-q").code == 0
    status = ring("status", "last", "-o", "json").json
    assert (status["state"], status["counts"]["done"]) == ("succeeded", 4)
    assert "SUCCEEDED" in ring("status", "last").out
    rows = ring("exposure", "last", "-o", "ndjson").lines
    assert {row["account"] for row in rows} == {"a1", "a2", "b1", "b2"}
    assert {row["revision"] for row in rows} == {"r1"}
    assert ring("exposure", "last", "--limit", "2").out.endswith("2 shown (--limit 0 shows all)\n")
    assert ring("gate", "show", "last", "-o", "ndjson").lines[-1]["verdict"] == "pass"
    assert "pass" in ring("gate", "show", "last").out
    assert ring("events", "last", "--follow").out.count("wave-opened") >= 2
    assert ring("plan", "--policy", "policy.yaml", "--bundle", "b1", "--exit-code").code == 0
    assert ring("why", "last").code == 0
    assert ring("nodes", "ls").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_node_that_is_told_to_end_leaves_the_rollout_whole(number: int, code: int, begun: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "ringctl", "run", "--rollout", begun],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as node:  # fmt: skip
        assert node.stderr is not None
        assert "runs" in node.stderr.readline()
        assert "created" in node.stderr.readline()
        node.send_signal(number)
        _, said = node.communicate(timeout=30)
    assert node.returncode == code, said


def test_work_alone_does_not_decide(begun: str, ring: Ring) -> None:
    began = time.monotonic()
    assert ring("work", "--exit-when-idle").code == 0
    assert time.monotonic() - began < 20
    assert ring("status", "last", "-o", "json").json["state"] == "pending"


def test_a_node_of_start_and_of_tick_work_in_this_process(begun: str, ring: Ring) -> None:
    answer = ring(*START, "--wait", "--timeout", "300ms")
    assert answer.code == 124
    assert "wave-opened" in answer.err
    assert ring("tick", "--budget", "300ms").out.startswith(f"{begun} ")
    assert ring("exposure").out.count("done") >= 1
    assert "running" in ring("status", "last").out


def test_a_heartbeat_says_what_it_waits_for(
    begun: str, ring: Ring, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ringctl.cli import opening

    monkeypatch.setattr(driving, "HEARTBEAT_S", -1.0)
    with opening.reading() as parts:
        follow = driving.Follower(parts=parts, rollout=begun)
        follow()
        follow()
    said = capsys.readouterr().err.splitlines()
    assert "created" in said[0]
    assert "pending" in said[-1]


def test_junit_is_refused_before_anything_happens(begun: str, ring: Ring) -> None:
    for words in (["pause"], ["abort", "--reason", "x"], ["tick"], ["db", "migrate"], [*START]):
        answer = ring(*words, "-o", "junit")
        assert (answer.code, "has no -o junit" in answer.err) == (2, True)
    assert ring("status", "last", "-o", "json").json["state"] == "pending"
    assert ring("status", "-o", "junit").code == 2
    assert ring("pause", "--help", "-o", "junit").code == 0


def test_colour_is_for_terminals_and_for_who_asks(
    begun: str, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring("pause", "--reason", "x")
    for words in (["status", "last"], ["status"], ["events"], ["statsu"]):
        plain = ring(*words)
        assert "\x1b" not in plain.out + plain.err
        painted = ring(*words, "--color", "always")
        assert "\x1b[" in painted.out + painted.err
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert "\x1b[" in ring(*words).out + ring(*words).err
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b" not in ring(*words).out + ring(*words).err
        assert "\x1b" not in ring(*words, "-o", "json").out
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.delenv("FORCE_COLOR")


def test_hostile_names_act_in_no_view(fleet: Path, ring: Ring) -> None:
    hostile = "r\x1b]0;owned\x07\u202e\nx"
    for words in (
        [*START, "--release", hostile],
        ["status"],
        ["status", "last"],
        ["pause", "--reason", hostile, "--actor", hostile],
        ["why"],
        ["events"],
        ["status", "last"],
        ["status", hostile],
        ["events", hostile],
        ["gate", "show", "last", hostile],
        ["retry", "--account", hostile],
        ["plan", "--policy", hostile, "--bundle", hostile],
        ["wait", "--until", hostile],
        ["explain", hostile],
        ["accounts", "ls", "--ring", hostile],
    ):
        for output in ("table", "json", "markdown"):
            answer = ring(*words, "-o", output)
            assert not {"\x1b", "\x07", "\u202e"} & set(answer.out + answer.err), words
