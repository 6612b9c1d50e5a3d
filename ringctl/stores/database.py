"""What a store needs of its engine: transactions in which named statements run."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ringctl.core.timing import Instant
from ringctl.stores.statements import Statements

Value = None | int | float | str | bytes
Row = tuple[Any, ...]


class Transaction(Protocol):
    """One open transaction. Statements are named; parameters are given by name."""

    def now_us(self) -> Instant:
        """The store's clock."""
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
    """An engine. `write` is exclusive against every other writer of what it reads; both roll back on an error."""

    statements: Statements

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write."""
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

    def close(self) -> None:
        """Close all connections."""
        ...
