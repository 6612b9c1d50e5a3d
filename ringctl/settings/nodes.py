"""The parsed tree of a file: every value with its position and the text that was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Scalar = None | bool | int | float | str
Entries = Mapping[str, "Entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value. `value` is a scalar, a tuple of nodes (a list) or entries by key (a mapping).

    Positions count from 1; a node built from plain values has position 0. `text` is the source text.
    """

    value: "Scalar | tuple[Node, ...] | Entries"
    line: int = 0
    column: int = 0
    text: str = ""

    @property
    def kind(self) -> str:
        """What people call the value."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "true or false"
            case int() | float():
                return "a number"
            case str():
                return "text"
            case tuple():
                return "a list"
            case _:
                return "a mapping"

    @property
    def items(self) -> "tuple[Node, ...]":
        """The nodes of a list; none for anything else."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def entries(self) -> Entries:
        """The entries of a mapping; none for anything else."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.value, tuple)

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.value, Mapping)

    @property
    def scalar(self) -> Scalar:
        """The scalar; asserts that it is one."""
        assert not isinstance(self.value, tuple | Mapping)
        return self.value

    def plain(self) -> object:
        """The value as plain JSON values."""
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        if isinstance(self.value, Mapping):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        return self.value

    def texts(self) -> "Iterator[Node]":
        """Every node below (or this one) that is a text, keys left out."""
        if isinstance(self.value, str):
            yield self
        for item in self.items:
            yield from item.texts()
        for entry in self.entries.values():
            yield from entry.node.texts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a mapping and its value."""

    key: Node
    node: Node


def node_of(value: object) -> Node:
    """Plain values (a default of a field) as a node without a position."""
    if isinstance(value, list | tuple):
        return Node(value=tuple(node_of(item) for item in value), text="[...]" if value else "[]")
    if isinstance(value, Mapping):
        entries = {str(key): Entry(key=node_of(str(key)), node=node_of(item)) for key, item in value.items()}
        return Node(value=entries, text="{...}" if value else "{}")
    assert value is None or isinstance(value, bool | int | float | str)
    return Node(value=value, text="null" if value is None else str(value))


def clipped(text: str, most: int = 60) -> str:
    """`text` on one line and at most `most` characters long."""
    line = text.split("\n", 1)[0].rstrip("\r")
    shown = line if line == text or not line else line + " ..."
    return shown if len(shown) <= most else shown[: most - 4] + " ..."
