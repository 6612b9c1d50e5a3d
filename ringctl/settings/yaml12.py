"""YAML 1.2 (core schema) with a position for every value.

PyYAML's parser gives events; the tree and the scalars are built here, because PyYAML resolves scalars
as YAML 1.1 does: `on` would be true, `22:00` the number 1320, `1_0` ten. Refused, with position: tags,
several documents, merge keys, duplicate keys, NaN and infinity, and everything without a bound.
"""

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from ringctl.settings.nodes import Entry, Node, Scalar, clipped
from ringctl.settings.report import (
    DUPLICATE_KEY,
    NOT_A_NUMBER,
    NOT_SUPPORTED,
    OUT_OF_RANGE,
    SYNTAX,
    TOO_LARGE,
    WRONG_TYPE,
    Mistake,
    Report,
    Source,
)

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000
MAX_DIGITS = 18

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def parse(content: bytes, path: str) -> tuple[Node, Report]:
    """The file's tree and the report that further mistakes go to. Raises InvalidInput when there is no tree."""
    report = Report(Source(path=path))
    if len(content) > MAX_BYTES:
        report.add(TOO_LARGE, None, f"the file has {len(content)} bytes, at most {MAX_BYTES} are read")
        report.finish()
    text = _decoded(content, report)
    lines = tuple(_BREAK.split(text))
    report.source = Source(path=path, lines=lines)
    bad = _FORBIDDEN.search(text)
    if bad:
        line, column = _position(text, bad.start())
        code_point = f"U+{ord(bad[0]):04X}"
        node = Node(value=None, line=line, column=column, text=code_point)
        report.add(SYNTAX, node, f"the character {code_point} is not allowed in YAML")
        report.finish()
    return _Composer(text, report).document(), report


def _decoded(content: bytes, report: Report) -> str:
    """UTF-8 text without a byte order mark."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = _position(before, len(before))
        text = content[error.start : error.start + 1].hex()
        report.source = Source(path=report.source.path, lines=tuple(_BREAK.split(before)))
        node = Node(value=None, line=line, column=column, text=f"0x{text}")
        report.add(SYNTAX, node, "the file is not UTF-8", hint="save it as UTF-8")
        report.finish()
        raise AssertionError from error


def _position(text: str, index: int) -> tuple[int, int]:
    lines = _BREAK.split(text[:index])
    return len(lines), len(lines[-1]) + 1


class _Composer:
    """Builds the tree from events, with a stack of its own: depth never becomes recursion."""

    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._anchors: dict[str, tuple[Node | None, int]] = {}
        self._nodes = 0

    def document(self) -> Node:
        """The single document."""
        try:
            node = self._build(self._events())
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except yaml.YAMLError as error:
            self._stop(SYNTAX, None, f"not YAML: {clipped(str(error))}")
        return node

    def _events(self) -> Iterator[Any]:
        loader = _LOADER(self._text)
        try:
            while loader.check_event():
                yield loader.get_event()
        finally:
            loader.dispose()

    def _build(self, events: Iterator[Any]) -> Node:
        """The document's root; the stack holds the open lists and mappings."""
        root: Node | None = None
        stack: list[_Open] = []
        for event in events:
            done: Node | None = None
            match event:
                case yaml.DocumentStartEvent():
                    self._check_document(event, root)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._open(event, stack)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    opened = stack.pop()
                    done = opened.node()
                    self._name(opened.event, done, self._nodes - opened.before)
                case yaml.ScalarEvent():
                    self._count(event, 1)
                    done = self._scalar(event)
                    self._name(event, done, 1)
                case yaml.AliasEvent():
                    done = self._alias(event)
                case _:  # the stream's start and end, the document's end
                    pass
            if done is not None and stack:
                stack[-1].add(done, self._report)
            elif done is not None:
                root = done
        return root if root is not None else Node(value=None, line=1, column=1)

    def _check_document(self, event: Any, root: Node | None) -> None:
        if root is not None:
            self._stop(NOT_SUPPORTED, event, "a second document in one file", hint="one document a file")
        if event.version not in {None, (1, 2)}:
            self._stop(NOT_SUPPORTED, event, "the file asks for another YAML than 1.2")

    def _open(self, event: Any, stack: "list[_Open]") -> None:
        if len(stack) >= MAX_DEPTH:
            self._stop(TOO_LARGE, event, f"nested more than {MAX_DEPTH} deep")
        before = self._nodes
        self._count(event, 1)
        self._check_tag(event)
        if event.anchor:
            self._anchors[event.anchor] = (None, 0)
        stack.append(_Open(event, before, self._place(event, self._slice(event))))

    def _alias(self, event: Any) -> Node:
        node, size = self._anchors.get(event.anchor, (None, 0))
        if node is None:
            self._stop(SYNTAX, event, f"the alias *{event.anchor} names no complete value above it")
        self._count(event, size)
        return node

    def _name(self, event: Any, node: Node, size: int) -> None:
        if event.anchor:
            self._anchors[event.anchor] = (node, size)

    def _count(self, event: Any, more: int) -> None:
        self._nodes += more
        if self._nodes > MAX_NODES:
            self._stop(TOO_LARGE, event, f"more than {MAX_NODES} values, aliases counted in full")

    def _check_tag(self, event: Any) -> None:
        if event.tag not in {None, "!"}:
            node = self._place(event, event.tag)
            self._report.add(NOT_SUPPORTED, node, "tags are not supported", hint="leave the tag out")

    def _scalar(self, event: Any) -> Node:
        self._check_tag(event)
        written = self._slice(event)
        node = self._place(event, written)
        if not event.implicit[0] or event.style:
            return Node(value=event.value, line=node.line, column=node.column, text=event.value)
        if event.value == "<<":
            self._report.add(NOT_SUPPORTED, node, "merge keys (`<<`) are not part of YAML 1.2")
        try:
            value = resolved(event.value)
        except Mistake as error:
            self._report.mistake(node, error, "")
            value = 0
        return Node(value=value, line=node.line, column=node.column, text=event.value)

    def _slice(self, event: Any) -> str:
        return clipped(self._text[event.start_mark.index : event.end_mark.index], 400)

    def _place(self, event: Any, text: str) -> Node:
        mark = event.start_mark
        return Node(value=None, line=mark.line + 1, column=mark.column + 1, text=text)

    def _stop(self, code: str, event: Any, message: str, hint: str = "") -> NoReturn:
        place = self._place(event, self._slice(event)) if event is not None else None
        self._report.add(code, place, message, hint=hint)
        self._report.finish()
        raise AssertionError

    def _syntax(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.problem, error.context) if part)
        node = None
        hint = ""
        if mark is not None:
            text = self._text[mark.index : mark.index + 1]
            node = Node(value=None, line=mark.line + 1, column=mark.column + 1, text=text.strip())
            if "\t" in self._report.source.line(mark.line + 1)[: mark.column + 1]:
                hint = "indent with spaces, not with tabs"
        self._report.add(SYNTAX, node, f"not YAML: {message}", hint=hint)
        self._report.finish()
        raise AssertionError


