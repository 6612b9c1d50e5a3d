"""A target database as the SQL executors see it: one connection, one transaction at a time.

The two engines sit behind `Database`. What a driver raises is sorted here into what it means for the
effect: nothing sent, rolled back for certain, or not known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ringctl.executors.sqltext import POSTGRESQL, SQLITE

Value = str | int | None


class TargetError(Exception):
    """Something went wrong at the target; the text is for people and holds no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreachable(TargetError):
    """No connection: nothing was sent."""


class Busy(TargetError):
    """Locked for too long, deadlock or serialisation failure: the transaction is rolled back."""


class Interrupted(TargetError):
    """The statement was interrupted or timed out: the transaction is rolled back."""


class Refused(TargetError):
    """The database refused a statement or the commit: the transaction is rolled back."""


class KeyExists(Refused):
    """A key existed already: what the statement would create is there."""


class Lost(TargetError):
    """The connection was lost before COMMIT was sent: the transaction cannot take effect any more."""


class CommitLost(TargetError):
    """The connection was lost at or after COMMIT: nobody knows, until the ledger is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one transaction may wait: for a lock, and in one statement (seconds)."""

    lock_s: float
    statement_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one statement gave: rows read, and how many rows it changed (-1: the engine does not say)."""

    rows: tuple[tuple[object, ...], ...]
    count: int


class Database(Protocol):
    """One connection. `now` is the engine's expression for its clock, `{p}` in texts the ledger's schema."""

    engine: str
    now: str

    def begin(self, limits: Limits) -> None:
        """Begin a transaction that may write (SQLite takes the write lock here)."""
        ...

    def run(self, text: str, values: Mapping[str, Value]) -> Result:
        """Run one statement with `:name` parameters and read all its rows."""
        ...

    def script(self, text: str, values: Mapping[str, Value]) -> None:
        """Run all statements of a checked script inside the open transaction; rows are dropped."""
        ...

    def commit(self) -> None:
        """Commit: returns when it took effect, raises CommitLost when that is not known."""
        ...

    def rollback(self) -> None:
        """End the open transaction, if any, without effect; never raises."""
        ...

    def transaction(self) -> str:
        """A name of the open transaction ('' when none): a script that ended it is found out."""
        ...

    def has_table(self, name: str) -> bool:
        """Whether a table of that name can be seen."""
        ...

    def interrupt(self) -> None:
        """Stop the statement that runs now; called from another thread; never raises."""
        ...

    def close(self) -> None:
        """Close; never raises."""
        ...


def engine_of(target: str) -> str:
    """Which engine a `database` value names: a URL's scheme, or SQLite for a path; '' when unknown."""
    scheme, separator, _ = target.partition("://")
    if not separator:
        return SQLITE if target else ""
    return {"sqlite": SQLITE, "postgresql": POSTGRESQL, "postgres": POSTGRESQL}.get(scheme, "")


def one_text(rows: Sequence[Sequence[object]]) -> str:
    """The only value of the only row as text; '' when there is none."""
    return str(rows[0][0]) if rows and rows[0][0] is not None else ""
