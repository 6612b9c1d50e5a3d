"""Service, users, Prometheus and PostgreSQL as the demo runs them: real processes, real requests."""

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringctl.demo import postgres as postgres_process
from ringctl.demo import prometheus, service, traffic
from ringctl.demo.accounts import shape
from ringctl.demo.database import connect
from ringctl.demo.material import bundle_text
from ringctl.demo.processes import Child, ChildFailed, start_module, start_program
from ringctl.demo.service import TURNED_AWAY_EVERY, Service
from ringctl.demo.world import World, make_world

Series = dict[tuple[str, str], float]


def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@dataclass
class Running:
    world: World
    url: str
    service: Child

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.url).netloc, timeout=5)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def counters(self) -> Series:
        """(counter, account) -> value; requests are `http_requests_total:CODE`."""
        found: Series = {}
        for line in self.call("GET", "/metrics")[1].decode().splitlines():
            if line.startswith("#"):
                continue
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            parts = dict(part.split("=") for part in labels.rstrip("}").split(","))
            code = parts.get("code", "").strip('"')
            found[f"{name}:{code}" if code else name, parts["account"].strip('"')] = float(value)
        return found

    def run(self, account: str, bundle: str, file: str) -> None:
        database = connect(self.world.account(account).database, busy=5)
        database.script(bundle_text(bundle, file))
        database.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    world = make_world(tmp_path_factory.mktemp("demo"), accounts=14)
    child, url = service.start(world.directory)
    with child:
        yield Running(world, url, child)
    assert child.said() == "", "the service's log must stay empty"


def test_pages_and_counters(running: Running) -> None:
    first = running.world.accounts[0]
    before = running.counters()
    status, body = running.call("GET", f"/accounts/{first.id}/definitions")
    assert status == 200
    assert len(json.loads(body)["definitions"]) == first.definitions
    status, home = running.call("GET", f"/accounts/{first.id}")
    assert status == 200
    after = running.counters()
    grown = {key: after[key] - before[key] for key in after if after[key] != before[key]}
    items = 2 * first.definitions + len(json.loads(home)["builds"])
    assert grown == {
        ("build_queries_total", first.id): 3,
        ("build_items_returned_total", first.id): items,
        ("build_response_bytes_total", first.id): len(body) + len(home),
        ("http_requests_total:200", first.id): 2,
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/accounts/nobody", None, 404),
        ("GET", "/accounts/acc-001/secrets", None, 404),
        ("GET", "/accounts/acc-001/builds/", None, 404),
        ("GET", "/../world.json", None, 404),
        ("POST", "/accounts/nobody/builds", b"{}", 404),
        ("POST", "/accounts/acc-002/definitions", b"{}", 404),
        ("POST", "/accounts/acc-002/builds", b"not json", 400),
        ("POST", "/accounts/acc-002/builds", b"[]", 400),
        ("POST", "/accounts/acc-002/builds", b"x" * 70_000, 400),
        ("POST", "/accounts/acc-002/builds", b'{"definition_id": 1, "name": "n"}', 201),
    ],
)
def test_statuses(running: Running, method: str, path: str, body: bytes | None, wanted: int) -> None:
    assert running.call(method, path, body)[0] == wanted


def test_base_rate_of_errors_is_steady(running: Running) -> None:
    desks = Service(running.world)
    codes = [desks.get("acc-001", "definitions").status for _ in range(3 * TURNED_AWAY_EVERY)]
    assert codes.count(503) == 3
    assert codes.count(200) == len(codes) - 3
    at = codes.index(503)
    assert codes[at + TURNED_AWAY_EVERY] == 503, "evenly, not in bursts"
    assert desks.get("acc-001", "nowhere").status == 404
    desks.close()


def test_turns_are_even_and_the_giant_has_four() -> None:
    fleet = shape()
    order = [place for place, _, _ in traffic.turns(fleet)]
    assert len(order) == 63
    assert [order.count(place) for place in range(60)] == [1] * 59 + [4]
    giant = [at for at, place in enumerate(order) if place == 59]
    assert all(10 < second - first < 20 for first, second in itertools.pairwise(giant))
    every_two = itertools.pairwise(traffic.CYCLE)
    assert all(traffic.HOME in pair for pair in every_two)
    assert traffic.CYCLE.count(traffic.BUILDS) == 8
    assert traffic.default_rate(60) == 240
    assert traffic.default_rate(200) > 700
    assert traffic.default_rate(5000) == 900


