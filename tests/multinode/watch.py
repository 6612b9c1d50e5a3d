"""Watches the process table for bodies of steps, whatever their node and their shim do."""

import contextlib
import threading
import time
from pathlib import Path

from tests.multinode.oracle import NOBODY, Sighting

EVERY_S = 0.1


class Watch:
    """A thread that notes every body whose program lies below `directory`, and which node it descends from."""

    def __init__(self, directory: Path) -> None:
        self._mark = f"{directory}/targets/".encode()
        self._nodes: set[int] = set()
        self._seen: dict[str, Sighting] = {}
        self._working: set[int] = set()
        self._alive: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def node(self, pid: int) -> None:
        """From now on this is a node."""
        with self._lock:
            self._nodes.add(pid)

    def stop(self) -> list[Sighting]:
        """Everything that was seen."""
        self._ending.set()
        self._thread.join()
        return list(self._seen.values())

    def working(self) -> set[int]:
        """Nodes of which a body was alive at the last look."""
        return self._working

    def bodies(self, node: int) -> set[str]:
        """Bodies of the node that were alive at the last look."""
        return {body for body in self._alive if self._seen[body].node == node}

    def _run(self) -> None:
        while not self._ending.wait(EVERY_S):
            now = time.monotonic()
            bodies = self._bodies()
            for body, pid in bodies.items():
                before = self._seen.get(body)
                if before is None or before.node == NOBODY:
                    first = before.first if before else now
                    self._seen[body] = Sighting(body, self._node_of(pid), first, now)
                else:
                    self._seen[body] = Sighting(body, before.node, before.first, now)
            self._working = {self._seen[body].node for body in bodies}
            self._alive = frozenset(bodies)

    def _bodies(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if any(word.endswith(b"/body.sh") or word == b"./body.sh" for word in words[:3]) and any(
                        word.startswith(self._mark) for word in words
                    ):
                        fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                        if fields[0] != b"Z":
                            found[f"{entry.name}.{fields[19].decode()}"] = int(entry.name)
        return found

    def _node_of(self, pid: int) -> int:
        with self._lock:
            nodes = set(self._nodes)
        for _ in range(6):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                pid = int(stat[1])
                if pid in nodes:
                    return pid
        return NOBODY
