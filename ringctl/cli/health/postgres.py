"""The PostgreSQL under a store: tables, settings that the claims rely on, replication, poolers, and cutting
connections for the trial. psycopg is there where this is imported."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

from ringctl.cli.health.checks import Check, Database, Table, failed, passed, warned
from ringctl.stores.postgres_connections import Connections
from ringctl.stores.postgres_errors import unavailable
from ringctl.stores.statements import Statements

_TABLES: Final = """
select c.relname, greatest(coalesce(s.n_live_tup, 0), 0)::bigint, pg_total_relation_size(c.oid)::bigint,
       coalesce(s.n_dead_tup, 0)::bigint
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join pg_stat_user_tables s on s.relid = c.oid
 where n.nspname = current_schema() and c.relkind in ('r', 'p') order by 1
"""
_LACKING: Final = """
select coalesce(w.verb || ' on ', 'usage of ') || c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join unnest(%(tables)s::text[], %(verbs)s::text[]) w(relation, verb) on w.relation = c.relname
 where n.nspname = current_schema()
   and case c.relkind when 'r' then not has_table_privilege(c.oid, w.verb)
                      when 'S' then not has_sequence_privilege(c.oid, 'usage')
                      else false end
 order by 1
"""
_WRITES: Final = re.compile(r"\b(insert|update|delete)\s+(?:into\s+|from\s+)?([a-z_]+)", re.IGNORECASE)
_UPSERT: Final = re.compile(
    r"\binsert\s+into\s+([a-z_]+)(?:(?!\binsert\b).)*?\bdo\s+update\b", re.IGNORECASE | re.DOTALL
)
_OLDEST: Final = """
select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid()
"""
_ROOM: Final = """
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       (select count(*) from pg_stat_activity where backend_type = 'client backend')
"""
_STANDBYS: Final = """
select coalesce(application_name, ''), coalesce(sync_state, ''),
       extract(epoch from coalesce(replay_lag, flush_lag, '0'))::float8
  from pg_stat_replication where state is null or state = 'streaming' order by 1
"""
_CUT: Final = """
select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
 where client_port = any(%(ports)s) and client_addr is not distinct from inet_client_addr()
   and datname = current_database() and usename = current_user and pid <> pg_backend_pid()
"""
PER_NODE: Final = 12
"""Connections that a node with 8 workers may have open."""
DEAD_SHARE: Final = 0.2
DEAD_LEAST: Final = 10_000
OLD_S: Final = 60.0
LACKING_SHOWN: Final = 3
SAFE_COMMITS: Final = frozenset({"on", "remote_apply"})


@contextlib.contextmanager
def _asked(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection as the store opens them. Raises StoreUnavailable."""
    connections = Connections(url)
    raw = connections.open()
    try:
        yield raw
    except psycopg.Error as error:
        raise unavailable(error, connections.where) from error
    finally:
        raw.close()


def database(url: str) -> Database:
    """What the schema holds; rows are the server's estimate. Raises StoreUnavailable."""
    with _asked(url) as raw:
        tables = tuple(
            Table(name=name, rows=rows, size=size, dead=dead)
            for name, rows, size, dead in raw.execute(_TABLES.encode()).fetchall()
        )
        oldest = raw.execute(_OLDEST.encode()).fetchone()
        version = _setting(raw, "server_version")
    return Database(
        engine="postgresql",
        size=sum(table.size or 0 for table in tables),
        tables=tables,
        estimated=True,
        oldest_s=oldest[0] if oldest else None,
        more={"server_version": version},
    )


def _setting(raw: psycopg.Connection[tuple[Any, ...]], name: str) -> str:
    row = raw.execute(b"select current_setting(%s, true)", (name,)).fetchone()
    return str(row[0]) if row and row[0] is not None else ""


def checks(url: str, nodes: int) -> Iterator[Check]:
    """What can be wrong with the server, for `nodes` nodes that are alive. Raises StoreUnavailable."""
    with _asked(url) as raw:
        names = ("fsync", "synchronous_commit", "full_page_writes", "synchronous_standby_names",
                 "idle_in_transaction_session_timeout")  # fmt: skip
        settings = {name: _setting(raw, name) for name in names}
        standbys = raw.execute(_STANDBYS.encode()).fetchall()
        most, used = raw.execute(_ROOM.encode()).fetchall()[0]
        oldest = raw.execute(_OLDEST.encode()).fetchone()
        lacking = [str(name) for (name,) in raw.execute(_LACKING.encode(), _written()).fetchall()]
        pooled = _pooled(url, raw)
    yield writes(lacking)
    yield from durability(settings)
    yield replication(settings, standbys)
    yield idle_limit(settings["idle_in_transaction_session_timeout"])
    yield room(most - used, nodes)
    if pooled:
        yield failed(
            "pooler",
            "a pooler in transaction mode is in between: settings of a session do not hold there",
            "name the server's own address, or set the pooler to pool_mode = session",
        )
    else:
        yield passed("pooler", "sessions are the server's own")
    yield old_transaction(oldest[0] if oldest else None)


def _written() -> dict[str, list[str]]:
    """What the store's statements write, as pairs of table and verb. What is no table is passed over by the server;
    the tables of migrations are `db migrate`'s alone."""
    texts = Statements.load("postgresql")
    found = {(table.lower(), verb.lower()) for name in texts for verb, table in _WRITES.findall(texts[name])}
    found |= {(table.lower(), "update") for name in texts for table in _UPSERT.findall(texts[name])}
    pairs = sorted(pair for pair in found if not pair[0].startswith("migration"))
    return {"tables": [table for table, _ in pairs], "verbs": [verb for _, verb in pairs]}


