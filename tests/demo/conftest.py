"""One account of the demo, on each engine, and hands to run a bundle's files on it without ringctl."""

from pathlib import Path

import pytest

from ringctl.demo.accounts import DemoAccount
from ringctl.demo.world import World, seed

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world of one account with all hostile names, on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres_database")
    else:
        database = str(tmp_path / "account.db")
    account = DemoAccount(
        id="acc-001",
        ring=0,
        builds=200,
        definitions=30,
        region="eu",
        edition="basic",
        database=database,
    )
    seed(account)
    return World(directory=tmp_path, engine=request.param, accounts=(account,))