class _Open:
    """A list or mapping whose end has not come yet."""

    def __init__(self, event: Any, before: int, place: Node) -> None:
        self.event = event
        self.before = before
        self._place = place
        self._mapping = isinstance(event, yaml.MappingStartEvent)
        self._items: list[Node] = []
        self._entries: dict[str, Entry] = {}
        self._key: Node | None = None

    def add(self, node: Node, report: Report) -> None:
        """Take the next item, key or value."""
        if not self._mapping:
            self._items.append(node)
        elif self._key is None:
            self._key = node
        else:
            key, self._key = self._key, None
            if not isinstance(key.value, str):
                hint = f'write "{key.text}"' if not key.is_list and not key.is_mapping else ""
                report.add(WRONG_TYPE, key, f"a key must be text, not {key.kind}", hint=hint)
            elif key.value in self._entries:
                first = self._entries[key.value].key
                message = f"`{clipped(key.value)}` is given twice, first in line {first.line}"
                report.add(DUPLICATE_KEY, key, message, hint="keep one of the two")
            else:
                self._entries[key.value] = Entry(key=key, node=node)

    def node(self) -> Node:
        """The finished list or mapping."""
        place = self._place
        value = self._entries if self._mapping else tuple(self._items)
        text = place.text or ("{...}" if self._mapping else "[...]")
        return Node(value=value, line=place.line, column=place.column, text=text)


def resolved(text: str) -> Scalar:
    """A plain scalar by the YAML 1.2 core schema. Raises Mistake for NaN, infinity and huge numbers."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INFINITE.fullmatch(text):
        raise Mistake(NOT_A_NUMBER, f"{text} is not a usable number", hint="quote it if it is text")
    if _INT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise Mistake(
                OUT_OF_RANGE, f"a number of over {MAX_DIGITS} digits", hint="quote it if it is text"
            )
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            raise Mistake(NOT_A_NUMBER, f"{clipped(text)} is larger than any number")
        return number
    return text
