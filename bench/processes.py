"""Running one process and reading what it took."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Cost:
    """What a process took. `peak_mib` is its peak resident memory."""

    seconds: float
    cpu: float
    peak_mib: float


def environment() -> dict[str, str]:
    """As a user has it: byte code is written once and read ever after."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT)}


def begin(arguments: Sequence[str], folder: Path) -> "subprocess.Popen[bytes]":
    """Start Python with these arguments, silent."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def end(process: "subprocess.Popen[bytes]", began: float, codes: Sequence[int] = (0,)) -> Cost:
    """Wait for a process; its cost. Raises RuntimeError when it failed."""
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode not in codes:
        raise RuntimeError(said.decode(errors="replace"))
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def python(arguments: Sequence[str], folder: Path) -> Cost:
    """Run Python with these arguments to its end."""
    began = time.monotonic()
    return end(begin(arguments, folder), began)
