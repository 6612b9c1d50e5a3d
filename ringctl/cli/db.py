"""`ringctl db`: migrate and check the state store."""

from typing import Annotated

import typer

from ringctl.cli.invocation import current
from ringctl.cli.render import Block, View, emit, note
from ringctl.cli.style import show


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied.")] = False,
) -> None:
    """Bring the store's schema to what this version knows."""
    from ringctl import bootstrap

    with bootstrap.open_parts(current().state, migrate=False) as parts:
        names = parts.store.migrate(dry_run=dry_run)

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

    with bootstrap.open_parts(current().state, migrate=False) as parts:
        found, known = parts.store.check()
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/store/v1",
                "schema_found": found,
                "schema_known": known,
                "ok": True,
            },
            blocks=lambda: [f"state {show(current().state)}: schema {found} of {known}"],
        )
    )
    if found < known:
        note("older than this version: ringctl db migrate")


COMMANDS = {"db migrate": migrate, "db check": check}
