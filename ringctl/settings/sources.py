"""Where accounts and measurements come from: built-in types checked here, others left to their plug-ins."""

from urllib.parse import urlsplit

from ringctl import registry
from ringctl.core.closest import did_you_mean
from ringctl.core.policy import InventorySpec, SourceSpec
from ringctl.core.timing import MILLISECOND, MINUTE, SECOND
from ringctl.settings import units
from ringctl.settings.gates import STEPS
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.policy_fields import SecretFields, SourceFields
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

METRIC_TYPES = ("prometheus", "scrape")
INVENTORY_TYPES = ("csv", "ndjson")
PLANNED = ("http", "sql", "kubernetes")

_timeout = units.within(units.duration, 10 * MILLISECOND, 10 * MINUTE, "10ms to 10m")


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
    options: dict[str, object] = {"timeout_us": keys.read("timeout", _timeout, 10 * SECOND)}
    if kind == "prometheus":
        if keys.has("urls"):
            message = f"`{keys.path('urls')}`: `prometheus` has one `url`"
            report.add(CONTRADICTION, node.entries["urls"].key, message)
        options["url"] = _required_url(keys, "url")
        if keys.has("token"):
            options["token"] = read_secret(keys.place("token"), report, keys.path("token"))
    elif kind == "scrape":
        if keys.has("token"):
            message = f"`{keys.path('token')}` is {NOT_YET} for `scrape`"
            report.add(NOT_SUPPORTED, node.entries["token"].key, message)
        options["urls"] = _urls(keys)
    return SourceSpec(name=name, type=kind, options=options)


def _required_url(keys: Keys, key: str) -> str:
    if not keys.has(key):
        message = f"`{key}` is missing in {keys.where}"
        keys.report.add(MISSING_KEY, keys.node, message, known=(key,))
        return ""
    return keys.read(key, url, "")


def _urls(keys: Keys) -> list[str]:
    if keys.has("url") and keys.has("urls"):
        message = f"`{keys.where}` gives both `url` and `urls`"
        keys.report.add(CONTRADICTION, keys.node.entries["urls"].key, message, hint="keep `urls`")
        return []
    if not keys.has("urls"):
        return [_required_url(keys, "url")]
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
