"""The demo's directory: one database per account, what was put into it, and the list of accounts."""

import csv
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

from ringctl.demo.accounts import (
    DEFAULT_ACCOUNTS,
    DemoAccount,
    builds,
    definition_names,
    shape,
)
from ringctl.demo.database import connect

WORLD_FILE = "world.json"
ACCOUNTS_FILE = "accounts.csv"
COLUMNS = ("account_id", "ring", "builds", "region", "edition", "database", "url")
POSTGRES_CREATORS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A demo directory that exists: its accounts with their databases."""

    directory: Path
    engine: str
    accounts: tuple[DemoAccount, ...]

    def account(self, account_id: str) -> DemoAccount:
        """The account of that id; KeyError when there is none."""
        for account in self.accounts:
            if account.id == account_id:
                return account
        raise KeyError(account_id)


def make_world(
    directory: Path,
    *,
    accounts: int = DEFAULT_ACCOUNTS,
    engine: str = "sqlite",
    dsn_prefix: str = "",
) -> World:
    """Make and fill all databases and write `world.json`; `write_inventory` writes the list for ringctl.

    `dsn_prefix` is the URL of a PostgreSQL server up to the database's name, with the slash at its end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if engine == "sqlite":
        folder = (directory / "accounts").resolve()
        folder.mkdir()
        fleet = tuple(replace(one, database=str(folder / f"{one.id}.db")) for one in shape(accounts))
        for account in fleet:
            _prepare_file(account.database)
            seed(account)
    elif engine == "postgresql":
        fleet = tuple(
            replace(one, database=f"{dsn_prefix}{_database_name(one.id)}") for one in shape(accounts)
        )
        _make_databases(fleet, dsn_prefix)
    else:
        raise ValueError(f"unknown engine {engine!r}; known: sqlite, postgresql")
    world = World(directory=directory, engine=engine, accounts=fleet)
    _write_world(world)
    return world


def load_world(directory: Path) -> World:
    """Read back what `make_world` made. FileNotFoundError when there is no demo in that directory."""
    document = json.loads((directory / WORLD_FILE).read_text(encoding="utf-8"))
    return World(
        directory=directory,
        engine=document["engine"],
        accounts=tuple(DemoAccount(**row) for row in document["accounts"]),
    )


def write_inventory(world: World, url: str) -> Path:
    """Write `accounts.csv`, the inventory that the policy names; `url` is the service's base address."""
    path = world.directory / ACCOUNTS_FILE
    path.touch(mode=0o600)  # a PostgreSQL URL holds a password
    with path.open("w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in world.accounts:
            writer.writerow((one.id, one.ring, one.builds, one.region, one.edition, one.database, url))
    return path


def seed(account: DemoAccount) -> None:
    """Fill an empty database: the product as it stood before the upgrade."""
    database = connect(account.database)
    try:
        database.script(files("ringctl.demo").joinpath("sql/schema.sql").read_text("utf-8"))
        names = enumerate(definition_names(account), start=1)
        database.fill("definition", ("definition_id", "name"), names)
        columns = ("build_id", "definition_id", "name", "status", "requested_for")
        database.fill("build", columns, builds(account))
    finally:
        database.close()


def _prepare_file(path: str) -> None:
    """Readers shall not wait for a writer. The mode stays in the file."""
    database = connect(path)
    try:
        database.query("PRAGMA journal_mode = WAL")
    finally:
        database.close()


def _database_name(account_id: str) -> str:
    return "demo_" + account_id.replace("-", "_")


def _make_databases(fleet: Iterable[DemoAccount], dsn_prefix: str) -> None:
    server = connect(f"{dsn_prefix}postgres")
    with ThreadPoolExecutor(POSTGRES_CREATORS) as pool:
        try:
            filled = []
            for account in fleet:
                name = _database_name(account.id)
                # made one after the other (the template is locked), filled while the next is made
                server.query(f"CREATE DATABASE {name}")
                filled.append(pool.submit(seed, account))
            for one in filled:
                one.result()
        finally:
            server.close()


def _write_world(world: World) -> None:
    path = world.directory / WORLD_FILE
    path.touch(mode=0o600)
    document = {"engine": world.engine, "accounts": [asdict(one) for one in world.accounts]}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
