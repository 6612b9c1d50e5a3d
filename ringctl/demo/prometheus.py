"""A real Prometheus for the demo, where the program is installed: it scrapes the service each second."""

import http.client
import json
import shutil
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from ringctl.demo.processes import READY_SECONDS, Child, ChildFailed, free_port, start_program

START_ATTEMPTS = 3
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A running server: its base address, and the child to stop."""

    url: str
    child: Child

    def stop(self) -> None:
        """End the server; a second call does nothing."""
        self.child.stop()


def available() -> bool:
    """Whether there is a program `prometheus` on the PATH."""
    return shutil.which("prometheus") is not None


def start(directory: Path, service_url: str) -> Prometheus:
    """Start Prometheus on a free loopback port. Raises ChildFailed when it does not come up."""
    program = shutil.which("prometheus")
    if program is None:
        raise ChildFailed("there is no program `prometheus` on the PATH")
    folder = directory / "prometheus"
    folder.mkdir(exist_ok=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text(_configuration(service_url), encoding="utf-8")
    command = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--log.level=warn",
    ]
    for _ in range(START_ATTEMPTS - 1):
        try:
            return _start(command, directory)
        except ChildFailed:  # another process may have taken the port in between
            continue
    return _start(command, directory)


def _start(command: list[str], directory: Path) -> Prometheus:
    address = f"127.0.0.1:{free_port()}"
    child = start_program("prometheus", [*command, f"--web.listen-address={address}"], directory=directory)
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(address):
        child.check(deadline)
        time.sleep(POLL_SECONDS)
    return Prometheus(url=f"http://{address}", child=child)


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (http.client.HTTPException, OSError):
        return False
    finally:
        connection.close()


def _configuration(service_url: str) -> str:
    """JSON, which is YAML too."""
    target = urllib.parse.urlsplit(service_url).netloc
    job = {"job_name": "builds", "static_configs": [{"targets": [target]}]}
    timing = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    return json.dumps({"global": timing, "scrape_configs": [job]}, indent=2) + "\n"
