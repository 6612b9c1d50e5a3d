"""HTTP against a real server on the loopback: what is known about a request when it goes wrong."""

import gzip
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from ringctl import net


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaves as the path says."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []
    over: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        getattr(self, self.path.strip("/").split("?")[0])()

    def do_GET(self) -> None:
        self.do_POST()

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fine(self) -> None:
        self.answer(201, b"hello", X_Kind="test")

    def away(self) -> None:
        self.answer(302, b"", location="/fine")

    def huge(self) -> None:
        self.answer(200, b"x" * 100_000)

    def zipped(self) -> None:
        self.answer(200, gzip.compress(b"x" * 10_000_000), content_encoding="gzip")

    def silent(self) -> None:
        self.over.wait(10)

    def dripping(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.over.wait(0.05):
            try:
                self.wfile.write(b"x-a: b\r\n")
            except OSError:
                return

    def trickling(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        while not self.over.wait(0.05):
            try:
                self.wfile.write(b"x")
            except OSError:
                return

    def closed(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def truncated(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def garbage(self) -> None:
        self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.seen.clear()
    Handler.over.clear()
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        Handler.over.set()
        running.shutdown()
        thread.join()


def test_a_whole_answer(server: str) -> None:
    answer = net.request(
        "POST", f"{server}/fine?a=b", headers={"Idempotency-Key": "k1"}, body=b"payload", timeout_s=5
    )
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (201, b"hello", "test")
    method, path, headers, body = Handler.seen[0]
    assert (method, path, body) == ("POST", "/fine?a=b", b"payload")
    assert headers["Idempotency-Key"] == "k1"


def test_redirects_are_answers(server: str) -> None:
    assert net.request("GET", f"{server}/away").status == 302
    assert len(Handler.seen) == 1
    assert net.request("GET", f"{server}/away", follow_redirects=True).status == 201


@pytest.mark.parametrize("path", ["silent", "dripping", "trickling"])
def test_the_time_out_is_for_the_whole_answer(server: str, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(net.NoAnswer, match=r"no whole answer within 0\.3 s"):
        net.request("POST", f"{server}/{path}", body=b"x", timeout_s=0.3)
    assert time.monotonic() - began < 2
    assert len(Handler.seen) == 1, "sent once, never again"


@pytest.mark.parametrize("path", ["closed", "garbage"])
def test_no_answer_leaves_the_outcome_open(server: str, path: str) -> None:
    with pytest.raises(net.NoAnswer) as caught:
        net.request("POST", f"{server}/{path}", body=b"x")
    assert caught.value.status is None
    assert caught.value.exit_code == 69


def test_half_an_answer_is_no_answer(server: str) -> None:
    with pytest.raises(net.NoAnswer) as caught:
        net.request("GET", f"{server}/truncated")
    assert caught.value.status == 200


@pytest.mark.parametrize("path", ["huge", "zipped"])
def test_an_answer_has_a_bound(server: str, path: str) -> None:
    with pytest.raises(net.NoAnswer, match="more than 50000 bytes") as caught:
        net.request("GET", f"{server}/{path}", max_bytes=50_000)
    assert caught.value.status == 200


def test_nobody_listening_is_unreached() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(net.Unreached) as caught:
            net.request("POST", f"http://127.0.0.1:{port}/", body=b"x")
    assert f"127.0.0.1:{port}" in caught.value.message


def test_a_connection_that_is_never_taken_is_unreached() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        with pytest.raises(net.Unreached):
            net.request("GET", f"http://127.0.0.1:{address[1]}/", timeout_s=0.3)
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://127.0.0.1/", {}),
        ("file:///etc/passwd", {}),
        ("/relative", {}),
        ("http://", {}),
        ("http://[::1", {}),
        ("http://127.0.0.1:99999/", {}),
        ("http://127.0.0.1/", {"X-A": "b\r\nX-C: d"}),
        ("http://127.0.0.1/", {"X A": "b"}),
        ("http://127.0.0.1/", {"X-A": "\u2028"}),
    ],
)
def test_a_request_that_cannot_be_made_sends_nothing(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(net.Unreached):
        net.request("GET", url, headers=headers, timeout_s=1)


def test_proxies_of_the_environment_are_not_for_this_host(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    net._client.cache_clear()
    assert net.request("GET", f"{server}/fine").status == 201
    net._client.cache_clear()


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(net.Unreached) as caught:
        net.request("GET", "http://me:hunter2@127.0.0.1:9/?token=hunter2", timeout_s=1)
    assert "hunter2" not in caught.value.message
