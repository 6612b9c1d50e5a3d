"""A real Prometheus on a free loopback port, from whatever `prometheus` program is on the PATH."""

import json
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.postgres import free_port

READY_SECONDS = 30.0
POLL_SECONDS = 0.05
START_ATTEMPTS = 3


class PrometheusUnavailable(RuntimeError):
    """There is no `prometheus` program, or it did not come up; the text says why."""


def scrape_config(jobs: Mapping[str, Sequence[str]], *, every: str = "1s") -> str:
    """A configuration that scrapes `host:port` targets by job, as JSON, which is YAML too."""
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": list(targets)}]}
            for name, targets in jobs.items()
        ],
    }
    return json.dumps(configuration, indent=2)


class PrometheusServer:
    """One server, ended by its process id; its data lies in `folder`, which the caller owns.

    Ready at once, but Prometheus looks at its targets every 5 s: the first sample comes only then.
    """

    def __init__(self, folder: Path, configuration: str, *, arguments: Sequence[str] = ()) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise PrometheusUnavailable("no program `prometheus` on the PATH: run ./do ci-setup")
        self.port = 0
        self.log = folder / "prometheus.log"
        self._configuration = folder / "prometheus.yml"
        self._configuration.write_text(configuration)
        self._command = [
            program,
            f"--config.file={self._configuration}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            "--log.level=warn",
            *arguments,
        ]
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._start()
            except PrometheusUnavailable:  # another process may have taken the port in between
                if attempt == START_ATTEMPTS:
                    raise
            else:
                return

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
    def url(self) -> str:
        """The server's base address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def reconfigure(self, configuration: str) -> None:
        """Hand the running server another configuration; it takes it up a moment later."""
        self._configuration.write_text(configuration)
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End the server; a second call does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)

    def _start(self) -> None:
        self.port = free_port()
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*self._command, f"--web.listen-address=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = self.log.read_text(errors="replace")[-2000:]
                raise PrometheusUnavailable(f"prometheus did not become ready: {said}")
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
