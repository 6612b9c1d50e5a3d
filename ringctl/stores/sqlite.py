"""The embedded store: one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ringctl.core.errors import StoreUnavailable
from ringctl.core.timing import Instant
from ringctl.stores.part import random_id
from ringctl.stores.sqlite_database import SQLiteDatabase
from ringctl.stores.sqlstore import SqlStore

if TYPE_CHECKING:
    from ringctl.core.bundle import Bundle
    from ringctl.core.policy import Policy


class SQLiteStore(SqlStore):
    """The `Store` port in one SQLite file. `migrate` makes the schema; opening never does.

    `path`: a path or `sqlite:///relative`, `sqlite:////absolute`. `clock`: stands in for the store's clock
    in tests. `ids`: makes claim and session ids. `jitter`: a number in [0, 1) for the waits on the lock.
    """

    def __init__(  # noqa: PLR0913 - what a store is made of, all by name
        self,
        path: str | Path,
        *,
        decode_policy: Callable[[Mapping[str, object]], Policy],
        decode_bundle: Callable[[str], Bundle],
        clock: Callable[[], Instant] | None = None,
        ids: Callable[[], str] = random_id,
        jitter: Callable[[], float] | None = None,
        patience_ms: int = 10_000,
    ) -> None:
        database = SQLiteDatabase(file_of(path), clock=clock, jitter=jitter, patience_ms=patience_ms)
        super().__init__(database, decode_policy=decode_policy, decode_bundle=decode_bundle, ids=ids)


def file_of(path: str | Path) -> Path:
    """The file that a path or a `sqlite:///` address names."""
    if isinstance(path, Path):
        return path
    if path.startswith("sqlite:///"):
        path = path.removeprefix("sqlite:///")
    elif "://" in path:
        raise StoreUnavailable(f"{path} is no SQLite address", hint="write sqlite:///PATH")
    if not path or path == ":memory:":
        raise StoreUnavailable("a store in memory is seen by one thread only", hint="name a file")
    return Path(path)
