"""What is in the accounts' databases now, beside what was put there: the demo's independent witness.

It asks the databases themselves, not ringctl: what the product's users can see through the views, how
far the data is encoded, and what the executors' ledger says.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ringctl.demo.accounts import DemoAccount, builds, definition_names
from ringctl.demo.database import Database, DatabaseError, connect
from ringctl.demo.world import World

LEDGER = "ringctl_ledger"
BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """How many names are stored in which form."""

    raw_definitions: int = 0
    encoded_definitions: int = 0
    raw_builds: int = 0
    encoded_builds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One account as found.

    `missing_*`: seeded names that no view shows. `changed_*`: rows shown under another name than seeded.
    `added_builds`: builds queued since. `broken`: the error that a read of the views ended in.
    """

    account: str
    ring: int
    definitions: int = 0
    builds: int = 0
    missing_definitions: int = 0
    missing_builds: int = 0
    changed_definitions: int = 0
    changed_builds: int = 0
    added_builds: int = 0
    stored: Stored
    broken: str = ""

    @property
    def whole(self) -> bool:
        """Whether every seeded definition and build is seen, under its name."""
        lost = self.missing_definitions + self.missing_builds
        return not self.broken and lost + self.changed_definitions + self.changed_builds == 0

    @property
    def upgraded(self) -> bool:
        """Whether every name is stored encoded."""
        raw = self.stored.raw_definitions + self.stored.raw_builds
        return self.stored.encoded_builds > 0 and raw == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All accounts together."""

    accounts: int
    whole: int
    upgraded: int
    missing_definitions: int
    missing_builds: int
    changed: int
    broken: tuple[str, ...]


def look(account: DemoAccount) -> Sight:
    """Read one account's database. Raises DatabaseBusy when it cannot be reached."""
    database = connect(account.database, busy=BUSY_SECONDS)
    try:
        stored = _stored(database)
        try:
            seen = _seen(database)
        except DatabaseError as error:
            return Sight(account=account.id, ring=account.ring, stored=stored, broken=str(error))
    finally:
        database.close()
    definitions, found = seen
    expected = dict(enumerate(definition_names(account), start=1))
    seeded = {build_id: name for build_id, _, name, *_ in builds(account)}
    return Sight(
        account=account.id,
        ring=account.ring,
        definitions=len(definitions),
        builds=len(found),
        missing_definitions=len(expected.keys() - definitions.keys()),
        missing_builds=len(seeded.keys() - found.keys()),
        changed_definitions=_changed(expected, definitions),
        changed_builds=_changed(seeded, found),
        added_builds=len(found.keys() - seeded.keys()),
        stored=stored,
    )


def look_at_all(world: World) -> tuple[Sight, ...]:
    """Read every account's database."""
    return tuple(look(account) for account in world.accounts)


def total(sights: Iterable[Sight]) -> Total:
    """The sum over all accounts."""
    sights = tuple(sights)
    return Total(
        accounts=len(sights),
        whole=sum(one.whole for one in sights),
        upgraded=sum(one.upgraded for one in sights),
        missing_definitions=sum(one.missing_definitions for one in sights),
        missing_builds=sum(one.missing_builds for one in sights),
        changed=sum(one.changed_definitions + one.changed_builds for one in sights),
        broken=tuple(one.account for one in sights if one.broken),
    )


def ledger(account: DemoAccount) -> tuple[dict[str, object], ...]:
    """The rows of the executors' ledger in an account's database; none where nothing ran yet."""
    database = connect(account.database, busy=BUSY_SECONDS)
    try:
        if LEDGER not in database.tables():
            return ()
        columns = database.columns(LEDGER)
        rows = database.query(" ".join(("SELECT", ", ".join(columns), "FROM", LEDGER)))
        return tuple(dict(zip(columns, row, strict=True)) for row in rows)
    finally:
        database.close()


def _stored(database: Database) -> Stored:
    definitions: dict[int, int] = dict(database.query("SELECT fmt, count(*) FROM definition GROUP BY fmt"))
    found: dict[int, int] = dict(database.query("SELECT fmt, count(*) FROM build GROUP BY fmt"))
    return Stored(
        raw_definitions=definitions.get(0, 0),
        encoded_definitions=definitions.get(1, 0),
        raw_builds=found.get(0, 0),
        encoded_builds=found.get(1, 0),
    )


def _seen(database: Database) -> tuple[dict[int, str], dict[int, str]]:
    """Names by id as the product shows them. Reads every column that the product asks for."""
    definitions = database.query("SELECT definition_id, name FROM definition_view")
    found = database.query("SELECT build_id, name, definition_id, status, requested_for FROM build_view")
    return dict(definitions), {row[0]: row[1] for row in found}


def _changed(expected: dict[int, str], found: dict[int, str]) -> int:
    return sum(found[key] != name for key, name in expected.items() if key in found)
