"""What the global options of one command line say. Known before the command's module is imported."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from ringctl.core.errors import UsageError

OUTPUTS = ("table", "json", "yaml", "ndjson", "markdown", "junit")
COLORS = ("auto", "always", "never")
DEFAULT_STATE = "sqlite:///ringctl.db"

VALUED = {"--state": "state", "--output": "output", "-o": "output", "--color": "color", "--actor": "actor"}
FLAGS = {
    "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose",
    "-y": "yes", "--yes": "yes", "--no-input": "no_input",
}  # fmt: skip
SHORTS = frozenset(name[1] for name in FLAGS if len(name) == 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The global options, with the environment's defaults filled in."""

    state: str = DEFAULT_STATE
    output: str = "table"
    color: str = "auto"
    actor: str = ""
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    no_input: bool = False


_DEFAULTS = Invocation()
_CURRENT: ContextVar[Invocation] = ContextVar("invocation")


def current() -> Invocation:
    """The global options of the command that runs."""
    return _CURRENT.get(_DEFAULTS)


def use(invocation: Invocation) -> None:
    """Make these the current ones."""
    _CURRENT.set(invocation)


def from_environment(environ: Mapping[str, str]) -> Invocation:
    """The defaults; an empty variable is one that is not set."""
    return checked(
        Invocation(
            state=environ.get("RINGCTL_STATE") or DEFAULT_STATE,
            output=environ.get("RINGCTL_OUTPUT") or "table",
            actor=environ.get("RINGCTL_ACTOR") or "",
            no_input=environ.get("RINGCTL_NO_INPUT", "") not in {"", "0"},
        )
    )


def split(
    words: Sequence[str], base: Invocation, valued: frozenset[str] = frozenset(), *, to_command: bool = False
) -> tuple[Invocation, list[str]]:
    """Take the global options out of `words`; what is left is the command's own.

    `valued` are the command's options that take a value: the word after one is never ours. With
    `to_command` it ends at the first word that is no global option.
    """
    rest: list[str] = []
    found: dict[str, Any] = {}
    position = 0
    while position < len(words):
        word = words[position]
        taken = _take(words, position, found)
        if taken:
            position += taken
            continue
        if word == "--" or to_command:
            rest += words[position:]
            break
        keep = 2 if word in valued else 1
        rest += words[position : position + keep]
        position += keep
    return checked(replace(base, **found)), rest


def _take(words: Sequence[str], position: int, found: dict[str, Any]) -> int:
    """How many words from `position` on are a global option (0: none)."""
    word = words[position]
    if word in FLAGS:
        found[FLAGS[word]] = True
        return 1
    if word in VALUED:
        if position + 1 >= len(words):
            raise UsageError(f"{word} needs a value")
        found[VALUED[word]] = words[position + 1]
        return 2
    name, equals, value = word.partition("=")
    if equals and name.startswith("--") and name in VALUED:
        found[VALUED[name]] = value
        return 1
    if word.startswith("-o") and len(word) > 2:
        found["output"] = word[2:].removeprefix("=")
        return 1
    if len(word) > 2 and word[0] == "-" and set(word[1:]) <= SHORTS:
        found.update({FLAGS[f"-{letter}"]: True for letter in word[1:]})
        return 1
    return 0


def checked(invocation: Invocation) -> Invocation:
    """The invocation, its closed sets looked up. Raises UsageError with the way out."""
    for name, value, known in (
        ("--output", invocation.output, OUTPUTS),
        ("--color", invocation.color, COLORS),
    ):
        if value not in known:
            raise UsageError(f"{name} {value!r} is not known; known: {', '.join(known)}")
    if not invocation.state:
        raise UsageError("--state is empty")
    return invocation
