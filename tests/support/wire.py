"""As much of PostgreSQL's wire protocol (version 3) as it takes to see where a statement ends. Pure: no I/O.

A `Frontend` cuts a client's bytes into messages and says which statement each one runs; a `Backend` cuts a
server's bytes into messages and says what each exchange came to when its ReadyForQuery arrives.
"""

import re
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final

SSL_REQUEST: Final = 80877103
GSS_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102
BEGINS: Final = re.compile(r"\s*(?:begin|start\s+transaction)\b", re.IGNORECASE)
COMMITS: Final = re.compile(r"\s*(?:commit|end)\b", re.IGNORECASE)
ROLLS_BACK: Final = re.compile(r"\s*(?:rollback(?!\s+to\b)|abort)\b", re.IGNORECASE)
WRITES: Final = re.compile(
    r"(?<!for )(?<!for no key )\b(?:insert\s+into|update\s+(?!of\b|skip\b|nowait\b)\w|delete\s+from|merge\s+into)",
    re.IGNORECASE,
)
_TAG: Final = re.compile(r"(?:INSERT \d+|UPDATE|DELETE|MERGE) (\d+)")


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was sent. `kind` is its type byte, '' for a client's opening one."""

    kind: str
    raw: bytes

    @property
    def body(self) -> bytes:
        return self.raw[5:] if self.kind else self.raw[4:]

    @property
    def request(self) -> int:
        """The code of an opening message: a protocol version, or one of the requests."""
        return int(struct.unpack_from("!I", self.raw, 4)[0])


@dataclass(slots=True)
class Frontend:
    """A client's side. `opened` is false until its start-up message was seen."""

    opened: bool = False
    _in_transaction: bool = False
    _writes: bool = False
    _data: bytes = b""
    _statements: dict[str, str] = field(default_factory=dict)
    _portals: dict[str, str] = field(default_factory=dict)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now."""
        self._data += data
        found: list[Message] = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    def _next(self) -> Message | None:
        head = 1 if self.opened else 0
        if len(self._data) < head + 4:
            return None
        size = head + int(struct.unpack_from("!I", self._data, head)[0])
        if len(self._data) < size:
            return None
        kind = chr(self._data[0]) if self.opened else ""
        message = Message(kind, self._data[:size])
        self._data = self._data[size:]
        if not kind and message.request not in {SSL_REQUEST, GSS_REQUEST}:
            self.opened = True
        return message

    def runs(self, message: Message) -> str | None:
        """The text of the statement that this message runs, None when it runs none."""
        match message.kind:
            case "Q":
                return _text(message.body)
            case "P":
                name, _, rest = message.body.partition(b"\0")
                self._statements[name.decode()] = _text(rest)
            case "B":
                portal, name, *_ = message.body.split(b"\0", 2)
                self._portals[portal.decode()] = self._statements.get(name.decode(errors="replace"), "")
            case "E":
                return self._portals.get(message.body.partition(b"\0")[0].decode(), "")
            case _:
                pass
        return None

    def ends(self, statement: str) -> bool:
        """Whether this statement, the next to be run, ends a transaction that writes, going by the texts."""
        writing = WRITES.search(statement) is not None
        if BEGINS.match(statement):
            self._in_transaction, self._writes = True, False
            return False
        if COMMITS.match(statement):
            ending, self._in_transaction, self._writes = self._writes, False, False
            return ending
        if ROLLS_BACK.match(statement):
            self._in_transaction = self._writes = False
            return False
        self._writes = self._in_transaction and (self._writes or writing)
        return writing and not self._in_transaction


@dataclass(frozen=True, slots=True)
class Exchange:
    """What stood between two ReadyForQuery messages."""

    texts: tuple[str, ...]
    rows_written: int
    failed: bool
    committed: bool
    """A transaction that had written something was committed in it, by COMMIT or as a statement of its own."""


@dataclass(slots=True)
class Backend:
    """A server's side, told by `expect` which statements each ReadyForQuery will answer."""

    _expected: deque[tuple[str, ...]] = field(default_factory=deque)
    _wrote: bool = False
    _rows: int = 0
    _failed: bool = False
    _rolled_back: bool = False
    _data: bytes = b""

    def expect(self, texts: tuple[str, ...]) -> None:
        """The client asked for an answer to these."""
        self._expected.append(texts)

    @property
    def answering(self) -> bool:
        """Whether the client waits for an answer."""
        return bool(self._expected)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now."""
        self._data += data
        found: list[Message] = []
        while len(self._data) >= 5:
            size = 1 + int(struct.unpack_from("!I", self._data, 1)[0])
            if len(self._data) < size:
                break
            found.append(Message(chr(self._data[0]), self._data[:size]))
            self._data = self._data[size:]
        return found

    def see(self, message: Message) -> Exchange | None:
        """Take a message in; the exchange that it ends, if it ends one."""
        match message.kind:
            case "C":
                self._completed(_text(message.body))
            case "E":
                self._failed = True
            case "Z" if self._expected:
                return self._ended(chr(message.body[0]))
            case _:
                pass
        return None

    def _completed(self, tag: str) -> None:
        counted = _TAG.fullmatch(tag)
        texts = self._expected[0] if self._expected else ()
        if counted:
            self._rows += int(counted[1])
        elif tag == "ROLLBACK":  # the answer to a COMMIT too, where the transaction had failed
            self._rolled_back = True
        elif tag.startswith("SELECT ") and any(map(WRITES.search, texts)):
            self._rows += int(tag.split()[1])  # rows of a WITH ... that writes

    def _ended(self, status: str) -> Exchange:
        self._wrote = self._wrote or self._rows > 0
        whole = not (self._failed or self._rolled_back)
        ended = Exchange(
            texts=self._expected.popleft(),
            rows_written=self._rows,
            failed=self._failed,
            committed=status == "I" and self._wrote and whole,
        )
        if status == "I":
            self._wrote = False
        self._rows, self._failed, self._rolled_back = 0, False, False
        return ended


def _text(body: bytes) -> str:
    return body.partition(b"\0")[0].decode(errors="replace")
