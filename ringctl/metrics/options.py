"""What the built-in sources share: their options, and one exchange with its RC8xxx codes.

Codes of this package: RC8001 unreachable, RC8002 not let in, RC8003 malformed answer, RC8004 no answer in
time, RC8005 the server answers with an error, RC8010 the source's options are wrong.
"""

import math
import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringctl import net
from ringctl.core.closest import did_you_mean
from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND

UNREACHABLE: Final = "RC8001"
NOT_LET_IN: Final = "RC8002"
MALFORMED: Final = "RC8003"
TIMED_OUT: Final = "RC8004"
SERVER_ERROR: Final = "RC8005"
WRONG_OPTIONS: Final = "RC8010"

MOST_BYTES: Final = 32 * 1024 * 1024
MOST_WARNINGS: Final = 20
MOST_TOKEN: Final = 16 * 1024
DEFAULT_TIMEOUT_US: Final = 10 * SECOND
DEFAULT_MAX_AGE_US: Final = 60 * SECOND

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A source's options as `ringctl.settings` hands them on; `folder` is the policy's."""

    source: str
    given: Mapping[str, object]
    folder: Path

    def only(self, *known: str) -> None:
        """Refuse any other option."""
        for key in self.given:
            if key not in known:
                raise self.wrong(f"there is no option `{key}`", did_you_mean(key, known))

    def wrong(self, message: str, hint: str = "") -> SourceUnavailable:
        """The error for an option that cannot be used."""
        return SourceUnavailable(f"metrics.{self.source}: {message}", code=WRONG_OPTIONS, hint=hint)

    def span(self, key: str, default: int) -> float:
        """Seconds out of an option in microseconds."""
        value = self.given.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not value > 0:
            raise self.wrong(f"`{key}` must be a positive number of microseconds")
        return value / SECOND

    def url(self) -> str:
        """The one address, without a slash at its end."""
        value = self.given.get("url")
        if not isinstance(value, str) or not value:
            raise self.wrong("`url` is missing")
        return value.rstrip("/")

    def urls(self) -> tuple[str, ...]:
        """All addresses, from `urls` or `url`; none twice."""
        value = self.given.get("urls")
        if value is None:
            return (self.url(),)
        if not isinstance(value, list | tuple) or not value:
            raise self.wrong("`urls` must be a list of addresses")
        found = tuple(str(one) for one in value)
        if len(set(found)) != len(found):
            raise self.wrong("`urls` names an address twice: its counters would be added twice")
        return found

    def token(self) -> str:
        """The bearer token as it stands now (it may be renewed at any time); "" when none is asked for."""
        reference = self.given.get("token")
        if reference is None:
            return ""
        if not isinstance(reference, Mapping) or len(reference) != 1:
            raise self.wrong("`token` needs `file` or `env`, one of them")
        if "env" in reference:
            where = f"the environment variable {reference['env']}"
            token = os.environ.get(str(reference["env"]), "")
        elif "file" in reference:
            path = self.folder / str(reference["file"])
            where, token = str(path), self._file(path)
        else:
            raise self.wrong("`token` needs `file` or `env`, one of them")
        token = token.strip()
        if not _TOKEN.fullmatch(token):
            said = "holds no usable token" if token else "is empty or not there"
            raise SourceUnavailable(f"metrics.{self.source}: {where} {said}", code=NOT_LET_IN)
        return token

    def _file(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(MOST_TOKEN).decode("ascii", "replace")
        except OSError as error:
            message = f"metrics.{self.source}: {path} cannot be read: {error.strerror}"
            raise SourceUnavailable(message, code=NOT_LET_IN) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeout_s: float


def exchange(ask: Ask) -> net.Response:
    """Send it; the answer has status 200. Raises SourceUnavailable RC8001, 8002, 8003, 8004 or 8005."""
    if not ask.timeout_s > 0:
        raise SourceUnavailable(f"{ask.url}: no time left to ask", code=TIMED_OUT)
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
        raise SourceUnavailable(error.message, code=WRONG_OPTIONS) from error
    except net.Unreached as error:
        raise SourceUnavailable(error.message, code=UNREACHABLE) from error
    except net.NoAnswer as error:
        late = time.monotonic() - began >= ask.timeout_s
        raise SourceUnavailable(error.message, code=TIMED_OUT if late else MALFORMED) from error
    if answer.status == 200:
        return answer
    if answer.status in {401, 403}:
        message = f"{answer.status} from {ask.url}: not let in"
        raise SourceUnavailable(message, code=NOT_LET_IN, hint="is the token still valid?")
    said = _line(answer.body)
    raise SourceUnavailable(f"{answer.status} from {ask.url}{': ' if said else ''}{said}", code=SERVER_ERROR)


def checked(counters: Collection[Counter]) -> tuple[Counter, ...]:
    """The counters, each once, with names and expressions that can be used."""
    for counter in counters:
        if not _METRIC.fullmatch(counter.name):
            raise _unusable(f"`{counter.name}` is no name of a counter")
        for label in (counter.account, *counter.match):
            if not _LABEL.fullmatch(label):
                raise _unusable(f"`{label}` is no name of a label")
        for pattern in counter.match.values():
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise _unusable(f"`{pattern}` is no regular expression: {error}") from None
    return tuple(counter for place, counter in enumerate(counters) if counter not in list(counters)[:place])


def number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def few(warnings: list[str]) -> tuple[str, ...]:
    """The first warnings, and how many more."""
    more = len(warnings) - MOST_WARNINGS
    return (*warnings[:MOST_WARNINGS], f"and {more} more") if more > 0 else tuple(warnings)


def _unusable(message: str) -> SourceUnavailable:
    return SourceUnavailable(message, code=WRONG_OPTIONS)


def _line(body: bytes) -> str:
    """The start of an answer as one line."""
    return " ".join(body[:400].decode("utf-8", "replace").split())[:200]
