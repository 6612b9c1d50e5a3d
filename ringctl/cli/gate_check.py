"""`ringctl gate check`: a gate as a stage of a pipeline, without a rollout."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli.gate_backtest import EXITS
from ringctl.cli.gate_choice import (
    CANARY_HELP,
    Control,
    Every,
    GateNames,
    PolicyFile,
    at_intervals,
    chosen,
    cohorts_of,
    moment,
)
from ringctl.cli.opening import span
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit, note
from ringctl.cli.style import show
from ringctl.core.states import Verdict
from ringctl.core.timing import SECOND, rfc3339
from ringctl.engine.backtest import alphas_of
from ringctl.engine.gate_check import GateCheck, Looked

UNKNOWN_SHOWN = 10


def check_gate(
    policy: PolicyFile,
    canary: Annotated[str, typer.Option("--canary", metavar="IDS", help=CANARY_HELP)],
    control: Control = "",
    gate: GateNames = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="T", help="How long to look at most.")] = "30m",
    every: Every = "",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="When they were changed (RFC 3339); default: now.")
    ] = "",
) -> int:
    """Look at the gate of a policy until it passes or fails, without a rollout.

    Exit 0 pass, 10 fail, 11 when the time is over and it is neither, or there is no data.
    """
    found, named = chosen(Path(policy), gate)
    checks = at_intervals(named, every)
    clock = bootstrap.SystemClock()
    ours, others = cohorts_of(canary, control)
    gates = GateCheck(
        checks=checks,
        sources=found.sources,
        source=partial(bootstrap.metric_source, Path(policy).resolve().parent, {}),
        judges=bootstrap.Judges(),
        alphas=alphas_of(named),
        canary=ours,
        control=others,
        since_us=moment(since, "--since", clock.now_us()) if since else clock.now_us(),
        clock=clock,
    )
    looks: list[Looked] = []
    stopped = False
    try:
        for look in gates.run(span(timeout, "--timeout") / SECOND):
            looks.append(look)
            _progress(look, first=len(looks) == 1)
    except KeyboardInterrupt:  # what was seen is told before it ends
        if not looks:
            raise
        stopped = True
    answer = looks[-1]
    emit(
        View(
            document=lambda: _document(answer),
            records=lambda: [*(record for look in looks for record in _records(look)), _document(answer)],
            blocks=lambda: _blocks(answer),
        )
    )
    if stopped:
        raise KeyboardInterrupt("what was seen until then is above")
    if answer.verdict is Verdict.INCONCLUSIVE:
        note(f"--timeout {show(timeout)} is over, with neither; `ringctl gate plan` says how long it takes")
    return EXITS[answer.verdict]


def _progress(look: Looked, *, first: bool) -> None:
    """A line a look and gate, for people who wait."""
    if first and look.unknown:
        over = len(look.unknown) - UNKNOWN_SHOWN
        more = f" and {over} more" if over > 0 else ""
        note(f"warning: the sources know nothing of {show(', '.join(look.unknown[:UNKNOWN_SHOWN]))}{more}")
    for name, said in look.notes.items():
        note(f"warning: {show(name, 40)}: nothing is learnt from before: {show(said, 300)}")
    for name, one in look.judgements.items():
        e, level = one.numbers.get("e"), one.numbers.get("level")
        evidence = f" (E {cell(e)} of {cell(level)})" if isinstance(e, int | float) else ""
        note(
            f"{rfc3339(look.at_us)[11:19]} {show(name, 40)} {one.verdict.value}{evidence}: {show(one.reason, 300)}"
        )


def _records(look: Looked) -> list[dict[str, object]]:
    return [
        {
            "at": rfc3339(look.at_us),
            "check": name,
            "verdict": one.verdict.value,
            "judge": one.numbers.get("judge", ""),
            "e": one.numbers.get("e"),
            "level": one.numbers.get("level"),
            "missing": one.numbers.get("missing", []),
            "error": look.errors.get(name, ""),
            "reason": one.reason,
        }
        for name, one in look.judgements.items()
    ]


def _document(last: Looked) -> Mapping[str, object]:
    return {
        "schema": "ringctl/gate-check/v1",
        "verdict": last.verdict.value,
        "at": rfc3339(last.at_us),
        "unknown_accounts": list(last.unknown),
        "gates": [
            {
                "check": name,
                "verdict": one.verdict.value,
                "error": last.errors.get(name, ""),
                "reason": one.reason,
                "worst": list(one.worst),
                "numbers": dict(one.numbers),
            }
            for name, one in last.judgements.items()
        ],
    }


def _blocks(last: Looked) -> list[Block]:
    rows = [
        [show(name, 40), one.verdict.value, cell(one.numbers.get("e")), cell(one.numbers.get("level")),
         show(one.reason, 400)]
        for name, one in last.judgements.items()
    ]  # fmt: skip
    style = "red" if last.verdict is Verdict.FAIL else "bold"
    heads = columns("GATE", "VERDICT", ">E", ">LEVEL", "~WHY")
    return [Grid(columns=heads, rows=rows, indent=0), "", Line(text=last.verdict.value, style=style)]


COMMANDS = {"gate check": check_gate}
