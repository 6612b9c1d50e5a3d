"""Connections to one PostgreSQL: opened as threads need them, set up for the protocol, checked for a fail-over.

A connection is used by one thread at a time and goes back to a small stack. There is no upper bound on purpose: a
beat must never wait for a worker's connection.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

import psycopg
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from ringctl.core.errors import StoreUnavailable
from ringctl.stores.postgres_errors import unavailable

KEEP: Final = 8
"""Idle connections kept open."""
SCHEMA: Final = "ringctl"
SETTINGS: Final = {
    # a process that is stopped inside a transaction loses it after this: nobody waits for it any longer
    "idle_in_transaction_session_timeout": "2s",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "search_path": SCHEMA,
    # Every statement walks by keys, and is planned once: what the statistics say of a table that was empty a minute
    # ago must not turn a claim into a scan (measured: 0.13 ms against 246 ms).
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "application_name": "ringctl",
}
_DEFAULTS: Final = {
    "connect_timeout": "5",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "target_session_attrs": "read-write",  # the writer, never a reader
}
_SET_UP: Final = (
    "select "
    + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SETTINGS.items())
    # a server that acknowledges commits before they are on its disk is told to wait: never `off` for claims
    + ", case when current_setting('synchronous_commit') = 'off'"
    " then set_config('synchronous_commit', 'on', false) end"
    ", case when pg_is_in_recovery() then '' else pg_walfile_name(pg_current_wal_lsn()) end"
)
_PASSED_OVER: Final = frozenset({"RC5114", "RC5115"})
NUL: Final = "\N{SYMBOL FOR NULL}"


class _Numbers(Loader):
    """`sum(bigint)` is numeric there: whole numbers stay whole."""

    def load(self, data: bytes | bytearray | memoryview) -> int | float:
        text = bytes(data)
        return float(text) if b"." in text else int(text)


class _Texts(StrDumperUnknown):
    """PostgreSQL's texts hold no NUL: a step's output may."""

    def dump(self, obj: str) -> bytes:
        data: bytes = obj.replace("\0", NUL).encode("utf-8", "replace")
        return data


class Connection(psycopg.Connection):
    """A connection that knows which timeline its server was on."""

    timeline: int = 0


class Connections:
    """Opens, keeps and gives out connections."""

    def __init__(self, url: str) -> None:
        try:
            if url.count("@") > 1:
                raise psycopg.ProgrammingError
            given = conninfo_to_dict(url)
        except psycopg.Error:  # its text quotes the URL, and a password may be in it
            raise StoreUnavailable(
                "the state URL cannot be read: an address, an option or a character that is not escaped",
                code="RC5101",
                hint="write postgresql://USER@HOST:PORT/DATABASE; in user and password @ is %40, / is %2F, % is %25",
            ) from None
        self._conninfo = make_conninfo(**{**_DEFAULTS, **{name: str(value) for name, value in given.items()}})
        hosts = str(given.get("host") or "localhost").split(",")
        ports = str(given.get("port") or 5432).split(",")
        places = list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))
        each = ({"host": host, "port": port} for host, port in places) if len(places) > 1 else ()
        self._hosts = [make_conninfo(self._conninfo, **place) for place in each]
        database = given.get("dbname") or given.get("user") or ""
        self.where = f"postgresql://{','.join(f'{host}:{port}' for host, port in places)}/{database}"
        self.timeline = 0
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._free: list[Connection] = []

    def take(self) -> Connection:
        """A connection that was alive when it was last used, or a new one. Raises StoreUnavailable."""
        if os.getpid() != self._pid:  # a child never uses, and never closes, what its parent opened
            self._inherited = self._free
            self._forget()
        with self._lock:
            while self._free:
                found = self._free.pop()
                if not found.closed and found.timeline == self.timeline:
                    return found
                found.close()
        return self.open()

    def give(self, connection: Connection) -> None:
        """Put it back; one that is broken or too many is closed."""
        if not connection.closed and os.getpid() == self._pid:
            with self._lock:
                if len(self._free) < KEEP:
                    self._free.append(connection)
                    return
        connection.close()

    def open(self) -> Connection:
        """A new connection, set up. Where several hosts are named, one that is refused for its history (an old
        primary that came back) is passed over. Raises StoreUnavailable."""
        try:
            return self._connected(self._conninfo)
        except StoreUnavailable as refused:
            for host in self._hosts if refused.code in _PASSED_OVER else ():
                with contextlib.suppress(StoreUnavailable):
                    return self._connected(host)
            raise

    def _connected(self, conninfo: str) -> Connection:
        try:
            connection = Connection.connect(conninfo, autocommit=True, prepare_threshold=1)
        except psycopg.Error as error:
            raise unavailable(error, self.where) from error
        try:
            connection.adapters.register_loader("numeric", _Numbers)
            connection.adapters.register_dumper(int, Int8Dumper)
            connection.adapters.register_dumper(str, _Texts)
            row = connection.execute(_SET_UP, prepare=False).fetchone()
            connection.timeline = self._same_history(str(row[-1]) if row else "")
        except psycopg.Error as error:
            connection.close()
            raise unavailable(error, self.where) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _same_history(self, walfile: str) -> int:
        """The server's timeline. Refuses a standby, and a server of an older timeline than one that was seen: an old
        primary that came back after a fail-over would hand out claims a second time."""
        if not walfile:
            raise StoreUnavailable(
                f"{self.where} is a standby",
                code="RC5115",
                hint="name the writer's address; with several hosts in the URL the writer is found by itself",
            )
        timeline = int(walfile[:8], 16)
        if timeline < self.timeline:
            raise StoreUnavailable(
                f"{self.where} has timeline {timeline}, timeline {self.timeline} was seen before",
                code="RC5114",
                hint="an old primary is back after a fail-over: fence it off, or name the new one",
            )
        self.timeline = timeline
        return timeline

    def drop_idle(self) -> None:
        """Close what lies idle: the server went away under one of them."""
        with self._lock:
            idle, self._free = self._free, []
        for connection in idle:
            connection.close()

    close = drop_idle
