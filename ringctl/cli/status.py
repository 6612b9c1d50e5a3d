"""`ringctl status` and `ringctl why`: where a rollout stands, and what would move it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ringctl.cli.machine import Case, Suite
from ringctl.cli.opening import RolloutName, reading
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit
from ringctl.cli.style import show
from ringctl.core.states import TaskState
from ringctl.core.timing import SECOND, human
from ringctl.engine import listing, queries
from ringctl.engine.parts import Parts

SIGNS = {"passed": "✔", "open": "◆", "failed": "✘", "waiting": "○", "withdrawn": "✘"}
STATE_STYLE = {
    "running": "cyan", "requalifying": "yellow", "held": "red", "aborted": "red", "succeeded": "green",
    "partial": "yellow", "passed": "green", "failed": "red", "waiting": "dim",
}  # fmt: skip
TROUBLED = (TaskState.FAILED, TaskState.UNKNOWN)


def status(
    rollout: Annotated[
        str,
        typer.Argument(metavar="[ROLLOUT]", help="Id, unique beginning, release or `last`; none: the list."),
    ] = "",
    accounts: Annotated[bool, typer.Option("--accounts", help="With failed and unknown accounts.")] = False,
) -> None:
    """Show where a rollout stands. Without ROLLOUT: the list of rollouts."""
    with reading() as parts:
        if not rollout:
            every = listing.rollout_list(parts)
            emit(View(document=lambda: every, blocks=lambda: _list_blocks(every)))
            return
        found = listing.find(parts, rollout)
        document = queries.status(parts, found.id)
        if accounts:
            document["accounts"] = _troubled(parts, found.id)
    emit(
        View(
            document=lambda: document, blocks=lambda: status_blocks(document), suites=lambda: suites(document)
        )
    )


def _troubled(parts: Parts, rollout_id: str) -> list[dict[str, object]]:
    return [
        {
            "account": row.account,
            "ring": row.ring,
            "revision": f"r{row.revision}",
            "state": str(row.state),
            "reason": row.reason,
        }
        for row in parts.store.tasks(rollout_id, states=TROUBLED)
    ]


def _list_blocks(every: Mapping[str, Any]) -> list[Block]:
    rows = every["rollouts"]
    if not rows:
        return ["no rollouts yet: ringctl plan, ringctl start"]
    cells = [[show(row["id"]), show(row["release"]), row["state"], when(row["created_at"])] for row in rows]
    styles = {number: STATE_STYLE.get(row["state"], "") for number, row in enumerate(rows)}
    return [Grid(columns=columns("ID", "~RELEASE", "STATE", "CREATED"), rows=cells, styles=styles, indent=0)]


def when(text: str | None) -> str:
    """RFC 3339 as people read it: to the second, UTC said."""
    return f"{text[:10]} {text[11:19]}Z" if text else "-"


def status_blocks(document: Mapping[str, Any]) -> list[Block]:
    """The whole picture, in the order of who needs what first."""
    counts = document["counts"]
    revision = document["revision"]
    state = document["state"]
    # an account half done under one revision and done under the next counts once
    touched = sum(counts[key] for key in ("done", "running", "failed", "unknown"))
    total = counts["accounts"]
    share = f" ({100 * min(touched, total) / total:.1f} %)" if total else ""
    blocks: list[Block] = [
        Line(
            text=f"{show(document['id'])}  {show(document['release'])}     revision {revision['name']} "
            f"{revision['digest'][7:14]} by {show(revision['author'], 40)}",
            style="bold",
        ),
        Line(
            text=f"{_sign(state)} {state.upper()}     started {when(document['created_at'])}",
            style=_style(state),
        ),
        "   ".join(
            [f"  done {counts['done']:,} of {total:,} accounts", f"touched {touched:,}{share}"]
            + [f"{name} {counts[name]:,}" for name in ("running", "failed", "unknown")]
        ),
        *_reached(document),
        *hold_blocks(document["holds"]),
        *_next_blocks(document),
        "",
        _rings_grid(document),
    ]
    checks = _checks_grid(document)
    if checks is not None:
        blocks += ["", checks]
    if document.get("accounts") is not None:
        blocks += ["", *account_blocks(document["accounts"])]
    return blocks


def _reached(document: Mapping[str, Any]) -> list[Block]:
    by = document["exposure"]
    if len(by) < 2:
        return []
    return ["  touched by revision: " + ", ".join(f"{name} {count:,}" for name, count in by.items())]


def _sign(state: str) -> str:
    return {"succeeded": "✔", "partial": "◐", "held": "✘", "aborted": "✘"}.get(state, "◆")


def _style(state: str) -> str:
    return f"bold {STATE_STYLE[state]}" if state in STATE_STYLE else "bold"


def hold_blocks(holds: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Every hold with its reason, owner and way out."""
    blocks: list[Block] = []
    for hold in holds:
        code = f" [{hold['error']}]" if hold["error"] else ""
        blocks += [
            "",
            Line(
                text=f"  hold {show(hold['code'], 40)}{code} since {when(hold['since'])}", style="bold yellow"
            ),
            *paragraph("reason", hold["reason"]),
            *paragraph("owner", hold["owner"] + (" (ends by itself)" if hold["ends_itself"] else "")),
            *paragraph("next", hold["next"]),
        ]
        if hold["error"]:
            blocks += paragraph("more", f"ringctl explain {hold['error']}")
    return blocks


