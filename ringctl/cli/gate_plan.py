"""`ringctl gate plan`: what each check can see, and how long it takes, before anything is touched."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli import findings as finding_lines
from ringctl.cli import forecasts
from ringctl.cli.fleet import assigned, read_fleet
from ringctl.cli.gate_choice import PolicyFile
from ringctl.cli.gate_rates import given_rates
from ringctl.cli.opening import planning, span
from ringctl.cli.render import Busy, View, emit, note
from ringctl.cli.style import Painter, columns_of
from ringctl.core.builtin import is_builtin
from ringctl.core.errors import InvalidInput, RingctlError
from ringctl.core.planning import Plan
from ringctl.core.policy import Check, Policy, SourceSpec
from ringctl.core.timing import MINUTE, Span
from ringctl.engine import commands
from ringctl.engine.commands import Request
from ringctl.engine.foresight import foresee, planned
from ringctl.engine.outlook import Rate
from ringctl.engine.rates import Asking, measured
from ringctl.ports.metrics import MetricSource, RangeSource

SourceMaker = Callable[[SourceSpec], MetricSource]


def gate_plan(
    policy: PolicyFile,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="DIR", help="Plan the very waves of a rollout of it.")
    ] = "",
    rate: Annotated[
        list[str] | None,
        typer.Option(
            "--rate", metavar="GATE=RATE", help="Bad events a minute and account: 0.5, or 0.5 of 50."
        ),
    ] = None,
    rates: Annotated[
        str, typer.Option("--rates", metavar="FILE", help="The same as JSON; what `-o json` prints will do.")
    ] = "",
    phi: Annotated[
        float | None,
        typer.Option("--phi", metavar="X", min=1.0, max=1e6, help="How many events come together."),
    ] = None,
    watch: Annotated[
        str,
        typer.Option("--watch", metavar="T", help="Look twice, so far apart, at sources that know no past."),
    ] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Ask no source.")] = False,
) -> int:
    """Show for each gate and wave how it is judged, and how long until harm is seen and a healthy wave passes.

    Rates come from you, or from what the sources remember; one that is not known is said to be unknown, never
    assumed. Exit 3 when a gate cannot decide within its bake, with the subset or the bake that would.
    """
    from ringctl.settings import load_policy

    loaded = load_policy(Path(policy))
    checks = {name: check for name, check in loaded.checks.items() if not is_builtin(check)}
    known = given_rates(rates, rate or (), checks)
    made = _plan(loaded, Path(policy), bundle)
    source = partial(bootstrap.metric_source, Path(policy).resolve().parent, {})
    known = {name: _with_past(one, checks[name], loaded, source) for name, one in known.items()}
    asked = {name: check for name, check in checks.items() if name not in known}
    if not offline and asked:
        known |= _ask(asked, loaded, made, source, span(watch, "--watch") if watch else 0)
    if phi is not None:
        known = {name: replace(one, phi=phi) for name, one in known.items()}
    found = foresee(loaded, made, known, bootstrap.Judges())
    cannot = forecasts.findings(loaded, policy, found)
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/gate-plan/v1",
                "decides": not cannot,
                "rates": {name: forecasts.rate(one) for name, one in known.items()},
                "checks": [forecasts.record(one) for one in found],
            },
            records=lambda: [forecasts.record(one) for one in found],
            blocks=lambda: forecasts.blocks(found, known),
        )
    )
    if cannot:
        note(finding_lines.render(cannot, Painter(on=False), columns_of()).rstrip("\n"))
    return InvalidInput.exit_code if cannot else 0


def _plan(policy: Policy, path: Path, bundle: str) -> Plan:
    """The waves: those of a rollout of the bundle, or as a bundle without a name would be given them."""
    if bundle:
        with planning() as parts, Busy("reading accounts, planning"):
            return commands.plan(parts, Request(policy=path, bundle=Path(bundle), release="", fix=False)).plan
    with Busy("reading accounts, planning"):
        fleet = read_fleet(policy, path)
        assigned(policy, fleet, str(path))
        return planned(policy, fleet, bootstrap.choose)


def _with_past(one: Rate, check: Check, policy: Policy, source: SourceMaker) -> Rate:
    """A rate that was given, with how much past the gate will have, were it not said."""
    if one.past > 0 or check.source not in policy.sources:
        return one
    try:
        remembers = isinstance(source(policy.sources[check.source]), RangeSource)
    except RingctlError:  # a secret that is not here: what it would know is not known either
        return one
    return replace(one, past=check.history_us / MINUTE) if remembers else one


def _ask(
    checks: Mapping[str, Check], policy: Policy, made: Plan, source: SourceMaker, apart_us: Span
) -> dict[str, Rate]:
    waves = made.waves
    first = [member.account for member in waves[0].members] if waves else []
    asking = Asking(
        canary=first,
        others=[member.account for wave in waves[1:] for member in wave.members],
        source=source,
        clock=bootstrap.SystemClock(),
        apart_us=apart_us,
    )
    with Busy("asking the sources for rates"):
        return measured(checks, policy.sources, asking)


COMMANDS = {"gate plan": gate_plan}
