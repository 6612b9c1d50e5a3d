"""Digests over canonical bytes, never over a language's structures.

Canonical JSON here: UTF-8, keys sorted, no insignificant white space, no NaN or infinity, integers
and floats as Python prints them (the writer and the reader are both this module).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

# one encoder for all: `json.dumps` would make one at every call
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode

JSON = None | bool | int | float | str | list["JSON"] | tuple["JSON", ...] | Mapping[str, "JSON"]


def canonical(value: object) -> str:
    """`value` as canonical JSON text; raises ValueError for NaN, infinity or foreign types."""
    return _CANONICAL(value)


def sha256_hex(content: bytes) -> str:
    """SHA-256 of bytes in lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def digest(value: object) -> str:
    """`sha256:` digest of a value's canonical JSON."""
    return "sha256:" + sha256_hex(canonical(value).encode())


def digest_lines(lines: Iterable[str]) -> str:
    """`sha256:` digest of an ordered stream of texts, each framed by its length (constant memory)."""
    state = hashlib.sha256()
    for line in lines:
        content = line.encode()
        state.update(f"{len(content)}:".encode())
        state.update(content)
    return "sha256:" + state.hexdigest()


def rank(seed: str, *names: str) -> int:
    """A stable pseudo-random 64-bit rank of `names` under `seed`: the sticky order of accounts."""
    content = "\x1f".join((seed, *names)).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


GENESIS = "sha256:" + "0" * 64


def chain(prev: str, entry: Mapping[str, object]) -> str:
    """The journal's next hash: over the previous one and the entry's canonical bytes."""
    return "sha256:" + sha256_hex((prev + "\n" + canonical(entry)).encode())
