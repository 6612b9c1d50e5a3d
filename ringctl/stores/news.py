"""Hints that something in the store has changed: a thread of its own that calls back. Losing one costs time, never
correctness: whoever is told looks anew, and whoever is not told looks anew a little later."""

import threading
from collections.abc import Callable
from typing import Protocol


class Watch(Protocol):
    """Waits for a change. `wait` returns whether there was one within about the seconds; it may raise."""

    def wait(self, seconds: float) -> bool:
        """Wait for the next change."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class News:
    """Calls `told` whenever the watch sees a change, until `stop`. A watch that fails is opened anew."""

    def __init__(self, open_watch: Callable[[], Watch], told: Callable[[], None], *, every_s: float) -> None:
        self._open = open_watch
        self._told = told
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringctl-news", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = self._every_s
        while not self._stopped.is_set():
            watch = None
            try:
                watch = self._open()
                self._told()  # what happened while nobody listened
                pause = self._every_s
                while not self._stopped.is_set():
                    if watch.wait(self._every_s):
                        self._told()
            except Exception:  # noqa: BLE001 - a hint less; the next look finds out why, and says it
                pause = min(pause * 2, 30.0)
            finally:
                if watch is not None:
                    watch.close()
            self._stopped.wait(pause)
