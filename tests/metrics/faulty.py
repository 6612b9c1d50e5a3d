"""A server on loopback that answers as it is told, faults included."""

import json
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs


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

        self._server = Server(("127.0.0.1", 0), Handling)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def success(kind: str, result: object, **beside: object) -> Answer:
    """A successful answer of Prometheus' HTTP API."""
    return Answer(
        body=json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **beside}),
        headers={"Content-Type": "application/json"},
    )
