"""What the built-in sources share: their options, and the names of what goes wrong.

Codes of this package: RC8001 unreachable, RC8002 not let in, RC8003 malformed answer, RC8004 no answer in
time, RC8005 the server answers with an error, RC8006 it answers in part, RC8007 what it says is stale, RC8010
the source's options (or the counter asked for) are wrong.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ringctl.core.closest import did_you_mean
from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND

UNREACHABLE: Final = "RC8001"
NOT_LET_IN: Final = "RC8002"
MALFORMED: Final = "RC8003"
TIMED_OUT: Final = "RC8004"
SERVER_ERROR: Final = "RC8005"
PARTIAL: Final = "RC8006"
STALE: Final = "RC8007"
WRONG_OPTIONS: Final = "RC8010"

MOST_TOKEN: Final = 16 * 1024
DEFAULT_TIMEOUT_US: Final = 10 * SECOND
DEFAULT_MAX_AGE_US: Final = 60 * SECOND

Value = TypeVar("Value")

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

    def address(self) -> str:
        """The one address, as it is written."""
        value = self.given.get("url")
        if not isinstance(value, str) or not value:
            raise self.wrong("`url` is missing")
        return value

    def url(self) -> str:
        """The one address, without a slash at its end."""
        return self.address().rstrip("/")

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
        where, token = self.secret("token", reference)
        if not _TOKEN.fullmatch(token):
            said = "holds no usable token" if token else "is empty or not there"
            raise self.refused(f"{where} {said}")
        return token

    def counter(self, key: str, default: Counter) -> Counter:
        """An option that names series as a check does: {counter, account, match}."""
        value = self.given.get(key)
        if value is None:
            return default
        if not isinstance(value, Mapping) or value.keys() - {"counter", "account", "match"}:
            raise self.wrong(f"`{key}` must be {{counter: NAME, account: LABEL, match: {{...}}}}")
        match = value.get("match", {})
        if not isinstance(match, Mapping):
            raise self.wrong(f"`{key}.match` must be a mapping")
        found = Counter(
            name=str(value.get("counter", default.name)),
            account=str(value.get("account", default.account)),
            match={str(label): str(pattern) for label, pattern in match.items()},
        )
        checked((found,))
        return found

    def named(self, counter: Counter, key: str, known: Mapping[str, Value], instead: str) -> Value:
        """What the option `key` has for a counter that the source names itself: such a one has no labels."""
        if counter.name not in known:
            raise self.wrong(f"`{key}` has no `{counter.name}`", did_you_mean(counter.name, known))
        if counter.match or counter.account != Counter(name="").account:
            message = f"`{counter.name}` has no labels: leave out `match` and `account`"
            raise self.wrong(message, instead)
        return known[counter.name]

    def secret(self, key: str, reference: object) -> tuple[str, str]:
        """Where `{env: NAME}` or `{file: PATH}` points, and what stands there now, without white space around."""
        if not isinstance(reference, Mapping) or len(reference) != 1:
            raise self.wrong(f"`{key}` needs `file` or `env`, one of them")
        if "env" in reference:
            where = f"the environment variable {reference['env']}"
            return where, os.environ.get(str(reference["env"]), "").strip()
        if "file" in reference:
            path = self.folder / str(reference["file"])
            return str(path), self._file(path).strip()
        raise self.wrong(f"`{key}` needs `file` or `env`, one of them")

    def refused(self, message: str) -> SourceUnavailable:
        """The error for a secret that is not there: the source would not let us in."""
        hint = "is the token still valid? it is read anew with each request"
        return SourceUnavailable(f"metrics.{self.source}: {message}", code=NOT_LET_IN, hint=hint)

    def _file(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(MOST_TOKEN).decode("ascii", "replace")
        except OSError as error:
            raise self.refused(f"{path} cannot be read: {error.strerror}") from None


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


def _unusable(message: str) -> SourceUnavailable:
    return SourceUnavailable(message, code=WRONG_OPTIONS)
