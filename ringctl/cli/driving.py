"""Running a node in this process and following a rollout: what `start --wait`, `wait`, `run` and `work` share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ringctl.cli.invocation import current
from ringctl.cli.style import Painter, clip, columns_of, show, wants_color
from ringctl.core.timing import SECOND, Span, human, rfc3339
from ringctl.engine import queries
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts
from ringctl.ports.records import Entry

DRAINED = 143
HEARTBEAT_S = 30.0
# What a journal entry says first, and without its name; digests and long lists stay in `-o json`.
_BARE = ("code", "error", "ring", "wave_kind", "revision")
_LEADING = (*_BARE, "accounts", "account", "state")
_QUIET = frozenset(
    {"members", "digest", "bundle", "policy", "plan", "fleet", "wave", "numbers", "id", "files", "before", "next",
     "reason", "actor"}
)  # fmt: skip
_STYLES = {"held": "yellow", "aborted": "red", "amended": "yellow", "hold-lifted": "green"}


def event_line(entry: Entry, room: int, paint: Painter) -> str:
    """A journal entry as one line."""
    at = rfc3339(entry.at_us)[11:19]
    said = clip(event_text(entry.payload), max(20, room - 8 - 2 - 16 - 2))
    actor = "" if entry.actor in {"", "ringctl"} or "actor" in entry.payload else f"({show(entry.actor, 40)})"
    kind = paint(f"{show(entry.kind, 40):16}", *_STYLES.get(entry.kind, "").split())
    return "  ".join([at, kind, " ".join(word for word in (said, actor) if word)]).rstrip()


def event_text(payload: Mapping[str, object]) -> str:
    """The payload in words: what matters first, the reason last, digests left out."""
    names = [name for name in _LEADING if name in payload]
    names += [name for name in payload if name not in _LEADING and name not in _QUIET]
    parts = []
    for name in names:
        value = payload[name]
        if name.endswith("_us") and not name.endswith("at_us") and isinstance(value, int):
            parts.append(f"{show(name[:-3], 40)} {human(value)}")
        elif isinstance(value, str | int | float) and value != "":
            parts.append(show(value) if name in _BARE else f"{show(name, 40)} {show(value)}")
    reason = show(payload["reason"]) if payload.get("reason") else ""
    return ": ".join(part for part in (", ".join(parts), reason) if part)


@dataclass(slots=True)
class Follower:
    """Prints a rollout's new journal entries to standard error, and a heartbeat when nothing happens."""

    parts: Parts
    rollout: str
    after: int = 0
    _next_beat: float = 0.0

    def __call__(self) -> None:
        """Print what is new."""
        if current().quiet:
            return
        now = self.parts.clock.monotonic()
        paint = Painter(on=wants_color(current().color, sys.stderr))
        for entry in self.parts.store.journal(self.rollout, after=self.after):
            self.after = entry.seq
            self._next_beat = now + HEARTBEAT_S
            sys.stderr.write(event_line(entry, columns_of(), paint) + "\n")
        if now >= self._next_beat:
            if self._next_beat:
                self._beat()
            self._next_beat = now + HEARTBEAT_S
        sys.stderr.flush()

    def _beat(self) -> None:
        rollout = self.parts.store.load(self.rollout)
        step = queries.next_object(rollout, self.parts.store.facts(rollout))
        at = rfc3339(self.parts.store.now_us())[11:19]
        sys.stderr.write(clip(f"{at}  {rollout.state!s:16}  {show(step['text'], 400)}", columns_of()) + "\n")


def node_of(parts: Parts, workers: int, lease_us: Span = 15 * SECOND) -> Node:
    """A node of this process."""
    return Node(parts=parts, name=f"{parts.host}-{os.getpid()}", parallel=workers, lease_us=lease_us)


@contextmanager
def term_noted() -> Iterator[Callable[[], bool]]:
    """While this lasts, SIGTERM is only noted; the value says whether it came.

    The handler takes no lock: it may run in the middle of a wait of the thread it interrupts.
    """
    came: list[int] = []

    def note_it(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGTERM, note_it)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(driver: Driver, until: Callable[[], bool], on_pass: Callable[[], None] = lambda: None) -> bool:
    """Drive until `until()` or SIGTERM, then drain; whether SIGTERM ended it."""
    with term_noted() as came:
        driver.run(lambda: came() or until(), on_pass=on_pass)
        return came()
