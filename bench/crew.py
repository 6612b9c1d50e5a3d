"""Several worker processes that begin together: each says it is ready, waits for the word, works, says what it did.

A worker's module calls `at_work`; `Crew` is the other side.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.processes import ROOT, environment


@dataclass(frozen=True)
class Work:
    """What a crew did. `seconds`: from the word to the last job's end; `cpu`: of the workers."""

    jobs: int
    seconds: float
    cpu: float


def cpu_now() -> float:
    """CPU seconds of this process so far, its threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def at_work(work: Callable[[], tuple[int, float]]) -> None:
    """A worker's life. `work` gives the jobs it did and when, on the monotonic clock, the last one ended."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    out.write("ready\n")
    out.flush()
    sys.stdin.readline()
    began = cpu_now()
    jobs, last = work()
    out.write(json.dumps({"jobs": jobs, "last": last, "cpu": cpu_now() - began}) + "\n")
    out.flush()
    sys.stdin.readline()  # connections stay open until everybody is counted


class Crew:
    """`count` processes of `python -m MODULE`; each is told its number."""

    def __init__(self, module: str, count: int, variables: Mapping[str, str]) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={**environment(), **variables, "BENCH_NUMBER": str(number)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            self._hear(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if kind is not None:
                process.kill()
            process.communicate("\n")

    def _hear(self, process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with {process.wait()}")
        return line

    def begin(self) -> float:
        """Give the word; when that was, on the monotonic clock."""
        began = time.monotonic()
        self._say()
        return began

    def _say(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def end(self, began: float) -> Work:
        """Wait until all have said what they did."""
        said = [json.loads(self._hear(process)) for process in self._processes]
        jobs = sum(one["jobs"] for one in said)
        last = max((one["last"] for one in said if one["jobs"]), default=began)
        return Work(jobs, last - began, sum(one["cpu"] for one in said))
