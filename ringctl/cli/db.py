"""`ringctl db`: migrate, check, count and back up the state store."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ringctl.cli.invocation import current
from ringctl.cli.render import Block, Busy, Grid, View, cell, columns, emit
from ringctl.cli.style import show

if TYPE_CHECKING:
    from ringctl.cli.health.checks import Database


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied.")] = False,
) -> None:
    """Bring the store's schema to what this version knows."""
    from ringctl import bootstrap

    store = bootstrap.open_store(current().state)
    try:
        names = store.migrate(dry_run=dry_run)
    finally:
        store.close()

    def blocks() -> list[Block]:
        if not names:
            return ["nothing to do: the schema is up to date"]
        return [f"{'would apply' if dry_run else 'applied'} {show(name)}" for name in names]

    emit(
        View(
            document=lambda: {"schema": "ringctl/migrate/v1", "migrations": list(names), "dry_run": dry_run},
            blocks=blocks,
        )
    )


def check() -> None:
    """Say whether the store answers and its schema fits."""
    from ringctl import bootstrap

    store = bootstrap.open_store(current().state)
    try:
        found, known = store.check()
    finally:
        store.close()
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/store/v1",
                "schema_found": found,
                "schema_known": known,
                "ok": True,
            },
            blocks=lambda: [f"state {show(bootstrap.public(current().state))}: schema {found} of {known}"],
        )
    )


def stats() -> None:
    """Rows and bytes per table, what keeps the store from being swept, and what must be 0."""
    from ringctl import bootstrap

    store = bootstrap.open_store(current().state)
    try:
        store.check()
        tallies = {name: store.tallies().get(name, 0) for name in TALLIES}
    finally:
        store.close()
    found = _database(current().state)

    def blocks() -> Iterator[Block]:
        yield f"state {show(bootstrap.public(current().state))}: {found.engine}, {cell(found.size)} bytes"
        rows = [[show(one.name), cell(one.rows), cell(one.size), cell(one.dead)] for one in found.tables]
        heads = columns("TABLE", ">ROWS (ESTIMATE)" if found.estimated else ">ROWS", ">BYTES", ">DEAD ROWS")
        yield Grid(columns=heads, rows=rows, indent=0)
        if found.oldest_s is not None:
            yield f"oldest transaction: {found.oldest_s:.1f} s"
        for name, value in found.more.items():
            yield f"{name.replace('_', ' ')}: {cell(value)}"
        for name, value in tallies.items():
            yield f"ringctl_{name}_total {value}"

    emit(
        View(
            document=lambda: {
                "schema": "ringctl/stats/v1",
                "engine": found.engine,
                "bytes": found.size,
                "estimated": found.estimated,
                "oldest_transaction_s": found.oldest_s,
                "tables": [
                    {"name": one.name, "rows": one.rows, "bytes": one.size, "dead_rows": one.dead}
                    for one in found.tables
                ],
                "tallies": {f"ringctl_{name}_total": value for name, value in tallies.items()},
                **found.more,
            },
            blocks=blocks,
        )
    )


def _database(url: str) -> "Database":
    """What is under the store."""
    from ringctl import bootstrap

    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from ringctl.cli.health import sqlite

        return sqlite.database(bootstrap.state_path(rest))
    from ringctl.cli.health import postgres

    return postgres.database(url)


def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; a new file.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy the state into one file while nodes go on; it has its name only when it is whole.

    SQLite: the online backup, synced and checked. PostgreSQL: pg_dump, which must be installed.
    """
    from pathlib import Path

    from ringctl import bootstrap
    from ringctl.cli.health import backups

    url = current().state
    target = Path(file)
    store = bootstrap.open_store(url)
    try:
        store.check()
    finally:
        store.close()
    with Busy("copying the state"):
        size = backups.backup(url, target, force=force)
    emit(
        View(
            document=lambda: {"schema": "ringctl/backup/v1", "file": str(target), "bytes": size},
            blocks=lambda: [
                f"{show(str(target))}: {cell(size)} bytes, whole",
                backups.how_to_restore(url, target),
            ],
        )
    )


TALLIES = ("double_claims", "fenced_writes")
COMMANDS = {"db migrate": migrate, "db check": check, "db stats": stats, "db backup": backup}
