"""The command line as processes of their own, and nodes that a test may stop, kill and start again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringctl.bootstrap import open_parts
from ringctl.engine.parts import Parts
from tests.tidy.tree import ROOT

POLL_S = 0.02


def eventually(holds: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """The first true answer; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(POLL_S)
    return answer


def environment(root: Path = ROOT) -> dict[str, str]:
    """The developer's environment without what steers ringctl; `root` holds the package that runs."""
    steering = ("RINGCTL", "CI", "NO_COLOR", "FORCE_COLOR", "CLICOLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {**kept, "PYTHONPATH": str(root)}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(slots=True)
class Node:
    """`ringctl run` (or another command that stays) as a process."""

    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: int) -> None:
        """Send it a signal. One that stops it is waited for: until every thread has seen it some go on, and a file
        that was free right after may be locked for as long as the node is stopped."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            eventually(self._is_stopped, what=f"{self.pid} is stopped")

    def _is_stopped(self) -> bool:
        """Whether all its threads are; one that is gone runs no more."""
        if self.process.poll() is not None:
            return True
        try:
            stats = [path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):  # a thread ended meanwhile: look again
            return False
        return all(stat.rpartition(")")[2].split()[0] in {"T", "Z", "X"} for stat in stats)

    def kill(self) -> None:
        """kill -9, and reap it."""
        self.process.kill()
        self.process.wait(timeout=30)

    def ends(self, seconds: float = 60.0) -> int:
        """Its exit code."""
        return self.process.wait(timeout=seconds)

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """Everything it wrote."""
        return self.log.read_text(errors="replace")


@dataclass(slots=True)
class CommandLine:
    """`ringctl` in one directory, with the state there or at the URL `state`; the code is that below `root`."""

    directory: Path
    started: list[Node] = field(default_factory=list)
    modules: tuple[str, ...] = ("-m", "ringctl")
    state: str = ""
    root: Path = ROOT

    @property
    def url(self) -> str:
        return self.state or f"sqlite:///{self.directory / 'ringctl.db'}"

    def __call__(self, *words: str, seconds: float = 120.0) -> Answer:
        done = subprocess.run(
            [sys.executable, *self.modules, "--state", self.url, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=self.directory,
            env=environment(self.root),
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def good(self, *words: str, seconds: float = 120.0) -> Answer:
        """The answer of a command that has to end with 0."""
        answer = self(*words, seconds=seconds)
        assert answer.code == 0, f"ringctl {' '.join(words)}: {answer.code}\n{answer.err}\n{answer.out}"
        return answer

    def start(self, bundle: str, *words: str) -> str:
        """Start a rollout without a node; its id."""
        answer = self.good("start", "--policy", "policy.yaml", "--bundle", bundle, "-o", "json", *words)
        return str(answer.json["id"])

    def amend(self, bundle: str, *words: str) -> Answer:
        """Amend the open rollout."""
        return self("amend", "--bundle", bundle, "--author", "ann", "--reason", "better", *words)

    def node(self, *words: str, command: tuple[str, ...] = ("-m", "ringctl")) -> Node:
        """A process that stays: `ringctl run`, unless other words are given."""
        log = self.directory / "logs" / f"node-{len(self.started) + 1}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, *command, "--state", self.url, *(words or ("run",))],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment(self.root),
            )
        node = Node(process, log)
        self.started.append(node)
        return node

    def end(self) -> None:
        """End every node that is still there."""
        for node in self.started:
            if node.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    node.signal(signal.SIGCONT)
                node.kill()

    @contextlib.contextmanager
    def looking(self) -> Iterator[Parts]:
        """The state for polling, without a process per look."""
        with open_parts(self.url, migrate=False, actor="test", environ={}) as parts:
            yield parts

    def events(self, name: str = "last") -> list[dict[str, Any]]:
        """The journal."""
        return self.good("events", name, "-o", "ndjson").lines

    def holds(self, name: str = "last") -> list[str]:
        """The codes of the holds in force."""
        return [hold["code"] for hold in self.good("status", name, "-o", "json").json["holds"]]
