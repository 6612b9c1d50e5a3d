"""`ringctl gate show`: what the gates saw, look by look, and how near the evidence came to its boundary."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ringctl.cli.names import unknown
from ringctl.cli.opening import RolloutName, reading
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit
from ringctl.cli.spark import bars_for, spark
from ringctl.cli.status import paragraph
from ringctl.cli.style import show
from ringctl.core.errors import NotFound
from ringctl.core.model import Rollout
from ringctl.core.timing import rfc3339
from ringctl.engine import evidence_line, listing
from ringctl.engine.evidence_line import Row, Told

WIDTH = 48
STYLES = {"fail": "red", "pass": "green"}


def show_gate(
    rollout: RolloutName = "",
    check: Annotated[str, typer.Argument(metavar="[GATE]", help="Only this gate of the policy.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The last N looks.")] = 40,
    look: Annotated[
        int | None,
        typer.Option("--look", metavar="N", min=1, help="Only look N of each wave, with all numbers."),
    ] = None,
) -> None:
    """Show the looks of a rollout's gates with verdict, reason and numbers, the newest last.

    Below them each gate: its evidence over all looks against the boundary at which it fails, on a log scale.
    """
    with reading() as parts:
        found = parts.store.load(listing.find(parts, rollout).id)
        if check and check not in found.policy.checks:
            raise NotFound(unknown("gate", check, found.policy.checks))
        told = evidence_line.tell(parts.store.looks(found.id), last=limit, check=check, look=look)
    if look is not None and not told.looks:
        raise NotFound(
            f"no wave has a look {look} yet", hint="ringctl gate show lists the last ones with their number"
        )
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/gates/v1",
                "rollout": found.id,
                "looks": [_record(row) for row in told.looks],
                "gates": [_gate(found, line) for line in told.lines],
            },
            records=lambda: [_record(row) for row in told.looks],
            blocks=lambda: _blocks(found, told, whole=look is not None),
        )
    )


def _record(row: Row) -> dict[str, object]:
    """A look with its time as all outputs write it."""
    rest = {name: value for name, value in row.items() if name != "at_us"}
    return {"schema": "ringctl/look/v1", "at": rfc3339(row["at_us"]), **rest}


def _gate(found: Rollout, line: evidence_line.Line) -> dict[str, object]:
    """A check on a wave as an object."""
    row = line.newest
    said = evidence_line.numbers(row)
    return {
        "check": row["check"],
        "wave": row["wave"],
        "ring": row["ring"],
        "wave_kind": row["wave_kind"],
        "revision": row["revision"],
        "verdict": row["verdict"],
        "reason": row["reason"],
        "looks": line.looks,
        "worst": list(said.get("worst", [])),
        "sources": evidence_line.sources(found.policy.checks.get(row["check"]), row),
        "false_alarm": evidence_line.level_of(found, row),
        "evidence": [point.record() for point in line.points],
    }


# -- for people -------------------------------------------------------------------------------------
def _blocks(found: Rollout, told: Told, *, whole: bool) -> list[Block]:
    if not told.looks:
        return ["no looks yet"]
    cells = [
        [
            str(row["look"]), rfc3339(row["at_us"])[11:19], show(row["check"], 40), show(_wave(row), 60),
            show(row["phase"], 20), show(row["verdict"], 20),
            show(f"{row['error']}: {row['reason']}" if row["error"] else row["reason"], 400),
        ]
        for row in told.looks
    ]  # fmt: skip
    styles = {number: "red" for number, row in enumerate(told.looks) if row["verdict"] == "fail"}
    heads = columns(">LOOK", "AT", "GATE", "~WAVE", "PHASE", "VERDICT", "~WHY")
    made: list[Block] = [Grid(columns=heads, rows=cells, styles=styles, indent=0)]
    shown: dict[str, evidence_line.Line] = {}
    for (
        line
    ) in told.lines:  # in the order of waves: the last one at work is shown, and rather one that failed
        kept = shown.get(line.newest["check"])
        if kept is None or not _hides(kept.newest, line.newest):
            shown[line.newest["check"]] = line
    for line in shown.values():
        made += _line_blocks(found, line, whole=whole)
    return made


def _hides(kept: Row, row: Row) -> bool:
    """Whether a later wave would hide one that says more: it failed under this revision, or has begun."""
    if kept["verdict"] == "fail" and row["verdict"] != "fail" and kept["revision"] == row["revision"]:
        return True
    return bool(row["phase"] == "before" and kept["phase"] != "before" and row["verdict"] != "fail")


def _wave(row: Row) -> str:
    return f"{row['ring']} {row['wave_kind']} {row['revision']}"


def _line_blocks(found: Rollout, line: evidence_line.Line, *, whole: bool) -> list[Block]:
    row = line.newest
    said = evidence_line.numbers(row)
    head = f"  {show(row['check'], 40)} on {show(_wave(row), 60)}: {show(row['verdict'], 20)}"
    looks = f"look {row['look']}" if whole else f"{line.looks} look{'s' if line.looks != 1 else ''}"
    made: list[Block] = ["", Line(text=f"{head} ({looks})", style=STYLES.get(str(row["verdict"]), "bold"))]
    made += paragraph("why", f"{row['error']}: {row['reason']}" if row["error"] else str(row["reason"]))
    made += _evidence_blocks(line, said)
    made += _pass_blocks(said)
    made += paragraph("worst", ", ".join(show(one, 60) for one in said.get("worst", [])))
    made += paragraph("missing", _missing(said))
    made += paragraph("learnt", str(said.get("learnt", "")))
    for query in evidence_line.sources(found.policy.checks.get(row["check"]), row):
        made += paragraph("reads", query)
    made += paragraph("alarms", evidence_line.spent(found, row))
    return [*made, *(_judges(said) if whole else [])]


def _evidence_blocks(line: evidence_line.Line, said: Mapping[str, Any]) -> list[Block]:
    heights = [point.nearness for point in line.points]
    e, level = said.get("e"), said.get("level")
    if not isinstance(e, int | float) or not isinstance(level, int | float) or max(heights) < 0:
        return []
    bars = bars_for()
    top = max(line.points, key=lambda point: point.nearness)
    text = (
        f"{spark(heights, WIDTH, bars)}|  {cell(float(e))} of {cell(float(level))} ({said.get('judge', '')})"
    )
    made = (
        paragraph("evidence", text) if len(heights) > 1 else paragraph("evidence", text.partition("|  ")[2])
    )
    if top.nearness > line.points[-1].nearness and top.e is not None and top.level is not None:
        made += paragraph("", f"highest: {cell(top.e)} of {cell(top.level)} at {rfc3339(top.at_us)[11:19]}")
    return made


def _pass_blocks(said: Mapping[str, Any]) -> list[Block]:
    """How far the evidence is that there is no harm: the way to a pass."""
    e, level = said.get("e_pass"), said.get("level_pass")
    if not isinstance(e, int | float) or not isinstance(level, int | float):
        return []
    return paragraph("absence", f"{cell(float(e))} of {cell(float(level))} to pass")


def _missing(said: Mapping[str, Any]) -> str:
    named, count = said.get("missing", []), said.get("missing_count", 0)
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return ", ".join(show(one, 60) for one in named) + more


def _judges(said: Mapping[str, Any]) -> list[Block]:
    """Every judge of a look, and its numbers."""
    judges = said.get("judges", {})
    rows = [
        [show(name, 30), show(own.get("verdict", ""), 20), cell(own.get("e")), cell(own.get("level")),
         show(_rest(own), 400)]
        for name, own in judges.items()
    ]  # fmt: skip
    heads = columns("JUDGE", "VERDICT", ">E", ">LEVEL", "~NUMBERS")
    return ["", Grid(columns=heads, rows=rows, indent=4)] if rows else []


def _rest(own: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {_short(value)}"
        for name, value in own.items()
        if name not in {"judge", "verdict", "e", "level"} and not isinstance(value, dict)
    )


def _short(value: object) -> str:
    if isinstance(value, list):
        return "[" + " ".join(_short(one) for one in value[:6]) + ("...]" if len(value) > 6 else "]")
    return cell(value)


COMMANDS = {"gate show": show_gate}
