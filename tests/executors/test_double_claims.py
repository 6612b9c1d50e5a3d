"""Two claims of one step at a target: seen and reported when both held, and only then."""

import threading
from pathlib import Path
from typing import Any

import pytest

from ringctl.executors import ledger, running
from ringctl.executors.command import CommandExecutor
from ringctl.executors.rivals import REPORT
from ringctl.executors.sql import SqlExecutor
from ringctl.executors.targets import open_database
from ringctl.ports.executor import Outcome, Probed
from tests.executors.conftest import Maker
from tests.executors.kit import Hand, order, rows_of, spec, times_of, wait_until

EXECUTOR = CommandExecutor(kill_grace_s=0.3)
WAITS = "#!/bin/sh\necho started >> here\nwhile test ! -e go; do sleep 0.02; done\necho ended >> here\n"


def script(bundle: Path, target: str, text: str = "UPDATE build SET times = times + 1") -> Any:
    (bundle / "01.sql").write_text(text)
    return spec("sql", {"file": "01.sql", "database": target}, bundle)


# -- the ledger -----------------------------------------------------------------------------------
def test_an_older_claim_that_still_holds_is_a_double_claim(build_table: Maker, bundle: Path) -> None:
    target = build_table(5)
    step = script(bundle, target)
    newer = order(step, bundle, claim="c2", fence=11)
    assert SqlExecutor().run(newer, Hand()).outcome is Outcome.DONE
    ran = SqlExecutor().run(order(step, bundle), Hand())
    assert ran.outcome is Outcome.UNKNOWN
    found: Any = ran.numbers[REPORT]
    assert (found["claim"], found["fence"], found["other_claim"], found["other_fence"]) == (
        "c1",
        10,
        "c2",
        11,
    )
    assert found["other_started"]
    assert times_of(target) == [(1, 5)]


@pytest.mark.parametrize("why", ["lease", "stop", "rollout"])
def test_a_late_run_is_no_double_claim(build_table: Maker, bundle: Path, why: str) -> None:
    """Its own right has ended, or it belongs to another rollout: another store's numbers tell nothing."""
    step = script(bundle, build_table(5))
    SqlExecutor().run(order(step, bundle, claim="c2", fence=11), Hand())
    hand = Hand()
    late = order(step, bundle, rollout="ro2" if why == "rollout" else "ro1")

    class Late(Hand):
        """The right ends after the first look at it: the node was frozen in between."""

        looks = 0

        def stop_requested(self) -> bool:
            Late.looks += 1
            return why == "stop" and Late.looks > 1

        def deadline(self) -> float:
            return 0.0 if why == "lease" and Late.looks > 1 else super().deadline()

    ran = SqlExecutor().run(late, hand if why == "rollout" else Late())
    assert ran.outcome is Outcome.UNKNOWN
    assert REPORT not in ran.numbers


