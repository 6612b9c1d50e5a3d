"""JSON pointers (RFC 6901), the string form: `/data/tenants/0/id`; `~1` is a slash in a key, `~0` a tilde."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

Pointer = tuple[str, ...]

_TILDE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]*", re.ASCII)


class _Nothing:
    """What is found where nothing is; `null` is something."""


NOTHING: Final = _Nothing()


def parse(text: str) -> Pointer:
    """The reference tokens of a pointer; the empty text is the whole document. ValueError when it is none."""
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError("a JSON pointer begins with a slash")
    if _TILDE.search(text):
        raise ValueError("in a JSON pointer a tilde is written ~0, and a slash in a key ~1")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def get(document: object, pointer: Pointer) -> object:
    """What stands there, or NOTHING: no such key, an index past the end or none, `-`, a scalar in between."""
    found = document
    for token in pointer:
        if isinstance(found, Mapping):
            found = found.get(token, NOTHING)
        elif isinstance(found, Sequence) and not isinstance(found, str):
            # longer than any list, and too long for `int`: not there
            place = int(token) if _INDEX.fullmatch(token) and len(token) < 19 else len(found)
            found = found[place] if place < len(found) else NOTHING
        else:
            return NOTHING
    return found
