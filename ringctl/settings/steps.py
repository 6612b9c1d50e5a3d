"""Steps: one normal form per executor, with every file that the step may read.

sql          {"file", "database", "params"?}
batched_sql  {"file", "database", "params"?, "table", "key", "batch": {"target_us", "max_rows", "pause_us"}}
command      {"argv", "env"}
http         {"url", "method", "headers"?, "body"?, "expect"?}
noop         {}
probe        {"command": argv, "env"} or {"http": {"url", "method", "headers"?, "expect", "absent"}}
undo         {"sql": file, "database"}, {"command": argv, "env"} or {"http": as above}
"""

from collections.abc import Callable, Mapping

from ringctl.core.bundle import StepSpec
from ringctl.core.closest import did_you_mean
from ringctl.core.timing import DAY, MILLISECOND, SECOND
from ringctl.settings import units
from ringctl.settings.actions import (
    Options,
    Workshop,
    batched_options,
    command_options,
    http_options,
    http_probe,
    read_params,
    sql_options,
)
from ringctl.settings.bundle_fields import BUILT_IN, CloseFields, ProbeFields, StepFields, UndoFields
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.report import (
    CONTRADICTION,
    MISSING_KEY,
    UNKNOWN_KEY,
    UNKNOWN_NAME,
)

CLOSE = "close_window"

_COMMON = frozenset({"id", "timeout", "undo", "forward_only", "scope", "files"})
_OWN: Mapping[str, frozenset[str]] = {
    "sql": frozenset({"sql", "database", "params"}),
    "batched_sql": frozenset({"batched_sql", "database", "params", "table", "key", "batch"}),
    "command": frozenset({"command", "env", "idempotent", "probe"}),
    "http": frozenset({"http", "idempotent", "probe"}),
    "noop": frozenset({"noop"}),
}
_FOREIGN = frozenset({"idempotent", "probe"})

_timeout = units.within(units.duration, 100 * MILLISECOND, 7 * DAY, "100ms to 7d")


def read_step(node: Node, where: str, shop: Workshop) -> StepSpec:
    """One step, without the files that nobody names and without its digest."""
    executor = _executor(node, where, shop)
    keys = Keys(_shaped(node, executor), StepFields, shop.report, where)
    files: set[str] = set(keys.each("files", shop.files.path))
    _check_scope(keys)
    options = _options(keys, executor, shop, files)
    if executor not in BUILT_IN and executor:
        options = _foreign_options(node, executor)
    usual = options.get("database")
    return StepSpec(
        id=keys.read("id", units.name, ""),
        executor=executor,
        options=options,
        probe=_probe(keys, executor, shop, files),
        undo=_undo(keys, shop, files, usual if isinstance(usual, str) else ""),
        files=tuple(sorted(files)),
        timeout_us=keys.read("timeout", _timeout, 60 * SECOND),
        idempotent=keys.read("idempotent", units.flag, fallback=False),
        forward_only=keys.read("forward_only", units.flag, fallback=False),
        line=node.line,
    )


def read_close(keys: Keys, shop: Workshop, steps: tuple[StepSpec, ...]) -> StepSpec:
    """`close_window`, a step of its own; its database is that of the steps where they share one."""
    files: set[str] = set(keys.each("files", shop.files.path))
    databases = {str(step.options["database"]) for step in steps if step.options.get("database")}
    usual = databases.pop() if len(databases) == 1 else ""
    executor = _one_of(keys, ("command", "http", "sql"))
    options: Options = {}
    if executor == "sql":
        options = sql_options(keys, shop, files, database=usual)
    elif executor == "command":
        options = command_options(keys, shop, files)
    elif executor == "http":
        options = http_options(keys.place("http"), shop.report, keys.path("http"))
    return StepSpec(
        id=CLOSE,
        executor=executor,
        options=options,
        files=tuple(sorted(files)),
        timeout_us=keys.read("timeout", _timeout, 60 * SECOND),
        line=keys.node.line,
    )


def _executor(node: Node, where: str, shop: Workshop) -> str:
    """The one key that names an executor; empty when there is none (and a finding)."""
    if not node.is_mapping:
        return ""
    named = [key for key in node.entries if key in shop.executors]
    known = sorted(shop.executors)
    if len(named) == 1:
        return named[0]
    if named:
        place = node.entries[named[1]].key
        message = f"{where} names two executors: `{named[0]}` and `{named[1]}`"
        shop.report.add(CONTRADICTION, place, message, hint="make it two steps")
        return named[0]
    strange = [key for key in node.entries if key not in StepFields.__slots__]
    if strange:
        place = node.entries[strange[0]].key
        message = f"there is no executor `{clipped(strange[0])}`"
        shop.report.unknown(UNKNOWN_NAME, place, message, known)
    else:
        message = f"{where} does not say what runs"
        shop.report.add(MISSING_KEY, node, message, known=known)
    return ""


