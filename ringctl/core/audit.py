"""The journal's chain: how an entry is hashed, and where a chain is broken. Pure, so that anyone can check it."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from ringctl.core.digests import GENESIS, chain
from ringctl.core.timing import Instant


class Said(Protocol):
    """What an entry's hash covers, beside the hash before it."""

    @property
    def rollout(self) -> str:
        """Whose journal it is in."""
        ...

    @property
    def seq(self) -> int:
        """Its place there, from 1."""
        ...

    @property
    def at_us(self) -> Instant:
        """When it was written, by the store's clock."""
        ...

    @property
    def kind(self) -> str:
        """What happened, in one word."""
        ...

    @property
    def actor(self) -> str:
        """Who did it."""
        ...

    @property
    def payload(self) -> Mapping[str, object]:
        """What else there is to know: JSON values."""
        ...


class Linked(Said, Protocol):
    """An entry as it stands in the journal."""

    @property
    def prev(self) -> str:
        """The hash of the entry before."""
        ...

    @property
    def hash(self) -> str:
        """Its own hash."""
        ...


def entry_hash(prev: str, entry: Said) -> str:
    """The hash of an entry that follows the one whose hash is `prev`."""
    body = {
        "rollout": entry.rollout,
        "seq": entry.seq,
        "at_us": entry.at_us,
        "kind": entry.kind,
        "actor": entry.actor,
        "payload": entry.payload,
    }
    return chain(prev, body)


def audit_chain(entries: Iterable[Linked]) -> int | None:
    """The `seq` at which a rollout's journal stops being what was written, or None when it is whole.

    Found: an entry that was changed, taken out, put in or moved, and a chain that does not begin at its
    beginning. Not found: entries missing at the end (compare the last hash with an anchor kept elsewhere).
    """
    prev, rollout = GENESIS, None
    for seq, entry in enumerate(entries, start=1):
        in_place = entry.seq == seq and entry.prev == prev and rollout in {None, entry.rollout}
        if not in_place or entry.hash != entry_hash(prev, entry):
            return seq
        prev, rollout = entry.hash, entry.rollout
    return None
