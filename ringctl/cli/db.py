"""`ringctl db`: migrate and check the state store."""

from typing import Annotated

import typer

from ringctl.cli.invocation import current
from ringctl.cli.render import Block, View, emit
from ringctl.cli.style import show


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


COMMANDS = {"db migrate": migrate, "db check": check}
