"""Running a node in this process and following a rollout: what `start --wait`, `wait`, `run` and `work` share."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated

import typer

from ringctl.cli.invocation import current
from ringctl.cli.render import note
from ringctl.cli.style import Painter, clip, columns_of, show, wants_color
from ringctl.core.errors import NotAllowed
from ringctl.core.timing import SECOND, Span, human, rfc3339
from ringctl.engine import queries
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts
from ringctl.engine.stopping import StopSwitch, stop_file
from ringctl.ports.records import Entry

StopFile = Annotated[
    str,
    typer.Option(
        "--stop-file",
        metavar="PATH",
        help="While this file is there nothing runs (default: RINGCTL_STOP_FILE, else STOP beside the copies).",
    ),
]

DRAINED = 143
STOP_LOOK_S = 0.5
GIVE_UP_S = 15.0
"""After a stop was seen: the kill grace of the steps (5 s), the kill itself (5 s), and a margin. Whoever hangs then,
in a store that does not answer, is ended; without its node a step's shim kills it."""
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


def node_of(parts: Parts, workers: int, lease_us: Span = 15 * SECOND, stop: str = "") -> Node:
    """A node of this process. `stop` is the stop file's path as given."""
    switch = StopSwitch(
        path=stop_file(stop, parts.environ, parts.work_dir), environ=parts.environ, clock=parts.clock
    )
    return Node(
        parts=parts,
        name=f"{parts.host}-{os.getpid()}",
        parallel=workers,
        lease_us=lease_us,
        stop_now=switch,
    )


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
    """Drive until `until()`, SIGTERM or `nodes drain`, then drain; whether one of the latter two ended it. Raises
    NotAllowed (RC4002) when a stop file or `RINGCTL_STOP` ends it, or is there to begin with."""
    node = driver.node
    if node is None or not isinstance(node.stop_now, StopSwitch):
        with term_noted() as came:
            driver.run(lambda: came() or until(), on_pass=on_pass)
            return came()
    switch = node.stop_now
    if switch():
        raise stopped(switch, node)
    with term_noted() as came, watched(driver, node, switch):
        driver.run(lambda: came() or until(), on_pass=on_pass)
    if switch():
        raise stopped(switch, node)
    if node.in_hand:
        note(_untold(node.in_hand))
    if node.draining:
        note("told to drain (ringctl nodes ls says by whom): ended")
    return came() or node.draining


def _untold(accounts: Sequence[str]) -> str:
    return f"the store did not answer: when the lease is over others take up {', '.join(map(show, accounts))}"


def stopped(switch: StopSwitch, node: Node) -> NotAllowed:
    """The end of a node that was stopped: why, and who stands half-way. Of whom the store could not be told it is
    not known here whether they do."""
    for one in node.halfway:
        note(f"half-way: {show(one.claim.account)} of {show(one.claim.rollout)}: {show(one.reason)}")
    said = [f"{switch.why}: nothing runs here and nothing begins"]
    if node.halfway:
        said.append(f"half-way: {', '.join(one.claim.account for one in node.halfway)}")
    if node.in_hand:
        said.append(_untold(node.in_hand))
    way = "set RINGCTL_STOP to 0" if switch.why.startswith("RINGCTL_STOP") else f"remove {switch.path}"
    return NotAllowed("; ".join(said), code="RC4002", hint=f"to go on: {way}, then `ringctl run`")


@contextmanager
def watched(driver: Driver, node: Node, switch: StopSwitch) -> Iterator[None]:
    """While this lasts a thread looks for the stop, so that it is seen whatever the others wait for. Should the node
    not have ended in time after it, the process is: its steps go with it."""
    over = threading.Event()

    def look() -> None:
        while not switch():
            if over.wait(STOP_LOOK_S):
                return
        note(f"stopping: {switch.why}")
        driver.stopping.set()
        node.wake.set()
        if not over.wait(GIVE_UP_S):
            error = stopped(switch, node)
            sys.stderr.write(f"error[{error.code}]: {error.message}\n")
            sys.stderr.flush()
            os._exit(error.exit_code)

    thread = threading.Thread(target=look, name="ringctl-stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)
