"""Numbered migrations with checksums: what is there, what is applied, and whether the two fit.

An applied migration is never edited: its checksum is in the database, and a store that finds another one
refuses to work (the file would describe a schema that is not there).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ringctl.core.digests import sha256_hex
from ringctl.core.errors import BugError, StoreUnavailable
from ringctl.stores.statements import sql_folder

_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")
_WORKS_WITH = re.compile(r"^-- works-with: (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration file.

    `works_with`: a ringctl that knows the schema only up to this number still works beside it (the file's line
    `-- works-with: N`, for a migration that only adds; without it only those that know the migration do).
    """

    number: int
    name: str
    text: str
    checksum: str
    works_with: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One migration as the database remembers it."""

    number: int
    name: str
    checksum: str
    works_with: int | None = None


def known_migrations(engine: str) -> tuple[Migration, ...]:
    """The engine's migrations in order, numbered from 1 without a gap."""
    found = []
    for file in (sql_folder() / engine).iterdir():
        match = _FILE.match(file.name)
        if match:
            text = file.read_text(encoding="utf-8")
            reach = _WORKS_WITH.search(text)
            found.append(
                Migration(
                    number=int(match[1]),
                    name=file.name.removesuffix(".sql"),
                    text=text,
                    checksum=sha256_hex(text.encode()),
                    works_with=int(reach[1]) if reach else int(match[1]),
                )
            )
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise BugError(f"migrations of {engine} are not numbered 1, 2, 3, ...")
    return tuple(found)


def missing(known: tuple[Migration, ...], applied: Iterable[Applied], *, where: str) -> tuple[Migration, ...]:
    """What is still to be applied. Raises StoreUnavailable when what is applied does not fit.

    A newer schema fits when each of its further migrations says that this version works beside it: so release N
    and N-1 run side by side while nodes are replaced one by one.
    """
    done = sorted(applied, key=lambda one: one.number)
    beyond = [one.works_with for one in done[len(known) :]]
    if any(reach is None or reach > len(known) for reach in beyond):
        raise StoreUnavailable(
            f"{where} has schema {len(done)}, this ringctl knows up to {len(known)}",
            code="RC5105",
            hint="use the newer ringctl that migrated it, or a copy from before that",
        )
    for migration, one in zip(known, done, strict=False):
        if (migration.number, migration.checksum) != (one.number, one.checksum):
            raise StoreUnavailable(
                f"{where}: migration {one.name} was applied with checksum {one.checksum[:12]}, "
                f"this ringctl has {migration.checksum[:12]}",
                code="RC5106",
                hint="an applied migration was edited: use the ringctl that applied it",
            )
    return known[len(done) :]


def needs_migration(where: str, found: int, known: int) -> StoreUnavailable:
    """The refusal of a database that is older than this version."""
    return StoreUnavailable(
        f"{where} has schema {found}, this ringctl needs {known}",
        code="RC5108",
        hint="run `ringctl db migrate`",
    )
