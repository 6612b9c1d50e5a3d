"""`http` against a real server on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ringctl.executors.http import HttpExecutor, outcome_of
from ringctl.ports.executor import Outcome, Probed
from tests.executors.kit import Hand, order, spec
from tests.support.postgres import free_port

EXECUTOR = HttpExecutor()


class Service(ThreadingHTTPServer):
    """Answers `/status/N` with N, hangs at `/hang`, breaks off at `/break`; keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers, body))
        if self.path.startswith("/hang"):
            self.server.release.wait(20)
        if self.path.startswith(("/break", "/hang")):
            self.close_connection = True
            return
        status = int(self.path.rsplit("/", 1)[1]) if self.path.startswith("/status/") else 200
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.server.url + "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def request(bundle: Path, url: str, **options: Any) -> Any:
    probe = options.pop("probe", None)
    return spec("http", {"url": url, "method": "POST", "headers": {}, **options}, bundle, probe=probe)


def test_key_token_fence_and_body(service: Service, bundle: Path) -> None:
    step = request(
        bundle, service.url + "/a/{account.id}?r={revision}", method="PUT", headers={"X-Who": "{account.size}"},
        body={"id": "{account.id}", "n": [1, "{revision}"], "t": True, "{account.id}": None},
    )  # fmt: skip
    hostile = 'x"/../{task.token}?&é'
    hand = Hand()
    ran = EXECUTOR.run(order(step, bundle, placeholders={"account.id": hostile}), hand)
    assert (ran.outcome, ran.numbers["status"]) == (Outcome.DONE, 200)
    ((method, path, headers, body),) = service.seen
    assert method == "PUT"
    assert path == "/a/x%22%2F..%2F%7Btask.token%7D%3F%26%C3%A9?r=r1"
    assert headers["idempotency-key"] == "key-1"
    assert headers["x-ringctl-token"] == "c1.10"
    assert headers["x-fence"] == "10"
    assert headers["x-who"] == "10"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"id": hostile, "n": [1, "r1"], "t": True, "{account.id}": None}
    assert hand.lines == [f"PUT http://127.0.0.1{path.partition('?')[0]}: 200", "ok"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DONE), (204, Outcome.DONE), (302, Outcome.FAILED), (307, Outcome.FAILED),
        (400, Outcome.FAILED), (404, Outcome.FAILED), (408, Outcome.UNKNOWN), (409, Outcome.UNKNOWN),
        (425, Outcome.UNKNOWN), (429, Outcome.UNKNOWN), (500, Outcome.UNKNOWN), (503, Outcome.UNKNOWN),
    ],
)  # fmt: skip
def test_statuses(service: Service, bundle: Path, status: int, outcome: Outcome) -> None:
    if status == 204:
        assert outcome_of(status, ()) == (outcome, "")
        return
    ran = EXECUTOR.run(order(request(bundle, f"{service.url}/status/{status}"), bundle), Hand())
    assert ran.outcome is outcome
    assert len(service.seen) == 1, "a redirect was followed"


def test_expected_statuses(service: Service, bundle: Path) -> None:
    step = request(bundle, service.url + "/status/409", expect=[200, 409])
    assert EXECUTOR.run(order(step, bundle), Hand()).outcome is Outcome.DONE
    step = request(bundle, service.url + "/status/201", expect=[200])
    assert EXECUTOR.run(order(step, bundle), Hand()).outcome is Outcome.UNKNOWN


def test_no_answer_is_unknown_no_connection_is_not(service: Service, bundle: Path) -> None:
    ran = EXECUTOR.run(order(request(bundle, service.url + "/break"), bundle), Hand())
    assert ran.outcome is Outcome.UNKNOWN
    began = time.monotonic()
    ran = EXECUTOR.run(order(request(bundle, service.url + "/hang"), bundle), Hand(step_s=0.5))
    assert (ran.outcome, time.monotonic() - began < 5) == (Outcome.UNKNOWN, True)
    service.release.set()
    ran = EXECUTOR.run(order(request(bundle, f"http://127.0.0.1:{free_port()}/"), bundle), Hand())
    assert ran.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("why", ["stop", "lease"])
def test_nobody_waits_for_an_answer_when_the_right_has_ended(
    service: Service, bundle: Path, why: str
) -> None:
    """A cancel ends in bounded time, whatever the target does; what was sent is unknown."""
    hand = Hand(step_s=60, lease_s=0.4 if why == "lease" else 60)
    if why == "stop":
        threading.Timer(0.4, hand.stop.set).start()
    began = time.monotonic()
    ran = EXECUTOR.run(order(request(bundle, service.url + "/hang"), bundle), hand)
    assert time.monotonic() - began < 5
    assert (ran.outcome, {"stop": "stop", "lease": "lease"}[why] in ran.reason) == (Outcome.UNKNOWN, True)
    assert len(service.seen) == 1


