"""The command line in a directory of the test's own; and the demos, which play while other tests run."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringctl.demo import postgres, prometheus
from tests.support.command_line import CommandLine, environment

WAYS: dict[str, tuple[str, ...]] = {
    "errors": ("--fault", "errors", "--metrics", "scrape"),
    "none": ("--fault", "none", "--metrics", "scrape"),
    "prometheus": ("--fault", "none", "--metrics", "prometheus"),
    "postgresql": ("--fault", "window", "--metrics", "scrape", "--engine", "postgresql"),
}
PLAYING_S = 200
Played = Callable[[str], Any]


@pytest.fixture
def ringctl(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line in the test's directory; nothing of the test stays behind."""
    line = CommandLine(tmp_path)
    yield line
    line.end()


def _there(way: str) -> bool:
    return {"prometheus": prometheus.available, "postgresql": postgres.available}.get(way, lambda: True)()


@pytest.fixture(scope="session", autouse=True)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Start every demo that is asked for, before the first test; answer with one's JSON once it has ended."""
    top = tmp_path_factory.mktemp("demos")
    running: dict[str, subprocess.Popen[bytes]] = {}
    wanted = any("test_demos" in item.nodeid for item in request.session.items)
    for way, words in WAYS.items():
        if not wanted or not _there(way):
            continue
        with (top / f"{way}.out").open("wb") as out, (top / f"{way}.err").open("wb") as err:
            running[way] = subprocess.Popen(
                [sys.executable, "-m", "ringctl", "demo", "--accounts", "14", "--dir", str(top / way), *words,
                 "-o", "json"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=top, env=environment(),
            )  # fmt: skip

    def answer(way: str) -> Any:
        code = running[way].wait(timeout=PLAYING_S)
        said = (top / f"{way}.err").read_text()
        assert code == 0, f"demo {way}: exit {code}\n{said[-3000:]}"
        return json.loads((top / f"{way}.out").read_text())

    yield answer
    for process in running.values():
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=30)
