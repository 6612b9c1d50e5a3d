"""Rings: whom they hold, in which waves they go, how long each is watched."""

from collections.abc import Sequence

from ringctl.core.fleet import Selector
from ringctl.core.policy import ALL, NONE_FAIL, Amount, Bake, Canary, RingPolicy
from ringctl.core.timing import DAY, MILLISECOND, MINUTE, Span
from ringctl.settings import units
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node
from ringctl.settings.policy_fields import BakeFields, CanaryFields, RequalifyBake, RingFields
from ringctl.settings.report import (
    CONTRADICTION,
    DUPLICATE_NAME,
    EMPTY_RING,
    OUT_OF_RANGE,
    UNKNOWN_NAME,
    WRONG_TYPE,
    Mistake,
    Report,
)
from ringctl.settings.selectors import read_selector

_span = units.within(units.duration, MILLISECOND, 365 * DAY, "1ms to 365d")
_parallel = units.within(units.count, 1, 10_000, "1 to 10000")
_at_most = units.within(units.count, 1, units.MOST, "at least 1")
USUAL_MAX: Span = DAY


def some(node: Node) -> Amount:
    """An amount that is more than none."""
    amount = units.amount(node)
    if amount.count == 0 or amount.share == 0:
        raise Mistake(OUT_OF_RANGE, "must be more than 0")
    return amount


def read_rings(keys: Keys, gates: Sequence[str], usual: Sequence[str]) -> tuple[RingPolicy, ...]:
    """The policy's `rings`; `usual` are the gates of a ring that names none."""
    given = keys.place("rings")
    if keys.has("rings") and (given.value is None or given.value == ()):
        message = "`rings` is empty: nobody would be upgraded"
        keys.report.add(EMPTY_RING, given, message)
        keys.spoil("rings")
        return ()
    found: list[RingPolicy] = []
    lines: dict[str, int] = {}
    for place, node in enumerate(keys.items("rings")):
        ring = _ring(node, keys.report, f"rings[{place}]", gates, usual)
        if ring.name in lines:
            name = node.entries["name"].node
            message = f"two rings are called `{ring.name}`, the first in line {lines[ring.name]}"
            keys.report.add(DUPLICATE_NAME, name, message)
        elif ring.name:
            lines[ring.name] = node.line
        found.append(ring)
    return tuple(found)


def _ring(node: Node, report: Report, where: str, gates: Sequence[str], usual: Sequence[str]) -> RingPolicy:
    keys = _RingKeys(node, RingFields, report, where)
    _check_promote(keys)
    return RingPolicy(
        name=keys.read("name", units.name, ""),
        select=_select(keys),
        canary=_canary(keys.below("canary", CanaryFields)),
        waves=_waves(keys),
        bake=_ring_bake(keys),
        max_parallel=keys.read("max_parallel", _parallel, 8),
        max_failures=keys.read("max_failures", units.amount, NONE_FAIL),
        gates=ring_gates(keys, gates, usual),
        line=node.line,
    )


class _RingKeys(Keys):
    """A ring's keys: a ring without a selector has a code of its own."""

    def get(self, key: str) -> Node | None:
        if key == "select" and not self.has("select"):
            return None
        return super().get(key)


def _select(keys: Keys) -> Selector:
    node = keys.get("select")
    if node is None or node.value is None:
        if keys.whole:
            place = node or keys.node
            message = f"{keys.where} selects no accounts: `select` is missing"
            keys.report.add(EMPTY_RING, place, message, hint="such as {ring: 0}; {} is every account")
        return Selector()
    return read_selector(node, keys.report, keys.path("select"))


def _check_promote(keys: Keys) -> None:
    node = keys.get("promote")
    if node is not None and node.value == "manual":
        keys.refuse("promote", node)
    else:
        keys.read("promote", units.one_of("auto"), "auto")


