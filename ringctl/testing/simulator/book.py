"""The accounts' own record: what lives on them, what took effect, and of what nobody knows how it ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ringctl.core.timing import Instant
from ringctl.testing.simulator.world import NEVER, Owner

CLOSE = "close_window"
Key = tuple[str, str, str]
"""(account, step, digest)."""


@dataclass(slots=True, eq=False)
class Body:
    """One run of one step: what lives on the account between its start and its end."""

    key: Key
    rollout: str
    owner: Owner
    lease_us: Instant
    step_us: Instant
    end_us: Instant
    grace_us: int
    plan: str
    ended: threading.Event
    idempotent: bool
    die_us: Instant = NEVER
    killed: str = ""
    over: bool = False
    effect: bool = False


@dataclass(slots=True)
class Book:
    """One world's record. `doubt`: started, and neither answered for certain nor asked about since."""

    live: dict[str, list[Body]] = field(default_factory=dict)
    applied: dict[Key, int] = field(default_factory=dict)
    doubt: set[Key] = field(default_factory=set)
