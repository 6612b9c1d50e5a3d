"""Reads one mapping by its shape: every key known, every value parsed, every mistake noted.

A shape is a dataclass of `ringctl.settings.fields`; it says which keys exist, what their defaults are
and which keys are refused for now. Defaults are written as people write them and go through the same
parser, so the schema's default is the reader's default.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ringctl.settings import units
from ringctl.settings.nodes import Entry, Node, clipped, node_of
from ringctl.settings.report import (
    DUPLICATE_NAME,
    MISSING_KEY,
    NOT_SUPPORTED,
    NOT_YET,
    UNKNOWN_KEY,
    UNKNOWN_NAME,
    WRONG_TYPE,
    Mistake,
    Report,
)

Value = TypeVar("Value")


def key_of(field: str) -> str:
    """A field's key in the file: `api_version` is `apiVersion`, `not_` is `not`."""
    return {"api_version": "apiVersion"}.get(field, field.rstrip("_"))


class Keys:
    """The keys of one mapping. `where` is its path in the file, for messages (`rings[0].bake`)."""

    def __init__(self, node: Node, shape: type, report: Report, where: str) -> None:
        self.node = node
        self.report = report
        self.where = where
        self.whole = node.is_mapping
        self._fields = {key_of(one.name): one for one in dataclasses.fields(shape)}
        self._bad: set[str] = set()
        refused: Mapping[str, str] = getattr(shape, "REFUSED", {})
        if not node.is_mapping:
            known = sorted(self._fields)
            hint: str = getattr(shape, "HINT", "")
            message = f"{where or 'the file'} must be a mapping, here is {node.kind}"
            report.add(WRONG_TYPE, node, message, known=known, hint=hint)
        for key, entry in node.entries.items():
            if key in refused:
                self.refuse(key, entry.key, refused[key])
            elif key not in self._fields:
                place = f" in {where}" if where else ""
                message = f"unknown key `{clipped(key)}`{place}"
                report.unknown(UNKNOWN_KEY, entry.key, message, self._fields)

    def path(self, key: str) -> str:
        """The key's path in the file."""
        return f"{self.where}.{key}" if self.where else key

    def has(self, key: str) -> bool:
        """Whether the file gives the key."""
        return key in self.node.entries

    def place(self, key: str) -> Node:
        """The node to point at for a key: its value, or the mapping where it is missing."""
        entry = self.node.entries.get(key)
        return entry.node if entry else self.node

    def sound(self, *keys: str) -> bool:
        """Whether these keys were read without a mistake."""
        return self.whole and self._bad.isdisjoint(keys)

    def spoil(self, key: str) -> None:
        """Remember that the key's value was refused."""
        self._bad.add(key)

    def refuse(self, key: str, node: Node, hint: str = "") -> None:
        """Note a key or value whose behaviour this version does not have."""
        self._bad.add(key)
        shown = self.path(key) if node.text == key else f"{self.path(key)}: {clipped(node.text)}"
        self.report.add(NOT_SUPPORTED, node, f"`{shown}` is {NOT_YET}", hint=hint)

    def get(self, key: str) -> Node | None:
        """The key's value or its default as a node; None (and a finding) when it has neither."""
        field = self._fields[key]
        entry = self.node.entries.get(key)
        if entry is not None:
            return entry.node
        if field.default is not dataclasses.MISSING:
            return node_of(field.default) if field.default is not None else None
        if field.default_factory is not dataclasses.MISSING:
            return node_of({})
        self._bad.add(key)
        if self.whole:
            place = f" in {self.where}" if self.where else ""
            self.report.add(MISSING_KEY, self.node, f"`{key}` is missing{place}", known=(key,))
        return None

    def read(self, key: str, parser: Callable[[Node], Value], fallback: Value) -> Value:
        """The key's parsed value; `fallback` when it is missing, optional or wrong."""
        node = self.get(key)
        return fallback if node is None else self.parse(key, node, parser, fallback)

    def parse(self, key: str, node: Node, parser: Callable[[Node], Value], fallback: Value) -> Value:
        """`node` parsed, with the finding under `key` when it is wrong."""
        try:
            return parser(node)
        except Mistake as error:
            self._bad.add(key)
            self.report.mistake(node, error, f"`{self.path(key)}`")
            return fallback

    def items(self, key: str) -> tuple[Node, ...]:
        """The items of a list, or its default's."""
        node = self.get(key)
        if node is None:
            return ()
        if not node.is_list:
            self._bad.add(key)
            hint = f"[{node.text}]?" if not node.is_mapping and node.value is not None else ""
            message = f"`{self.path(key)}` must be a list, here is {node.kind}"
            self.report.add(WRONG_TYPE, node, message, hint=hint)
        return node.items

    def each(self, key: str, parser: Callable[[Node], Value]) -> tuple[Value, ...]:
        """The parsed items of a list; those that are wrong are left out (and noted)."""
        missing: Any = object()
        parsed = (self.parse(key, item, parser, missing) for item in self.items(key))
        return tuple(one for one in parsed if one is not missing)

    def names(self, key: str, parser: Callable[[Node], str] = units.text) -> tuple[str, ...]:
        """A list of names, each given once."""
        seen: dict[str, int] = {}
        for item in self.items(key):
            one = self.parse(key, item, parser, "")
            if one and one in seen:
                message = f"`{one}` stands twice in `{self.path(key)}`"
                self.report.add(DUPLICATE_NAME, item, message)
                self._bad.add(key)
            seen[one] = item.line
        return tuple(one for one in seen if one)

    def mapping(self, key: str) -> Iterator[tuple[str, Entry]]:
        """The entries of a free mapping (its keys are names that the user chose)."""
        node = self.get(key)
        if node is not None and not node.is_mapping:
            self._bad.add(key)
            message = f"`{self.path(key)}` must be a mapping, here is {node.kind}"
            self.report.add(WRONG_TYPE, node, message)
        return iter(node.entries.items() if node is not None else ())

    def below(self, key: str, shape: type) -> "Keys":
        """The mapping under a key, with its defaults when it is not given."""
        node = self.get(key)
        keys = Keys(node if node is not None else node_of({}), shape, self.report, self.path(key))
        if node is None:
            keys.whole = False
        return keys

    def constant(self, key: str, *wanted: str) -> None:
        """A key that has one meaning in this version (`apiVersion`, `kind`)."""
        node = self.get(key)
        if node is not None and node.value not in wanted:
            self._bad.add(key)
            message = f"`{self.path(key)}` must be {' or '.join(wanted)}"
            self.report.unknown(UNKNOWN_NAME, node, message, wanted)
