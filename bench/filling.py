"""A wave of many accounts in a PostgreSQL store, written by the server itself: a million rows in a minute.

What is written is what the store itself would have written: `verify` finds nothing to say about it.
"""

from dataclasses import replace
from pathlib import Path

import psycopg

from ringctl.core.decisions import OpenWave, Step
from ringctl.core.model import Rollout
from ringctl.core.states import RolloutState, WaveState
from ringctl.ports.store import Store
from ringctl.stores.postgres import PostgresStore
from ringctl.stores.sqlite import SQLiteStore
from ringctl.testing.values import NOON, a_new_rollout, bundle_of, members_of, policy_of

ROLLOUT = "ro-1"
WAVE = 1
MANY = 1_000_000_000
FIRST = 1_000
"""Ids of what is filled in begin above this."""

_MEMBERS = """
insert into member (id, rollout, account, ring, size, decade, reserve, rank, traits, columns, is_open, drawn,
                    touched_us, proven)
select {first} + n, key, 'acct-' || lpad(n::text, 9, '0'), 0, 10 + n % 90, 1, 0, hashint8extended(n, 1),
       '[["edition","std"]]', '[["database","acct.db"]]', case when w then 1 else 0 end, 1,
       case when w then null else {noon} + n end, case when w then 0 else 1 end
  from (select n, {waiting} as w from generate_series(1, {rows}) n) numbers, rollout where id = '{rollout}'
"""
_TASKS = """
insert into task (id, rollout, member, revision, wave, state, rank, fence, attempt, holder, begun_us, ended_us,
                  next_log, resolve_after_us)
select m.id, m.rollout, m.id, 1, {wave}, case when w then 'waiting' else 'done' end, m.rank,
       case when w then 0 else m.id end, case when w then 0 else 1 end, case when w then null else 'past' end,
       case when w then null else {noon} + m.id end, case when w then null else {noon} + m.id + 1 end,
       case when w then 1 else 2 end, 0
  from (select *, is_open = 1 as w from member where id > {first} order by id) m
"""
_REST = (
    """
insert into effect (task, seq, step, digest, idem_key, state, fence, claim, first_us, began_us, ended_us)
select id, 1, 'readers', 'digest', 'key', 'done', fence, 'past', begun_us, begun_us, ended_us
  from task where id > {first} and state = 'done' order by id
""",
    """
insert into task_log (task, seq, fence, at_us, line)
select id, 1, fence, ended_us, 'done' from task where id > {first} and state = 'done' order by id
""",
    """
insert into progress (rollout, wave, session, waiting, pending, running, done, failed, unknown, cancelled, skipped)
select rollout, wave, 'past', sum((state = 'waiting')::int), 0, 0, sum((state = 'done')::int), 0, 0, 0, 0
  from task where id > {first} group by rollout, wave
""",
    """
insert into done_size (rollout, revision, decade, session, members, largest)
select rollout, 1, decade, 'past', count(*), max(size) from member where id > {first} and is_open = 0
 group by rollout, decade
""",
    """
insert into done_trait (rollout, revision, trait, value)
select key, 1, 'edition', 'std' from rollout where id = '{rollout}' on conflict do nothing
""",
    "update rollout set accounts = {rows} where id = '{rollout}'",
    "update wave set accounts = {rows} where id = {wave}",
    "select setval(name, {first} + {rows}) from unnest(array['member_id', 'task_id', 'fence']) name",
    "analyze",
)


def open_store(url: str) -> PostgresStore:
    """The store, with the small bundles and policies of the tests."""
    return PostgresStore(url, decode_policy=policy_of, decode_bundle=bundle_of)


def open_any(url: str) -> Store:
    """A store of either kind: `postgresql://...` or the path of an SQLite file."""
    if "://" in url:
        return open_store(url)
    return SQLiteStore(Path(url), decode_policy=policy_of, decode_bundle=bundle_of)


def start(store: Store, accounts: int = 1) -> Rollout:
    """A rollout whose one wave is open, without a limit."""
    members = members_of("inner", accounts)
    store.create_rollout(a_new_rollout({WAVE: members}, fields={"parallel": MANY, "failures": MANY}))
    store.next_wave_ids(1)
    rollout = store.load(ROLLOUT)
    wave = replace(rollout.wave(WAVE), state=WaveState.OPEN, opened_us=NOON)
    opened = replace(rollout.with_wave(wave), state=RolloutState.RUNNING)
    return store.apply(
        Step(rollout=opened, decisions=(OpenWave(wave=WAVE),)), expected=rollout.version, actor="bench"
    )


def fill(url: str, rows: int, *, waiting: str = "false") -> None:
    """Add `rows` accounts to the wave that `start` opened: done, but for those of which `waiting` is true, SQL over
    their number `n`; `release` makes them pending."""
    words = {"first": FIRST, "rows": rows, "noon": NOON, "rollout": ROLLOUT, "wave": WAVE, "waiting": waiting}
    with psycopg.connect(url, options="-c search_path=ringctl") as connection:
        for text in (_MEMBERS, _TASKS, *_REST):
            connection.execute(text.format(**words).encode())


def release(url: str, which: str) -> int:
    """Make waiting tasks pending, those of which `which` is true, SQL over their number `n`; how many."""
    with psycopg.connect(url, options="-c search_path=ringctl") as connection:
        moved = connection.execute(
            f"update task set state = 'pending' from (select id as found, id - {FIRST} as n from task) numbers"
            f" where id = found and state = 'waiting' and {which}".encode()
        ).rowcount
        connection.execute(
            "update progress set waiting = waiting - %s, pending = pending + %s where session = 'past'",
            (moved, moved),
        )
    with psycopg.connect(url, options="-c search_path=ringctl", autocommit=True) as connection:
        connection.execute("vacuum analyze task")
    return moved
