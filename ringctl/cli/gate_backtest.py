"""`ringctl gate backtest`: what the gate would have said of recorded data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli.gate_choice import GateNames, PolicyFile, chosen
from ringctl.cli.render import Block, Busy, Grid, Line, View, cell, columns, emit, note
from ringctl.cli.style import show
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.engine import backtest as engine
from ringctl.engine.backtest import Look, Outcome
from ringctl.engine.recorded import Recording, read

EXITS: Mapping[Verdict, int] = {Verdict.PASS: 0, Verdict.FAIL: 10, Verdict.INCONCLUSIVE: 11}
CHANGES_SHOWN = 40


def backtest(
    policy: PolicyFile,
    series: Annotated[
        str, typer.Option("--series", metavar="FILE", help="What was recorded, a JSON line each.")
    ],
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="FILE", help="What was recorded before, in the same form.")
    ] = "",
    gate: GateNames = None,
) -> int:
    """Judge recorded data as a live rollout would have been, look by look. Needs no server and no state.

    Lines are `{"t": minutes, "account": "a17", "cohort": "canary", "check": "errors", "n": 50, "y": 1}`; for values
    `"value": 3.2`. The whole `false_alarm` is spent on this one bake. Exit 0 pass, 10 fail, 11 inconclusive.
    """
    found, checks = chosen(Path(policy), gate)
    recorded = engine.recordable(checks)
    for name in sorted(checks.keys() - recorded.keys()):
        note(f"{show(name)} measures ringctl's own steps: left out")
    with Busy("reading"):
        lines = read(Path(series), found.checks)
        before = read(Path(baseline), found.checks) if baseline else None
    _warn(lines, before)
    with Busy("judging"):
        *looks, outcome = engine.run(recorded, bootstrap.Judges(), engine.alphas_of(checks), lines, before)
    assert isinstance(outcome, Outcome)
    judged = [look for look in looks if isinstance(look, Look)]
    last = _last(recorded, outcome)
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


def _warn(lines: Recording, before: Recording | None) -> None:
    for warning in [*(before.warnings if before else []), *lines.warnings]:
        note(f"warning: {show(warning, 300)}")
    if not any(row.cohort == "canary" for row in lines.rows) and not any(
        event.event == "start" for event in lines.events
    ):
        note("warning: no line has the cohort canary: nothing was touched, so nothing can be judged")


def _last(checks: Mapping[str, Check], outcome: Outcome) -> dict[str, object]:
    from ringctl.engine.power import plan_minutes

    plans = {}
    for name, check in checks.items():
        canary, control = outcome.rates[name]
        plans[name] = plan_minutes(check, outcome.learnt[name], canary, control)
    at = outcome.at
    return {
        "final": outcome.final.value,
        "at": int(at) if at is not None and at.is_integer() else at,
        "plan_minutes": plans,
    }


def _blocks(looks: list[Look], outcome: Outcome, last: Mapping[str, object]) -> list[Block]:
    rows, before = [], dict[str, tuple[str, str]]()
    for look in looks:
        now = (look.judgement.verdict.value, str(look.judgement.numbers.get("judge", "")))
        if before.get(look.check, ("",))[0] != now[0]:
            record = look.record()
            rows.append(
                [cell(record["t"]), show(look.check, 40), show(now[0]), show(now[1], 30), cell(record["e"]),
                 cell(record["level"]), show(look.judgement.reason, 400)]
            )  # fmt: skip
        before[look.check] = now
    heads = columns(">MINUTE", "GATE", "VERDICT", "JUDGE", ">E", ">LEVEL", "~WHY")
    made: list[Block] = [Grid(columns=heads, rows=rows[:CHANGES_SHOWN], indent=0)] if rows else ["no looks"]
    if len(rows) > CHANGES_SHOWN:
        made.append(f"and {len(rows) - CHANGES_SHOWN} more changes (-o ndjson has every look)")
    at = f" at minute {cell(last['at'])}" if outcome.at is not None else ""
    made += [
        "",
        Line(text=f"{outcome.final.value}{at}", style="red" if outcome.final is Verdict.FAIL else "bold"),
    ]
    plans = last["plan_minutes"]
    assert isinstance(plans, Mapping)
    for name, minutes in plans.items():
        said = "no rate to plan with" if minutes is None else f"{cell(minutes)} minutes"
        made.append(f"  {show(name, 40)}: the harm asked about is seen within {said} with 95 %")
    return made


COMMANDS = {"gate backtest": backtest}
