"""SQLite's own: the file and what may be wrong with it, statements and their plans, threads and forks."""

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringctl.core.digests import GENESIS
from ringctl.core.errors import BugError, StoreUnavailable
from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import MINUTE, SECOND
from ringctl.stores.migrations import Applied, known_migrations, missing
from ringctl.stores.sqlite import SQLiteStore, file_of
from ringctl.stores.sqlite_errors import unavailable
from ringctl.stores.statements import Statements, parse
from ringctl.testing.store_scene import Scene
from ringctl.testing.values import TestClock, a_new_rollout, bundle_of, members_of, policy_of

# What workers, ticks and observers run all the time: none of it may grow with the fleet.
HOT = [
    "session_alive", "renew_session", "held_tasks", "admitting_wave", "wave_in_flight", "pending_tasks", "take_task",
    "waves_with_unknown", "unknown_tasks", "take_unknown", "effects_of_member", "begin_step", "touch_member",
    "add_intent", "end_step", "end_effect", "task_to_return", "finish_task", "close_member", "take_log_numbers",
    "kill_sessions", "anything_to_rescue", "dead_sessions", "orphans_of", "overdue_tasks", "orphan", "rescue_task",
    "progress_of_rollout", "settling_of_wave", "credits_of_rollout", "verdicts_of_rollout",
    "drift_of_rollout", "alive_sessions", "recent_sessions", "untouched_page", "rollout_row", "waves_of",
    "revisions_of", "save_rollout", "count_look", "candidate_page", "largest_done", "largest_touched",
    "notable_tasks",
]  # fmt: skip
# Each of these walks a queue: it has to be the queue's own index, never the one over all of a wave's tasks.
INDEX = {
    "pending_tasks": "task_ready", "held_tasks": "task_held", "orphans_of": "task_held", "overdue_tasks": "task_held",
    "unknown_tasks": "task_unknown", "settling_of_wave": "task_unknown", "notable_tasks": "task_notable",
    "untouched_page": "member_control", "candidate_page": "member_draw", "dead_sessions": "session_dead",
    "cancel_undrawn": "task_undrawn", "idle_of_wave": "task_wave",
}  # fmt: skip


def store_at(path: Path, *, patience_ms: int = 10_000) -> SQLiteStore:
    return SQLiteStore(path, decode_policy=policy_of, decode_bundle=bundle_of, patience_ms=patience_ms)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ringctl.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    made = store_at(path)
    made.migrate()
    yield made
    made.close()


# -- plans -----------------------------------------------------------------------------------------


def plan(path: Path, statement: str) -> list[str]:
    with sqlite3.connect(path) as raw:
        names = set(re.findall(r":(\w+)", statement))
        rows = raw.execute(f"explain query plan {statement}", dict.fromkeys(names, 1)).fetchall()
    raw.close()
    return [row[3] for row in rows]


@pytest.mark.parametrize("name", HOT)
def test_hot_statements_never_scan(store: SQLiteStore, path: Path, name: str) -> None:
    # the whole of `session_alive` is what is asked for: it holds living nodes only
    cheap = ("INDEX session_alive", "SCAN CONSTANT ROW")
    steps = [line for line in plan(path, store.statements[name]) if not any(one in line for one in cheap)]
    assert [line for line in steps if line.startswith("SCAN")] == []


@pytest.mark.parametrize("name", INDEX)
def test_queues_are_walked_by_their_own_index(store: SQLiteStore, path: Path, name: str) -> None:
    steps = plan(path, store.statements[name])
    assert any(f"INDEX {INDEX[name]} " in f"{line} " for line in steps), steps


def test_every_statement_is_prepared(store: SQLiteStore, path: Path) -> None:
    for name in store.statements:
        if not re.match(r"begin|commit|create", store.statements[name]):
            plan(path, store.statements[name])


def test_every_statement_is_used() -> None:
    folder = Path(__file__).parents[2] / "ringctl" / "stores"
    text = "\n".join(file.read_text() for file in folder.glob("*.py"))
    unused = [name for name in Statements.load("sqlite") if f'"{name}"' not in text]
    assert unused == []


def test_statements_are_named_once_and_known() -> None:
    with pytest.raises(BugError):
        parse("-- name: a\nselect 1\n-- name: a\nselect 2")
    statements = Statements(parse("about\n-- name: a\n-- why\nselect 1;\n"))
    with pytest.raises(BugError):
        statements["b"]
    with statements.override(a="select 2"):
        assert statements["a"] == "select 2"
    assert statements["a"] == "-- why\nselect 1"


