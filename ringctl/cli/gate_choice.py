"""What `gate` commands without a rollout share: a policy, and the gates of it that are asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli.names import unknown
from ringctl.cli.opening import span
from ringctl.cli.render import note
from ringctl.cli.style import show
from ringctl.core.builtin import is_builtin
from ringctl.core.errors import NotFound, UsageError
from ringctl.core.policy import Check, Policy
from ringctl.core.timing import Instant, parsed
from ringctl.engine.backtest import recordable

NAMED = 10

PolicyFile = Annotated[
    str, typer.Option("--policy", metavar="FILE", help="The policy whose gates are asked.")
]
GateNames = Annotated[
    list[str] | None, typer.Option("--gate", metavar="GATE", help="Only this gate; may be given again.")
]
Every = Annotated[
    str, typer.Option("--every", metavar="T", help="Between looks; default: as the policy has it.")
]
Control = Annotated[
    str, typer.Option("--control", metavar="IDS", help="Accounts that nothing was done to: a,b,c or @FILE.")
]
CANARY_HELP = "Changed accounts: a,b,c or @FILE."


def chosen(path: Path, names: Sequence[str] | None, ring: str = "") -> tuple[Policy, Mapping[str, Check]]:
    """The policy, and its checks by name: those asked for, or all (of a ring: those that watch it).

    Raises NotFound for an unknown one.
    """
    from ringctl.settings import load_policy

    policy = load_policy(path)
    rings = {one.name: one for one in policy.rings}
    if ring and ring not in rings:
        raise NotFound(unknown("ring", ring, rings))
    usual = (
        rings[ring].gates if ring else [name for name, one in policy.checks.items() if not is_builtin(one)]
    )
    wanted = list(names or usual)
    for name in wanted:
        if name not in policy.checks:
            raise NotFound(unknown("gate", name, policy.checks))
    return policy, {name: policy.checks[name] for name in policy.checks if name in wanted}


def accounts_of(text: str, option: str) -> tuple[str, ...]:
    """Account ids out of `a,b,c` or `@FILE` (one a line). Raises UsageError when there is none."""
    if text.startswith("@"):
        try:
            content = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UsageError(f"{option}: cannot read {show(text[1:])}: {reason}") from None
        found = [line.strip() for line in content.splitlines()]
    else:
        found = [one.strip() for one in text.split(",")]
    names = tuple(dict.fromkeys(one for one in found if one))
    if not names:
        raise UsageError(f"{option} names no account", hint="a,b,c, or @FILE with one a line")
    return names


def cohorts_of(canary: str, control: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The accounts of --canary and --control, which none may be in both of. Raises UsageError."""
    ours, others = accounts_of(canary, "--canary"), accounts_of(control, "--control") if control else ()
    both = sorted(set(ours) & set(others))
    if both:
        raise UsageError(f"--canary and --control both name {show(', '.join(both[:NAMED]))}")
    return ours, others


def at_intervals(named: Mapping[str, Check], every: str) -> Mapping[str, Check]:
    """The checks that read counters, at the interval asked for. Raises UsageError when there is none."""
    checks = recordable(named)
    for name in sorted(named.keys() - checks.keys()):
        note(f"{show(name)} measures ringctl's own steps: left out")
    if not checks:
        raise UsageError("no gate is left to look at", hint="name one that reads counters with --gate")
    if not every:
        return checks
    every_us = span(every, "--every")
    if every_us <= 0:
        raise UsageError(f"--every {show(every)} must be more than nothing")
    return {name: replace(check, every_us=every_us) for name, check in checks.items()}


def moment(text: str, option: str, now_us: Instant) -> Instant:
    """A time of an option, in RFC 3339; not one that lies ahead. Raises UsageError."""
    try:
        found = parsed(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {show(text, 60)} is no time", hint="such as 2026-11-25T08:00:00Z"
        ) from None
    if found > now_us:
        raise UsageError(f"{option} {show(text, 60)} lies ahead")
    return found
