"""The demo's nodes: inside this process, or several of their own that may be killed and frozen while it runs."""

import os
import sys
import threading
from dataclasses import dataclass, field
from typing import Protocol

from ringctl.core.timing import SECOND
from ringctl.demo.narrator import Say
from ringctl.demo.processes import Child, start_program
from ringctl.demo.world import World
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts

LEASE_US = 5 * SECOND


class Workers(Protocol):
    """Whoever does the rollout's work."""

    def look(self) -> bool:
        """Whether it goes on; called now and then."""
        ...

    def stop(self) -> None:
        """End them, and wait until they have ended."""
        ...


class Inside:
    """One node in a thread of this process."""

    def __init__(self, parts: Parts, rollout: str) -> None:
        node = Node(parts=parts, name="demo", lease_us=LEASE_US)
        self._driver = Driver(parts=parts, node=node, only=rollout)
        self._thread = threading.Thread(target=self._driver.run, args=(lambda: False,), name="ringctl-demo")
        self._thread.start()

    def look(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let it finish what it holds."""
        self._driver.stopping.set()
        self._thread.join(timeout=30)


@dataclass(slots=True)
class Crew:
    """`count` processes `ringctl run` on one state. One that is gone is replaced, as a supervisor would do it."""

    parts: Parts
    world: World
    state: str
    rollout: str
    count: int
    say: Say
    _children: list[Child] = field(default_factory=list)
    _started: int = 0
    _told: bool = False

    def __post_init__(self) -> None:
        for _ in range(self.count):
            self._children.append(self._new())

    def _new(self) -> Child:
        self._started += 1
        command = [sys.executable, "-m", "ringctl", "run", "--rollout", self.rollout, "--workers", "4"]
        return start_program(
            f"node-{self._started}",
            command,
            directory=self.world.directory,
            env={**os.environ, "RINGCTL_STATE": self.state},
        )

    def look(self) -> bool:
        """Replace what is gone. Always goes on: there is always a node."""
        living = [node.node for node in self.parts.store.nodes() if not node.dead]
        if len(living) >= self.count and not self._told:
            self._told = True
            pids = ", ".join(name.rpartition("-")[2] for name in living)
            self.say(
                f"{len(living)} nodes work on it (pids {pids}). Kill them, freeze them: kill -9, kill -STOP"
            )
        for place, child in enumerate(self._children):
            if not child.alive():
                self.say("A node is gone; a new one takes its place, what it held is asked after")
                self._children[place] = self._new()
        return True

    def stop(self) -> None:
        """Drain them all."""
        for child in self._children:
            child.stop()
