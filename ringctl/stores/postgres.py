"""The store of several nodes: PostgreSQL.

What is rare is every store's code; what workers do for every task is one statement each (`postgres_hot`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ringctl.core.timing import Instant
from ringctl.stores.part import random_id
from ringctl.stores.postgres_database import PostgresDatabase
from ringctl.stores.postgres_hot import PostgresHot
from ringctl.stores.sqlstore import SqlStore

if TYPE_CHECKING:
    from ringctl.core.bundle import Bundle
    from ringctl.core.policy import Policy


class PostgresStore(PostgresHot, SqlStore):
    """The `Store` port on a PostgreSQL server. `migrate` makes the schema; opening never does.

    `url`: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, several hosts and libpq's options allowed; the writer is
    found by itself. `clock`: stands in for the server's clock in tests. `ids`: makes claim and session ids.
    """

    def __init__(
        self,
        url: str,
        *,
        decode_policy: Callable[[Mapping[str, object]], Policy],
        decode_bundle: Callable[[str], Bundle],
        clock: Callable[[], Instant] | None = None,
        ids: Callable[[], str] = random_id,
    ) -> None:
        database = PostgresDatabase(url, clock=clock)
        super().__init__(database, decode_policy=decode_policy, decode_bundle=decode_bundle, ids=ids)
