"""Where accounts and measurements come from: built-in types checked here, others left to their plug-ins."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from ringctl import registry
from ringctl.core.closest import did_you_mean
from ringctl.core.policy import InventorySpec, SourceSpec
from ringctl.core.timing import HOUR, MILLISECOND, MINUTE, SECOND
from ringctl.settings import units
from ringctl.settings.gates import STEPS
from ringctl.settings.keys import Keys, key_of
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.report import (
    CONTRADICTION,
    DUPLICATE_NAME,
    MISSING_KEY,
    NOT_SUPPORTED,
    NOT_YET,
    OUT_OF_RANGE,
    UNKNOWN_NAME,
    WRONG_TYPE,
    Mistake,
    Report,
)
from ringctl.settings.source_fields import (
    CohortFields,
    PlaceFields,
    SecretFields,
    SourceFields,
)

METRIC_TYPES = ("prometheus", "scrape", "sql", "http")
_KEYS = {
    "prometheus": ("url", "token", "accounts", "cohort"),
    "scrape": ("url", "urls"),
    "sql": ("url", "queries"),
    "http": ("url", "token", "headers", "counters"),
}
_OF_ALL = ("type", "timeout", "max_age")
INVENTORY_TYPES = ("csv", "ndjson")
PLANNED = ("http", "sql", "kubernetes")

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Names in lower case of the headers that hold secrets: in no file but those that `token` points to."""

_timeout = units.within(units.duration, 10 * MILLISECOND, 10 * MINUTE, "10ms to 10m")
_max_age = units.within(units.duration, SECOND, HOUR, "1s to 1h")


def url(node: Node) -> str:
    """An http or https address without a user and password."""
    value = units.text(node)
    try:
        parts = urlsplit(value)
        sound = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        raise Mistake(OUT_OF_RANGE, "not an address") from None
    if parts.scheme not in {"http", "https"} or not sound or " " in value:
        raise Mistake(OUT_OF_RANGE, "not an http or https address", hint="such as http://127.0.0.1:9090")
    if parts.username is not None or parts.password is not None:
        raise Mistake(OUT_OF_RANGE, "holds a user or password", hint="use `token`", secret=True)
    return value


def read_source(name: str, node: Node, report: Report) -> SourceSpec:
    """One entry of `metrics`."""
    where = f"metrics.{name}"
    if name == STEPS:
        report.add(DUPLICATE_NAME, node, f"`{STEPS}` is built in", hint="take another name")
    written = node.entries.get("type")
    if written and isinstance(written.node.value, str) and written.node.value not in METRIC_TYPES:
        return _plugged(name, written.node, node, report)
    keys = Keys(node, SourceFields, report, where)
    kind = keys.read("type", units.one_of(*METRIC_TYPES), "")
    options: dict[str, object] = {
        "timeout_us": keys.read("timeout", _timeout, 10 * SECOND),
        "max_age_us": keys.read("max_age", _max_age, 60 * SECOND),
    }
    if kind:
        _only(kind, keys)
        options.update(_READERS[kind](keys))
    return SourceSpec(name=name, type=kind, options=options)


def _only(kind: str, keys: Keys) -> None:
    """Refuse the keys of other types."""
    for key in dataclasses.fields(SourceFields):
        name = key_of(key.name)
        if not keys.has(name) or name in (*_OF_ALL, *_KEYS[kind]):
            continue
        at = keys.node.entries[name].key
        if (kind, name) == ("scrape", "token"):
            keys.report.add(NOT_SUPPORTED, at, f"`{keys.path(name)}` is {NOT_YET} for `scrape`")
        else:
            hint = f"it has {', '.join((*_KEYS[kind], *_OF_ALL))}"
            keys.report.add(CONTRADICTION, at, f"`{keys.path(name)}` is not for `{kind}`", hint=hint)


def _prometheus(keys: Keys) -> dict[str, object]:
    options: dict[str, object] = {"url": _required(keys, "url", url)}
    options.update(_token(keys))
    if keys.has("accounts"):
        options["accounts"] = keys.read("accounts", units.one_of(*units.ACCOUNTS), "all")
    if keys.has("cohort"):
        if options.get("accounts") != "cohort" and keys.sound("accounts"):
            message = f"`{keys.path('cohort')}` is for `accounts: cohort`"
            keys.report.add(CONTRADICTION, keys.node.entries["cohort"].key, message)
        options["cohort"] = _cohort(keys.below("cohort", CohortFields))
    return options


