"""From words to an exit code: global options, the command's module, and every way an error ends.

Nothing of a third party is imported here; `runner` does that, for the one command that runs.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NoReturn

from ringctl.cli import invocation
from ringctl.cli.invocation import Invocation
from ringctl.core.errors import BugError, RingctlError, UsageError

Table = Mapping[str, tuple[str, str, str]]

INTERRUPTED = 130
PIPE_CLOSED = 141
SLOW_EXIT = "the rollout goes on; `ringctl status` shows where it stands, `ringctl wait` waits again"


def dispatch(words: Sequence[str], table: Table, overview: str) -> int:
    """Run the command that `words` name. Never raises what a person can mend."""
    sys.excepthook = crashed
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not under a test's own streams
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(words, table, overview)
    except BugError as error:
        return report(
            error, remark=f"   = traceback: {keep_traceback(type(error), error, error.__traceback__)}\n"
        )
    except RingctlError as error:
        return report(error)
    except KeyboardInterrupt as stopped:
        sys.stderr.write(f"\ninterrupted: {stopped.args[0] if stopped.args else SLOW_EXIT}\n")
        return INTERRUPTED
    except BrokenPipeError:
        return broken_pipe()


def _run(words: Sequence[str], table: Table, overview: str) -> int:
    base = _environment(words)
    before, rest = invocation.split(words, base, to_command=True)
    invocation.use(before)
    if not rest or rest[0] in {"-h", "--help"}:
        return _write(overview)
    if rest[0] == "--version":
        from ringctl import __version__

        return _write(f"ringctl {__version__}\n")
    from ringctl.cli.manifest import valued_options

    name = rest[0]
    chosen, arguments = invocation.split(rest[1:], before, valued_options(name))
    invocation.use(chosen)
    if name not in table:
        from ringctl.cli.names import unknown

        raise UsageError(unknown("command", name, table), hint="ringctl --help lists all commands")
    if name == "help":
        from ringctl.cli.topics import topic

        if not arguments or arguments[0] not in table:
            return _write(topic(arguments, overview))
        name, arguments = arguments[0], [*arguments[1:], "--help"]
    if name in {"completion", "help"}:
        from ringctl.cli import completion, topics

        return _write(topics.HELP if name == "help" else completion.answer(arguments, table))
    from ringctl.cli import quick

    if quick.answers(name, arguments):
        return quick.status(arguments)
    from ringctl.cli.runner import run

    code = run(name, table[name][0], arguments)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    sys.stdout.flush()
    return code


def _environment(words: Sequence[str]) -> Invocation:
    """The environment's defaults; a wrong `-o` there must not hide an error in JSON asked for by flag."""
    try:
        return invocation.from_environment(os.environ)
    except UsageError as error:
        if any(word in {"-o", "--output", "--help", "-h"} or word.startswith("--output=") for word in words):
            return invocation.from_environment({**os.environ, "RINGCTL_OUTPUT": "table"})
        raise UsageError(f"RINGCTL_OUTPUT: {error.message}") from error


def _write(text: str) -> int:
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0


def report(error: RingctlError, remark: str = "") -> int:
    """Print an error: one message on standard error, and as an object on standard output where that was
    asked for. The exit code."""
    from ringctl.cli import failures

    out, err = failures.rendered(error, invocation.current())
    try:
        sys.stdout.flush()
        sys.stderr.write(err + remark)
        sys.stdout.write(out)
        sys.stdout.flush()
    except BrokenPipeError:
        return broken_pipe()
    return error.exit_code


def broken_pipe() -> int:
    """The reader went away (`| head`): end quietly, as a process ended by SIGPIPE does."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return PIPE_CLOSED


def keep_traceback(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> str:
    """Write the traceback into a file of its own (it may name paths and values); the file's path."""
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="ringctl-crash-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write("".join(traceback.format_exception(kind, error, where)))
    return path


def crashed(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """What nobody expected: the interpreter calls this and ends with 1."""
    from ringctl.cli.style import show

    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write(f"\ninterrupted: {SLOW_EXIT}\n")
        sys.stderr.flush()
        end(INTERRUPTED)
    try:
        path = keep_traceback(kind, error, where)
    except OSError:
        sys.__excepthook__(kind, error, where)
        path = "(no file could be written; it is above)"
    report(
        BugError(
            f"unexpected {kind.__name__}: {show(error)}", hint="this is a bug in ringctl: send the traceback"
        ),
        remark=f"   = traceback: {path}\n",
    )


def end(code: int) -> NoReturn:
    """End the process from within the last hook, where an exit is no longer heard."""
    os._exit(code)
