"""The trial's nodes: `ringctl run` in processes of their own, killed, frozen and started again."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENDS_S: Final = 10.0
"""Seconds a node gets to end by itself."""


@dataclass(slots=True)
class Worker:
    """One node's place, and the process that is in it now. `thaw_at`: when a frozen one goes on (monotonic)."""

    number: int
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    thaw_at: float | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 while there is none."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0

    def launch(self) -> None:
        """Start the node."""
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(  # noqa: S603 - ringctl itself
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=self.environ,
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """The exit code of a node that ended though nobody ended it."""
        return self.process.poll() if self.process is not None else None

    def kill(self) -> None:
        """Kill -9, and collect it."""
        self.thaw_at = None
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait(timeout=ENDS_S)

    def freeze(self, until: float) -> None:
        """SIGSTOP: the node, not what it started."""
        if self.pid:
            os.kill(self.pid, signal.SIGSTOP)
            self.thaw_at = until

    def thaw(self) -> None:
        """SIGCONT."""
        self.thaw_at = None
        if self.pid:
            os.kill(self.pid, signal.SIGCONT)

    def told(self) -> None:
        """Ask it to end."""
        self.thaw()
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)

    def gone(self, seconds: float = ENDS_S) -> None:
        """Wait for its end; kill -9 after `seconds`."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self, characters: int = 1500) -> str:
        """The end of its log."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")[-characters:].strip()
        except FileNotFoundError:
            return ""
