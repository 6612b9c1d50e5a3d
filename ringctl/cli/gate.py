"""`ringctl gate show`: what the gates saw, look by look."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from ringctl.cli.entry import unknown
from ringctl.cli.opening import RolloutName, reading
from ringctl.cli.render import Block, Grid, View, cell, columns, emit
from ringctl.cli.style import show
from ringctl.core.errors import NotFound
from ringctl.engine import commands


def show_gate(
    rollout: RolloutName = "",
    check: Annotated[str, typer.Argument(metavar="[GATE]", help="Only this gate of the policy.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The last N looks.")] = 40,
) -> None:
    """Show the looks of a rollout's gates with verdict, reason and numbers, the newest last."""
    with reading() as parts:
        found = parts.store.load(commands.find(parts, rollout).id)
        if check and check not in found.policy.checks:
            raise NotFound(unknown("gate", check, found.policy.checks))
        rows = [row for row in parts.store.looks(found.id) if not check or row.get("check") == check]
    last: Sequence[Mapping[str, object]] = deque(rows, maxlen=limit)  # type: ignore[assignment]
    rings = {wave.id: f"{wave.ring} {wave.kind} r{wave.revision}" for wave in found.waves}
    emit(
        View(
            document=lambda: {"schema": "ringctl/gates/v1", "rollout": found.id, "looks": list(last)},
            records=lambda: [{"schema": "ringctl/look/v1", **row} for row in last],
            blocks=lambda: _blocks(last, rings),
        )
    )


def _blocks(rows: Sequence[Mapping[str, object]], rings: Mapping[int, str]) -> list[Block]:
    if not rows:
        return ["no looks yet"]
    cells = [[show(row)] for row in rows]
    return [Grid(columns=columns("~LOOK"), rows=cells), cell(len(rings))]


COMMANDS = {"gate show": show_gate}
