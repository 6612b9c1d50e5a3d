"""A server on loopback that answers as it is told, faults included."""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode
from urllib.request import Request, urlopen


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer. `length`: promise more bytes than come. `delay_s`: be slow."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    delay_s: float = 0.0


Handler = Callable[[Asked], Answer]


class FaultServer:
    """Answers every request by `handler`; keeps what was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []
        outer = self

        class Handling(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._serve("GET")

            def do_POST(self) -> None:
                self._serve("POST")

            def log_message(self, *_: object) -> None:
                return

            def _serve(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
                asked = Asked(
                    method=method,
                    path=self.path,
                    headers={name.lower(): value for name, value in self.headers.items()},
                    form=form,
                )
                outer.asked.append(asked)
                answer = outer.handler(asked)
                time.sleep(answer.delay_s)
                content = answer.body.encode() if isinstance(answer.body, str) else answer.body
                try:
                    self.send_response_only(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(answer.length or len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    return  # the client has gone, as it should when it was made to wait

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def server_bind(self) -> None:
                socketserver.TCPServer.server_bind(self)  # without a look-up of this host's name
                self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

        self._make: Callable[[int], ThreadingHTTPServer] = lambda port: Server(("127.0.0.1", port), Handling)
        self._server: ThreadingHTTPServer = self._make(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._serve()

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody listens; then somebody does again, at the same port."""
        self._end()
        try:
            yield
        finally:
            self._server = self._make(self._server.server_port)
            self._serve()

    @contextmanager
    def answering(self, change: Callable[[Asked, Handler], Answer]) -> Iterator[None]:
        """Another handler for a while, which may ask the one before."""
        before = self.handler
        self.handler = lambda asked: change(asked, before)
        try:
            yield
        finally:
            self.handler = before


def success(kind: str, result: object, **beside: object) -> Answer:
    """A successful answer of Prometheus' HTTP API."""
    return Answer(
        body=json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **beside}),
        headers={"Content-Type": "application/json"},
    )


def relay(url: str) -> Handler:
    """Hands every request on to a real server, and its answer back."""

    def ask(asked: Asked) -> Answer:
        headers = {
            name: asked.headers[name] for name in ("content-type", "authorization") if name in asked.headers
        }
        body = urlencode(asked.form).encode() if asked.method == "POST" else None
        request = Request(url + asked.path, data=body, headers=headers, method=asked.method)
        try:
            with urlopen(request, timeout=30) as answer:
                return Answer(
                    body=answer.read(), status=answer.status, headers={"Content-Type": "application/json"}
                )
        except HTTPError as error:
            return Answer(body=error.read(), status=error.code)

    return ask
