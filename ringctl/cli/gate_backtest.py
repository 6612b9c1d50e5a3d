"""`ringctl gate backtest`: what the gate would have said of recorded data."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli.gate_choice import CANARY_HELP, Control, Every, GateNames, PolicyFile, at_intervals, chosen
from ringctl.cli.gate_memory import Asked, remembered
from ringctl.cli.render import Block, Busy, Grid, Line, View, cell, columns, emit, note
from ringctl.cli.style import show
from ringctl.core import spending
from ringctl.core.errors import UsageError
from ringctl.core.policy import Check, Policy
from ringctl.core.states import Verdict
from ringctl.engine import backtest as engine
from ringctl.engine.backtest import Look, Outcome, short
from ringctl.engine.power import plan_minutes
from ringctl.engine.recorded import Recording, parse, read

EXITS: Mapping[Verdict, int] = {Verdict.PASS: 0, Verdict.FAIL: 10, Verdict.INCONCLUSIVE: 11}
CHANGES_SHOWN = 40
STDIN = "-"
LOST_SHOWN = 5


Series = Annotated[
    str, typer.Option("--series", metavar="FILE", help="What was recorded, a JSON line each; - is stdin.")
]
Baseline = Annotated[
    str, typer.Option("--baseline", metavar="FILE", help="What was recorded before, in the same form.")
]
Ring = Annotated[
    str, typer.Option("--ring", metavar="RING", help="With the level that a wave of this ring would have.")
]
Start = Annotated[
    str,
    typer.Option("--from", metavar="TIME", help="Instead of --series: ask the source, from this time on."),
]
End = Annotated[str, typer.Option("--to", metavar="TIME", help="Up to this time; default: now.")]
Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="When the canary was changed; default: --from.")
]
Canary = Annotated[str, typer.Option("--canary", metavar="IDS", help=CANARY_HELP)]
Record = Annotated[
    str, typer.Option("--record", metavar="FILE", help="Keep what the source said, for --series.")
]


def backtest(
    policy: PolicyFile,
    series: Series = "",
    baseline: Baseline = "",
    gate: GateNames = None,
    ring: Ring = "",
    every: Every = "",
    start: Start = "",
    end: End = "",
    since: Since = "",
    canary: Canary = "",
    control: Control = "",
    record: Record = "",
) -> int:
    """Judge recorded data as a live rollout would have been, look by look. Needs no server and no state.

    Lines are `{"t": minutes, "account": "a17", "cohort": "canary", "check": "errors", "n": 50, "y": 1}`; for values
    `"value": 3.2`. The whole `false_alarm` is spent on this one bake. Exit 0 pass, 10 fail, 11 inconclusive.
    """
    asked = Asked(start=start, end=end, since=since, canary=canary, control=control, record=record)
    if bool(series) == asked.given:
        raise UsageError("give --series FILE, or --from TIME and --canary IDS to ask a source for its past")
    found, named = chosen(Path(policy), gate, ring)
    checks = at_intervals(named, every)
    alphas = _alphas(found, named, ring)
    before = read(Path(baseline), found.checks) if baseline else None
    if series:
        with Busy("reading"):
            lines = _series(series, found)
    else:
        step = min(check.every_us for check in checks.values())
        memory = asked.memory(step, bootstrap.SystemClock().now_us())
        folder = Path(policy).resolve().parent
        lines, past = remembered(found, folder, checks, memory, asked, before=not baseline)
        before = before or past
    _warn(checks, lines, before)
    with Busy("judging"):
        *looks, outcome = engine.run(checks, bootstrap.Judges(), alphas, lines, before)
    assert isinstance(outcome, Outcome)
    judged = [look for look in looks if isinstance(look, Look)]
    last = _last(checks, alphas, outcome)
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/backtest/v1",
                **last,
                "looks": [look.record() for look in judged],
            },
            records=lambda: [*(look.record() for look in judged), last],
            blocks=lambda: _blocks(judged, outcome, last),
        )
    )
    return EXITS[outcome.final]


def _alphas(policy: Policy, named: Mapping[str, Check], ring: str) -> Mapping[str, float]:
    """The checks' levels: the whole promise for this one bake, or what a wave of the ring would be given of it."""
    if not ring:
        return engine.alphas_of(named)
    waves = 1 + len(policy.ring(ring).waves)
    return {name: spending.planned_share(policy, ring, waves, check).alpha for name, check in named.items()}