# -- the file --------------------------------------------------------------------------------------


def refusal(store: SQLiteStore) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        store.rollouts()
    store.close()
    assert caught.value.hint or caught.value.code == "RC5101"
    return caught.value


def test_opening_makes_nothing(path: Path) -> None:
    store = store_at(path)
    assert refusal(store).code == "RC5108"
    assert store.migrate(dry_run=True) == ("0001_start", "0002_nodes", "0003_deaths")
    assert not path.exists()
    path.touch()
    assert refusal(store_at(path)).code == "RC5108"
    assert path.stat().st_size == 0


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to look like one " * 100)
    before = path.read_bytes()
    assert refusal(store_at(path)).code == "RC5104"
    with pytest.raises(StoreUnavailable):
        store_at(path).migrate()
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(store: SQLiteStore, path: Path) -> None:
    change(path, "insert into migration values (9, '0009_future', 'x', 0)")
    assert refusal(store_at(path)).code == "RC5105"
    with pytest.raises(StoreUnavailable):
        store_at(path).migrate()


@pytest.mark.parametrize(("works_with", "fits"), [(1, True), (3, True), (4, False)])
def test_a_newer_schema_says_who_may_work_beside_it(
    store: SQLiteStore, path: Path, works_with: int, *, fits: bool
) -> None:
    change(path, "insert into migration values (9, '0009_future', 'x', 0)")
    change(path, f"insert into migration_reach values (9, {works_with})")
    if fits:
        assert store_at(path).rollouts() == ()
    else:
        assert refusal(store_at(path)).code == "RC5105"


def test_an_edited_migration_is_refused(store: SQLiteStore, path: Path) -> None:
    change(path, "update migration set checksum = 'x'")
    assert refusal(store_at(path)).code == "RC5106"


def test_an_older_schema_needs_migrating(store: SQLiteStore, path: Path) -> None:
    change(path, "delete from migration")
    assert refusal(store_at(path)).code == "RC5108"
    known = known_migrations("sqlite")
    assert missing(known, (), where="x") == known
    applied = [Applied(number=m.number, name=m.name, checksum=m.checksum) for m in known]
    assert missing(known, applied, where="x") == ()


def change(path: Path, statement: str) -> None:
    raw = sqlite3.connect(path)
    raw.execute(statement)
    raw.commit()
    raw.close()


def test_a_full_disk_is_said_and_survived(store: SQLiteStore) -> None:
    Scene(store, TestClock()).create()
    with store.database.write() as tx:
        raw = tx._raw  # type: ignore[attr-defined]
    pages = raw.execute("pragma page_count").fetchone()[0]
    raw.execute(f"pragma max_page_count = {pages}")

    def fill() -> None:
        for _ in range(1000):
            store.record("ro-1", "signal", {"text": "x" * 2000}, actor="ana")

    with pytest.raises(StoreUnavailable) as caught:
        fill()
    assert caught.value.code == "RC5103"
    raw.execute(f"pragma max_page_count = {pages + 1000}")
    store.record("ro-1", "signal", {}, actor="ana")
    assert store.verify() == ()


def test_a_read_only_file_is_said(store: SQLiteStore) -> None:
    with store.database.write() as tx:
        raw = tx._raw  # type: ignore[attr-defined]
    raw.execute("pragma query_only = on")
    with pytest.raises(StoreUnavailable) as caught:
        store.next_wave_ids(1)
    assert caught.value.code == "RC5107"