def test_a_run_overtaken_in_its_script_reports_it(
    build_table: Maker, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = build_table(5)
    step = script(bundle, target)
    enter = ledger.enter

    def overtaken(database: Any, mine: Any, incarnation: str) -> Any:
        entry = enter(database, mine, incarnation)
        monkeypatch.setattr(ledger, "enter", enter)
        assert SqlExecutor().run(order(step, bundle, claim="c2", fence=11), Hand()).outcome is Outcome.DONE
        return entry

    monkeypatch.setattr(ledger, "enter", overtaken)
    ran = SqlExecutor().run(order(step, bundle), Hand())
    assert (ran.outcome, ran.numbers["conflicts"]) == (Outcome.UNKNOWN, 1)
    found: Any = ran.numbers[REPORT]
    assert found["other_claim"] == "c2"
    assert times_of(target) == [(1, 5)]
    runs = rows_of(target, "SELECT claim, outcome FROM ringctl_runs ORDER BY fence")
    assert runs == [("c1", "conflict"), ("c2", "done")]
    database = open_database(target)
    try:
        assert ledger.double_runs(database) != ()
    finally:
        database.close()


def test_the_record_of_runs_is_bounded(build_table: Maker, bundle: Path) -> None:
    target = build_table(5)
    step = script(bundle, target, "UPDATE nowhere SET x = 1")
    for number in range(ledger.RUNS_KEPT + 5):
        SqlExecutor().run(order(step, bundle, claim=f"c{number}", fence=10 + number), Hand())
    (row,) = rows_of(target, "SELECT count(*), min(fence) FROM ringctl_runs")
    assert row[0] == ledger.RUNS_KEPT
    assert row[1] >= 14


# -- commands -------------------------------------------------------------------------------------
def waiting(bundle: Path) -> Any:
    (bundle / "run.sh").write_text(WAITS)
    (bundle / "run.sh").chmod(0o755)
    return spec("command", {"argv": ["./run.sh"]}, bundle, step="warm")


def lines(bundle: Path) -> list[str]:
    path = bundle / "here"
    return path.read_text().split() if path.exists() else []


def record(bundle: Path) -> list[list[str]]:
    """Words of the start and stop records."""
    (path,) = [path for path in (bundle.parent / running.FOLDER).rglob("*") if path.is_file()]
    return [line.split() for line in path.read_text().splitlines()]


def begun(step: Any, bundle: Path, hand: Hand) -> threading.Thread:
    """A run that waits for the file `go`."""
    thread = threading.Thread(target=lambda: EXECUTOR.run(order(step, bundle), hand))
    thread.start()
    assert wait_until(lambda: lines(bundle) == ["started"])
    return thread


def test_a_second_body_beside_a_living_one_is_not_started(bundle: Path) -> None:
    step = waiting(bundle)
    first = begun(step, bundle, Hand())
    ran = EXECUTOR.run(order(step, bundle, claim="c2", fence=11), Hand())
    (bundle / "go").touch()
    first.join(20)
    assert ran.outcome is Outcome.UNKNOWN
    assert "RC6017" in ran.reason
    found: Any = ran.numbers[REPORT]
    assert (found["other_claim"], found["other_fence"], found["other_alive"]) == ("c1", 10, True)
    assert lines(bundle) == ["started", "ended"]
    assert [(words[0], words[1], words[4]) for words in record(bundle)] == [
        ("start", "c1", "-"), ("end", "c1", "done"),
    ]  # fmt: skip


def test_without_the_lock_the_second_body_runs(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: the lock always succeeds. The test above must be able to go red."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    step = waiting(bundle)
    first = begun(step, bundle, Hand())
    (bundle / "go").touch()
    assert EXECUTOR.run(order(step, bundle, claim="c2", fence=11), Hand()).outcome is Outcome.DONE
    first.join(20)
    assert lines(bundle).count("started") == 2


def test_a_dead_run_leaves_a_start_without_an_end_and_no_lock(bundle: Path) -> None:
    step = waiting(bundle)
    hand = Hand(lease_s=0.6)
    first = begun(step, bundle, hand)
    first.join(20)
    (bundle / "go").touch()
    ran = EXECUTOR.run(order(step, bundle, claim="c2", fence=11), Hand())
    assert (ran.outcome, dict(ran.numbers)) == (Outcome.DONE, {"exit": 0})
    assert lines(bundle) == ["started", "started", "ended"]


def test_a_lower_fence_after_a_higher_one_is_refused(bundle: Path) -> None:
    step = waiting(bundle)
    (bundle / "go").touch()
    assert EXECUTOR.run(order(step, bundle, claim="c2", fence=11), Hand()).outcome is Outcome.DONE
    ran = EXECUTOR.run(order(step, bundle), Hand())
    assert ran.outcome is Outcome.UNKNOWN
    assert ran.numbers[REPORT]
    assert lines(bundle) == ["started", "ended"]


def test_a_probe_of_the_same_key_is_not_hindered(bundle: Path) -> None:
    waiting(bundle)
    (bundle / "yes.sh").write_text("#!/bin/sh\nexit 0\n")
    (bundle / "yes.sh").chmod(0o755)
    options = {"argv": ["./run.sh"]}
    step = spec("command", options, bundle, step="warm", probe={"command": ["./yes.sh"]})
    first = begun(step, bundle, Hand())
    found = EXECUTOR.probe(order(step, bundle, claim="c2", fence=11), Hand())
    (bundle / "go").touch()
    first.join(20)
    assert found in {Probed.TOOK_EFFECT, Probed.UNKNOWN}
    assert len(record(bundle)) == 2


def test_records_are_bounded(bundle: Path) -> None:
    step = waiting(bundle)
    (bundle / "go").touch()
    for number in range(running.MOST_FILES + 3):
        with running.running(order(step, bundle, key=f"ab{number:03d}")) as mine:
            assert mine.rival is None
    folder = bundle.parent / running.FOLDER / "ab"
    assert len(list(folder.iterdir())) <= running.MOST_FILES + 1
    for number in range(400):
        with running.running(order(step, bundle, key="ff1", claim=f"c{number}", fence=number)) as mine:
            mine.ended(order(step, bundle, key="ff1", claim=f"c{number}", fence=number), "done")
    assert (bundle.parent / running.FOLDER / "ff" / "ff1").stat().st_size < 2 * running.KEPT_BYTES


def test_where_no_record_can_be_had_the_step_runs(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle.parent / running.FOLDER).write_text("in the way")
    step = waiting(bundle)
    (bundle / "go").touch()
    assert EXECUTOR.run(order(step, bundle), Hand()).outcome is Outcome.DONE
