"""Source `http`: counters out of a service's own JSON, one GET a reading.

options: url, token: {file | env}, headers: {NAME: TEXT}, timeout_us, max_age_us,
counters: {NAME: {items, account, value, time}}, JSON pointers (RFC 6901).

`items` is where the list of accounts stands in the answer ("" the answer itself); `account`, `value` and `time`
are within an item. Where `items` is a mapping, its keys are the accounts unless `account` says otherwise.
A value is a number or its decimal text. Null, NaN, below zero, nothing at all, or two that disagree: the account is
left out with a warning. An answer that has items and not one with the pointer is refused (RC8003): that is a
pointer with a mistake in it, not a fleet gone silent. A page that says that there is a next one (`Link`) is an
answer in part.

`time` is when the value was taken: seconds or milliseconds since 1970, or RFC 3339 text. Its age is by the answer's
own clock (the Date header and, of one that a cache kept, Age; no clock of ours); above `max_age`, or that far in the
future, the account is left out. Without `time` a value counts as of now; an answer that a cache kept for longer than
`max_age`, or whose Age cannot be read, is refused as stale (RC8007).
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringctl import net
from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND
from ringctl.metrics.asking import Ask, clock_s, exchange, failed, page_for_people
from ringctl.metrics.options import (
    DEFAULT_MAX_AGE_US,
    DEFAULT_TIMEOUT_US,
    MALFORMED,
    STALE,
    Options,
    checked,
)
from ringctl.metrics.pointer import NOTHING, Pointer, get, parse
from ringctl.metrics.values import Found, account, count, few, instant
from ringctl.ports.metrics import Reading
from ringctl.settings.sources import SECRET_HEADERS

POINTERS: Final = ("items", "account", "value", "time")

_NEXT = re.compile(r'rel\s*=\s*"?next\b', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a counter stands in the answer; no `account`: the key of a mapping. No `time`: not said."""

    items: Pointer
    value: Pointer
    account: Pointer | None = None
    time: Pointer | None = None


