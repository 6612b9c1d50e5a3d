"""What executors are told: options in one normal form each, every placeholder and file checked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ringctl.core import placeholders
from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.core.timing import MILLISECOND, MINUTE
from ringctl.settings import units
from ringctl.settings.bundle_fields import BUILT_IN, BatchFields, HttpFields, HttpProbeFields
from ringctl.settings.bundle_files import BundleFiles
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.report import (
    MISSING_KEY,
    OUT_OF_RANGE,
    PLACEHOLDER,
    WRONG_TYPE,
    Mistake,
    Report,
)

CheckStep = Callable[[StepSpec], tuple[Finding, ...]]
Options = dict[str, object]

KNOWN = tuple(f"{{{name}}}" for name in placeholders.KNOWN)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PADDED = re.compile(r"\{\s*([A-Za-z][\w.]*)\s*\}")
_UNCLOSED = re.compile(r"\{\s*(?:account|rollout|revision|task)\b[^{}]*(?:$|\{)")
_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}"
_header = units.matching(_HEADER, "a header name")
_status = units.within(units.count, 100, 599, "a status code, 100 to 599")
_target = units.within(units.duration, MILLISECOND, MINUTE, "1ms to 1m")
_pause = units.within(units.duration, 0, MINUTE, "0ms to 1m")
_rows = units.within(units.count, 1, 10_000_000, "1 to 10000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What reading steps needs: the files, the report, and the executors that are known."""

    files: BundleFiles
    report: Report
    executors: Mapping[str, CheckStep | None] = field(default_factory=lambda: dict.fromkeys(BUILT_IN))


def filled(node: Node) -> str:
    """Text whose placeholders are all in the closed set."""
    return _checked(units.text(node))


def _checked(text: str) -> str:
    for name in placeholders.used(text):
        if not placeholders.is_known(name):
            raise Mistake(PLACEHOLDER, f"`{{{clipped(name)}}}` is no placeholder", known=KNOWN)
    for padded in _PADDED.finditer(text):
        if placeholders.is_known(padded[1]) and padded[0] != f"{{{padded[1]}}}":
            hint = f"write {{{padded[1]}}}"
            raise Mistake(PLACEHOLDER, f"`{padded[0]}` is no placeholder", known=KNOWN, hint=hint)
    unclosed = _UNCLOSED.search(text)
    if unclosed:
        raise Mistake(PLACEHOLDER, f"`{clipped(unclosed[0])}` is not closed", known=KNOWN)
    return text


def fixed(node: Node) -> str:
    """Text without placeholders: it decides what runs, so no account may supply it."""
    text = filled(node)
    if placeholders.used(text):
        raise Mistake(PLACEHOLDER, "may hold no placeholder: an account would decide what runs")
    return text


def sql_options(keys: Keys, shop: Workshop, files: set[str], *, database: str = "") -> Options:
    """`sql` and what its statements get; `database` is what it is when not given."""
    options: Options = {"file": _file(keys, "sql", shop, files)}
    options["database"] = read_database(keys, database)
    return options


def read_database(keys: Keys, usual: str) -> str:
    """The account's database; required where there is no usual one."""
    if not keys.has("database"):
        if not usual:
            message = f"`database` is missing in {keys.where}"
            hint = 'such as "{account.target.database}"'
            keys.report.add(MISSING_KEY, keys.node, message, known=("database",), hint=hint)
            keys.spoil("database")
        return usual
    return keys.read("database", filled, "")


def read_params(keys: Keys) -> Options:
    """The bound parameters, where there are any."""
    params = {
        keys.parse("params", entry.key, units.variable, name): keys.parse("params", entry.node, filled, "")
        for name, entry in keys.mapping("params")
    }
    return {"params": params} if params else {}


def batched_options(keys: Keys, shop: Workshop, files: set[str]) -> Options:
    """`batched_sql`, the table and key that it walks, and its pace."""
    options: Options = {"file": _file(keys, "batched_sql", shop, files)}
    options["database"] = read_database(keys, "")
    for key in ("table", "key"):
        if not keys.has(key):
            message = f"`{key}` is missing in {keys.where}"
            keys.report.add(MISSING_KEY, keys.node, message, known=(key,))
        options[key] = keys.read(key, units.identifier, "")
    batch = keys.below("batch", BatchFields)
    options["batch"] = {
        "target_us": batch.read("target", _target, 0),
        "max_rows": batch.read("max_rows", _rows, 0),
        "pause_us": batch.read("pause", _pause, 0),
    }
    return options