def ring_gates(keys: Keys, gates: Sequence[str], usual: Sequence[str]) -> tuple[str, ...]:
    """The gates under `gates`, each of which exists."""
    if not keys.has("gates"):
        return tuple(usual)
    names = keys.names("gates")
    for node in keys.place("gates").items:
        if isinstance(node.value, str) and node.value and node.value not in gates:
            message = f"there is no gate `{node.value}`"
            keys.report.unknown(UNKNOWN_NAME, node, message, gates)
    return names


def _canary(keys: Keys) -> Canary:
    canary = Canary(
        accounts=keys.read("accounts", some, Amount(count=1)),
        at_most=keys.read("at_most", _at_most, None),
        prefer=_selector(keys, "prefer") or Selector(),
        exempt=_selector(keys, "exempt"),
    )
    if canary.exempt == Selector():
        message = f"`{keys.path('exempt')}` exempts every account"
        keys.report.add(EMPTY_RING, keys.place("exempt"), message, hint="leave it out to exempt nobody")
    if keys.has("at_most") and canary.accounts.count is not None and keys.sound("accounts"):
        message = f"`{keys.path('at_most')}` bounds a share, but `accounts` is a number"
        keys.report.add(CONTRADICTION, keys.place("at_most"), message, hint="leave `at_most` out")
    return canary


def _selector(keys: Keys, key: str) -> Selector | None:
    if not keys.has(key):
        return None
    return read_selector(keys.place(key), keys.report, keys.path(key))


def _waves(keys: Keys) -> tuple[Amount, ...]:
    """Cumulative amounts that rise and end with everything."""
    items = keys.items("waves")
    if not items:
        if keys.sound("waves"):
            message = f"`{keys.path('waves')}` is empty"
            keys.report.add(OUT_OF_RANGE, keys.place("waves"), message, hint="[100%]")
        return (ALL,)
    waves = [keys.parse("waves", item, some, ALL) for item in items]
    if not keys.sound("waves"):
        return tuple(waves)
    for place in range(1, len(waves)):
        before, wave = waves[place - 1], waves[place]
        if not _rises(before, wave):
            message = f"`{keys.path('waves')}` must rise: {wave} after {before}"
            hint = "amounts are cumulative; numbers stand before shares"
            keys.report.add(CONTRADICTION, items[place], message, hint=hint)
    if waves[-1] != ALL:
        message = f"`{keys.path('waves')}` must end with 100%, here {waves[-1]}"
        keys.report.add(CONTRADICTION, items[-1], message, hint="add 100%")
    return tuple(waves)


def _rises(before: Amount, wave: Amount) -> bool:
    if before.share is not None and wave.share is not None:
        return wave.share > before.share
    if before.count is not None and wave.count is not None:
        return wave.count > before.count
    return wave.share is not None


def _ring_bake(keys: Keys) -> Bake:
    if keys.has("bake") and keys.has("soak"):
        message = f"{keys.where} gives both `bake` and `soak`: they mean the same"
        keys.report.add(CONTRADICTION, keys.node.entries["soak"].key, message)
        return Bake()
    key = "soak" if keys.has("soak") else "bake"
    return read_bake(keys, key, BakeFields) if keys.has(key) else Bake()


def read_bake(keys: Keys, key: str, shape: type[BakeFields | RequalifyBake]) -> Bake:
    """Watched time; `max` defaults to a day, or twice `min` where that is more."""
    node = keys.place(key) if keys.has(key) else None
    if node is not None and isinstance(node.value, str):
        message = f"`{keys.path(key)}` must be a mapping, here is {node.kind}"
        hint = f"write {key}: {{min: {node.text}}}"
        keys.report.add(WRONG_TYPE, node, message, hint=hint)
        return Bake()
    below = keys.below(key, shape)
    shortest = below.read("min", _span, 15 * MINUTE)
    longest = below.read("max", _span, max(USUAL_MAX, 2 * shortest))
    if below.sound("min", "max") and shortest > longest:
        message = f"`{below.where}`: `min` is longer than `max`"
        below.report.add(CONTRADICTION, below.place("max"), message)
    return Bake(min_us=shortest, activity=below.read("activity", units.count, 0), max_us=longest)
