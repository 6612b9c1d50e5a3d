"""`ringctl accounts`: who is in which ring, and which ring meets what first."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli.fleet import assigned, read_fleet
from ringctl.cli.names import unknown
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit
from ringctl.cli.style import show
from ringctl.core.coverage import first_met
from ringctl.core.errors import NotFound
from ringctl.core.fleet import Account, Fleet
from ringctl.core.planning import members_of
from ringctl.core.policy import Policy

PolicyPath = Annotated[str, typer.Option("--policy", metavar="FILE", help="The policy.")]


def ls(
    policy: PolicyPath = "policy.yaml",
    ring: Annotated[str, typer.Option("--ring", metavar="NAME", help="Only this ring.")] = "",
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=0, help="Rows of the table; 0: all. JSON always has all."),
    ] = 100,
) -> None:
    """List the accounts of a policy with ring, size and traits."""
    from ringctl.settings import load_policy

    loaded = load_policy(Path(policy))
    if ring and ring not in {one.name for one in loaded.rings}:
        raise NotFound(unknown("ring", ring, {one.name: None for one in loaded.rings}))
    fleet = read_fleet(loaded, Path(policy))
    rings, nowhere = assigned(loaded, fleet, policy)
    rows = [(name, account) for name, accounts in rings.items() for account in accounts]
    rows += [("", account) for account in nowhere]
    if ring:
        rows = [row for row in rows if row[0] == ring]
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/accounts/v1",
                "total": len(rows),
                "rings": {name: len(accounts) for name, accounts in rings.items()},
                "unassigned": len(nowhere),
                "accounts": [_account(name, account, fleet) for name, account in rows],
            },
            records=lambda: _records(rows, fleet),
            blocks=lambda: _blocks(rows, fleet, limit),
        )
    )


def _records(rows: Sequence[tuple[str, Account]], fleet: Fleet) -> Iterator[Mapping[str, object]]:
    for name, account in rows:
        yield {"schema": "ringctl/account/v1", **_account(name, account, fleet)}


def _account(ring: str, account: Account, fleet: Fleet) -> dict[str, object]:
    return {
        "account": account.id,
        "ring": ring or None,
        "size": account.size,
        "traits": dict(fleet.trait_values(account)),
        "columns": dict(account.columns),
    }


def _blocks(rows: Sequence[tuple[str, Account]], fleet: Fleet, limit: int) -> list[Block]:
    shown = rows[:limit] if limit else rows
    heads = columns("~ACCOUNT", "RING", ">SIZE", *(f"~{show(trait.upper(), 20)}" for trait in fleet.traits))
    cells = [
        [
            show(account.id, 80), cell(ring), cell(account.size),
            *(cell(value) for _, value in fleet.trait_values(account)),
        ]
        for ring, account in shown
    ]  # fmt: skip
    made: list[Block] = [Grid(columns=heads, rows=cells, indent=0)]
    total = f"{len(rows):,} account{'' if len(rows) == 1 else 's'}"
    if len(shown) < len(rows):
        return [*made, f"{total}, {len(shown):,} shown (--limit 0 shows all)"]
    return [*made, total]


def coverage(policy: PolicyPath = "policy.yaml") -> None:
    """Show which ring meets which trait value and size first, and how many accounts carry it.

    What a late ring meets first, no canary has tried: `plan` refuses it.
    """
    from ringctl.settings import load_policy

    loaded = load_policy(Path(policy))
    fleet = read_fleet(loaded, Path(policy))
    assigned(loaded, fleet, policy)
    by_ring, _ = members_of(loaded, fleet, "coverage")
    met = first_met(list(by_ring.items()))
    order = [one.name for one in loaded.rings]
    rows = sorted(met.items(), key=lambda row: (row[0][0] != "size", row[0][0], order.index(row[1][0])))
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/coverage/v1",
                "rings": {name: len(members) for name, members in by_ring.items()},
                "values": [
                    {"trait": trait, "value": value, "first_ring": home, "accounts": count}
                    for (trait, value), (home, count) in rows
                ],
            },
            blocks=lambda: _coverage_blocks(rows, order, loaded),
        )
    )


def _coverage_blocks(
    rows: Sequence[tuple[tuple[str, str], tuple[str, int]]], order: Sequence[str], policy: Policy
) -> list[Block]:
    cells = [
        [show(trait), cell(value), show(home), cell(count), "" if home == order[0] else "late"]
        for (trait, value), (home, count) in rows
    ]
    late = [number for number, row in enumerate(cells) if row[4]]
    made: list[Block] = [
        Grid(
            columns=columns("TRAIT", "~VALUE", "FIRST MET IN", ">ACCOUNTS", ""),
            rows=cells,
            styles=dict.fromkeys(late, "yellow"),
            indent=0,
        )
    ]  # fmt: skip
    if not policy.inventory.traits:
        made += ["", "The policy names no traits (inventory.traits): only sizes are looked at."]
    if late:
        made += [
            "",
            Line(text=f"{len(late)} of {len(cells)} first met after ring {show(order[0])}.", style="bold"),
        ]
    return made


COMMANDS = {"accounts ls": ls, "accounts coverage": coverage}