def _cohort(keys: Keys) -> dict[str, object]:
    return {
        "counter": keys.read("counter", units.metric, ""),
        "account": keys.read("account", units.label, ""),
        "match": {
            keys.parse("match", entry.key, units.label, ""): keys.parse(
                "match", entry.node, units.expression, ""
            )
            for _, entry in keys.mapping("match")
        },
    }


def _scrape(keys: Keys) -> dict[str, object]:
    return {"urls": _urls(keys)}


def _sql(keys: Keys) -> dict[str, object]:
    queries = {
        keys.parse("queries", entry.key, units.metric, ""): keys.parse("queries", entry.node, query, "")
        for _, entry in keys.mapping("queries")
    }
    if not queries:
        _missing(keys, "queries", "{requests_total: SELECT account, total FROM ...}")
    place = keys.place("url")
    if keys.has("url") and place.is_mapping:
        return {"url": read_secret(place, keys.report, keys.path("url")), "queries": queries}
    return {"url": _required(keys, "url", database), "queries": queries}


def database(node: Node) -> str:
    """The address of a database, without a password."""
    value = units.text(node)
    if not value.startswith((SQLITE, *POSTGRESQL)) or value == SQLITE:
        hint = "sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE"
        raise Mistake(OUT_OF_RANGE, "not an address of a database", hint=hint, secret="@" in value)
    try:
        parts = urlsplit(value)
        password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        raise Mistake(OUT_OF_RANGE, "not an address", secret=True) from None
    if password:
        raise Mistake(OUT_OF_RANGE, "holds a password", hint="url: {env: NAME} or {file: PATH}", secret=True)
    return value


def query(node: Node) -> str:
    """One SQL query, over several lines if need be."""
    value = node.value
    if not isinstance(value, str):
        raise Mistake(WRONG_TYPE, f"a query is wanted, here is {node.kind}")
    if not value.strip():
        raise Mistake(OUT_OF_RANGE, "must not be empty")
    if any(ord(one) < 32 and one not in "\n\r\t" for one in value):
        raise Mistake(OUT_OF_RANGE, "holds a control character")
    return value


def _http(keys: Keys) -> dict[str, object]:
    options: dict[str, object] = {"url": _required(keys, "url", url)}
    options.update(_token(keys))
    headers = {
        keys.parse("headers", entry.key, _header, ""): keys.parse("headers", entry.node, units.text, "")
        for _, entry in keys.mapping("headers")
    }
    if headers:
        options["headers"] = headers
    counters = {}
    for name, entry in keys.mapping("counters"):
        where = f"{keys.path('counters')}.{name}"
        counters[keys.parse("counters", entry.key, units.metric, "")] = _place(
            Keys(entry.node, PlaceFields, keys.report, where)
        )
    if not counters:
        _missing(keys, "counters", "{requests_total: {items: /tenants, account: /id, value: /requests}}")
    return {**options, "counters": counters}


def _place(keys: Keys) -> dict[str, object]:
    found: dict[str, object] = {
        "items": keys.read("items", pointer, ""),
        "value": keys.read("value", pointer, ""),
    }
    found.update({key: keys.read(key, pointer, "") for key in ("account", "time") if keys.has(key)})
    return found


def pointer(node: Node) -> str:
    """A JSON pointer (RFC 6901); the empty text is the whole."""
    if not isinstance(node.value, str):
        raise Mistake(
            WRONG_TYPE, f"a JSON pointer is wanted, here is {node.kind}", hint="such as /data/tenants"
        )
    if not re.fullmatch(units.POINTER, node.value, re.DOTALL):
        hint = "it begins with a slash; ~ in a key is ~0, and / in a key is ~1"
        raise Mistake(OUT_OF_RANGE, "not a JSON pointer", hint=hint)
    return node.value


def _header(node: Node) -> str:
    value = units.text(node)
    if value.lower() in SECRET_HEADERS:
        raise Mistake(OUT_OF_RANGE, f"`{value}` is a secret: use `token`", secret=True)
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        raise Mistake(OUT_OF_RANGE, "not the name of a header")
    return value


