"""Plans of all of PostgreSQL's statements over a big store: what is read grows with the work, never with the fleet.

The plans are the generic ones that prepared statements have, under the settings that the store's connections
have. With `enable_seqscan = off` a whole table may also be read through an index: so every scan of a table that grows
has to have a condition on its index, and to be cheap. Exemptions are named with their reason.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from bench import filling
from ringctl.core.timing import HOUR
from ringctl.demo.postgres import PostgresServer
from ringctl.stores.postgres_connections import Connections
from ringctl.stores.postgres_database import in_psycopg
from ringctl.stores.statements import Statements, parse, sql_folder
from tests.support.scale import scaled

ROWS = scaled(100_000, 1_000_000)
CHEAP = 500.0
"""What one scan may cost, in the planner's unit: about a hundred rows here and there."""
STREAMING = frozenset(
    {"Limit", "LockRows", "Nested Loop", "Append", "Merge Append", "Subquery Scan", "Result", "Memoize"}
)
"""What asks for the next row only when it is asked for one."""
SHORT = {"session_alive": "holds the living nodes only"}
"""Indexes that are read whole, because they are short."""
GROWING = frozenset({
    "task", "member", "effect", "task_log", "late_log", "journal", "outbox", "node_session", "progress", "done_size",
    "touched_size", "done_trait", "look", "verdict", "blob", "bundle_file",
})  # fmt: skip
NO_PLAN = re.compile(r"(begin|commit|create|set|listen|notify|lock)\b", re.IGNORECASE)
"""Statements that the planner never sees."""
EXEMPT: Mapping[str, tuple[str, str]] = {
    "recent_sessions": (
        "node_session by session_cleared",
        "those of an hour; a plan without values guesses a third",
    ),
    "accounts_of_wave": ("task by", "an observer's look asks for all accounts of one wave"),
    "step_measures": ("task by", "asks for each begun account of one wave"),
    "step_times": ("task by", "asks for each begun account of one wave"),
    "step_classes": ("task by", "once in a wave's life: what steps took in the waves before"),
    "strata_of_wave": ("task by", "once in a wave's life: its accounts by traits and size"),
    "touched_accounts": ("task by", "counts for people, when they ask"),
    "open_wave_tasks": ("task by", "once in a wave's life all of its tasks change"),
    "idle_of_wave": ("task by", "once in a wave's life: see cancel_idle_of_wave"),
    "cancel_idle_of_wave": ("task by", "once in a wave's life all that waits in it changes"),
    "unsettled_elsewhere": ("Bitmap Heap Scan of task", "reads what is running or unknown and nothing else"),
    "served_rollouts": (
        "Bitmap Heap Scan of task",
        "reads what is unknown and nothing else: few, and each waits for somebody",
    ),
    "cancel_running_of_wave": ("task by task_held", "reads what is in flight and nothing else"),
}
"""Statement -> (scans of it that are meant, why)."""
COUNTS = frozenset(parse((sql_folder() / "verify.sql").read_text(encoding="utf-8")))
"""`db check --deep` and the tests count everything anew: these read all."""
NUMBERS = frozenset({"now", "deadline", "epoch", "count", "grace", "lease", "lines", "lease_until"})
"""Parameters whose type a statement alone does not say; the store sends them as numbers."""


FEW = ROWS // 250
COPIED = (
    "release, component, 'succeeded', 0, version, policy, holds, drawn, seed, plan_digest, fleet_digest, accounts,"
    " created_us, created_us, actor, origin, origin_host, journal_hash"
)
PAST = (
    # rollouts that are over, and half of what is done in them
    (
        "insert into rollout (id, release, component, state, is_open, version, policy, holds, drawn, seed,"
        " plan_digest, fleet_digest, accounts, created_us, ended_us, actor, origin, origin_host, journal_hash)"
        f" select 'past-' || n, {COPIED} from rollout, generate_series(1, 20) n where key = 1"
    ),
    (
        "insert into wave (id, rollout, ring, kind, revision, accounts, state, settle, parallel, failures, largest,"
        " opened_us, admitting, approved) select 100 + r.key, r.key, ring, kind, revision, w.accounts, 'passed',"
        " settle, parallel, failures, largest, opened_us, 0, 0 from wave w, rollout r where r.key > 1"
    ),
    "update member m set rollout = 2 + id % 20 where is_open = 0 and id % 40 >= 20",
    "update task t set rollout = 2 + id % 20, wave = 102 + id % 20 where state = 'done' and id % 40 >= 20",
    # tasks that no wave has drawn yet, unknown ones, failed ones
    f"update task set state = 'unknown' where state = 'waiting' and id % {FEW} = 5",
    f"update task set state = 'failed' where state = 'waiting' and id % {FEW} = 15",
    f"update task set wave = null where state = 'waiting' and id % {FEW} = 25",
    (
        "insert into node_session (id, node, started_us, lease_until_us, dead, cleared)"
        " select 's' || n, 'n', n, n, 1, 1 from generate_series(1, 20000) n"
    ),
    (
        "insert into journal (rollout, seq, at_us, kind, actor, payload, prev, hash)"
        " select 1 + n % 20, 100 + n, n, 'signal', 'ana', '{}', '', '' from generate_series(1, 50000) n"
    ),
    "insert into outbox (rollout, seq, sent_us) select 1, 100 + n, n from generate_series(1, 50000) n",
    "insert into bundle select 'b' || n, '{}' from generate_series(1, 200) n",
    "insert into blob select 'f' || n, 'x' from generate_series(1, 4000) n",
    "insert into bundle_file select 'b' || (1 + n % 200), 'path' || n, 'f' || n from generate_series(1, 4000) n",
    "vacuum analyze",
)