def paragraph(name: str, text: str) -> list[Block]:
    """A named text, wrapped under itself."""
    from ringctl.cli.findings import wrapped
    from ringctl.cli.style import columns_of

    if not text:
        return []
    lines = list(wrapped("", show(text, 2000), columns_of() - 13))
    return [f"    {name if number == 0 else '':8} {line.strip()}" for number, line in enumerate(lines)]


def _next_blocks(document: Mapping[str, Any]) -> list[Block]:
    step = document["next"]
    if document["holds"] or step["what"] == "nothing":
        return []
    return [f"  next: {show(step['text'], 400)}"]


def _rings_grid(document: Mapping[str, Any]) -> Grid:
    """Rings and their waves; columns that would be empty are left out."""
    every = [wave for ring in document["rings"] for wave in ring["waves"]]
    lost = [name for name in ("failed", "unknown") if any(wave[name] for wave in every)]
    rows: list[list[str]] = []
    styles: dict[int, str] = {}
    for ring in document["rings"]:
        waves = ring["waves"]
        done = sum(wave["done"] for wave in waves)
        styles[len(rows)] = "bold"
        name = f"{SIGNS.get(ring['state'], ' ')} {show(ring['name'], 40)}"
        rows.append([name, "", ring["state"], cell(done), *[""] * (len(lost) + 2)])
        for number, wave in enumerate(waves):
            if wave["state"] == "failed":
                styles[len(rows)] = "red"
            rows.append(_wave_row(wave, lost, last=number == len(waves) - 1))
    bad = [f">{name.upper()}" for name in lost]
    return Grid(
        columns=columns("~RING", "REV", "STATE", ">DONE / ALL", *bad, "~GATES", "~NEXT"),
        rows=rows,
        styles=styles,
    )


def _wave_row(wave: Mapping[str, Any], lost: Sequence[str], *, last: bool) -> list[str]:
    return [
        f"{'└─' if last else '├─'} {wave['kind']}",
        wave["revision"],
        wave["state"],
        f"{wave['done']:,} / {wave['accounts']:,}",
        *(cell(wave[name] or None) for name in lost),
        _verdicts(wave["checks"]),
        _wave_next(wave),
    ]


def _verdicts(checks: Sequence[Mapping[str, Any]]) -> str:
    words = {"fail": "fail", "inconclusive": "open", "pass": "pass"}
    found = [
        f"{count} {word}"
        for verdict, word in words.items()
        if (count := sum(1 for check in checks if check["verdict"] == verdict))
    ]
    return ", ".join(found) or "-"


def _wave_next(wave: Mapping[str, Any]) -> str:
    bake = wave["bake"]
    if wave["state"] == "baking":
        credited = human(int(bake["credited_seconds"] * SECOND))
        text = f"baked {credited} of {human(int(bake['min_seconds'] * SECOND))}"
        if bake["activity_needed"]:
            text += f", {bake['activity']:,} of {bake['activity_needed']:,} samples"
        return text
    if wave["state"] == "planned" and bake["baseline_seconds"]:
        needed = human(int(bake["baseline_needed_seconds"] * SECOND))
        return f"baseline {human(int(bake['baseline_seconds'] * SECOND))} of {needed}"
    if wave["state"] == "open":
        return f"{wave['running']:,} running"
    return "-"