def command_options(keys: Keys, shop: Workshop, files: set[str]) -> Options:
    """Program and arguments. `./name` is a file of the bundle; it cannot depend on the account."""
    items = keys.items("command")
    if not items and keys.sound("command"):
        message = f"`{keys.path('command')}` names no program"
        keys.report.add(OUT_OF_RANGE, keys.place("command"), message, hint='[./run.sh, "{account.id}"]')
    argv: list[str] = []
    for place, item in enumerate(items):
        written = item.value if isinstance(item.value, str) else ""
        word = keys.parse("command", item, fixed if not place else _argument, "")
        if written.startswith(("./", "../")) and word:
            path = keys.parse("command", item, shop.files.path, "")
            files.add(path)
            word = f"./{path}"
        argv.append(word)
    return {"argv": argv, "env": list(keys.names("env", units.variable))}


def _argument(node: Node) -> str:
    """One argument; it may be empty, but a path of the bundle holds no placeholder."""
    if node.value == "":
        return ""
    return fixed(node) if str(node.value).startswith(("./", "../")) else filled(node)


def http_options(node: Node, report: Report, where: str) -> Options:
    """One request."""
    keys = Keys(node, HttpFields, report, where)
    options: Options = {
        "url": keys.read("url", _address, ""),
        "method": keys.read("method", units.one_of(*METHODS), "POST"),
    }
    if keys.has("headers"):
        options["headers"] = _headers(keys)
    if keys.has("body"):
        options["body"] = keys.read("body", _body, None)
    if keys.has("expect"):
        options["expect"] = _statuses(keys, "expect")
    return options


def http_probe(node: Node, report: Report, where: str) -> Options:
    """One GET request, and which status means what."""
    keys = Keys(node, HttpProbeFields, report, where)
    options: Options = {"url": keys.read("url", _address, ""), "method": "GET"}
    if keys.has("headers"):
        options["headers"] = _headers(keys)
    expect, absent = _statuses(keys, "expect"), _statuses(keys, "absent")
    both = sorted(set(expect) & set(absent))
    if both:
        message = f"{where}: status {both[0]} would mean both took effect and did not"
        report.add(OUT_OF_RANGE, node, message)
    return {**options, "expect": expect, "absent": absent}


def _headers(keys: Keys) -> dict[str, str]:
    """Header names once each, whatever their case; values on one line."""
    found: dict[str, str] = {}
    for name, entry in keys.mapping("headers"):
        keys.parse("headers", entry.key, _header, "")
        if name.lower() in {one.lower() for one in found}:
            message = f"`{keys.path('headers')}`: `{clipped(name)}` is given twice"
            keys.report.add(OUT_OF_RANGE, entry.key, message)
        found[name] = keys.parse("headers", entry.node, filled, "")
    return found


def _statuses(keys: Keys, key: str) -> list[int]:
    found = keys.each(key, _status)
    if not found and keys.sound(key):
        keys.report.add(OUT_OF_RANGE, keys.place(key), f"`{keys.path(key)}` is empty")
    return sorted(set(found))


def _address(node: Node) -> str:
    text = filled(node)
    if not text.startswith(("http://", "https://", "{account.target.")) or " " in text:
        hint = 'such as "{account.target.url}/upgrade"'
        raise Mistake(OUT_OF_RANGE, "not an http or https address", hint=hint)
    return text


def _body(node: Node) -> object:
    if not isinstance(node.value, str) and not node.is_list and not node.is_mapping:
        raise Mistake(WRONG_TYPE, f"text, a list or a mapping is wanted, here is {node.kind}")
    for one in node.texts():
        _checked(str(one.value))
    return node.plain()


def _file(keys: Keys, key: str, shop: Workshop, files: set[str]) -> str:
    path = keys.read(key, shop.files.path, "")
    if path:
        files.add(path)
    return path
