"""SQL text as far as ringctl must read it: statements, words, `:name` parameters. Pure.

Two dialects, `sqlite` and `postgresql`. The lexer knows strings, quoted names, dollar quotes and
comments, so that nothing inside one is taken for a statement's end, a keyword or a parameter.
"""

import re
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from ringctl.core.errors import Finding

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"

_NAMES: Final = r'"(?:[^"]|"")*(?:"|\Z)'
_STRING: Final = r"'(?:[^']|'')*(?:'|\Z)"
_LINE: Final = r"--[^\n]*"
_LEXERS: Final = {
    SQLITE: re.compile(
        rf"(?P<comment>{_LINE}|/\*(?s:.*?)(?:\*/|\Z))|(?P<text>{_STRING})"
        rf"|(?P<name>{_NAMES}|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z))"
    ),
    POSTGRESQL: re.compile(
        rf"(?P<comment>{_LINE}|/\*)|(?P<text>(?<![\w$])[eE]'(?:[^'\\]|''|\\(?s:.))*(?:'|\Z)|{_STRING}"
        rf"|(?<![\w$])\$(?P<tag>[A-Za-z_\x80-\uffff][\w\x80-\uffff]*|)\$(?s:.*?)(?:\$(?P=tag)\$|\Z))"
        rf"|(?P<name>{_NAMES})"
    ),
}
_PARAMETER: Final = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*|;")

# First word of a statement -> why it may not stand in a transaction that ringctl owns.
_ENDS: Final = "it begins or ends a transaction; the step and its ledger row are one transaction"
_OUTSIDE: Final = "it does not take part in the transaction"
_FORBIDDEN: Final = {
    SQLITE: {
        "BEGIN": _ENDS, "COMMIT": _ENDS, "END": _ENDS, "ATTACH": _OUTSIDE, "DETACH": _OUTSIDE,
        "VACUUM": _OUTSIDE,
    },
    POSTGRESQL: {
        "BEGIN": _ENDS, "COMMIT": _ENDS, "END": _ENDS, "ABORT": _ENDS, "START": _ENDS,
        "VACUUM": _OUTSIDE,
    },
}  # fmt: skip
_HARMLESS_PRAGMAS: Final = frozenset({
    "DEFER_FOREIGN_KEYS", "FOREIGN_KEY_CHECK", "INTEGRITY_CHECK", "QUICK_CHECK", "USER_VERSION",
    "APPLICATION_ID", "TABLE_INFO", "INDEX_LIST", "INDEX_INFO",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of SQL text: `code`, `text` (a literal), `name` (a quoted name) or `comment`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement, where it starts (line from 1) and its bare words in upper case."""

    text: str
    line: int
    words: tuple[str, ...]


def pieces(text: str, dialect: str) -> Iterator[Piece]:
    """The text cut into code, literals, quoted names and comments, without a gap."""
    lexer = _LEXERS[dialect]
    position = 0
    while match := lexer.search(text, position):
        if match.start() > position:
            yield Piece(kind="code", start=position, end=match.start())
        end = match.end()
        if dialect == POSTGRESQL and match.group() == "/*":
            end = _nested_comment(text, match.start())
        yield Piece(kind=match.lastgroup or "text", start=match.start(), end=end)
        position = end
    if position < len(text):
        yield Piece(kind="code", start=position, end=len(text))


def split(text: str, dialect: str) -> tuple[Statement, ...]:
    """The statements of a script; bodies of triggers and of SQL-standard functions stay whole."""
    found: list[Statement] = []
    start = 0
    words: list[str] = []
    for piece in pieces(text, dialect):
        if piece.kind != "code":
            if piece.kind != "comment":
                words.append("")  # something stands here, but no keyword
            continue
        for match in _WORD.finditer(text, piece.start, piece.end):
            if match.group() != ";":
                words.append(match.group().upper())
            elif _complete(text[start : match.end()], words, dialect):
                found.extend(_statement(text, start, match.end(), words))
                start, words = match.end(), []
            else:
                words.append(";")
    found.extend(_statement(text, start, len(text), words))
    return tuple(found)


def forbidden(text: str, dialect: str) -> tuple[Finding, ...]:
    """A finding for each statement that may not stand in a ledgered transaction."""
    return tuple(
        Finding(
            code="RC6005",
            message=f"{statement.words[0]} is not allowed in a ledgered transaction: {why}",
            line=statement.line,
            column=1,
            text=statement.text.strip()[:80],
            hint="leave transactions to ringctl; use a `command` step for what cannot run inside one",
        )
        for statement in split(text, dialect)
        if (why := _why_forbidden(statement.words, dialect))
    )


def parameters(text: str, dialect: str) -> tuple[str, ...]:
    """The `:name` parameters in the code of `text`, in order of appearance."""
    return tuple(
        match.group(1)
        for piece in pieces(text, dialect)
        if piece.kind == "code"
        for match in _PARAMETER.finditer(text, piece.start, piece.end)
    )


def for_psycopg(text: str, names: Collection[str]) -> str:
    """`:name` of the known `names` as `%(name)s`, every other `%` doubled."""

    def bound(match: re.Match[str]) -> str:
        return f"%({match.group(1)})s" if match.group(1) in names else match.group()

    done: list[str] = []
    for piece in pieces(text, POSTGRESQL):
        part = text[piece.start : piece.end].replace("%", "%%")
        done.append(_PARAMETER.sub(bound, part) if piece.kind == "code" else part)
    return "".join(done)


def _nested_comment(text: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def _complete(chunk: str, words: list[str], dialect: str) -> bool:
    """Whether the `;` at the end of `chunk` ends the statement."""
    if dialect == SQLITE:
        return sqlite3.complete_statement(chunk)
    if not words or words[0] != "CREATE":
        return True
    for position in range(len(words) - 1):
        if words[position] == "BEGIN" and words[position + 1] == "ATOMIC":
            body = words[position:]
            return body.count("BEGIN") + body.count("CASE") <= body.count("END")
    return True


def _statement(text: str, start: int, end: int, words: list[str]) -> Iterator[Statement]:
    """The statement between two offsets, unless there is nothing but blanks, comments and `;`."""
    if words:
        lead = len(text[start:end]) - len(text[start:end].lstrip())
        line = text.count("\n", 0, start + lead) + 1
        yield Statement(text=text[start:end], line=line, words=tuple(words))


def _why_forbidden(words: tuple[str, ...], dialect: str) -> str:
    first = words[0]
    second = words[1] if len(words) > 1 else ""
    if first == "ROLLBACK":
        return "" if "TO" in words[1:4] else _ENDS
    if first == "PREPARE":
        return _ENDS if second == "TRANSACTION" else ""
    if first == "PRAGMA" and dialect == SQLITE:
        named = words[1:4]
        return "" if any(word in _HARMLESS_PRAGMAS for word in named) else _OUTSIDE
    if first == "EXPLAIN":
        return ""
    return _FORBIDDEN[dialect].get(first, "")