def test_nothing_is_sent_when_the_right_has_ended_before(service: Service, bundle: Path) -> None:
    ran = EXECUTOR.run(order(request(bundle, service.url), bundle), Hand(lease_s=-1))
    assert (ran.outcome, dict(ran.numbers)) == (Outcome.STOPPED, {"begun": 0})
    assert service.seen == []


def test_base_address_of_the_account_and_hostile_values(service: Service, bundle: Path) -> None:
    step = request(bundle, "{account.target.url}/x")
    task = order(step, bundle, placeholders={"account.target.url": service.url})
    assert EXECUTOR.run(task, Hand()).outcome is Outcome.DONE
    for value in ("file:///etc/passwd", "http://u:secret@127.0.0.1", "gopher://h", service.url + "\r\nX: y"):
        ran = EXECUTOR.run(order(step, bundle, placeholders={"account.target.url": value}), Hand())
        assert ran.outcome is Outcome.FAILED
        assert "secret" not in ran.reason
    step = request(bundle, service.url, headers={"X-Who": "{account.id}"})
    for value in ("a\r\nX-Fence: 99", "a\0", "é"):
        ran = EXECUTOR.run(order(step, bundle, placeholders={"account.id": value}), Hand())
        assert ran.outcome is Outcome.FAILED
    assert len(service.seen) == 1


def test_probe(service: Service, bundle: Path) -> None:
    answers = {"200": Probed.TOOK_EFFECT, "404": Probed.DID_NOT, "500": Probed.UNKNOWN, "302": Probed.UNKNOWN}
    for status, wanted in answers.items():
        url = f"{service.url}/status/{status}"
        for probe in (
            {"http": {"url": url}},
            {"http": url},
            {"executor": "http", "options": {"url": url, "method": "GET", "headers": {}}},
        ):
            step = request(bundle, service.url, probe=probe)
            assert EXECUTOR.check(step) == ()
            assert EXECUTOR.probe(order(step, bundle), Hand()) is wanted
    gone = {"http": {"url": service.url + "/status/410", "expect": [204], "absent": [410]}}
    assert EXECUTOR.probe(order(request(bundle, "http://h/", probe=gone), bundle), Hand()) is Probed.DID_NOT
    assert {method for method, *_ in service.seen} == {"GET"}
    others: tuple[Any, ...] = (
        None,
        {"command": ["x"]},
        {"http": "ftp://h"},
        {"http": f"http://127.0.0.1:{free_port()}/"},
    )
    for other in others:
        step = request(bundle, "http://h/", probe=other)
        assert EXECUTOR.probe(order(step, bundle), Hand()) is Probed.UNKNOWN


def test_text_body_goes_as_it_is(service: Service, bundle: Path) -> None:
    step = request(bundle, service.url, body="run {account.id} {\n}")
    assert EXECUTOR.run(order(step, bundle), Hand()).outcome is Outcome.DONE
    assert service.seen[0][3] == b"run a1 {\n}"


def test_check_lists_everything(bundle: Path) -> None:
    def codes(**options: Any) -> list[str]:
        step = request(bundle, options.pop("url", "https://h/{account.id}"), **options)
        return sorted({found.code for found in EXECUTOR.check(step)})

    assert codes() == []
    assert codes(url="ftp://h") == ["RC6010"]
    assert codes(url="{account.id}/x") == ["RC6010"]
    assert codes(url="http://h/{nope}", body={"a": ["{nope}"]}) == ["RC6001"]
    assert codes(method="TRACE") == ["RC6003"]
    assert codes(headers={"Idempotency-Key": "x"}) == ["RC6011"]
    assert codes(headers={"a b": "x", "ok": "a\nb"}) == ["RC6011"]
    assert codes(headers=["x"]) == ["RC6003"]
    assert codes(expect=[]) == codes(expect=[99]) == codes(expect="200") == ["RC6003"]
    assert codes(follow=True) == ["RC6002"]
    assert codes(probe={"command": ["x"]}) == ["RC6012"]
    assert codes(probe={"http": {"url": "http://h", "method": "POST"}}) == ["RC6012"]
    assert codes(probe={"http": {"url": "x", "extra": 1}}) == ["RC6002", "RC6010"]