def _checks_grid(document: Mapping[str, Any]) -> Grid | None:
    """The checks of waves that are not over, and those that failed."""
    rows: list[list[str]] = []
    styles: dict[int, str] = {}
    for ring in document["rings"]:
        for wave in ring["waves"]:
            live = wave["state"] in {"open", "baking", "failed"}
            for check in wave["checks"]:
                if live or check["verdict"] == "fail":
                    if check["verdict"] == "fail":
                        styles[len(rows)] = "red"
                    rows.append(
                        check_row(f"{show(ring['name'], 30)} {wave['kind']} {wave['revision']}", check)
                    )
    if not rows:
        return None
    return Grid(columns=columns("GATE", "WAVE", "VERDICT", "~WHY"), rows=rows, styles=styles)


def check_row(where: str, check: Mapping[str, Any]) -> list[str]:
    """A check's latest verdict as a row."""
    error = f"{check['error']}: " if check["error"] else ""
    return [show(check["check"], 40), where, check["verdict"], show(error + check["reason"], 400)]


def account_blocks(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Accounts that need somebody, with the reason."""
    if not rows:
        return ["  no account is failed or unknown"]
    cells = [
        [
            show(row["account"], 60),
            show(row["ring"], 30),
            row["revision"],
            row["state"],
            show(row["reason"], 400),
        ]
        for row in rows
    ]
    return [Grid(columns=columns("ACCOUNT", "RING", "REV", "STATE", "~REASON"), rows=cells)]


def suites(document: Mapping[str, Any]) -> list[Suite]:
    """JUnit: suite = ring, case = gate of a wave, and the accounts of each wave."""
    return [
        Suite(name=ring["name"], cases=[case for wave in ring["waves"] for case in _cases(wave)])
        for ring in document["rings"]
    ]


def _cases(wave: Mapping[str, Any]) -> list[Case]:
    name = f"{wave['kind']} {wave['revision']}"
    lost = wave["failed"] + wave["unknown"]
    done = wave["done"] + lost >= wave["accounts"]
    cases = [
        Case(
            name=f"{name} accounts",
            failure=f"{wave['failed']} failed, {wave['unknown']} unknown of {wave['accounts']}"
            if lost
            else "",
            waiting="" if done or lost else f"{wave['done']} of {wave['accounts']} done",
        )
    ]
    for check in wave["checks"]:
        said = {check["verdict"]: f"{check['verdict']}: {check['reason']}"}
        failure, error = said.get("fail", ""), said.get("inconclusive", "")
        cases.append(Case(name=f"{name} {check['check']}", failure=failure, error=error))
    return cases


def why(rollout: RolloutName = "") -> None:
    """Say why a rollout stands still, what would move it, and which accounts need somebody."""
    with reading() as parts:
        document = queries.why(parts, listing.find(parts, rollout).id)
    emit(View(document=lambda: document, blocks=lambda: _why_blocks(document)))


def _why_blocks(document: Mapping[str, Any]) -> list[Block]:
    step = document["next"]
    blocks: list[Block] = [
        Line(text=f"{show(document['id'])} is {document['state']}", style=_style(document["state"])),
        *hold_blocks(document["holds"]),
    ]
    if not document["holds"]:
        blocks += [*paragraph("waits", step["text"]), *paragraph("next", step.get("way", ""))]
    wave = document["wave"]
    if wave:
        blocks += [
            "",
            f"  {wave['kind']} wave of {wave['revision']}, {wave['state']}: "
            + ", ".join([f"{wave['done']:,} of {wave['accounts']:,} done", _wave_next(wave)]),
        ]
        for check in wave["checks"]:
            name, _, verdict, reason = check_row("", check)
            blocks += [f"  gate {name}: {verdict}", *paragraph("why", reason)]
    if document["accounts"]:
        blocks += ["", *account_blocks(document["accounts"])]
    return blocks


COMMANDS = {"status": status, "why": why}
