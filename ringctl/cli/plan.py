"""`ringctl plan`: what a start would do. Changes nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ringctl import bootstrap
from ringctl.cli import findings as finding_lines
from ringctl.cli import forecasts
from ringctl.cli.opening import planning
from ringctl.cli.render import Block, Busy, Grid, Line, View, cell, columns, emit, note, write_file
from ringctl.cli.style import Painter, columns_of, show
from ringctl.core import builtin
from ringctl.core.errors import UnsafePlan
from ringctl.core.timing import SECOND, human
from ringctl.engine import commands, queries
from ringctl.engine.commands import Planned, Request
from ringctl.engine.foresight import foresee
from ringctl.engine.parts import Parts

PolicyFile = Annotated[
    str, typer.Option("--policy", metavar="FILE", help="How far, how fast, by what health.")
]
BundleDir = Annotated[str, typer.Option("--bundle", metavar="DIR", help="What is done to one account.")]
Release = Annotated[
    str, typer.Option("--release", metavar="NAME", help="Default: the bundle's name and version.")
]
Fix = Annotated[bool, typer.Option("--fix", help="Let a carrier of what would be met late go first, alone.")]

SOMETHING_TO_DO = 20


def plan(
    policy: PolicyFile,
    bundle: BundleDir,
    release: Release = "",
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Save the plan; `start --plan` takes it.")
    ] = "",
    fix: Fix = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 20 when there is something to do.")
    ] = False,
) -> int:
    """Show waves, canaries and reach of a rollout before it begins. Changes nothing.

    Exit 19 when the plan is unsafe; what makes it so is listed in full.
    """
    request = Request(policy=Path(policy), bundle=Path(bundle), release=release, fix=fix)
    with planning() as parts:
        with Busy("reading accounts, planning"):
            planned = commands.plan(parts, request)
        document = {**queries.plan_document(planned), "inputs": _inputs(request)}
        to_do = not _is_done(parts, planned)
    emit(View(document=lambda: document, blocks=lambda: _blocks(planned, document)))
    if planned.plan.unsafe:
        note(finding_lines.summary(planned.plan.unsafe, 0))
        return UnsafePlan.exit_code
    if out:
        from ringctl.cli.machine import json_text

        write_file(out, json_text(document, indent=1) + "\n")
        note(f"Saved {show(out)} ({planned.plan.digest[:19]}).")
    note("Nothing was changed. Next: " + _next(request, out))
    return SOMETHING_TO_DO if exit_code and to_do else 0


def _next(request: Request, out: str) -> str:
    if out:
        return f"ringctl start --plan {show(out)}"
    release = f" --release {show(request.release)}" if request.release else ""
    fix = " --fix" if request.fix else ""
    return f"ringctl start --policy {show(request.policy)} --bundle {show(request.bundle)}{release}{fix}"


def _inputs(request: Request) -> dict[str, object]:
    return {
        "policy": str(request.policy.resolve()),
        "bundle": str(request.bundle.resolve()),
        "release": request.release,
        "fix": request.fix,
    }


def _is_done(parts: Parts, planned: Planned) -> bool:
    """Whether the component's latest rollout took these bytes to this fleet, to the end."""
    component = planned.loaded.bundle.component
    latest = next((row for row in parts.store.rollouts() if row.component == component), None)
    if latest is None or latest.state != "succeeded":
        return False
    rollout = parts.store.load(latest.id)
    same = rollout.revision.digest == planned.plan.bundle_digest
    return same and rollout.fleet_digest == planned.plan.fleet_digest


def _blocks(planned: Planned, document: Mapping[str, Any]) -> Sequence[Block]:
    bundle = planned.loaded.bundle
    made = planned.plan
    total = f"{made.accounts:,} account{'' if made.accounts == 1 else 's'}"
    blocks: list[Block] = [
        Line(text=f"Plan for release {show(planned.release)}     {total}", style="bold"),
        "     ".join(
            [
                f"  bundle {bundle.digest[7:14]} {show(bundle.name, 40)} {show(bundle.version, 30)}",
                f"policy {made.policy_digest[7:14]} {show(planned.policy.name, 40)}",
                f"fleet {made.fleet_digest[7:14]}",
            ]
        ),
        "",
        Grid(
            columns=columns(">#", "RING", ">ACCOUNTS", "CANARY", "~WAVES", ">RESERVE", "BAKE", ">GATES"),
            rows=[_ring_row(number, ring) for number, ring in enumerate(document["rings"], start=1)],
        ),
        "",
        *_reach(document, made.accounts),
        *_meetings(document),
    ]
    blocks += forecasts.summary(planned.policy, foresee(planned.policy, made, {}, bootstrap.Judges()))
    off = [name for name in builtin.checks() if name not in planned.policy.checks]
    if off:
        blocks.append(f"  Built-in checks that are switched off: {', '.join(off)}")
    if made.unassigned:
        blocks.append(f"  In no ring and left out: {made.unassigned:,}")
    every = (*made.unsafe, *made.warnings)
    if every:
        text = finding_lines.render(every, Painter(on=False), columns_of()).rstrip("\n")
        blocks += ["", *text.split("\n")]
    return blocks


def _ring_row(number: int, ring: Mapping[str, Any]) -> list[str]:
    canary = next((wave for wave in ring["waves"] if wave["kind"] == "canary"), None)
    rest = [_wave(wave) for wave in ring["waves"] if wave is not canary]
    return [
        str(number),
        show(ring["name"], 40),
        cell(ring["accounts"]),
        f"{canary['accounts']:,}" if canary else "-",
        " / ".join(rest) or "-",
        cell(ring["reserve"] or None),
        human(int(ring["bake"]["min_seconds"] * SECOND)),
        cell(sum(name not in builtin.checks() for name in ring["gates"])),
    ]


def _wave(wave: Mapping[str, Any]) -> str:
    return f"{wave['accounts']:,}" if wave["kind"] == "expansion" else f"{wave['accounts']:,} {wave['kind']}"


def _reach(document: Mapping[str, Any], accounts: int) -> list[Block]:
    """Who is touched before a gate can stop it, and what a changed script would be forced back to."""
    canaries = [
        wave["accounts"] for ring in document["rings"] for wave in ring["waves"] if wave["kind"] == "canary"
    ]
    again = document["requalification"]
    made: list[Block] = []
    if canaries:
        share = 100 * sum(canaries) / max(1, accounts)
        sizes = ", then ".join(f"{size:,}" for size in canaries)
        part = f"{share:.1f} %" if share >= 0.1 else "under 0.1 %"
        made += [f"  If the change is bad, touched before a gate can stop it:  {sizes} ({part} of all)"]
    bake = human(int(again["bake_seconds"] * SECOND))
    return [
        *made,
        f"  If the script is changed on the way: at most {again['accounts']:,} at first, baked {bake};",
        f"  that shows a defect which hits at least {100 * again['seen_share']:.0f} % of the accounts",
    ]


def _meetings(document: Mapping[str, Any]) -> list[Block]:
    """What each ring shows for the first time."""
    rows = []
    for ring in document["rings"]:
        for wave in ring["waves"]:
            news = [*wave["meets"], *(f"size {one}" for one in wave["new_sizes"])]
            if news:
                rows.append(
                    [show(ring["name"], 40), wave["kind"], cell(wave["accounts"]), show(", ".join(news), 400)]
                )
    if not rows:
        return []
    return ["", Grid(columns=columns("FIRST MET IN", "WAVE", ">ACCOUNTS", "~TRAITS AND SIZES"), rows=rows)]


COMMANDS = {"plan": plan}
