"""A small reader of SQL text: enough to tell a comment from a change. It keeps literals and hints as they
are written, and gives up (None) wherever dialects disagree, so that doubt counts as a change of rows."""

import re
from itertools import pairwise
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<hint>/\*[+!].*?\*/|--\+[^\n]*)
    | (?P<block>/\*.*?\*/)
    | (?P<line>--[^\n]*)
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\w*)
    | (?P<word>[:@$]?[^\W\d][\w$]*|[:@$]\d+)
    | (?P<operator>[-+*/<>=~!@\#%^&|?:.]+?(?=--|/\*|[^-+*/<>=~!@\#%^&|?:.]|$))
    | (?P<other>[(),;{}\]])
    """,
    re.VERBOSE | re.DOTALL,
)

_WRITING: Final = frozenset({
    "alter", "analyze", "attach", "backup", "begin", "call", "checkpoint", "close", "cluster", "comment",
    "commit", "copy", "create", "deallocate", "declare", "delete", "detach", "discard", "do", "drop",
    "exec", "execute", "export", "fetch", "grant", "import", "insert", "into", "listen", "load", "lock",
    "merge", "notify", "pragma", "prepare", "reassign", "refresh", "reindex", "rename", "replace", "reset",
    "restore", "revoke", "rollback", "savepoint", "security", "set", "truncate", "unlisten", "update",
    "upsert", "use", "vacuum",
})  # fmt: skip
_READING: Final = frozenset({"select", "with", "values", "table", "explain", "show"})
_HARMLESS_CALLS: Final = frozenset({
    "abs", "all", "and", "any", "as", "avg", "between", "by", "case", "cast", "coalesce", "count",
    "distinct", "else", "end", "except", "exists", "filter", "from", "having", "in", "intersect", "join",
    "length", "like", "limit", "lower", "max", "min", "not", "nullif", "on", "or", "order", "over",
    "partition", "round", "select", "substr", "sum", "then", "trim", "union", "upper", "using", "values",
    "when", "where", "with",
})  # fmt: skip


def tokens(text: str) -> tuple[str, ...] | None:
    """The text without comments and layout; None when it cannot be read for certain.

    A line break between two literals is kept: PostgreSQL joins them only across one.
    """
    found: list[str] = []
    position = 0
    literal = broken = False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or _doubtful(match):
            return None
        position = match.end()
        kind = str(match.lastgroup)
        word = match[0]
        if kind == "space" or (kind in {"block", "line"} and not _kept(word)):
            broken = broken or "\n" in word or kind == "line"
            continue
        is_literal = kind in {"string", "escaped"}
        if literal and is_literal and broken:
            found.append("\n")
        literal, broken = is_literal, False
        found.append(word)
    return tuple(found)


def _doubtful(match: re.Match[str]) -> bool:
    """Whether dialects read this differently: nested comments, a backslash before a quote."""
    word = match[0]
    if match.lastgroup in {"block", "hint"}:
        return "/*" in word[2:]
    return match.lastgroup == "string" and "\\" in word


def _kept(comment: str) -> bool:
    """`--x` without a space is arithmetic in MySQL: it counts."""
    return comment.startswith("--") and len(comment) > 2 and comment[2] not in " \t\r-"


def rewrites_stored_rows(text: str) -> bool:
    """Whether the text may change rows or their shape; True also for what cannot be read, and for calls
    of functions that are not known to be harmless."""
    found = tokens(text)
    if found is None:
        return True
    words = [word.lower() for word in found]
    starts = [
        word for before, word in zip([";", *words], words, strict=False) if before == ";" and word != ";"
    ]
    if not set(starts) <= _READING or _WRITING & set(words):
        return True
    calls = {before for before, word in pairwise(words) if word == "("}
    return any(_is_name(name) and name not in _HARMLESS_CALLS for name in calls)


def _is_name(word: str) -> bool:
    return word[0].isalpha() or word[0] in '_"`['
