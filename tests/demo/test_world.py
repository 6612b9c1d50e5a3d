"""The demo's fleet: what a plan must find in it, and that it is quickly made."""

import csv
import time
from pathlib import Path

import pytest

from ringctl.core.fleet import size_decade
from ringctl.demo.accounts import EDITIONS, GIANT, REGIONS, DemoAccount, shape
from ringctl.demo.database import DatabaseBusy, connect
from ringctl.demo.inspect import look_at_all, total
from ringctl.demo.postgres import PostgresServer
from ringctl.demo.world import load_world, make_world, write_inventory


def values(accounts: list[DemoAccount]) -> set[object]:
    found: set[object] = {account.region for account in accounts}
    found |= {account.edition for account in accounts}
    return found | {size_decade(account.builds) for account in accounts}


@pytest.mark.parametrize("count", [14, 20, 60, 61, 200, 600])
def test_first_ring_meets_every_kind_of_account(count: int) -> None:
    fleet = shape(count)
    assert len(fleet) == len({account.id for account in fleet}) == count
    rings = [[one for one in fleet if one.ring == ring] for ring in (0, 1, 2)]
    ordinary = values([one for one in fleet if not one.giant])
    assert ordinary == {*REGIONS, *EDITIONS, 1, 2, 3}
    # the smallest of each decade, whom requalification draws first, are enough
    smallest = {size_decade(one.builds): one for one in reversed(rings[0])}
    assert values(list(smallest.values())) == ordinary
    assert len(smallest) == 3
    assert len(rings[0]) - 2 > 3, "a canary of three and a reserve of two leave somebody"
    assert values(rings[1]) == ordinary
    assert [one.id for one in fleet if one.giant] == [fleet[-1].id]
    largest = max(one.builds for one in fleet if not one.giant)
    assert largest < GIANT <= 10 * largest


def test_sixty_accounts_are_spread_as_told() -> None:
    fleet = shape()
    assert [sum(one.ring == ring for one in fleet) for ring in (0, 1, 2)] == [8, 16, 36]


def test_too_few_accounts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 14"):
        shape(13)


def test_world_is_made_quickly_and_read_back(tmp_path: Path) -> None:
    begun = time.monotonic()
    world = make_world(tmp_path / "demo")
    assert time.monotonic() - begun < 10, "meant: under 3 s"
    assert load_world(world.directory) == world
    assert world.account("acc-060").giant
    with pytest.raises(KeyError):
        world.account("acc-061")
    found = total(look_at_all(world))
    assert (found.accounts, found.whole, found.upgraded, found.broken) == (60, 60, 0, ())


def test_two_worlds_are_alike(tmp_path: Path) -> None:
    rows = []
    for name in ("a", "b"):
        world = make_world(tmp_path / name, accounts=14)
        database = connect(world.accounts[5].database)
        rows.append(database.query("SELECT * FROM build ORDER BY build_id"))
        database.close()
    assert rows[0] == rows[1]


def test_inventory_is_what_the_policy_reads(tmp_path: Path) -> None:
    world = make_world(tmp_path, accounts=14)
    path = write_inventory(world, "http://127.0.0.1:1")
    with path.open(newline="") as source:
        rows = list(csv.DictReader(source))
    assert [row["account_id"] for row in rows] == [one.id for one in world.accounts]
    assert rows[-1]["builds"] == str(GIANT)
    assert {row["url"] for row in rows} == {"http://127.0.0.1:1"}
    assert Path(rows[0]["database"]).is_absolute()
    assert path.stat().st_mode & 0o077 == 0


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sqlite, postgresql"):
        make_world(tmp_path, engine="oracle")


@pytest.mark.postgres
def test_world_on_postgres(tmp_path: Path, postgres: PostgresServer) -> None:
    try:
        world = make_world(tmp_path, accounts=14, engine="postgresql", dsn_prefix=postgres.dsn_prefix)
        assert total(look_at_all(world)).whole == 14
        assert load_world(tmp_path) == world
    finally:
        for account in shape(14):
            postgres.drop_database("demo_" + account.id.replace("-", "_"))


def test_a_locked_database_is_busy_and_an_absent_one_too(tmp_path: Path) -> None:
    world = make_world(tmp_path, accounts=14)
    holder, other = (connect(world.accounts[0].database, busy=0.05) for _ in range(2))
    holder.query("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy):
        other.script("UPDATE settings SET value = 1")
    holder.query("ROLLBACK")
    holder.close()
    other.close()
    with pytest.raises(DatabaseBusy):
        connect(str(tmp_path / "nowhere" / "x.db"))
