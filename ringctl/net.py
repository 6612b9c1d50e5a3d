"""HTTP, and the only module that knows the HTTP library (imported at the first request).

The errors say what is known about the request, because a step's outcome depends on it: `Unreached` means
that nothing was sent, `NoAnswer` that something was and nobody knows what came of it.
"""

import functools
import ipaddress
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringctl.core.errors import ExternalError

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 16 * 1024 * 1024


class Unreached(ExternalError):
    """Nothing was sent: no connection, or not in time."""

    default_code = "RC5110"


class NoAnswer(ExternalError):
    """The request was (or may have been) sent and there is no whole answer: its effect is not known.

    `status` is the answer's status where at least that came.
    """

    default_code = "RC5111"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unsendable(Unreached):
    """The request itself is wrong, nothing was sent, and sending it again would not help."""

    default_code = "RC5112"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def request(  # noqa: PLR0913 - one more than six: each says something of its own
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float = 10.0,
    follow_redirects: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Response:
    """One request and its whole answer within `timeout_s`. Raises Unreached, NoAnswer or Unsendable.

    Only http and https. A redirect is an answer like any other unless
    asked for. Proxies of the
    environment are used, but never for this host itself. No connection is used twice: an idle one that
    the server has closed would leave the outcome of a request open. The time for looking up a name is
    the resolver's and is not bounded here.
    """
    call = _Call(timeout_s)
    library = _httpx()
    sending = _prepared(method, url, headers or {}, body, call)
    try:
        with call:
            client = _client(loopback=_is_loopback(sending.url.host))
            answer = client.send(sending, stream=True, follow_redirects=follow_redirects)
            try:
                content = _content(answer, max_bytes, call)
            finally:
                answer.close()
    except (library.HTTPError, library.StreamError, library.InvalidURL, OSError) as error:
        raise call.failure(sending, error) from error
    return Response(
        status=answer.status_code,
        headers={name.lower(): value for name, value in answer.headers.items()},
        body=content,
    )


def _prepared(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, call: "_Call"
) -> "httpx.Request":
    """The request, or Unsendable."""
    library = _httpx()
    try:
        prepared: httpx.Request = library.Request(
            method,
            url,
            headers={"accept-encoding": "identity", "user-agent": "ringctl", **headers},
            content=body,
            extensions={"timeout": call.phases(), "trace": call.trace},
        )
    except (library.InvalidURL, ValueError, TypeError) as error:
        raise Unsendable(f"the request cannot be made: {error}") from error
    if prepared.url.scheme not in {"http", "https"} or not prepared.url.host:
        raise Unsendable("only http:// and https:// addresses are requested")
    if any(ord(one) < 32 for name, value in headers.items() for one in name + value):
        raise Unsendable("a header holds a control character")
    return prepared


def _content(answer: "httpx.Response", most: int, call: "_Call") -> bytes:
    content = bytearray()
    call.status = answer.status_code
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > most:
            raise NoAnswer(f"the answer has more than {most} bytes", status=answer.status_code)
    return bytes(content)


class _Call:
    """What is known of one request while it runs; cuts its connection at the deadline.

    The library's time-outs are for each read, so an answer that drips would never end by them.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.sent = False
        self.late = False
        self.status: int | None = None
        self._began = time.monotonic()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def phases(self) -> dict[str, float]:
        """The library's own time-outs."""
        return dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_s)

    def trace(self, event: str, details: Mapping[str, Any]) -> None:
        """Called by the library at every phase."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = details["return_value"].get_extra_info("socket")
            if self.late:
                self._cut()
        elif event.endswith(".send_request_headers.started"):
            if self.late:
                raise TimeoutError("no time left to send")
            self.sent = True

    def _cut(self) -> None:
        self.late = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already: there is nothing left to cut

    def failure(self, sending: "httpx.Request", error: Exception) -> ExternalError:
        """The error that says what is known."""
        url = sending.url
        where = f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")
        spent = time.monotonic() - self._began
        reason = str(error) or type(error).__name__
        if self.late or isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            reason = f"no whole answer within {self.timeout_s:g} s"
        if self.sent:
            return NoAnswer(f"{where}: {reason} ({spent:.1f} s)", status=self.status)
        if isinstance(error, _httpx().LocalProtocolError):
            return Unsendable(f"{where}: {reason}")
        return Unreached(f"{where}: {reason}")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _httpx() -> Any:
    import httpx  # noqa: PLC0415 - 90 ms, only who sends a request pays them

    return httpx


@functools.cache
def _client(loopback: bool) -> "httpx.Client":
    """One client a process and kind: making its TLS settings costs 20 ms."""
    library = _httpx()
    client: httpx.Client = library.Client(
        trust_env=not loopback,
        limits=library.Limits(max_connections=None, max_keepalive_connections=0),
    )
    return client
