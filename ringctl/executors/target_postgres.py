"""A PostgreSQL database as a target, through psycopg 3 (imported when one is opened)."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ringctl.executors.databases import (
    Busy,
    CommitLost,
    Interrupted,
    KeyExists,
    Limits,
    Lost,
    Refused,
    Result,
    TargetError,
    Unreachable,
    Value,
    one_text,
)
from ringctl.executors.sqltext import POSTGRESQL, for_psycopg

if TYPE_CHECKING:
    import psycopg

IDLE_SECONDS: Final = 15
"""A paused node's open transaction is ended by the server after this: it must not hold locks for ever."""
_BUSY: Final = frozenset({"55P03", "40001", "40P01"})
_KEY_EXISTS: Final = "23505"
_GONE: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_SETTINGS: Final = (
    "SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}; "
    "SET LOCAL idle_in_transaction_session_timeout = {idle}; "
    "SET LOCAL standard_conforming_strings = on"
)


class PostgresDatabase:
    """One connection, client-side binding (several statements in one call), transactions by hand."""

    engine = POSTGRESQL
    now = "clock_timestamp()"

    def __init__(self, url: str, seconds: float) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise Unreachable("psycopg is missing here: install ringctl[postgres]") from error
        try:
            self._connection: psycopg.Connection[tuple[object, ...]] = psycopg.connect(
                url,
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=psycopg.ClientCursor,
                connect_timeout=max(2, int(seconds)),
                application_name="ringctl",
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
            )
        except psycopg.OperationalError as error:
            raise Unreachable(f"cannot connect: {_line(error)}") from error
        except psycopg.Error as error:  # its text may quote the URL, and with it a password
            raise Refused("the database URL is not understood") from error
        # Ends a dead node's statement soon; servers before 14 and some systems do not know it.
        with contextlib.suppress(psycopg.Error):
            self._connection.execute("SET client_connection_check_interval = '1s'")
        self._prefix = ""

    def begin(self, limits: Limits) -> None:
        """Begin, with the limits for this transaction only (a pooler may sit in between)."""
        settings = _SETTINGS.format(
            lock=max(1, int(limits.lock_s * 1000)),
            statement=max(1, int(limits.statement_s * 1000)),
            idle=IDLE_SECONDS * 1000,
        )
        with self._meaning():
            self._connection.execute(f"BEGIN; {settings}".encode())

    def run(self, text: str, values: Mapping[str, Value]) -> Result:
        """Run one statement and read all its rows."""
        with self._meaning():
            cursor = self._connection.execute(*self._bound(text.replace("{p}", self._schema()), values))
            rows = tuple(cursor.fetchall()) if cursor.description else ()
            return Result(rows=rows, count=cursor.rowcount)

    def script(self, text: str, values: Mapping[str, Value]) -> None:
        """All statements in one call."""
        with self._meaning():
            self._connection.execute(*self._bound(text, values))

    def commit(self) -> None:
        """Commit; an answer of the server is certain, a lost connection is not."""
        import psycopg

        try:
            status = self._connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            found = self._sorted(error)
            if isinstance(found, Lost):
                raise CommitLost(f"the connection was lost at the commit: {found.reason}") from error
            raise found from error
        if status != "COMMIT":
            raise Refused(f"the server answered {status} to the commit")

    def rollback(self) -> None:
        """Roll back what is open."""
        import psycopg

        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")

    def transaction(self) -> str:
        """The transaction's number."""
        import psycopg

        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
            return ""
        return one_text(self.run("SELECT txid_current()::text", {}).rows)

    def has_table(self, name: str) -> bool:
        """Whether the search path shows the table."""
        return bool(one_text(self.run("SELECT to_regclass(:name)::text", {"name": name}).rows))

    def interrupt(self) -> None:
        """Ask the server to cancel the running statement."""
        import psycopg

        with contextlib.suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=2.0)

    def close(self) -> None:
        """Close; an open transaction is rolled back by the server."""
        import psycopg

        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _schema(self) -> str:
        """The ledger's schema, settled once: a script may move the search path under us."""
        if not self._prefix:
            query = (
                b"SELECT quote_ident(coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n "
                b"ON n.oid = c.relnamespace WHERE c.oid = to_regclass('ringctl_ledger')), "
                b"current_schema(), 'public')) || '.'"
            )
            self._prefix = one_text(self._connection.execute(query).fetchall())
        return self._prefix

    def _bound(self, text: str, values: Mapping[str, Value]) -> tuple[bytes, dict[str, Value] | None]:
        if not values:
            return text.encode(), None
        return for_psycopg(text, values.keys()).encode(), dict(values)

    @contextlib.contextmanager
    def _meaning(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise self._sorted(error) from error
        except ValueError as error:  # a text that cannot be encoded or bound
            raise Refused(str(error)) from error

    def _sorted(self, error: "psycopg.Error") -> TargetError:
        state = error.sqlstate or ""
        if state == "57014":
            return Interrupted(_line(error))
        if state in _BUSY:
            return Busy(_line(error))
        if state in _GONE or state.startswith("08") or self._connection.closed:
            return Lost(_line(error))
        if state == _KEY_EXISTS:
            return KeyExists(_line(error))
        return Refused(_line(error))


def _line(error: BaseException) -> str:
    """The driver's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
