"""Opens a target's database: the one place that knows both engines."""

from typing import Final

from ringctl.executors.databases import Database, Refused, engine_of
from ringctl.executors.sqltext import POSTGRESQL, SQLITE

CONNECT_SECONDS: Final = 5.0


def open_database(target: str, seconds: float = CONNECT_SECONDS) -> Database:
    """Connect to a target within `seconds`; raises Unreachable or Refused."""
    engine = engine_of(target)
    if engine == POSTGRESQL:
        from ringctl.executors.target_postgres import PostgresDatabase

        return PostgresDatabase(target, seconds)
    if engine == SQLITE:
        from ringctl.executors.target_sqlite import SqliteDatabase

        return SqliteDatabase(target.removeprefix("sqlite:///"), seconds)
    raise Refused("the database is neither a path, sqlite:///... nor postgresql://...")
