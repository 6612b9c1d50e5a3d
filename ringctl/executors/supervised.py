"""The node's side of the shim: starts it, forwards the lease as it is renewed, reads what it says."""

import contextlib
import importlib.util
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ringctl.core.errors import BugError
from ringctl.executors.running import Running
from ringctl.ports.executor import Control

_FOUND: Final = importlib.util.find_spec("ringctl.executors.shim")
SHIM: Final = Path(_FOUND.origin if _FOUND and _FOUND.origin else "shim.py")
POLL_SECONDS: Final = 0.05
OVERDUE_SECONDS: Final = 10.0
STREAMED_BYTES: Final = 32 * 1024
TAIL_BYTES: Final = 4 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the shim is to start, and its bounds."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    output: Path
    cap_bytes: int
    grace_s: float
    running: Running = field(default_factory=Running)


class End:
    """How it ended, as the shim reports it line by line."""

    def __init__(self) -> None:
        self.started = 0
        self.late = False
        self.noexec = ""
        self.code: int | None = None
        self.signal = 0
        self.killed = ""
        self.left = 0
        self.whole = False

    @property
    def lost(self) -> bool:
        """Whether the shim vanished or did not answer; the step was killed."""
        return not self.whole

    def take(self, line: str) -> None:
        """One line of the shim's report."""
        word, _, value = line.partition(" ")
        match word:
            case "started":
                self.started = int(value)
            case "late":
                self.late = True
            case "noexec":
                self.noexec = value
            case "exit":
                self.code = int(value)
            case "signal":
                self.signal = int(value)
            case "killed":
                self.killed = value
            case "left":
                self.left = int(value)
            case "end":
                self.whole = True
            case _:
                raise BugError(f"the shim said {line!r}")


def supervise(command: Command, control: Control) -> End:
    """Run the command under a shim until it has ended, whatever ends it; raises OSError when no shim starts."""
    tail = _Tail(command.output, control)
    end = End()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(SHIM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=command.running.stderr,
        env={},
        cwd="/",
        start_new_session=True,
        bufsize=0,
    ) as shim:
        command.running.let_go()
        try:
            _say(shim, _order(command, control))
            _follow(shim, control, end, tail, command.grace_s)
        finally:
            if shim.stdin is not None:
                with contextlib.suppress(OSError):
                    shim.stdin.close()  # from here on the shim takes the node for dead
            _make_sure(shim, end, command.grace_s)
    tail.last()
    return end


def _order(command: Command, control: Control) -> bytes:
    fields = [
        ("lease", repr(control.deadline())),
        ("step", repr(control.step_deadline())),
        ("grace", repr(command.grace_s)),
        ("cap", str(command.cap_bytes)),
        ("cwd", str(command.cwd)),
        ("output", str(command.output)),
        *(("argv", argument) for argument in command.argv),
        *(("env", f"{name}={value}") for name, value in command.env.items()),
    ]
    return b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in fields) + b"\0"


def _say(shim: "subprocess.Popen[bytes]", data: bytes) -> None:
    """Write to the shim; one that is gone is noticed where its report ends."""
    if shim.stdin is None:
        raise BugError("the shim has no standard input")
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[shim.stdin.write(data) or 0 :]


def _follow(
    shim: "subprocess.Popen[bytes]", control: Control, end: End, tail: "_Tail", grace_s: float
) -> None:
    """Until the report is whole or the shim is overdue: renewals and the stop go in, lines come out."""
    if shim.stdout is None:
        raise BugError("the shim has no standard output")
    told, stopped, pending = control.deadline(), False, b""
    with selectors.DefaultSelector() as selector:
        selector.register(shim.stdout, selectors.EVENT_READ)
        while not end.whole:
            if selector.select(POLL_SECONDS):
                data = os.read(shim.stdout.fileno(), 65536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    end.take(line.decode(errors="replace"))
            tail.more()
            deadline = control.deadline()
            if deadline > told:
                told = deadline
                _say(shim, f"extend {deadline!r}\n".encode())
            if control.stop_requested() and not stopped:
                stopped = True
                _say(shim, b"stop\n")
            overdue = min(told, control.step_deadline()) + grace_s + OVERDUE_SECONDS
            if time.monotonic() > overdue:
                return


def _make_sure(shim: "subprocess.Popen[bytes]", end: End, grace_s: float) -> None:
    """The shim is gone, and where it could not do its work (killed, frozen) the step's group is too."""
    try:
        shim.wait(grace_s + OVERDUE_SECONDS)
    except subprocess.TimeoutExpired:
        shim.kill()
    if end.started and not end.whole:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(end.started, signal.SIGKILL)


class _Tail:
    """Lines of the output file into the task's log: the first 32 KiB as they come, then the last 4."""

    def __init__(self, path: Path, control: Control) -> None:
        self._path = path
        self._control = control
        self._position = 0
        self._rest = b""

    def more(self) -> None:
        """Whole lines that are there by now."""
        data = self._read(self._position, STREAMED_BYTES - self._position)
        if not data:
            return
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._log(b"\n".join(lines))

    def last(self) -> None:
        """What is left at the end."""
        self.more()
        size = self._path.stat().st_size if self._path.exists() else 0
        start = max(self._position, size - TAIL_BYTES)
        if start > self._position:
            self._log(self._rest)
            self._log(b"[ringctl: %d bytes not shown]" % (start - self._position))
            self._rest = b""
        self._log(self._rest + self._read(start, TAIL_BYTES))

    def _read(self, start: int, most: int) -> bytes:
        if most <= 0:
            return b""
        try:
            with self._path.open("rb") as output:
                output.seek(start)
                return output.read(most)
        except OSError:
            return b""

    def _log(self, data: bytes) -> None:
        if text := data.decode(errors="replace").strip("\n"):
            self._control.log(text)