class Http:
    """Reads the one address named in the options."""

    def __init__(self, name: str, options: Mapping[str, object], *, folder: Path = Path()) -> None:
        self.name = name
        self._options = Options(source=name, given=options, folder=folder)
        self._options.only("url", "token", "headers", "timeout_us", "max_age_us", "counters")
        self._url = self._options.address()
        self._timeout_s = self._options.span("timeout_us", DEFAULT_TIMEOUT_US)
        self._max_age_s = self._options.span("max_age_us", DEFAULT_MAX_AGE_US)
        self._headers = _headers(self._options)
        self._places = _places(self._options)

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading of all counters. Raises SourceUnavailable. Of an answer's accounts those wanted are kept."""
        wanted = checked(counters)
        places = [self._place(counter) for counter in wanted]
        headers = {"Accept": "application/json", "Cache-Control": "no-cache", **self._headers}
        token = self._options.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        left_s = min(timeout_s, self._timeout_s)
        answer = exchange(Ask(method="GET", url=self._url, headers=headers, timeout_s=left_s))
        kept_s = self._kept_s(answer)
        document = self._document(answer)
        made_s = clock_s(answer)
        now_s = None if made_s is None else made_s + kept_s
        warnings: list[str] = []
        oldest: list[float] = []
        picked = None if accounts is None else frozenset(accounts)
        values: dict[Counter, dict[str, float]] = {}
        for counter, place in zip(wanted, places, strict=True):
            found = Found(counter.name, warnings)
            for one, value, at_s in self._items(counter, place, document, now_s, found):
                if picked is not None and one not in picked:
                    continue
                if place.time is not None:
                    age_s = None if at_s is None or now_s is None else now_s - at_s
                    if not found.age(one, age_s, self._max_age_s):
                        continue
                    oldest += [at_s] if at_s is not None else []
                found.add(one, value)
            values[counter] = found.usable()
        partial = bool(_NEXT.search(answer.headers.get("link", "")))
        if partial:
            warnings.insert(0, f"{self._url}: there is a next page, which is not read: ask for all at once")
        return Reading(
            at_us=None,
            oldest_us=int(min(oldest) * SECOND) if oldest else None,
            values=values,
            warnings=few(warnings),
            partial=partial,
            queries=(f"GET {self._url}",),
        )

    def _place(self, counter: Counter) -> Place:
        instead = "name another place in `counters` instead"
        return self._options.named(counter, "counters", self._places, instead)

    def _kept_s(self, answer: net.Response) -> float:
        """How long caches kept the answer; its Date is from before that."""
        kept_s = count(answer.headers.get("age", "0"))
        if kept_s is None or kept_s > self._max_age_s:
            # two caches in a row, or a broken one: an age that cannot be read is not that of an answer just made
            said = "of unknown age" if kept_s is None else f"{kept_s:.0f} s old"
            message = f"{self._url}: the answer is {said}, out of a cache"
            raise failed(message, STALE, hint="ask the service itself, or raise `max_age`")
        return kept_s

    def _document(self, answer: net.Response) -> object:
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            message = f"{self._url}: the answer is not JSON{page_for_people(answer)}"
            raise failed(message, MALFORMED) from None

    def _items(
        self, counter: Counter, place: Place, document: object, now_s: float | None, found: Found
    ) -> Iterator[tuple[str, float | None, float | None]]:
        """Account, value (None: none that counts) and time of each item."""
        if place.time is not None and now_s is None:
            raise self._unreadable(counter, "the answer has no Date, by which `time` is measured")
        items = get(document, place.items)
        if isinstance(items, Mapping):
            entries = [(key, item) for key, item in items.items()]
        elif isinstance(items, list) and place.account is not None:
            entries = [("", item) for item in items]
        else:
            wanted = "a list or a mapping" if place.account is not None else "a mapping of accounts"
            raise self._unreadable(counter, f"`items` is not {wanted}")
        some = not entries
        for key, item in entries:
            one = key if place.account is None else account(get(item, place.account))
            value = get(item, place.value)
            some = some or value is not NOTHING
            if one:
                at_s = None if place.time is None else instant(get(item, place.time))
                yield one, count(value), at_s
            else:
                found.say("an item has no account: left out")
        if not some:
            raise self._unreadable(counter, "not one item has its `value`")

    def _unreadable(self, counter: Counter, what: str) -> SourceUnavailable:
        hint = f"compare `metrics.{self.name}.counters.{counter.name}` with an answer"
        return failed(f"{self._url}: {counter.name}: {what}", MALFORMED, hint=hint)


def _headers(options: Options) -> dict[str, str]:
    given = options.given.get("headers", {})
    if not isinstance(given, Mapping) or not all(
        isinstance(one, str) for pair in given.items() for one in pair
    ):
        raise options.wrong("`headers` must be a mapping of names to texts")
    for name in given:
        if name.lower() in SECRET_HEADERS:
            raise options.wrong("`headers` holds no secrets", "use `token: {file: PATH}` or {env: NAME}")
    return {str(name): str(value) for name, value in given.items()}


def _places(options: Options) -> dict[str, Place]:
    given = options.given.get("counters")
    if not isinstance(given, Mapping) or not given:
        raise options.wrong(
            "`counters` is missing: {NAME: {items: POINTER, account: POINTER, value: POINTER}}"
        )
    return {str(name): _place(options, f"counters.{name}", place) for name, place in given.items()}


def _place(options: Options, where: str, given: object) -> Place:
    if not isinstance(given, Mapping) or given.keys() - set(POINTERS):
        raise options.wrong(f"`{where}` must be {{items: POINTER, account: POINTER, value: POINTER}}")
    if "value" not in given:
        raise options.wrong(f"`{where}.value` is missing")
    found: dict[str, Pointer] = {}
    for key, text in given.items():
        if not isinstance(text, str):
            raise options.wrong(f"`{where}.{key}` must be a JSON pointer")
        try:
            found[str(key)] = parse(text)
        except ValueError as error:
            raise options.wrong(f"`{where}.{key}`: {error}") from None
    return Place(
        items=found.get("items", ()),
        value=found["value"],
        account=found.get("account"),
        time=found.get("time"),
    )
