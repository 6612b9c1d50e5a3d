"""What a store needs of its engine: transactions in which named statements run."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ringctl.core.timing import Instant
from ringctl.stores.news import Watch
from ringctl.stores.statements import Statements

Value = None | int | float | str | bytes
Row = tuple[Any, ...]


class Transaction(Protocol):
    """One open transaction. Statements are named; parameters are given by name."""

    def now_us(self) -> Instant:
        """The store's clock."""
        ...

    def numbers(self, kind: str, count: int) -> Sequence[int]:
        """`count` new numbers of a kind (`fence`, `member`, `task`): rising, and never given out twice, not even
        when this transaction rolls back where others have seen theirs."""
        ...

    def run(self, statement: str, /, **parameters: Value) -> int:
        """Run a statement, return how many rows it changed."""
        ...

    def many(self, statement: str, rows: Iterable[Mapping[str, Value]], /) -> int:
        """Run a statement once per row, return how many rows were changed in all."""
        ...

    def rows(self, statement: str, /, **parameters: Value) -> list[Row]:
        """All rows of a statement."""
        ...

    def one(self, statement: str, /, **parameters: Value) -> Row | None:
        """The only row of a statement, or None."""
        ...


class Database(Protocol):
    """An engine. Both kinds of transaction roll back on an error.

    A writing one may rely on what it has read where the statement (or a `lock_...` before it) locks that: SQLite's
    writer is alone, PostgreSQL's is not.
    """

    statements: Statements
    watch_every_s: float
    """How long a watch waits at a time."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write."""
        ...

    def ask(self, statement: str, /, **parameters: Value) -> list[Row]:
        """The rows of one reading statement, by itself: `now` is at hand as a parameter."""
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that sees one state of everything and writes nothing."""
        ...

    def migrate(self, *, dry_run: bool) -> tuple[str, ...]:
        """See `Store.migrate`."""
        ...

    def check(self) -> tuple[int, int]:
        """See `Store.check`."""
        ...

    def watch(self) -> Watch:
        """Open what sees changes of decisions."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