def _token(keys: Keys) -> dict[str, object]:
    if not keys.has("token"):
        return {}
    return {"token": read_secret(keys.place("token"), keys.report, keys.path("token"))}


def _missing(keys: Keys, key: str, hint: str) -> None:
    if keys.sound(key) and keys.whole:
        message = f"`{key}` is missing in {keys.where}"
        keys.report.add(MISSING_KEY, keys.place(key), message, known=(key,), hint=hint)


def _required(keys: Keys, key: str, parser: Callable[[Node], str]) -> str:
    if not keys.has(key):
        message = f"`{key}` is missing in {keys.where}"
        keys.report.add(MISSING_KEY, keys.node, message, known=(key,))
        return ""
    return keys.read(key, parser, "")


def _urls(keys: Keys) -> list[str]:
    if keys.has("url") and keys.has("urls"):
        message = f"`{keys.where}` gives both `url` and `urls`"
        keys.report.add(CONTRADICTION, keys.node.entries["urls"].key, message, hint="keep `urls`")
        return []
    if not keys.has("urls"):
        return [_required(keys, "url", url)]
    found = keys.names("urls", url)
    if not found and keys.sound("urls"):
        keys.report.add(OUT_OF_RANGE, keys.place("urls"), f"`{keys.path('urls')}` is empty")
    return list(found)


def read_secret(node: Node, report: Report, where: str) -> dict[str, str]:
    """A secret's reference: `{file: PATH}` or `{env: NAME}`. The secret itself is refused."""
    report.hide(node)
    if not node.is_mapping:
        wrong = Mistake(WRONG_TYPE, "must be a reference", hint=SecretFields.HINT, secret=True)
        report.mistake(node, wrong, f"`{where}`")
        return {}
    keys = Keys(node, SecretFields, report, where)
    chosen = {
        key: keys.read(key, parser, "")
        for key, parser in (("file", units.text), ("env", units.variable))
        if keys.has(key)
    }
    if len(chosen) != 1:
        report.add(CONTRADICTION, node, f"`{where}` needs `file` or `env`, one of them")
    return chosen


def _plugged(name: str, kind: Node, node: Node, report: Report) -> SourceSpec:
    """A source of a type that is not built in: it exists, and its options go to it as they are."""
    known = registry.known("ringctl.metrics")
    if kind.value not in known:
        message = f"there is no source type `{clipped(kind.text)}`"
        report.unknown(UNKNOWN_NAME, kind, message, {*known, *METRIC_TYPES})
    options = {key: entry.node.plain() for key, entry in node.entries.items() if key != "type"}
    return SourceSpec(name=name, type=str(kind.value), options=options)


_READERS: Mapping[str, Callable[[Keys], dict[str, object]]] = {
    "prometheus": _prometheus,
    "scrape": _scrape,
    "sql": _sql,
    "http": _http,
}


def read_inventory(keys: Keys) -> InventorySpec:
    """The policy's `inventory`."""
    source = keys.read("source", _inventory_type, "")
    columns = {
        "id": keys.read("id", units.text, ""),
        "size": keys.read("size", _size_column, ""),
    }
    if keys.sound("id", "size") and columns["id"] == columns["size"] and keys.whole:
        message = f"`{columns['id']}` is both id and size"
        keys.report.add(DUPLICATE_NAME, keys.place("size"), message)
    return InventorySpec(
        source=source,
        path=keys.read("path", units.text, ""),
        id=columns["id"],
        size=columns["size"],
        traits=keys.names("traits"),
        target=keys.names("target"),
        unassigned=keys.read("unassigned", units.one_of("error", "last-ring", "ignore"), "error"),
        line=keys.node.line,
    )


def _size_column(node: Node) -> str:
    if node.value is False:
        return ""
    return units.text(node)


def _inventory_type(node: Node) -> str:
    value = units.text(node)
    if value in INVENTORY_TYPES:
        return value
    if value in PLANNED:
        raise Mistake(NOT_SUPPORTED, f"`{value}` is {NOT_YET}", known=INVENTORY_TYPES)
    known = registry.known("ringctl.inventories")
    if value not in known:
        names = sorted({*known, *INVENTORY_TYPES})
        raise Mistake(
            UNKNOWN_NAME,
            f"there is no inventory `{clipped(value)}`",
            known=names,
            hint=did_you_mean(value, names),
        )
    return value