def test_users_see_the_window_errors_and_their_end(running: Running) -> None:
    """The story's health signals, from real requests: emptiness with status 200, then real errors."""
    empty, broken, well = "acc-003", "acc-004", "acc-005"
    child = traffic.start(running.world.directory, running.url, rate=280.0)
    with child:
        assert eventually(lambda: running.counters()["build_queries_total", well] > 20)
        running.run(empty, "r1-window", "readers.sql")
        running.run(broken, "r1-errors", "readers.sql")
        before = running.counters()
        time.sleep(3.0)
        after = running.counters()
        grown = {key: after[key] - before[key] for key in after}
        queries, items = "build_queries_total", "build_items_returned_total"
        assert grown[queries, empty] > 20
        assert grown[items, empty] == 0
        assert grown["http_requests_total:500", empty] == 0
        assert all(grown[queries, one.id] >= 20 for one in running.world.accounts)
        asked = sum(grown[f"http_requests_total:{code}", broken] for code in (200, 201, 500, 503))
        assert 0.25 < grown["http_requests_total:500", broken] / asked < 0.55
        assert grown[items, broken] > 0
        assert grown["http_requests_total:500", well] == 0
        running.run(empty, "r1-window", "close.sql")
        running.run(broken, "r1-errors", "close.sql")
        before = running.counters()
        assert eventually(lambda: running.counters()[items, empty] > before[items, empty])
        time.sleep(1.5)
    report = json.loads((running.world.directory / traffic.REPORT_FILE).read_text())
    assert report["codes"]["200"] > 500
    assert report["empty"] > 5
    saw = report["accounts"]
    assert saw[empty]["most_missing"] == running.world.account(empty).definitions
    assert 2.0 < saw[empty]["missing_seconds"] < 15.0
    assert not saw[empty]["missing_now"]
    assert saw[well]["most_missing"] == saw[well]["empty"] == 0
    assert report["requests"] / report["seconds"] > 150
    assert child.said() == ""


def test_a_locked_account_answers_503_and_others_go_on(running: Running) -> None:
    holder = connect(running.world.account("acc-006").database, busy=5)
    holder.query("BEGIN IMMEDIATE")
    order = b'{"definition_id": 1, "name": "n"}'
    try:
        assert running.call("POST", "/accounts/acc-006/builds", order)[0] == 503
        assert eventually(lambda: running.call("GET", "/accounts/acc-006")[0] == 200, 2)
        assert eventually(lambda: running.call("POST", "/accounts/acc-007/builds", order)[0] == 201)
    finally:
        holder.query("ROLLBACK")
        holder.close()
    assert eventually(lambda: running.call("POST", "/accounts/acc-006/builds", order)[0] == 201)


@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_the_service(running: Running) -> None:
    server = prometheus.start(running.world.directory, running.url)
    query = urllib.parse.urlencode({"query": "count(build_queries_total)"})

    def scraped() -> bool:
        with urllib.request.urlopen(f"{server.url}/api/v1/query?{query}", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
        return [row["value"][1] for row in found] == ["14"]

    try:
        assert eventually(scraped)
    finally:
        server.stop()
    assert not server.child.alive()


@pytest.mark.postgres
def test_service_on_postgres(tmp_path: Path) -> None:
    if not postgres_process.available():
        pytest.skip("no PostgreSQL here")
    server, dsn_prefix = postgres_process.start(tmp_path)
    with server:
        world = make_world(tmp_path, accounts=14, engine="postgresql", dsn_prefix=dsn_prefix)
        child, url = service.start(tmp_path)
        with child:
            there = Running(world, url, child)
            assert there.call("GET", "/accounts/acc-001")[0] == 200
            there.run("acc-001", "r1-window", "readers.sql")
            status, body = there.call("GET", "/accounts/acc-001")
            assert (status, json.loads(body)) == (200, {"definitions": [], "builds": []})
            there.run("acc-001", "r1-errors", "readers.sql")
            assert there.call("GET", "/accounts/acc-001/builds")[0] == 500
            there.run("acc-001", "r2-fixed", "readers.sql")
            assert there.call("GET", "/accounts/acc-001/builds")[0] == 200
        assert child.said() == ""
    assert not server.alive()


PARENT = """
import sys, time
from pathlib import Path
from ringctl.demo import service
from ringctl.demo.processes import start_program
child, url = service.start(Path(sys.argv[1]))
other = start_program("sleeper", [sys.executable, "-c",
    "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)"],
    directory=Path(sys.argv[1]))
print(child.pid, other.pid, flush=True)
time.sleep(600)
"""


def test_children_go_with_a_killed_parent(running: Running) -> None:
    directory = running.world.directory
    command = [sys.executable, "-c", PARENT, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        log = directory / "logs" / "sleeper.log"
        assert eventually(lambda: log.exists() and log.read_text().strip() != "")
        pids.append(int(log.read_text()))
        assert len(pids) == 3
        assert not any(gone(pid) for pid in pids)
        os.kill(parent.pid, signal.SIGKILL)
    assert eventually(lambda: all(gone(pid) for pid in pids))


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"(?s)service ended with 1.*world\.json"):
        start_module(service.MODULE, ("--dir", str(tmp_path)), directory=tmp_path)
    child = start_program("quick", [sys.executable, "-c", "raise SystemExit(7)"], directory=tmp_path)
    assert eventually(lambda: not child.alive())
    with pytest.raises(ChildFailed, match="quick ended with 7"):
        child.check(time.monotonic() + 5)


def test_terminated_by_signal(running: Running) -> None:
    child = traffic.start(running.world.directory, running.url, rate=20.0)
    os.kill(child.pid, signal.SIGTERM)
    assert eventually(lambda: not child.alive())
    child.stop()
    child.stop()
