"""Runs one command through typer. The only module of the start-up path that imports a third party."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
import typer.main

from ringctl.cli.invocation import OUTPUTS, current
from ringctl.cli.manifest import JUNIT
from ringctl.cli.names import unknown
from ringctl.core.errors import UsageError

Command = Callable[..., int | None]

_BAD_WORDS: type[Exception] = typer.BadParameter.__mro__[
    2
]  # typer's base of all complaints; 0.26 moved its module
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_EPILOG = (
    "Global options (--state, -o, --actor, -y, --no-input, -q, -v, --color) go anywhere: ringctl --help."
)


def commands_of(module: str) -> Mapping[str, Command]:
    """`command` or `command subcommand` -> function, as the module of the group says."""
    found: Mapping[str, Command] = importlib.import_module(f"ringctl.cli.{module}").COMMANDS
    return found


def build(name: str, commands: Mapping[str, Command]) -> Any:
    """The parser of one command, with its subcommands where it has any."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings=_SETTINGS)
    for key, function in commands.items():
        app.command(key.removeprefix(f"{name} "), epilog=_EPILOG, context_settings=_SETTINGS)(function)
    if name not in commands:
        app.callback(epilog=_EPILOG)(_group)
    return typer.main.get_command(app)


def _group() -> None:
    pass


def run(name: str, module: str, arguments: Sequence[str]) -> int:
    """Run command `name`; the exit code. Raises RingctlError, KeyboardInterrupt, BrokenPipeError."""
    mine = {key: one for key, one in commands_of(module).items() if key.split(" ")[0] == name}
    subcommands = {key.split(" ")[1]: key for key in mine if key != name}
    if subcommands and not arguments:
        arguments = ["--help"]
    if subcommands and arguments[0] not in subcommands and not arguments[0].startswith("-"):
        raise UsageError(
            unknown(f"subcommand of {name}", arguments[0], subcommands),
            hint=f"known: {', '.join(subcommands)}",
        )
    key = subcommands.get(arguments[0], name) if arguments else name
    if current().output == "junit" and key not in JUNIT and not {"-h", "--help"} & set(arguments):
        known = ", ".join(one for one in OUTPUTS if one != "junit")
        raise UsageError(f"ringctl {key} has no -o junit; known here: {known}")
    command = build(name, mine)
    try:
        with command.make_context(f"ringctl {name}", list(arguments)) as context:
            result = command.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort as stopped:
        raise KeyboardInterrupt from stopped
    except _BAD_WORDS as error:
        raise _usage_error(error, name) from error
    return result if isinstance(result, int) else 0


def _usage_error(error: BaseException, name: str) -> UsageError:
    said: str = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else f"ringctl {name}"
    message = said[:1].lower() + said[1:].rstrip(".")
    return UsageError(message, hint=f"{path} --help")
