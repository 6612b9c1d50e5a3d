"""The failing disk (`faults.c`): built once per run, preloaded into the processes that it is to happen to."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tidy.tree import ROOT

SOURCE = Path(__file__).with_name("faults.c")

# kind of crash: the mode of the failing disk, and the error that a call comes back with
KINDS = {
    "kill": ("kill", 0),  # SIGKILL before the call
    "torn": ("torn", 0),  # SIGKILL when half of what a call writes is written
    "power": ("power", 0),  # SIGKILL, and what was not synced is gone
    "EIO": ("fail", errno.EIO),
    "ENOSPC": ("fail", errno.ENOSPC),
}


def build(directory: Path) -> Path:
    """Compile it; the library's path."""
    library = directory / "faults.so"
    command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


@dataclass(frozen=True, slots=True)
class Crash:
    """One point and what was found there."""

    status: int
    acknowledged: int
    calls: int
    wrong: list[str]


class Zygote:
    """The process that crashes come from; see `tests.crash.zygote`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.calls = self._ask("count", at=0, code=0, patient=False).calls

    def crash(self, kind: str, at: int, *, patient: bool = False) -> Crash:
        """Let it happen at the `at`-th call. `patient`: a process that sees an error goes on, else it ends."""
        mode, code = KINDS[kind]
        return self._ask(mode, at=at, code=code, patient=patient)

    def _ask(self, mode: str, *, at: int, code: int, patient: bool) -> Crash:
        order = {"mode": mode, "at": at, "errno": code, "patient": patient}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return Crash(**answer)

    def points(self, count: int, shift: float = 0.0) -> list[int]:
        """So many calls out of all, evenly spread; all when there are fewer."""
        if count >= self.calls:
            return list(range(1, self.calls + 1))
        return [1 + int((number + shift) * self.calls / count) for number in range(count)]


@contextmanager
def zygote(library: Path, bug: str = "") -> Iterator[Zygote]:
    """A zygote with the failing disk; `bug`: one of `tests.crash.bugs`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.zygote", *([bug] if bug else [])],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Zygote(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