def _shaped(node: Node, executor: str) -> Node:
    """The keys that the step's own reader sees; keys of foreign executors are left out.

    Without an executor the first unknown key has been noted as one: it is not noted twice.
    """
    if not node.is_mapping:
        return node
    if executor in BUILT_IN:
        kept = node.entries
    elif executor:
        own = _COMMON | _FOREIGN
        kept = {key: entry for key, entry in node.entries.items() if key in own}
    else:
        kept = {key: one for key, one in node.entries.items() if key in StepFields.__slots__}
    return Node(value=kept, line=node.line, column=node.column, text=node.text)


def _foreign_options(node: Node, executor: str) -> Options:
    """A foreign executor's options as they are: its own mapping, or `value`, and its further keys."""
    value = node.entries[executor].node.plain()
    options: Options = dict(value) if isinstance(value, dict) else {"value": value}
    for key, entry in node.entries.items():
        if key not in _COMMON | _FOREIGN | {executor}:
            options[key] = entry.node.plain()
    return options


def _options(keys: Keys, executor: str, shop: Workshop, files: set[str]) -> Options:
    """The options of a built-in executor; keys of other executors are refused."""
    if executor not in _OWN:
        return {}
    own = _COMMON | _OWN[executor]
    for key, entry in keys.node.entries.items():
        if key in StepFields.__slots__ and key not in own and key not in _OWN:
            message = f"unknown key `{key}` in {keys.where}: not for `{executor}`"
            hint = did_you_mean(key, own)
            shop.report.add(UNKNOWN_KEY, entry.key, message, known=sorted(own), hint=hint)
            keys.spoil(key)
    if executor == "noop":
        return _noop(keys)
    if executor == "sql":
        return {**sql_options(keys, shop, files), **read_params(keys)}
    if executor == "batched_sql":
        return {**batched_options(keys, shop, files), **read_params(keys)}
    if executor == "command":
        return command_options(keys, shop, files)
    return http_options(keys.place("http"), shop.report, keys.path("http"))


def _noop(keys: Keys) -> Options:
    node = keys.place("noop")
    if node.value is not None and (not node.is_mapping or node.entries):
        message = f"`{keys.path('noop')}` has no options"
        keys.report.add(UNKNOWN_KEY, node, message, hint="noop: {}")
    return {}


def _check_scope(keys: Keys) -> None:
    scope = keys.get("scope")
    if scope is not None and scope.value == "database":
        keys.refuse("scope", scope)
    else:
        keys.read("scope", units.one_of("account"), "account")


def _one_of(keys: Keys, options: tuple[str, ...]) -> str:
    """The one of these keys that is given."""
    given = [key for key in options if keys.has(key)]
    if len(given) == 1:
        return given[0]
    if keys.whole:
        message = f"{keys.where} needs one of {', '.join(options)}"
        code = CONTRADICTION if given else MISSING_KEY
        keys.report.add(code, keys.node, message, known=options)
    return ""


def _probe(keys: Keys, executor: str, shop: Workshop, files: set[str]) -> Options | None:
    """What finds out about the step; a command asks with a command, a request with a request."""
    readers: dict[str, Callable[[Keys], Options]] = {
        "command": lambda below: _flat_command(below, shop, files),
        "http": lambda below: {"http": http_probe(below.place("http"), shop.report, below.path("http"))},
    }
    if executor in readers:
        readers = {executor: readers[executor]}
    return _side(keys, "probe", ProbeFields, shop, readers)


def _undo(keys: Keys, shop: Workshop, files: set[str], database: str) -> Options | None:
    def sql(below: Keys) -> Options:
        options = sql_options(below, shop, files, database=database)
        return {"sql": options["file"], "database": options["database"]}

    return _side(
        keys,
        "undo",
        UndoFields,
        shop,
        {
            "command": lambda below: _flat_command(below, shop, files),
            "http": lambda below: {
                "http": http_options(below.place("http"), shop.report, below.path("http"))
            },
            "sql": sql,
        },
    )


def _flat_command(keys: Keys, shop: Workshop, files: set[str]) -> Options:
    options = command_options(keys, shop, files)
    return {"command": options["argv"], "env": options["env"]}


def _side(
    keys: Keys,
    key: str,
    shape: type[ProbeFields | UndoFields],
    shop: Workshop,
    readers: Mapping[str, Callable[[Keys], Options]],
) -> Options | None:
    """A `probe` or `undo`: one action beside the step."""
    if not keys.has(key):
        return None
    below = Keys(keys.place(key), shape, shop.report, keys.path(key))
    chosen = _one_of(below, tuple(readers))
    if not chosen:
        return {}
    if chosen != "command" and below.has("env"):
        place = below.node.entries["env"].key
        message = f"`{below.path('env')}` is only for a command"
        shop.report.add(CONTRADICTION, place, message)
    return readers[chosen](below)


def read_bundle_close(keys: Keys, shop: Workshop, steps: tuple[StepSpec, ...]) -> StepSpec | None:
    """The bundle's `close_window`, where it has one."""
    if not keys.has("close_window"):
        return None
    return read_close(Keys(keys.place(CLOSE), CloseFields, shop.report, CLOSE), shop, steps)