@pytest.fixture(scope="module")
def big(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a store of many accounts, most of them done, and statistics of it."""
    url = postgres.create_database("statement_plans")
    store = filling.open_store(url)
    store.migrate()
    filling.start(store)
    filling.fill(url, ROWS, waiting="n % 5 = 0")
    filling.release(url, "n % 10 = 0")
    session = store.open_session("n1", lease_us=HOUR)
    rollout = store.load(filling.ROLLOUT)
    store.claim(session, rollout, rollout.wave(filling.WAVE), limit=100)
    with psycopg.connect(url, options="-c search_path=ringctl", autocommit=True) as raw:
        for text in PAST:
            raw.execute(text.encode())
    store.close()
    yield url
    postgres.drop_database("statement_plans")


@pytest.fixture
def raw(big: str) -> Iterator[psycopg.Connection]:
    """A connection as the store has them, in a transaction that is rolled back."""
    connection = Connections(big).open()
    connection.execute("set statement_timeout = '60s'")
    connection.execute("begin")
    yield connection
    connection.execute("rollback")
    connection.close()


def prepare(raw: psycopg.Connection, text: str, types: list[str]) -> None:
    """Prepare it as `asked`; the server works out the types that are unknown, as it does for psycopg's texts."""
    given = f"({', '.join(types)})" if types else ""
    raw.execute(f"prepare asked{given} as {text}".encode(), prepare=False)


def plan(raw: psycopg.Connection, text: str) -> dict[str, Any]:
    """The generic plan of a statement."""
    sent = in_psycopg(text)
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sent)))
    for place, name in enumerate(names, start=1):
        sent = sent.replace(f"%({name})s", f"${place}")
    values = ", ".join("null" for _ in names)
    raw.execute("set local plan_cache_mode = force_generic_plan")
    sent = sent.replace("%%", "%")
    try:
        with raw.transaction():
            prepare(raw, sent, ["unknown" for _ in names])
    except psycopg.ProgrammingError:
        prepare(raw, sent, ["bigint" if name in NUMBERS else "unknown" for name in names])
    explain = f"explain (format json) execute asked{f'({values})' if names else ''}"
    found = raw.execute(explain.encode(), prepare=False).fetchone()
    raw.execute("deallocate asked", prepare=False)
    assert found is not None
    (root,) = found[0] if isinstance(found[0], list) else json.loads(found[0])
    return dict(root["Plan"])


def scans(node: Mapping[str, Any], *, cut: bool = False) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Each scan with whether a limit ends it early: one above it, with nothing between that reads all first."""
    kind = node["Node Type"]
    if "Scan" in kind:
        yield node, cut
    cut = kind == "Limit" or (cut and kind in STREAMING)
    for child in node.get("Plans", ()):
        yield from scans(
            child, cut=cut and child.get("Parent Relationship") in {"Outer", "Subquery", "Member"}
        )


def offences(root: Mapping[str, Any]) -> list[str]:
    """What of a plan would grow with the fleet."""
    found = []
    for node, cut in scans(root):
        kind, table, index = node["Node Type"], node.get("Relation Name", ""), node.get("Index Name", "")
        if table not in GROWING or index in SHORT:
            continue
        where = f"{kind} of {table} by {index or 'nothing'}"
        if not (node.get("Index Cond") or node.get("Recheck Cond")):
            found.append(f"{where}: without a condition")
        elif node["Total Cost"] > CHEAP and not cut:
            found.append(f"{where}: cost {node['Total Cost']:.0f}, of {node['Plan Rows']} rows")
    return found


def names() -> list[str]:
    statements = Statements.load("postgresql")
    return [
        name
        for name in statements
        if not NO_PLAN.match(re.sub(r"^\s*--.*$", "", statements[name], flags=re.MULTILINE).strip())
    ]


@pytest.mark.parametrize("name", [name for name in names() if name not in COUNTS])
def test_what_is_read_does_not_grow_with_the_fleet(raw: psycopg.Connection, name: str) -> None:
    meant, _ = EXEMPT.get(name, ("nothing is meant", ""))
    found = offences(plan(raw, Statements.load("postgresql")[name]))
    assert [one for one in found if meant not in one] == []
    assert name not in EXEMPT or found, "an exemption that is no longer needed goes"


QUEUES = {
    "task_ready": "claim_tasks",
    "task_held": "held_tasks",
    "member_control": "untouched_page",
    "session_alive": "kill_sessions",
}


@pytest.mark.parametrize("index", QUEUES)
def test_a_lost_index_is_seen(raw: psycopg.Connection, index: str) -> None:
    text = Statements.load("postgresql")[QUEUES[index]]
    raw.execute(f"drop index {index}".encode(), prepare=False)
    assert offences(plan(raw, text))