def writes(lacking: Sequence[str]) -> Check:
    """Whether the store's user may do what nodes do (pure). `lacking`: rights that it has not."""
    if not lacking:
        return passed("writes", "the user may write what nodes write")
    more = f" and {len(lacking) - LACKING_SHOWN} more" if len(lacking) > LACKING_SHOWN else ""
    return failed(
        "writes",
        f"the user lacks {', '.join(lacking[:LACKING_SHOWN])}{more}: no node can work with it (RC5107)",
        "grant it the tables and sequences of the schema `ringctl`, or name the user that owns them",
    )


def durability(settings: Mapping[str, str]) -> Iterator[Check]:
    """Whether what was acknowledged is on disk (pure)."""
    if settings["fsync"] != "on":
        yield failed(
            "fsync", "fsync is off: a crash of the server loses or mixes up claims", "set fsync = on, restart"
        )
    elif settings["full_page_writes"] != "on":
        yield warned(
            "fsync",
            "fsync is on, full_page_writes is off: a torn page survives a crash",
            "set full_page_writes = on, unless the file system never tears pages",
        )
    else:
        yield passed("fsync", "fsync and full_page_writes are on")
    commit = settings["synchronous_commit"]
    if commit in SAFE_COMMITS:
        yield passed("commit", f"synchronous_commit = {commit}: an answered commit is on disk")
    else:
        yield warned(
            "commit",
            f"synchronous_commit = {commit}: after a fail-over tasks may repeat",
            "set synchronous_commit = on for ringctl's role",
        )


def replication(settings: Mapping[str, str], standbys: list[tuple[Any, ...]]) -> Check:
    """What a fail-over would cost (pure). `standbys`: name, sync state, lag in seconds."""
    sync = [name for name, state, _ in standbys if state in {"sync", "quorum"}]
    if not standbys:
        waits = settings["synchronous_standby_names"]
        if waits:
            return failed(
                "replication",
                f"commits wait for {waits}, and no standby is attached that may be seen",
                "bring the standby back, or grant pg_monitor to ringctl's role so that it can be seen",
            )
        return passed("replication", "no standby is attached; a restored backup may repeat tasks")
    if sync:
        return passed("replication", f"synchronous: {', '.join(map(str, sync))}; a fail-over loses nothing")
    lag = max(float(lag) for _, _, lag in standbys)
    seconds = f"up to {lag:.1f} s of tasks" if lag > 0 else "the last tasks"
    return warned(
        "replication",
        f"asynchronous replication: after a fail-over {seconds} may repeat",
        "set synchronous_standby_names, or accept it: steps fenced by a ledger do not repeat",
    )


def idle_limit(value: str) -> Check:
    """Whether a node that is frozen inside a transaction loses it (pure)."""
    if value in {"", "0", "0s", "0ms"}:
        return failed(
            "idle-limit",
            "idle_in_transaction_session_timeout is not in force: a frozen node holds its locks for ever",
            "let ringctl set it: no pooler that drops session settings in between",
        )
    return passed("idle-limit", f"a transaction left open is ended after {value}")


def room(free: int, nodes: int) -> Check:
    """Whether connections are left for one more node (pure)."""
    text = f"{max(free, 0)} connections are free, {nodes} nodes alive, a node may need {PER_NODE}"
    if free < PER_NODE:
        return warned("connections", text, "raise max_connections, or run fewer nodes or workers")
    return passed("connections", text)


def old_transaction(age_s: float | None) -> Check:
    """Whether something keeps dead rows from being swept (pure)."""
    if age_s is not None and age_s > OLD_S:
        return warned(
            "old-transaction",
            f"a transaction has been open for {age_s:.0f} s: dead rows stay, claims become slow",
            "find it in pg_stat_activity and end it",
        )
    return passed("old-transaction", "none is open for long")


def dead_rows(tables: tuple[Table, ...]) -> Check:
    """Whether autovacuum keeps up (pure)."""
    bad = [
        table.name
        for table in tables
        if (table.dead or 0) > max(DEAD_LEAST, DEAD_SHARE * (table.rows + (table.dead or 0)))
    ]
    if bad:
        return warned(
            "dead-rows", f"many dead rows in {', '.join(bad)}", "vacuum them; see why autovacuum does not"
        )
    return passed("dead-rows", "autovacuum keeps up")


def _pooled(url: str, first: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Whether two open sessions share a server process: then they are no sessions."""
    pid = first.execute(b"select pg_backend_pid()").fetchone()
    with _asked(url) as second:
        second.execute(b"begin")
        other = second.execute(b"select pg_backend_pid()").fetchone()
        again = first.execute(b"select pg_backend_pid()").fetchone()
        second.execute(b"rollback")
    return pid == other or pid != again


def cut(url: str, pid: int) -> int:
    """End the server's side of a process's connections; how many there were. 0 where they cannot be told."""
    ports = local_ports(pid)
    if not ports:
        return 0
    with _asked(url) as raw:
        row = raw.execute(_CUT.encode(), {"ports": ports}).fetchone()
    return int(row[0]) if row else 0


def local_ports(pid: int) -> list[int]:
    """Ports of a process's own TCP connections (Linux)."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = str(entry.readlink())
                if name.startswith("socket:["):
                    inodes.add(name[8:-1])
    ports = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports
