"""Opening the state store for a command, and the few words that many commands share."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli.invocation import current
from ringctl.core.errors import StoreUnavailable, UsageError
from ringctl.core.timing import Span
from ringctl.engine.parts import Parts

RolloutName = Annotated[
    str,
    typer.Argument(
        metavar="[ROLLOUT]", help="Id, unique beginning, release or `last`; default: the open one."
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it goes on record.")]
OnlyRollout = Annotated[str, typer.Option("--rollout", metavar="ROLLOUT", help="Only this one.")]
Workers = Annotated[int, typer.Option("--workers", metavar="N", min=1, max=256, help="Accounts at a time.")]


@contextmanager
def reading() -> Iterator[Parts]:
    """The state as it is: nothing is created or migrated."""
    with bootstrap.open_parts(current().state, migrate=False, actor=current().actor) as parts:
        yield parts


@contextmanager
def writing() -> Iterator[Parts]:
    """The state, made or brought up to date first."""
    with bootstrap.open_parts(current().state, migrate=True, actor=current().actor) as parts:
        yield parts


@contextmanager
def serving() -> Iterator[Parts]:
    """The state as it is there, brought up to date first. One that is not there is not made: a node on a mistyped
    path would find nothing to do, and say nothing. Raises StoreUnavailable (RC5108)."""
    scheme, _, rest = current().state.partition("://")
    if scheme == "sqlite" and not bootstrap.state_path(rest).exists():
        raise StoreUnavailable(
            f"there is no store at {bootstrap.state_path(rest)}",
            code="RC5108",
            hint="is --state right? `ringctl db migrate` makes one, `ringctl start` too",
        )
    with bootstrap.open_parts(current().state, migrate=True, actor=current().actor) as parts:
        yield parts


@contextmanager
def planning() -> Iterator[Parts]:
    """The state for a plan. Where there is none yet a plan makes none: an empty one stands in for it."""
    scheme, _, rest = current().state.partition("://")
    if scheme != "sqlite" or bootstrap.state_path(rest).exists():
        with reading() as parts:
            yield parts
        return
    with tempfile.TemporaryDirectory(prefix="ringctl-plan-") as scratch:
        url = f"sqlite:///{Path(scratch) / 'none.db'}"
        with bootstrap.open_parts(url, migrate=True, actor=current().actor) as parts:
            yield parts


def span(text: str, option: str) -> Span:
    """A duration given to an option (`50s`, `15m`, `1h30m`). Raises UsageError."""
    from ringctl.settings.nodes import node_of
    from ringctl.settings.report import Mistake
    from ringctl.settings.units import duration

    try:
        return duration(node_of(text))
    except Mistake as error:
        hint = error.hint or "such as 50s, 15m or 1h30m"
        raise UsageError(f"{option} {text!r}: {error.message}", hint=hint) from error
