"""What the parts of a store share. A part is the store's methods about one noun."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from ringctl.stores.database import Database

if TYPE_CHECKING:  # named here only: reading a list decodes neither
    from ringctl.core.bundle import Bundle
    from ringctl.core.policy import Policy

T = TypeVar("T")


def random_id() -> str:
    """128 random bits in hex: never issued twice."""
    return os.urandom(16).hex()  # `secrets` imports much more than it needs


class Remembered(Generic[T]):
    """Decoded documents by their text: a policy or bundle is parsed once, not at every load. Bounded."""

    def __init__(self, decode: Callable[[str], T], *, most: int = 64) -> None:
        self._decode = decode
        self._most = most
        self._known: dict[str, T] = {}
        self._lock = Lock()

    def __call__(self, text: str) -> T:
        """The value that `text` decodes to."""
        with self._lock:
            found = self._known.get(text)
        if found is None:
            found = self._decode(text)
            with self._lock:
                if len(self._known) >= self._most:
                    self._known.clear()
                self._known[text] = found
        return found


class Part:
    """Holds the database and what the store was given: id factory, and how documents become values again."""

    def __init__(
        self,
        database: Database,
        *,
        decode_policy: Callable[[Mapping[str, object]], Policy],
        decode_bundle: Callable[[str], Bundle],
        ids: Callable[[], str] = random_id,
    ) -> None:
        self.database = database
        self._ids = ids
        self._policy = Remembered(lambda text: decode_policy(json.loads(text)))
        self._bundle = Remembered(decode_bundle)
        self._touched: dict[str, float] = {}
        self._traits_done: set[tuple[str, int, str, str]] = set()
