"""What `gate` commands without a rollout share: a policy, and the gates of it that are asked about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli.names import unknown
from ringctl.cli.style import show
from ringctl.core.errors import NotFound, UsageError
from ringctl.core.policy import Check, Policy

PolicyFile = Annotated[
    str, typer.Option("--policy", metavar="FILE", help="The policy whose gates are asked.")
]
GateNames = Annotated[
    list[str] | None, typer.Option("--gate", metavar="GATE", help="Only this gate; may be given again.")
]


def chosen(path: Path, names: Sequence[str] | None) -> tuple[Policy, Mapping[str, Check]]:
    """The policy, and its checks by name: those asked for, or all. Raises NotFound for an unknown one."""
    from ringctl.settings import load_policy

    policy = load_policy(path)
    wanted = list(names or policy.checks)
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
