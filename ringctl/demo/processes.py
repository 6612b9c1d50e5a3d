"""Processes of the demo: started with a log and a ready file, ended by their id, gone with their parent.

Every child holds the read end of a pipe from its parent as standard input. When the parent ends, for
whatever reason and however suddenly, the pipe ends, and the child follows. `python -m
ringctl.demo.processes PROGRAM ...` stands guard over a program that does not know this convention.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
GUARD = "ringctl.demo.processes"


class ChildFailed(RuntimeError):
    """A child ended, or did not become ready; the text holds the end of its log."""


class Child:
    """A running child process in a session of its own: Ctrl-C in the terminal reaches only its parent."""

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def wait_ready(self, ready: Path, *, seconds: float = READY_SECONDS) -> dict[str, object]:
        """Wait for the child's ready file and return what it says. Stops the child and raises if none comes."""
        deadline = time.monotonic() + seconds
        while not ready.exists():
            self.check(deadline)
            time.sleep(POLL_SECONDS)
        said: dict[str, object] = json.loads(ready.read_text(encoding="utf-8"))
        return said

    def check(self, deadline: float) -> None:
        """Raise ChildFailed when the child has ended, or when the monotonic deadline has passed (stops it)."""
        if self.alive() and time.monotonic() <= deadline:
            return
        ended = self._process.poll()
        self.stop()
        what = "was not ready in time" if ended is None else f"ended with {ended}"
        raise ChildFailed(f"the demo's {self.name} {what}: {self.said()}")

    def said(self, characters: int = 2000) -> str:
        """The end of the child's log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-characters:].strip()

    def stop(self) -> None:
        """End the child; a second call does nothing."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self.alive():
            self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=STOP_SECONDS)


def start_module(
    module: str, arguments: Sequence[str], *, directory: Path
) -> tuple[Child, dict[str, object]]:
    """Start a module of the demo as a child, wait until it is ready, and return it with what it said.

    Log and ready file lie in the demo's directory, in `logs/` and `run/`.
    """
    name = module.rpartition(".")[2]
    ready = directory / "run" / f"{name}.json"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    common = ("--ready-file", str(ready), "--until-eof")
    command = [sys.executable, "-m", module, *arguments, *common]
    child = Child(name, command, log=directory / "logs" / f"{name}.log")
    return child, child.wait_ready(ready)


def start_program(
    name: str, command: Sequence[str], *, directory: Path, env: Mapping[str, str] | None = None
) -> Child:
    """Start any program under guard, so that it too goes with its parent. `env` None: this process's."""
    guarded = [sys.executable, "-m", GUARD, *command]
    return Child(name, guarded, log=directory / "logs" / f"{name}.log", env=env)


def until_told(*, until_eof: bool) -> threading.Event:
    """An event that is set by SIGTERM, by Ctrl-C and, if asked for, by the end of standard input."""
    told = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if until_eof:
        threading.Thread(target=_await_eof, args=(told,), daemon=True).start()
    return told


def write_ready(path: Path | None, document: Mapping[str, object]) -> None:
    """Say, all at once, that this process is ready."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(document), encoding="utf-8")
    part.replace(path)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _await_eof(told: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    told.set()


def _guard(command: Sequence[str]) -> int:
    """Run a program until it ends or the parent does; its exit code, or 0 when it was told to end."""
    told = until_told(until_eof=True)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while not told.wait(0.1):
        if program.poll() is not None:
            return program.returncode
    program.terminate()
    try:
        program.wait(timeout=STOP_SECONDS / 2)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
    return 0


if __name__ == "__main__":
    sys.exit(_guard(sys.argv[1:]))
