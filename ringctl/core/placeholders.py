"""The closed set of placeholders (DESIGN 11), expanded in one pass and never again in what came out.

A value is data of an inventory, so it is hostile text: each place that takes one has its own rule, and
a value that does not fit the place is refused, never repaired. Braces around anything that is not a
name (JSON, `awk` programs with blanks) are plain text.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from ringctl.core.errors import Finding, InvalidInput

SCALARS: Final = (
    "account.id", "account.size", "rollout.id", "revision", "task.key", "task.token",
)  # fmt: skip
FAMILIES: Final = ("account.traits.", "account.target.")
KNOWN: Final = (*SCALARS, *(f"{family}X" for family in FAMILIES))

_PLACEHOLDER: Final = re.compile(r"\{(account\.(?:traits|target)\.[^{}]+|[A-Za-z_][\w.-]*)\}")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HTTP: Final = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?", re.IGNORECASE)

Place = Callable[[str, str, int], str]
"""Fits one value (name, value, position in the text) to its place; raises InvalidInput."""


def is_known(name: str) -> bool:
    """Whether `name` (without braces) is in the closed set."""
    return name in SCALARS or any(name.startswith(family) and len(name) > len(family) for family in FAMILIES)


def used(text: str) -> tuple[str, ...]:
    """The names in braces in `text`, known or not, in order."""
    return tuple(match.group(1) for match in _PLACEHOLDER.finditer(text))


def findings(text: str, where: str = "") -> tuple[Finding, ...]:
    """A finding for each placeholder in `text` that is not in the closed set."""
    return tuple(_unknown(name, where) for name in used(text) if not is_known(name))


def expand(text: str, values: Mapping[str, str], place: Place) -> str:
    """`text` with every placeholder replaced by its fitted value; raises InvalidInput."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if not is_known(name):
            raise InvalidInput([_unknown(name)])
        if name not in values:
            raise _refusal(name, "has no value for this account")
        return place(name, values[name], match.start())

    return _PLACEHOLDER.sub(value_of, text)


def expand_line(text: str, values: Mapping[str, str]) -> str:
    """For one environment value, header value or bound parameter: no value with control characters."""
    return expand(text, values, _line)


def expand_header(text: str, values: Mapping[str, str]) -> str:
    """For a header: as `expand_line`, and the bundle's own text may hold no control character either."""
    if _CONTROL.search(text):
        raise InvalidInput([_finding("RC6011", "a header holds a control character", text)])
    expanded = expand_line(text, values)
    if not expanded.isascii():
        raise InvalidInput([_finding("RC6011", "a header holds a character beyond ASCII", text)])
    return expanded


def expand_argv(argv: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """For an argument list: one element stays one element, and no value becomes an option.

    A value at the start of an element may begin with `-` only after an element `--`.
    """
    done: list[str] = []
    for element in argv:
        if "\0" in element:
            raise InvalidInput([_finding("RC6003", "an argument holds a NUL character", element)])
        expanded = expand_line(element, values)
        if expanded.startswith("-") and not element.startswith("-") and "--" not in argv[: len(done)]:
            raise _refusal(element, "begins with '-' and would be read as an option")
        done.append(expanded)
    return tuple(done)


def expand_url(text: str, values: Mapping[str, str]) -> str:
    """For an http(s) URL: values are percent-quoted.

    An `account.target` value that begins the URL is taken as it is (the account's base address); in
    the host part only characters of a host and port are let through.
    """
    scheme = text.find("://")
    path_from = text.find("/", scheme + 3) if scheme >= 0 else 0

    def fit(name: str, value: str, position: int) -> str:
        _line(name, value, position)
        if position == 0 and name.startswith("account.target."):
            return value
        if 0 <= scheme < position and (path_from < 0 or position < path_from):
            if not _AUTHORITY.fullmatch(value):
                raise _refusal(name, "is not a host")
            return value
        if value in {".", ".."}:
            raise _refusal(name, "would climb the path")
        return quote(value, safe="")

    url = expand(text, values, fit)
    if not _HTTP.fullmatch(url):
        raise InvalidInput([_finding("RC6010", "the expanded URL is not http:// or https://", text)])
    return url


def expand_database(text: str, values: Mapping[str, str]) -> str:
    """For a database's path or URL: `account.target` values as they are, others never leave their segment."""
    postgres = text.startswith(("postgresql://", "postgres://"))

    def fit(name: str, value: str, position: int) -> str:
        _line(name, value, position)
        if name.startswith("account.target.") and (position == 0 or not postgres):
            return value
        if postgres:
            return quote(value, safe="")
        if "/" in value or "\\" in value or value in {".", ".."}:
            raise _refusal(name, "would leave its folder")
        return value

    return expand(text, values, fit)


def _line(name: str, value: str, _position: int) -> str:
    if _CONTROL.search(value):
        raise _refusal(name, "holds a line break, NUL or other control character")
    return value


def _refusal(name: str, why: str) -> InvalidInput:
    """Names the placeholder, never its value: a target's value may hold a password."""
    shown = name if "{" in name else "{" + name + "}"
    return InvalidInput([_finding("RC6016", f"the value of {shown} {why}", shown)])


def _unknown(name: str, where: str = "") -> Finding:
    close = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.6)
    return Finding(
        code="RC6001",
        message=f"unknown placeholder {{{name}}}" + (f" in {where}" if where else ""),
        text="{" + name + "}",
        known=KNOWN,
        hint=f"did you mean {{{close[0]}}}?" if close else "",
    )


def _finding(code: str, message: str, text: str) -> Finding:
    return Finding(code=code, message=message, text=text)
