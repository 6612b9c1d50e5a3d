"""One exchange with a server that has measurements, and what its failures are called."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from ringctl import net
from ringctl.core.errors import SourceUnavailable
from ringctl.metrics.options import (
    MALFORMED,
    NOT_LET_IN,
    SERVER_ERROR,
    TIMED_OUT,
    UNREACHABLE,
    WRONG_OPTIONS,
)

MOST_BYTES: Final = 32 * 1024 * 1024

_HINTS: Final[Mapping[str, str]] = {
    UNREACHABLE: "does it run, and is the address right? ringctl goes on by itself when it answers",
    NOT_LET_IN: "is the token still valid? it is read anew with each request",
    MALFORMED: "open the address by hand: is it the API, or a login page or a proxy before it?",
    TIMED_OUT: "look at the server's load, or raise the source's `timeout`",
    SERVER_ERROR: "these are the server's own words: look there; ringctl goes on by itself",
}
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeout_s: float


def failed(message: str, code: str, *, hint: str = "") -> SourceUnavailable:
    """The error of a source, with its way out."""
    return SourceUnavailable(message, code=code, hint=hint or _HINTS.get(code, ""))


def exchange(ask: Ask) -> net.Response:
    """Send it; the answer has status 200. Raises SourceUnavailable RC8001, 8002, 8003, 8004, 8005 or 8010."""
    if not ask.timeout_s > 0:
        raise failed(f"{ask.url}: no time left to ask", TIMED_OUT)
    began = time.monotonic()
    try:
        answer = net.request(
            ask.method,
            ask.url,
            headers=ask.headers,
            body=ask.body or None,
            timeout_s=ask.timeout_s,
            max_bytes=MOST_BYTES,
        )
    except net.Unsendable as error:
        raise failed(error.message, WRONG_OPTIONS) from error
    except net.Unreached as error:
        raise failed(error.message, UNREACHABLE) from error
    except net.NoAnswer as error:
        late = time.monotonic() - began >= ask.timeout_s
        raise failed(error.message, TIMED_OUT if late else MALFORMED) from error
    if answer.status == 200:
        return answer
    raise _refused(ask.url, answer)


def clock_s(answer: net.Response) -> float | None:
    """The server's own clock in seconds since 1970 (its Date header); None where it does not say."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def page_for_people(answer: net.Response) -> str:
    """What to add when an answer that cannot be read is a page for people: a login, or a proxy's own error."""
    start = answer.body[:200].lstrip().lower()
    page = start.startswith((b"<!doctype", b"<html")) or "text/html" in answer.headers.get("content-type", "")
    return " (it is a web page: a login, or a proxy's own error?)" if page else ""


def _refused(url: str, answer: net.Response) -> SourceUnavailable:
    if answer.status in {401, 403}:
        return failed(f"{answer.status} from {url}: not let in", NOT_LET_IN)
    if 300 <= answer.status < 400 and answer.headers.get("location"):
        target = line(answer.headers["location"].encode())
        hint = "no redirect is followed: if that is the right place, write it as the source's address"
        return failed(f"{answer.status} from {url}: sent on to {target}", SERVER_ERROR, hint=hint)
    said = line(answer.body)
    return failed(f"{answer.status} from {url}{': ' if said else ''}{said}", SERVER_ERROR)


def line(text: bytes) -> str:
    """The start of what a server said, as one line without control characters."""
    return _UNPRINTABLE.sub("", " ".join(text[:400].decode("utf-8", "replace").split()))[:200]
