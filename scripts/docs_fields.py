"""The keys of a policy or bundle as Markdown, from the dataclasses that the reader itself uses."""

import ast
import dataclasses
import inspect
import itertools
import types
import typing
from collections.abc import Iterator, Mapping

from ringctl.settings import shown
from ringctl.settings.keys import key_of
from ringctl.settings.shown import Shape, Shown

WORDS = {
    "Text": "text", "Name": "name", "Metric": "metric name", "Label": "label", "Identifier": "SQL name",
    "Variable": "variable name", "Duration": "duration", "Share": "share", "Count": "whole number",
    "Amount": "number or share", "Ceiling": "number, share or duration", "P95": "number or duration",
    "Size": "column, or `false`", "Selection": "selection", "Expect": "status codes", "Body": "text or value",
    "Empty": "nothing", "Version": "text without blanks", "Pointer": "JSON pointer",
    "Builtin": "built-in check",
}  # fmt: skip
LEADS = {
    "policy": "How far, how fast, by what health. `ringctl policy schema` prints the same as JSON Schema; "
    "`ringctl policy lint FILE` checks a file.",
    "bundle": "What is done to one account. `ringctl bundle schema` prints the same as JSON Schema; "
    "`ringctl bundle lint DIR` checks a directory.",
}
VALUES = """\
How values are written:

- a **duration** has units: `500ms`, `30s`, `15m`, `1h30m`, `2d`;
- a **share** is a percentage: `5%`, `0.5%`;
- a **selection** is a mapping from column to value, `{in: [...]}`, `{not: ...}`, or bounds
  (`{gte: 1, lt: 3}`); all terms must hold, `{}` is every account;
- a **name** is letters, digits, `.`, `_` and `-`.

An unknown key, a key given twice, a missing unit and a number that is not finite are errors (exit 3)."""


def fields_page(root: type, kind: str) -> Iterator[str]:
    """The parts of the page: one section a mapping, in the order in which they are met."""
    yield LEADS[kind]
    yield VALUES
    for shape, where in _shapes(root, ""):
        yield f"## {f'`{where}`' if where else 'Top level'}"
        yield (inspect.getdoc(shape) or "").split("\n")[0]
        yield _rows(shape)
        refused = getattr(shape, "REFUSED", {})
        if refused:
            yield _refused(refused)


def _shapes(shape: type, where: str) -> Iterator[tuple[type, str]]:
    """The shape and those below it, each once, with its path in the file."""
    seen: set[type] = set()
    waiting = [(shape, where)]
    while waiting:
        one, path = waiting.pop(0)
        if one in seen:
            continue
        seen.add(one)
        yield one, path
        for field, hint in _hints(one).items():
            below, suffix = _below(hint)
            if below is not None:
                key = f"{path}.{key_of(field)}" if path else key_of(field)
                waiting.append((below, key + suffix))


def _hints(shape: type) -> Mapping[str, object]:
    every = typing.get_type_hints(shape, include_extras=True)
    return {field.name: every[field.name] for field in dataclasses.fields(shape)}


def _below(hint: object) -> tuple[type | None, str]:
    """The shape inside a type, and how its path goes on: `[]` for a list, `.NAME` for a mapping."""
    if isinstance(hint, type) and issubclass(hint, Shape):
        return hint, ""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return None, ""
    suffix = "[]" if origin is tuple else ".NAME" if origin is Mapping else ""
    for argument in arguments:
        found, more = _below(argument)
        if found is not None:
            return found, suffix + more
    return None, ""


def _rows(shape: type) -> str:
    texts = _docstrings(shape)
    lines = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    hints = _hints(shape)
    for field in dataclasses.fields(shape):
        cells = (f"`{key_of(field.name)}`", _value(hints[field.name]), _default(field), texts[field.name])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _value(hint: object) -> str:
    """A type in words."""
    if hint is bool:
        return "`true` or `false`"
    if hint is float:
        return "number"
    if isinstance(hint, type) and issubclass(hint, Shape):
        return "mapping"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _shown(arguments[1])
    if origin is tuple:
        return f"list of {_many(_value(arguments[0]))}"
    if origin is Mapping:
        return f"mapping of names to {_many(_value(arguments[1]))}"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(_value(one) for one in arguments if one is not type(None))
    raise TypeError(f"no words for {hint!r}")


def _many(words: str) -> str:
    return " or ".join(f"{word}s" for word in words.split(" or "))


def _shown(piece: Shown) -> str:
    for name, alias in vars(shown).items():
        if typing.get_origin(alias) is typing.Annotated and typing.get_args(alias)[1] is piece:
            return WORDS[name] if name in WORDS else _fragment(piece.fragment)
    raise TypeError(f"no words for {piece!r}")


def _fragment(fragment: Mapping[str, object]) -> str:
    if "const" in fragment:
        return f"`{fragment['const']}`"
    options = fragment["enum"]
    assert isinstance(options, list)
    return ", ".join(f"`{option}`" for option in options)


def _default(field: "dataclasses.Field[object]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "-"
    if field.default is dataclasses.MISSING:
        return "**required**"
    if field.default in (None, (), ""):
        return "-"
    if isinstance(field.default, bool):
        return "`true`" if field.default else "`false`"
    if isinstance(field.default, tuple):
        return f"`[{', '.join(map(str, field.default))}]`"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def _refused(refused: Mapping[str, str]) -> str:
    lines = ["Refused in this version (RC3018), never ignored:", ""]
    lines += [f"- `{key}`" + (f": {why}" if why else "") for key, why in refused.items()]
    return "\n".join(lines)


def _docstrings(shape: type) -> dict[str, str]:
    """The text under each field, as one line."""
    tree = ast.parse(inspect.cleandoc(inspect.getsource(shape)))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for field, after in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found
