"""Source `prometheus`: the HTTP API of Prometheus and what speaks like it (Thanos, Mimir, VictoriaMetrics).

options: url, token: {file | env}, timeout_us, max_age_us.

A reading asks, by POST to /api/v1/query: `time()` once, and at that one evaluation time per counter
    sum by (ACCOUNT) (NAME{LABEL=~"...",...})              the raw cumulative value
    min by (ACCOUNT) (timestamp(NAME{LABEL=~"...",...}))   the time of its oldest sample
so that all counters belong to one moment, which is the reading's `at_us`. Raw values, not `increase()`,
which extrapolates (GATE 5.8): ringctl differences them. Results are mapped by the account label alone.

Stale is not fresh: an instant query hands on samples up to five minutes old. The way chosen here is the age
of each account's oldest sample by the server's own clock (no clock of ours in it): above `max_age`
(default 60 s; two scrape intervals is a good value) the account is left out with a warning. The oldest
sample of what is left becomes `oldest_us`: the fold counts an interval as after an intent, or after
completion, only from there on.

`warnings` of the server mean that it answered in part: the reading is `partial`. `infos` are only shown.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND
from ringctl.metrics.exposition import escaped
from ringctl.metrics.options import (
    DEFAULT_MAX_AGE_US,
    DEFAULT_TIMEOUT_US,
    MALFORMED,
    SERVER_ERROR,
    TIMED_OUT,
    Ask,
    Options,
    checked,
    exchange,
    few,
    number,
)
from ringctl.ports.metrics import Reading

PATH: Final = "/api/v1/query"
TIMED_OUT_TYPES: Final = frozenset({"timeout", "canceled"})


class Prometheus:
    """Reads counters by instant queries."""

    def __init__(self, name: str, options: Mapping[str, object], *, folder: Path = Path()) -> None:
        self.name = name
        self._options = Options(source=name, given=options, folder=folder)
        self._options.only("url", "token", "timeout_us", "max_age_us")
        self._url = self._options.url() + PATH
        self._timeout_s = self._options.span("timeout_us", DEFAULT_TIMEOUT_US)
        self._max_age_s = self._options.span("max_age_us", DEFAULT_MAX_AGE_US)

    def read(self, counters: Collection[Counter], timeout_s: float) -> Reading:
        """One reading of all counters. Raises SourceUnavailable."""
        wanted = checked(counters)
        asking = _Asking(self._url, self._options.token(), time.monotonic() + min(timeout_s, self._timeout_s))
        at_s = asking.now()
        values: dict[Counter, dict[str, float]] = {}
        ages: list[float] = []
        for counter in wanted:
            query, times = queries(counter)
            sampled = asking.vector(times, counter.account, at_s)
            found = asking.vector(query, counter.account, at_s)
            values[counter] = self._fresh(counter, found, sampled, (at_s, ages, asking.warn))
        oldest_s = at_s - max(ages, default=0.0)
        return Reading(
            at_us=round(at_s * SECOND),
            oldest_us=round(oldest_s * SECOND),
            values=values,
            warnings=few(asking.warnings),
            partial=asking.partial,
            queries=tuple(query for counter in wanted for query in queries(counter)),
        )

    def _fresh(
        self,
        counter: Counter,
        found: Mapping[str, float],
        sampled: Mapping[str, float],
        context: tuple[float, list[float], Callable[[str], None]],
    ) -> dict[str, float]:
        """The values whose oldest sample is young enough."""
        at_s, ages, warn = context
        kept = {}
        for account, value in found.items():
            age_s = at_s - sampled[account] if account in sampled else None
            if age_s is not None and age_s <= self._max_age_s:
                kept[account] = value
                ages.append(age_s)
            else:
                said = "of unknown age" if age_s is None else f"{age_s:.0f} s old"
                warn(f"{counter.name}: the sample of {account} is {said}: left out as stale (RC8007)")
        return kept


def selector(counter: Counter) -> str:
    """`NAME{LABEL=~"EXPRESSION",...}`, every value quoted."""
    matchers = ",".join(f'{label}=~"{escaped(pattern)}"' for label, pattern in sorted(counter.match.items()))
    return f"{counter.name}{{{matchers}}}" if matchers else counter.name


def queries(counter: Counter) -> tuple[str, str]:
    """The two queries of a counter: raw value, and time of the oldest sample."""
    selected, account = selector(counter), counter.account
    return f"sum by ({account}) ({selected})", f"min by ({account}) (timestamp({selected}))"


class _Asking:
    """The queries of one reading: what is left of its time, what the server said beside."""

    def __init__(self, url: str, token: str, deadline: float) -> None:
        self._url = url
        self._deadline = deadline
        self._headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self.warnings: list[str] = []
        self.partial = False

    def warn(self, warning: str) -> None:
        """Keep a warning."""
        self.warnings.append(warning)

    def now(self) -> float:
        """The server's clock, in seconds."""
        kind, result = self._ask({"query": "time()"})
        at_s = _value(result) if kind == "scalar" else None
        if at_s is None or not 0 < at_s < 1e11:
            raise SourceUnavailable(f"{self._url}: `time()` gave no time", code=MALFORMED)
        return at_s

    def vector(self, query: str, label: str, at_s: float) -> dict[str, float]:
        """Label's value -> number of an instant vector."""
        kind, result = self._ask({"query": query, "time": f"{at_s:.3f}"})
        if kind != "vector" or not isinstance(result, list):
            raise SourceUnavailable(f"{self._url}: `{query}` gave no vector", code=MALFORMED)
        found: dict[str, float | None] = {}
        for series in result:
            labels, text = _series(series)
            if labels is None or text is None:
                raise SourceUnavailable(f"{self._url}: a series cannot be read", code=MALFORMED)
            account = labels.get(label)
            if not isinstance(account, str) or not account:
                self.warn(f"{query}: a series has no label {label}: left out")
                continue
            value = number(text)
            if account in found and found[account] != value:
                value = None
            found[account] = value
            if value is None:
                self.warn(f"{query}: {account} is NaN, infinite or there twice: left out")
        return {account: value for account, value in found.items() if value is not None}

    def _ask(self, form: Mapping[str, str]) -> tuple[object, object]:
        """Type of the result, and the result."""
        left_s = self._deadline - time.monotonic()
        body = urlencode({**form, "timeout": f"{max(1, round(1000 * left_s))}ms"}).encode()
        try:
            answer = exchange(
                Ask(method="POST", url=self._url, headers=self._headers, body=body, timeout_s=left_s)
            )
        except SourceUnavailable as error:
            if error.code == SERVER_ERROR and '"timeout"' in error.message:
                raise SourceUnavailable(error.message, code=TIMED_OUT) from None
            raise
        try:
            page = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise SourceUnavailable(f"{self._url}: the answer is not JSON", code=MALFORMED) from None
        data = page.get("data") if isinstance(page, dict) else None
        if not isinstance(page, dict) or page.get("status") != "success":
            raise self._failed(page)
        if not isinstance(data, dict):
            raise SourceUnavailable(f"{self._url}: the answer has no data", code=MALFORMED)
        self._beside(page)
        return data.get("resultType"), data.get("result")

    def _failed(self, page: object) -> SourceUnavailable:
        if not isinstance(page, dict) or page.get("status") != "error":
            return SourceUnavailable(f"{self._url}: the answer has no status", code=MALFORMED)
        code = TIMED_OUT if page.get("errorType") in TIMED_OUT_TYPES else SERVER_ERROR
        said = f"{page.get('errorType')}: {page.get('error')}"
        return SourceUnavailable(f"{self._url}: {said[:200]}", code=code)

    def _beside(self, page: Mapping[str, object]) -> None:
        """Warnings (the answer is partial) and infos."""
        for key in ("warnings", "infos"):
            said = page.get(key)
            if not said:
                continue
            self.partial = self.partial or key == "warnings"
            for one in said if isinstance(said, list) else [said]:
                if str(one) not in self.warnings:
                    self.warn(str(one)[:300])


def _series(series: object) -> tuple[Mapping[str, object] | None, str | None]:
    """Labels and value's text of one element of a vector."""
    if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
        return None, None
    point = series.get("value")
    if not isinstance(point, list) or len(point) != 2 or not isinstance(point[1], str):
        return None, None
    return series["metric"], point[1]


def _value(point: object) -> float | None:
    """The number of a scalar."""
    if not isinstance(point, list) or len(point) != 2 or not isinstance(point[1], str):
        return None
    return number(point[1])
