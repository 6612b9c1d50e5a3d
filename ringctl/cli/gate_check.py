"""`ringctl gate check`: a gate as a stage of a pipeline, without a rollout."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli.gate_backtest import EXITS
from ringctl.cli.gate_choice import GateNames, PolicyFile, accounts_of, chosen
from ringctl.cli.opening import span
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit, note
from ringctl.cli.style import show
from ringctl.core.errors import UsageError
from ringctl.core.states import Verdict
from ringctl.core.timing import SECOND, Instant, parsed, rfc3339
from ringctl.engine.backtest import alphas_of, recordable
from ringctl.engine.gate_check import GateCheck, Looked

UNKNOWN_SHOWN = 10


def check_gate(
    policy: PolicyFile,
    canary: Annotated[str, typer.Option("--canary", metavar="IDS", help="Changed accounts: a,b,c or @FILE.")],
    control: Annotated[
        str,
        typer.Option("--control", metavar="IDS", help="Accounts that nothing was done to: a,b,c or @FILE."),
    ] = "",
    gate: GateNames = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="T", help="How long to look at most.")] = "30m",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="When they were changed (RFC 3339); default: now.")
    ] = "",
) -> int:
    """Look at the gate of a policy until it passes or fails, without a rollout.

    Exit 0 pass, 10 fail, 11 when the time is over and it is neither, or there is no data.
    """
    found, named = chosen(Path(policy), gate)
    checks = recordable(named)
    for name in sorted(named.keys() - checks.keys()):
        note(f"{show(name)} measures ringctl's own steps: left out")
    if not checks:
        raise UsageError("no gate is left to look at", hint="name one that reads counters with --gate")
    clock = bootstrap.SystemClock()
    ours, others = accounts_of(canary, "--canary"), accounts_of(control, "--control") if control else ()
    both = sorted(set(ours) & set(others))
    if both:
        raise UsageError(f"--canary and --control both name {show(', '.join(both[:UNKNOWN_SHOWN]))}")
    gates = GateCheck(
        checks=checks,
        sources=found.sources,
        source=partial(bootstrap.metric_source, Path(policy).resolve().parent, {}),
        judges=bootstrap.Judges(),
        alphas=alphas_of(checks),
        canary=ours,
        control=others,
        since_us=_since(since, clock.now_us()),
        clock=clock,
    )
    last = None
    for number, last in enumerate(gates.run(span(timeout, "--timeout") / SECOND)):
        if number == 0 and last.unknown:
            more = (
                f" and {len(last.unknown) - UNKNOWN_SHOWN} more" if len(last.unknown) > UNKNOWN_SHOWN else ""
            )
            note(
                f"warning: the sources know nothing of {show(', '.join(last.unknown[:UNKNOWN_SHOWN]))}{more}"
            )
        for name, one in last.judgements.items():
            note(
                f"{rfc3339(last.at_us)[11:19]} {show(name, 40)} {one.verdict.value}: {show(one.reason, 300)}"
            )
    assert last is not None
    answer = last
    emit(View(document=lambda: _document(answer), blocks=lambda: _blocks(answer)))
    if answer.verdict is Verdict.INCONCLUSIVE:
        note(f"--timeout {show(timeout)} is over: neither passed nor failed (see `ringctl gate plan`)")
    return EXITS[answer.verdict]


def _since(text: str, now: Instant) -> Instant:
    if not text:
        return now
    try:
        found = parsed(text)
    except ValueError:
        raise UsageError(f"--since {show(text)} is no time", hint="such as 2026-11-25T08:00:00Z") from None
    if found > now:
        raise UsageError(f"--since {show(text)} lies ahead")
    return found


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
