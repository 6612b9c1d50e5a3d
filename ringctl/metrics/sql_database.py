"""What source `sql` needs of a database: one read-only snapshot, before a deadline."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a query gave: the names of its columns, and rows as the library reads them."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class Snapshot(Protocol):
    """The database as it was at one moment."""

    @property
    def at_s(self) -> float:
        """That moment by the database's clock, in seconds since 1970."""
        ...

    def table(self, query: str, most: int) -> Table:
        """The first `most` rows of a query. Raises SourceUnavailable."""
        ...


class Database(Protocol):
    """A database that can be asked."""

    def snapshot(self, deadline: float) -> AbstractContextManager[Snapshot]:
        """A connection with a read-only transaction, ended at the end; `deadline` is monotonic, in seconds.

        Raises SourceUnavailable RC8001 unreachable, 8002 not let in, 8003 not readable, 8004 not in time, 8005 the
        database's own error, 8010 a query that writes or is more than one.
        """
        ...
