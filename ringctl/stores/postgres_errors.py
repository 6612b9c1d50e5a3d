"""PostgreSQL's errors as ours: each with its code and the way out."""

from typing import Final

import psycopg
from psycopg import errors

from ringctl.core.errors import BugError, RingctlError, StoreUnavailable

IN_DOUBT: Final = "RC5113"
_GONE: Final = (
    "RC5110",
    "does not answer",
    "check that the server runs and can be reached; nothing is lost, ringctl goes on when it is back",
)
_SCHEMA: Final = (
    "RC5105",
    "has another schema than this ringctl knows",
    "use the ringctl that migrated it; `ringctl db check` says which schema it is",
)
_KNOWN: Final[dict[type[psycopg.Error], tuple[str, str, str]]] = {
    errors.LockNotAvailable: (
        "RC5102",
        "has a row locked by another process for too long",
        "look for a stopped or hanging ringctl process; the server ends its transaction by itself",
    ),
    errors.QueryCanceled: (
        "RC5102",
        "took too long for a statement",
        "look at the server's load; `ringctl db stats` shows what is large",
    ),
    errors.DeadlockDetected: ("RC5102", "had two writers wait for each other", "try again"),
    errors.SerializationFailure: ("RC5102", "had two writers meet", "try again"),
    errors.IdleInTransactionSessionTimeout: (
        "RC5102",
        "ended a transaction that this process had left standing",
        "try again; a process that is stopped in the middle loses its transaction, and nothing else",
    ),
    errors.DiskFull: (
        "RC5103",
        "cannot grow: the server's disk is full",
        "make room there; nothing was half written, ringctl goes on where it stopped",
    ),
    errors.OutOfMemory: ("RC5103", "is out of memory", "make room there; ringctl goes on where it stopped"),
    errors.TooManyConnections: (
        "RC5112",
        "has no connection left",
        "raise max_connections, or run fewer nodes with fewer --workers",
    ),
    errors.UndefinedTable: _SCHEMA,
    errors.UndefinedColumn: _SCHEMA,
    errors.InsufficientPrivilege: (
        "RC5107",
        "does not let this user write",
        "the user must own the schema `ringctl`, or have CREATE on the database",
    ),
    errors.ReadOnlySqlTransaction: (
        "RC5115",
        "is read-only: a standby, or a user whose transactions are",
        "name the writer's address; with several hosts in the URL the writer is found by itself",
    ),
    errors.InvalidCatalogName: ("RC5111", "has no such database", "create it: createdb NAME"),
    errors.InvalidPassword: ("RC5111", "refused the password", "check user and password of the state URL"),
    errors.InvalidAuthorizationSpecification: (
        "RC5111",
        "refused this user",
        "check the user of the state URL and the server's pg_hba.conf",
    ),
}


def is_gone(error: BaseException) -> bool:
    """Whether the connection (not the statement) failed: a new one may work."""
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not isinstance(
        error, tuple(_KNOWN)
    )


def rolled_back(error: BaseException) -> bool:
    """Whether the server said that it undid the transaction, for a reason that may be gone the next time."""
    again = (
        errors.DeadlockDetected,
        errors.SerializationFailure,
        errors.IdleInTransactionSessionTimeout,
        errors.LockNotAvailable,
    )
    return isinstance(error, again)


def unavailable(error: psycopg.Error, where: str) -> RingctlError:
    """What to raise for an error of PostgreSQL at `where`."""
    for kind, (code, what, way_out) in _KNOWN.items():
        if isinstance(error, kind):
            return StoreUnavailable(f"{where} {what}: {_first_line(error)}", code=code, hint=way_out)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        code, what, way_out = _login(error) or _GONE
        return StoreUnavailable(f"{where} {what}: {_first_line(error)}", code=code, hint=way_out)
    return BugError(f"{where}: {_first_line(error)}")


def in_doubt(error: psycopg.Error, where: str) -> StoreUnavailable:
    """The answer to a COMMIT was lost: it may or may not have been carried out."""
    return StoreUnavailable(
        f"{where}: the connection was lost while a change was being saved: {_first_line(error)}",
        code=IN_DOUBT,
        hint="look whether it was (ringctl status, ringctl events) before you repeat it",
    )


def _login(error: psycopg.Error) -> tuple[str, str, str] | None:
    """A refusal at connect carries no class of its own, only the server's words."""
    text = str(error)
    if "password authentication failed" in text or "no password supplied" in text:
        return _KNOWN[errors.InvalidPassword]
    if "does not exist" in text:
        return _KNOWN[
            errors.InvalidCatalogName if "database" in text else errors.InvalidAuthorizationSpecification
        ]
    if "No space left" in text:
        return _KNOWN[errors.DiskFull]
    if "invalid port" in text or "invalid integer value" in text:
        return "RC5101", "cannot be an address", "write postgresql://USER@HOST:PORT/DATABASE"
    if "pg_hba.conf" in text:
        return _KNOWN[errors.InvalidAuthorizationSpecification]
    if "too many clients" in text or "remaining connection slots" in text:
        return _KNOWN[errors.TooManyConnections]
    if "read-only" in text or "in recovery" in text or "hot standby" in text:
        return _KNOWN[errors.ReadOnlySqlTransaction]
    return None


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
