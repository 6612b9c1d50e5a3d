"""The store through its port: schema, clock, tallies, sessions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ringctl.cli.health.checks import Check, failed, passed, warned
from ringctl.core.timing import SECOND, Instant
from ringctl.ports.clock import Clock
from ringctl.ports.records import Node
from ringctl.ports.store import Store

OFF_S: Final = 5.0
HOLDS_S: Final = 30.0
"""An offset above this holds the gates (DESIGN 12.11)."""


def schema(store: Store) -> Check:
    """Raises StoreUnavailable where it does not fit."""
    found, known = store.check()
    return passed("schema", f"{found} of {known}")


def clock_offset(store: Store, clock: Clock) -> Check:
    """How far the store's clock is from this host's, measured around one question."""
    before = clock.now_us()
    there = store.now_us()
    after = clock.now_us()
    return offset((there - (before + after) // 2) / SECOND, (after - before) / SECOND)


def offset(seconds: float, took_s: float) -> Check:
    """Judge an offset (pure)."""
    text = f"the store's clock is {seconds:+.1f} s from this host's (asked within {took_s * 1000:.0f} ms)"
    remedy = "set both clocks (NTP): leases use the store's alone, gates compare metrics with it"
    if abs(seconds) > HOLDS_S:
        return failed("clock", text, remedy)
    if abs(seconds) > OFF_S:
        return warned("clock", text, remedy)
    return passed("clock", text)


def tallies(found: Mapping[str, int]) -> Iterator[Check]:
    """What must be 0, and what is seldom (pure)."""
    doubles, fenced = found.get("double_claims", 0), found.get("fenced_writes", 0)
    if doubles:
        yield failed(
            "double-claims",
            f"{doubles} steps were seen under two claims at once",
            "look at the accounts first: ringctl explain RC5120",
        )
    else:
        yield passed("double-claims", "0")
    if fenced:
        yield warned(
            "fenced-writes",
            f"{fenced} late writes of stale nodes were refused (nothing was harmed)",
            "nodes freeze or lose the store for longer than their lease: see to that, or set a longer lease",
        )
    else:
        yield passed("fenced-writes", "0")


def sessions(nodes: Sequence[Node], now_us: Instant) -> Iterable[Check]:
    """Nodes that are there, were lost, or whose tasks nobody rescues (pure)."""
    alive = [node for node in nodes if not node.dead and node.lease_until_us >= now_us]
    stale = [node for node in nodes if not node.dead and node.lease_until_us < now_us]
    lost = [node for node in nodes if node.dead and not node.ended]
    holding = [node for node in (*stale, *lost) if node.held]
    if holding:
        count = sum(node.held for node in holding)
        yield warned(
            "sessions",
            f"{count} tasks are held by {len(holding)} nodes that are gone",
            "any node rescues them: ringctl run",
        )
    elif stale and not alive:
        yield warned("sessions", f"{len(stale)} nodes are gone and no node is alive", "ringctl run")
    elif lost:
        yield warned(
            "sessions",
            f"{len(alive)} nodes alive; {len(lost)} were lost in the last hour",
            "see why they died or froze: ringctl nodes ls",
        )
    else:
        yield passed("sessions", f"{len(alive)} nodes alive, none lost in the last hour")
