"""The record: `ringctl events`, `ringctl exposure`, `ringctl audit verify`."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated

import typer

from ringctl.cli.driving import event_line
from ringctl.cli.invocation import current
from ringctl.cli.machine import json_text
from ringctl.cli.opening import RolloutName, reading
from ringctl.cli.render import Block, Busy, Grid, Line, View, cell, columns, emit
from ringctl.cli.status import when
from ringctl.cli.style import Painter, columns_of, show, wants_color
from ringctl.core.audit import audit_chain
from ringctl.core.errors import Drifted, UsageError
from ringctl.core.states import OPEN_ROLLOUT_STATES
from ringctl.engine import listing, queries
from ringctl.engine.parts import Parts
from ringctl.ports.records import Entry


def events(
    rollout: RolloutName = "",
    after: Annotated[
        int, typer.Option("--after", metavar="SEQ", min=0, help="Only entries after this one.")
    ] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the rollout is over.")] = False,
) -> None:
    """Print a rollout's journal: every decision and every human act, in order."""
    output = current().output
    if follow and output not in {"table", "ndjson"}:
        raise UsageError(f"--follow has no -o {output}; known here: table, ndjson")
    with reading() as parts:
        name = listing.find(parts, rollout).id
        if output in {"table", "ndjson"}:
            last = _stream(parts, name, after)
            while follow and parts.store.load(name).state in OPEN_ROLLOUT_STATES:
                parts.clock.sleep(0.5)
                last = _stream(parts, name, last)
            if follow:
                _stream(parts, name, last)
            return
        entries = list(queries.events(parts, name, after=after))
    emit(
        View(
            document=lambda: {"schema": "ringctl/events/v1", "rollout": name, "events": entries},
            blocks=lambda: [
                Grid(columns=columns("AT", "KIND", "DATA"), rows=[_row(entry) for entry in entries])
            ],
        )
    )


def _row(entry: Mapping[str, object]) -> list[str]:
    return [show(entry["at"]), show(entry["kind"]), show(json_text(entry["data"]), 2000)]


def _stream(parts: Parts, name: str, after: int) -> int:
    """Write what is new, as it is read; the last number written."""
    if current().output == "ndjson":
        for record in queries.events(parts, name, after=after):
            sys.stdout.write(json_text(record) + "\n")
            after = int(record["seq"])
    else:
        paint = Painter(on=wants_color(current().color, sys.stdout))
        room = columns_of()
        for entry in parts.store.journal(name, after=after):
            sys.stdout.write(event_line(entry, room, paint) + "\n")
            after = entry.seq
    sys.stdout.flush()
    return after


def exposure(
    rollout: RolloutName = "",
    revision: Annotated[str, typer.Option("--revision", metavar="rN", help="Only this revision.")] = "",
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=0, help="Rows of the table; 0: all. JSON always has all."),
    ] = 200,
) -> None:
    """Print who had which revision from when to when, and in which phase."""
    if revision and not revision.removeprefix("r").isdecimal():
        raise UsageError(f"--revision {revision!r}: such as r1")
    with reading() as parts:
        name = listing.find(parts, rollout).id

        def rows() -> Iterable[Mapping[str, object]]:
            return queries.exposure(parts, name, revision=revision)

        emit(
            View(
                document=lambda: {
                    "schema": "ringctl/exposures/v1",
                    "rollout": name,
                    "exposure": list(rows()),
                },
                records=rows,
                blocks=lambda: _exposure_blocks(rows(), limit),
            )
        )


def _exposure_blocks(rows: Iterable[Mapping[str, object]], limit: int) -> list[Block]:
    stream = iter(rows)
    shown = list(islice(stream, limit or None))
    more = sum(1 for _ in stream)
    cells = [
        [show(row["account"], 60), show(row["revision"]), when(_text(row["from"])), when(_text(row["to"])),
         show(row["phase"], 80)]
        for row in shown
    ]  # fmt: skip
    made: list[Block] = [
        Grid(columns=columns("~ACCOUNT", "REV", "FROM", "TO", "~PHASE"), rows=cells, indent=0)
    ]
    total = f"{len(shown) + more:,} rows" + (f", {limit:,} shown (--limit 0 shows all)" if more else "")
    return [*made, total]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def verify(rollout: RolloutName = "") -> int:
    """Verify the hash chain of the journal, of one rollout or of all; exit 18 where it is broken.

    It shows changes inside the journal. Entries cut off at its end show only against an anchor kept
    elsewhere: without one the answer is `unanchored`.
    """
    with reading() as parts, Busy("verifying"):
        rows = parts.store.rollouts()
        names = [listing.find(parts, rollout).id] if rollout else [row.id for row in rows]
        found = [_verified(parts, name) for name in names]
    broken = [one for one in found if one["broken_at"] is not None]
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/audit/v1", "ok": not broken, "anchor": "unanchored", "rollouts": found,
            },
            blocks=lambda: _audit_blocks(found),
        )
    )  # fmt: skip
    return Drifted.exit_code if broken else 0


def _verified(parts: Parts, name: str) -> dict[str, object]:
    count, head = 0, ""

    def entries() -> Iterator[Entry]:
        nonlocal count, head
        for entry in parts.store.journal(name):
            count, head = count + 1, entry.hash
            yield entry

    broken = audit_chain(entries())
    return {"rollout": name, "entries": count, "head": head, "broken_at": broken, "ok": broken is None}


def _audit_blocks(found: list[dict[str, object]]) -> list[Block]:
    if not found:
        return ["no rollouts yet"]
    rows = [
        [
            show(one["rollout"]),
            cell(one["entries"]),
            "ok" if one["ok"] else f"broken at {one['broken_at']}",
            show(one["head"])[:23],
        ]
        for one in found
    ]
    styles = {number: "red" for number, one in enumerate(found) if not one["ok"]}
    return [
        Grid(columns=columns("ROLLOUT", ">ENTRIES", "CHAIN", "HEAD"), rows=rows, styles=styles, indent=0),
        Line(text="unanchored: keep the heads elsewhere to see entries cut off at the end", style="dim"),
    ]


COMMANDS = {"events": events, "exposure": exposure, "audit verify": verify}
