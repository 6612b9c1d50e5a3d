"""`ringctl gate plan`: what each check can see, and how long it takes, before anything is touched."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli.fleet import assigned, read_fleet
from ringctl.cli.gate_choice import PolicyFile
from ringctl.cli.names import unknown
from ringctl.cli.render import Block, Grid, View, cell, columns, emit, note
from ringctl.cli.status import paragraph
from ringctl.cli.style import show
from ringctl.core.errors import NotFound, UsageError
from ringctl.core.planning import members_of
from ringctl.core.policy import Policy
from ringctl.core.timing import MINUTE, human
from ringctl.engine.power import Planned, plan_checks

CANNOT = 3


def gate_plan(
    policy: PolicyFile,
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", metavar="GATE=RATE", help="Bad events a minute and account when all is well."),
    ] = None,
    phi: Annotated[
        float, typer.Option("--phi", metavar="X", min=1.0, max=1e6, help="How many events come together.")
    ] = 1.0,
) -> int:
    """Show for each check and wave how it is judged, and how long until harm is seen and a healthy wave passes.

    Rates come from you (`--rate errors=0.05`): one that is not known is said to be unknown, never assumed. Exit 3
    when a check whose rate is known can never decide within its bake.
    """
    from ringctl.settings import load_policy

    loaded = load_policy(Path(policy))
    rates = _rates(rate or (), loaded)
    fleet = read_fleet(loaded, Path(policy))
    assigned(loaded, fleet, policy)
    by_ring, _ = members_of(loaded, fleet, "gate-plan")
    planned = plan_checks(loaded, {name: len(members) for name, members in by_ring.items()}, rates, phi)
    cannot = [one for one in planned if not one.decides]
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/gate-plan/v1",
                "decides": not cannot,
                "phi": phi,
                "checks": [_record(one) for one in planned],
            },
            records=lambda: [_record(one) for one in planned],
            blocks=lambda: _blocks(planned, rates, phi),
        )
    )
    for one in cannot:
        note(f"RC1002: {_cannot(one)}")
    return CANNOT if cannot else 0


def _rates(given: Sequence[str], policy: Policy) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in policy.checks:
            raise NotFound(unknown("gate", name, policy.checks))
        try:
            found[name] = float(number.removesuffix("/min"))
        except ValueError:
            raise UsageError(
                f"--rate {show(text)}: {show(number)} is no number", hint="errors=0.05"
            ) from None
        if not 0 < found[name] < 1e9:
            raise UsageError(f"--rate {show(text)}: must be more than 0")
    return found


def _record(one: Planned) -> Mapping[str, object]:
    return {
        "ring": one.ring,
        "wave": one.wave,
        "check": one.check,
        "accounts": one.accounts,
        "control": one.control,
        "judged": one.judged,
        "false_alarm": one.alpha,
        "rate_known": one.known,
        "seen_minutes": one.sees,
        "smallest_ratio_seen": one.smallest,
        "pass_minutes": one.passes,
        "bake_min_minutes": one.bake,
        "bake_max_minutes": one.most,
        "decides": one.decides,
    }


def _blocks(planned: Sequence[Planned], rates: Mapping[str, float], phi: float) -> list[Block]:
    heads = columns(
        "RING", "WAVE", "GATE", ">ACCOUNTS", ">CONTROL", "~JUDGED", ">HARM SEEN", ">LEAST SEEN", ">PASSES"
    )
    rows = [
        [
            show(one.ring, 30), show(one.wave, 30), show(one.check, 30), cell(one.accounts), cell(one.control),
            show(one.judged, 40), _minutes(one, one.sees), f"{one.smallest:.2f}x" if one.smallest else "-",
            _minutes(one, one.passes),
        ]
        for one in planned
    ]  # fmt: skip
    made: list[Block] = [Grid(columns=heads, rows=rows, indent=0), ""]
    for name, rate in rates.items():
        first = next((one for one in planned if one.check == name and one.known), None)
        if first is not None:
            made += paragraph(show(name, 40), _sentence(first, rate * first.accounts, phi))
    unrated = sorted({one.check for one in planned if not one.known and one.sees is None} - rates.keys())
    if unrated:
        made += paragraph(
            "no rate", f"of {', '.join(unrated)}: give --rate GATE=EVENTS_PER_MINUTE_AND_ACCOUNT"
        )
    if any(not one.known and one.check in rates and one.sees is None for one in planned):
        said = "how long it takes is planned for comparisons with control only: keep one until the last ring passes"
        made += paragraph("control", said)
    return made


def _sentence(one: Planned, events: float, phi: float) -> str:
    seen = f"is seen within {_span(one.sees)} with 95 %" if one.sees else "is never seen"
    least = (
        f"the least rise seen is {one.smallest:.2f} times" if one.smallest else "nothing is seen for certain"
    )
    passes = f"passes after {_span(one.passes)}" if one.passes else "never passes"
    return (
        f"in the first wave ({events:.3g} events a minute, phi {phi:g}) the harm asked about {seen}; "
        f"in {_span(one.bake)} {least}; a healthy wave {passes}"
    )


def _cannot(one: Planned) -> str:
    way = "more control accounts, or a larger harm in fail_if, would"
    if one.larger is not None:
        way = f"{one.larger} accounts would"
    if one.sees is not None and one.passes is not None:
        way += f"; so would bake.max of {_span(max(one.sees, one.passes))}"
    return (
        f"{show(one.check, 40)} cannot decide on wave {show(one.wave)} of ring {show(one.ring, 40)} within bake.max "
        f"({_span(one.most)}): {way}"
    )


def _minutes(one: Planned, minutes: float | None) -> str:
    if minutes is None:
        return "never" if one.known else "-"
    return _span(minutes)


def _span(minutes: float | None) -> str:
    return human(round((minutes or 0) * MINUTE))


COMMANDS = {"gate plan": gate_plan}