def _series(path: str, policy: Policy) -> Recording:
    if path == STDIN:
        return parse(sys.stdin.buffer.read().splitlines(), "<stdin>", policy.checks)
    return read(Path(path), policy.checks)


def _warn(checks: Mapping[str, Check], lines: Recording, before: Recording | None) -> None:
    for warning in [*(before.warnings if before else []), *lines.warnings]:
        note(f"warning: {show(warning, 300)}")
    starts = any(event.event == "start" for event in lines.events)
    if not any(row.cohort == "canary" for row in lines.rows) and not starts:
        note("warning: no line has the cohort canary: nothing was touched, so nothing can be judged")
    elif lines.rows:
        for name in sorted(checks.keys() - lines.checks):
            note(f"warning: no line is of {show(name)}: without it nothing passes (--gate chooses others)")
        _warn_of_lost(lines, before)


def _warn_of_lost(lines: Recording, before: Recording | None) -> None:
    """Whom only the baseline knows, and not as canary: were they changed? Nothing else can say so."""
    rows = before.rows if before else []
    known = {row.account for row in lines.rows} | {event.account for event in lines.events}
    canary = {row.account for row in rows if row.cohort == "canary"}
    names = sorted({row.account for row in rows} - known - canary)
    if names:
        more = f" and {len(names) - LOST_SHOWN} more" if len(names) > LOST_SHOWN else ""
        said = f"{show(', '.join(names[:LOST_SHOWN]), 200)}{more} in the baseline and not in the series"
        note(f'warning: {said}: taken for control (a line {{"event": "start"}} says that it was changed)')


def _last(checks: Mapping[str, Check], alphas: Mapping[str, float], outcome: Outcome) -> dict[str, object]:
    plans, sources = {}, {}
    for name, check in checks.items():
        at_level = replace(check, false_alarm=alphas[name])
        minutes, source = plan_minutes(at_level, outcome.learnt[name], outcome.paces[name])
        plans[name] = None if minutes is None else short(minutes)
        sources[name] = source or None
    return {
        "final": outcome.final.value,
        "at": None if outcome.at is None else short(outcome.at),
        "plan_minutes": plans,
        "plan_rates": sources,
    }


def _blocks(looks: list[Look], outcome: Outcome, last: Mapping[str, object]) -> list[Block]:
    rows, before = [], dict[str, str]()
    for look in looks:
        verdict = look.judgement.verdict.value
        if before.get(look.check) != verdict:
            record = look.record()
            rows.append(
                [cell(record["t"]), show(look.check, 40), verdict, show(record["judge"], 30), cell(record["e"]),
                 cell(record["level"]), show(look.judgement.reason, 400)]
            )  # fmt: skip
        before[look.check] = verdict
    heads = columns(">MINUTE", "GATE", "VERDICT", "JUDGE", ">E", ">LEVEL", "~WHY")
    made: list[Block] = [Grid(columns=heads, rows=rows[:CHANGES_SHOWN], indent=0)] if rows else ["no looks"]
    if len(rows) > CHANGES_SHOWN:
        made.append(f"and {len(rows) - CHANGES_SHOWN} more changes (-o ndjson has every look)")
    at = f" at minute {cell(last['at'])}" if outcome.at is not None else ""
    style = "red" if outcome.final is Verdict.FAIL else "bold"
    made += ["", Line(text=f"{outcome.final.value}{at}", style=style)]
    plans, sources = last["plan_minutes"], last["plan_rates"]
    assert isinstance(plans, Mapping)
    assert isinstance(sources, Mapping)
    for name, minutes in plans.items():
        made.append(f"  {show(name, 40)}: {_planned(minutes, sources[name])}")
    newest = {look.check: look for look in looks}
    if outcome.final is Verdict.INCONCLUSIVE:
        for name, look in newest.items():
            if look.judgement.verdict is Verdict.INCONCLUSIVE:
                made.append(f"  {show(name, 40)}: {show(look.judgement.reason, 400)}")
    return made


def _planned(minutes: float | None, source: str | None) -> str:
    """How long the harm asked about takes to be seen, and at which rates."""
    rates = {
        "history": "at the rates of the baseline", "baseline": "at the rates before the change",
        "control": "at the rates of control",
    }.get(source or "", "")  # fmt: skip
    if minutes is not None:
        seen = f"the harm asked about is seen within {cell(minutes)} minutes with 95 %"
        return f"{seen}, {rates}" if rates else seen
    return f"{rates} the harm asked about is never seen" if rates else "too little is known to plan with"


COMMANDS = {"gate backtest": backtest}