def test_a_lock_held_for_too_long_is_said(store: SQLiteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    impatient = store_at(path, patience_ms=200)
    with pytest.raises(StoreUnavailable) as caught:
        impatient.next_wave_ids(1)
    assert caught.value.code == "RC5102"
    assert impatient.rollouts() == (), "readers never wait for a writer"
    other.rollback()
    other.close()
    assert impatient.next_wave_ids(1) == 1
    impatient.close()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        store_at(tmp_path / "no" / "ringctl.db").migrate()
    assert caught.value.code == "RC5101"
    assert caught.value.hint


def test_other_errors_of_sqlite() -> None:
    assert isinstance(unavailable(sqlite3.IntegrityError("x"), Path("x")), BugError)
    assert unavailable(sqlite3.OperationalError("x"), Path("x")).code == "RC5101"


def test_addresses() -> None:
    assert file_of("sqlite:///a/b.db") == Path("a/b.db")
    assert file_of("sqlite:////a/b.db") == Path("/a/b.db")
    assert file_of("a.db") == file_of(Path("a.db")) == Path("a.db")
    for wrong in ("postgresql://x", ":memory:", "sqlite:///"):
        with pytest.raises(StoreUnavailable):
            file_of(wrong)


def test_durable_and_in_wal(store: SQLiteStore) -> None:
    with store.database.read() as tx:
        raw = tx._raw  # type: ignore[attr-defined]
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        settings = [raw.execute(f"pragma {name}").fetchone()[0] for name in pragmas]
    assert settings == ["wal", 2, 1]


def test_the_stores_clock_is_this_hosts(store: SQLiteStore) -> None:
    assert abs(store.now_us() - time.time_ns() // 1000) < 2 * SECOND


# -- threads and forks -----------------------------------------------------------------------------


def test_threads_that_are_gone_leave_no_connection(store: SQLiteStore) -> None:
    for _ in range(5):
        thread = threading.Thread(target=store.rollouts)
        thread.start()
        thread.join()
    assert len(store.database._open) <= 2  # type: ignore[attr-defined]


def test_a_forked_child_opens_its_own(store: SQLiteStore) -> None:
    Scene(store, TestClock()).create()
    pid = os.fork()
    if pid == 0:  # the child: no test framework in it
        done = 1
        try:
            store.record("ro-1", "signal", {"from": "child"}, actor="child")
            store.close()
            done = 0
        finally:
            os._exit(done)
    assert os.waitpid(pid, 0)[1] == 0
    store.record("ro-1", "signal", {"from": "parent"}, actor="parent")
    assert [entry.actor for entry in store.journal("ro-1", after=1)] == ["child", "parent"]


def test_a_writing_transaction_is_not_nested(store: SQLiteStore) -> None:
    with store.database.write(), pytest.raises(BugError), store.database.write():
        pass


def test_an_error_rolls_everything_back(store: SQLiteStore) -> None:
    def fail() -> None:
        with store.database.write() as tx:
            tx.rows("count_up", name="wave", count=1)
            tx.run("add_outbox", rollout=None, seq=1)  # not null: an integrity error is a bug of ours

    with pytest.raises(BugError):
        fail()
    assert store.next_wave_ids(1) == 1


def test_a_closed_store_opens_again(store: SQLiteStore) -> None:
    store.close()
    assert store.rollouts() == ()


# -- what the recount finds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("update progress set done = done + 1", "progress"),
        ("update member set is_open = 1", "is_open"),
        ("update done_size set largest = largest + 1", "done sizes"),
        ("update member set drawn = 5", "drawn"),
        ("update member set touched_us = null", "touched_us"),
        ("update task set claim = 'x', holder = (select id from node_session)", "claim"),
        ("update task set fence = 7", "fence"),
        ("update task set next_log = 9", "log"),
        ("update journal set payload = '{\"a\":1}' where seq = 1", "broken at 1"),
        ("delete from journal where seq = 2", "head"),
        ("delete from outbox", "outbox"),
    ],
)
def test_the_recount_finds_what_is_wrong(store: SQLiteStore, path: Path, damage: str, word: str) -> None:
    scene = Scene(store, TestClock())
    scene.start(inner=2)
    for claim in scene.claims(scene.node()):
        scene.run(claim)
    assert store.verify() == ()
    change(path, damage)
    assert any(word in line for line in store.verify())


# -- size ------------------------------------------------------------------------------------------


def test_facts_cost_the_same_for_any_fleet(store: SQLiteStore) -> None:
    """No count over tasks: the statements of `facts` touch a handful of rows for 20,000 accounts."""
    members = members_of("inner", 20_000)
    scene = Scene(store, TestClock())
    scene.create(a_new_rollout({1: members[:10_000], 2: members[10_000:]}))
    rollout = scene.open_wave(1)
    facts = store.facts(rollout)
    started = time.perf_counter()
    for _ in range(20):
        store.facts(rollout)
    spent = (time.perf_counter() - started) / 20
    assert facts.wave(1).pending == facts.wave(2).waiting == 10_000
    assert spent < 0.02
    assert next(iter(store.journal("ro-1"))).prev == GENESIS


def test_one_task_whole(store: SQLiteStore) -> None:
    """The real clock, once through."""
    scene = Scene(store, TestClock())
    scene.start(inner=1)
    claim = scene.claim_one(scene.node())
    store.intent(claim, "readers", "d", "k", deadline_us=MINUTE)
    store.result(claim, "readers", EffectState.DONE, {})
    store.finish(claim, TaskState.DONE)
    assert store.verify() == ()
