"""`ringctl gate show`: what the gates saw, look by look."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from ringctl.cli.names import unknown
from ringctl.cli.opening import RolloutName, reading
from ringctl.cli.render import Block, Grid, View, columns, emit
from ringctl.cli.status import paragraph
from ringctl.cli.style import show
from ringctl.core.errors import NotFound
from ringctl.core.timing import rfc3339
from ringctl.engine import listing


def show_gate(
    rollout: RolloutName = "",
    check: Annotated[str, typer.Argument(metavar="[GATE]", help="Only this gate of the policy.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The last N looks.")] = 40,
) -> None:
    """Show the looks of a rollout's gates with verdict, reason and numbers, the newest last."""
    with reading() as parts:
        found = parts.store.load(listing.find(parts, rollout).id)
        if check and check not in found.policy.checks:
            raise NotFound(unknown("gate", check, found.policy.checks))
        rows = [row for row in parts.store.looks(found.id) if not check or row.get("check") == check]
    last = rows[-limit:]
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/gates/v1",
                "rollout": found.id,
                "looks": [_record(row) for row in last],
            },
            records=lambda: [_record(row) for row in last],
            blocks=lambda: _blocks(last),
        )
    )


def _blocks(rows: Sequence[Mapping[str, object]]) -> list[Block]:
    if not rows:
        return ["no looks yet"]
    cells = [
        [
            _at(row)[11:19], show(row["check"], 40), f"{show(row['ring'], 30)} {row['wave_kind']} {row['revision']}",
            show(row["phase"], 20), show(row["verdict"], 20),
            show(f"{row['error']}: {row['reason']}" if row["error"] else row["reason"], 400),
        ]
        for row in rows
    ]  # fmt: skip
    styles = {number: "red" for number, row in enumerate(rows) if row["verdict"] == "fail"}
    heads = columns("AT", "GATE", "~WAVE", "PHASE", "VERDICT", "~WHY")
    newest = {row["check"]: row for row in rows}
    made: list[Block] = [Grid(columns=heads, rows=cells, styles=styles, indent=0)]
    for name, row in newest.items():
        made += ["", f"  {show(name, 40)}: {show(row['verdict'], 20)}", *paragraph("why", str(row["reason"]))]
    return made


def _at(row: Mapping[str, object]) -> str:
    return rfc3339(int(str(row["at_us"])))


def _record(row: Mapping[str, object]) -> dict[str, object]:
    """A look with its time as all outputs write it."""
    rest = {name: value for name, value in row.items() if name != "at_us"}
    return {"schema": "ringctl/look/v1", "at": _at(row), **rest}


COMMANDS = {"gate show": show_gate}
