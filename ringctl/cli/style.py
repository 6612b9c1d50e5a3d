"""Foreign text made harmless, display widths, and colour: what every line on a terminal goes through."""

import os
import unicodedata
from collections.abc import Mapping
from typing import TextIO

CAP = 240
"""The most characters shown of one foreign value."""

MARKS_IN_A_ROW = 2
# Letters and symbols that print as nothing: a name made of them looks empty.
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\\0"}

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def show(value: object, cap: int = CAP) -> str:
    """A value from a file, account, step or person as one harmless line, at most `cap` characters.

    Control characters, escapes, direction marks, invisible and unassigned characters are written as
    escapes, and so is every space that is not the plain one. Only what this returns may be printed.
    """
    text = value if isinstance(value, str) else str(value)
    over = len(text) - cap
    if over > 0:
        text = text[:cap]
    if not (text.isascii() and text.isprintable()):
        text = _escape(text)
    return f"{text}…(+{over})" if over > 0 else text


def _escape(text: str) -> str:
    parts = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        hidden = category in _ESCAPED or char in BLANKS or (category == "Zs" and char != " ")
        parts.append(_code(char) if hidden or marks > MARKS_IN_A_ROW or _variation(char) else char)
    return "".join(parts)


def _variation(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


def _code(char: str) -> str:
    number = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def width(text: str) -> int:
    """Columns that a shown text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def clip(text: str, columns: int) -> str:
    """A shown text cut to `columns`, the cut marked."""
    if width(text) <= columns:
        return text
    if columns < 2:
        return "…"[:columns]
    taken = []
    used = 0
    for char in text:
        used += _char_width(char)
        if used > columns - 1:
            break
        taken.append(char)
    return "".join(taken) + "…"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """A shown text filled with spaces to `columns`."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space


def wants_color(when: str, stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour what goes to `stream`: the flag, then NO_COLOR, FORCE_COLOR, TERM, the terminal."""
    if when != "auto":
        return when == "always"
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "") not in {"", "0"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


class Painter:
    """Colours words, or leaves them as they are."""

    def __init__(self, *, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *styles: str) -> str:
        """`text` in these styles."""
        if not self.on or not styles or not text:
            return text
        codes = ";".join(CODES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"


def columns_of(environ: Mapping[str, str] = os.environ, most: int = 100) -> int:
    """Columns to use: at most 100; less when COLUMNS or the terminal says so; never under 40."""
    given = environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given[:6]) > 0:
        return max(40, min(most, int(given[:6])))
    try:
        found = os.get_terminal_size(1).columns
    except (OSError, ValueError):
        return most
    return max(40, min(most, found or most))
