"""The part of Prometheus' HTTP API that is used: POST to /api/v1/query and /api/v1/query_range, and its answers."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from ringctl import net
from ringctl.core.errors import SourceUnavailable
from ringctl.metrics.asking import Ask, exchange, failed, line, page_for_people
from ringctl.metrics.options import MALFORMED, SERVER_ERROR, TIMED_OUT
from ringctl.metrics.values import Found, count, number

INSTANT: Final = "/api/v1/query"
RANGE: Final = "/api/v1/query_range"
TIMED_OUT_TYPES: Final = frozenset({"timeout", "canceled"})

Samples = Mapping[float, float]


class Asking:
    """The queries of one reading: what is left of its time, what the server said beside.

    `timeout_s` is for all of them together, `each_s` for one. `token` is called for each, and gives "" for none.
    """

    def __init__(self, url: str, token: Callable[[], str], *, timeout_s: float, each_s: float) -> None:
        self.warnings: list[str] = []
        self.partial = False
        self._url = url
        self._token = token
        self._deadline = time.monotonic() + timeout_s
        self._each_s = each_s

    def warn(self, warning: str) -> None:
        """Keep a warning."""
        self.warnings.append(warning)

    def now(self) -> float:
        """The server's clock, in seconds."""
        kind, result = self._ask(INSTANT, {"query": "time()"})
        at_s = _value(result) if kind == "scalar" else None
        if at_s is None or not 0 < at_s < 1e11:
            raise failed(f"{self._url}: `time()` gave no time", MALFORMED)
        return at_s

    def times(self, query: str, label: str, at_s: float) -> dict[str, float]:
        """Label's value -> time of its oldest sample, in seconds; one that cannot be used is left out."""
        return self._vector(query, label, at_s, Found(query, []))

    def values(self, query: str, label: str, at_s: float, what: str) -> dict[str, float]:
        """Label's value -> number of an instant vector, called `what` in warnings."""
        return self._vector(query, label, at_s, Found(what, self.warnings))

    def count(self, query: str, at_s: float) -> int:
        """How many series a query gives at a time."""
        result = self._results(INSTANT, {"query": f"count({query})", "time": f"{at_s:.3f}"}, "vector")
        if not result:
            return 0
        _, text = _series(result[0])
        found = count(text)
        if found is None:
            raise failed(f"{self._url}: a count cannot be read", MALFORMED)
        return int(found)

    def tracks(self, query: str, label: str, grid: tuple[float, float, float]) -> dict[str, Samples]:
        """Label's value -> time in seconds -> number, for `grid`: start, end, step. What is no count is left out."""
        start, end, step = grid
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        found: dict[str, Samples] = {}
        for series in self._results(RANGE, form, "matrix"):
            labels, points = _points(series)
            if labels is None:
                raise failed(f"{self._url}: a series cannot be read", MALFORMED)
            account = labels.get(label)
            if not isinstance(account, str) or not account:
                continue
            if account in found:
                raise failed(f"{self._url}: `{query[:200]}` gave {account} twice", MALFORMED)
            found[account] = points
        return found

    def _vector(self, query: str, label: str, at_s: float, found: Found) -> dict[str, float]:
        nameless = False
        for series in self._results(INSTANT, {"query": query, "time": f"{at_s:.3f}"}, "vector"):
            labels, text = _series(series)
            if labels is None or text is None:
                raise failed(f"{self._url}: a series cannot be read", MALFORMED)
            account = labels.get(label)
            if isinstance(account, str) and account:
                found.add(account, count(text))
            else:
                nameless = True
        if nameless:
            found.say(f"a series has no label {label}: left out")
        return found.usable()

    def _results(self, path: str, form: Mapping[str, str], wanted: str) -> list[object]:
        kind, result = self._ask(path, form)
        if kind != wanted or not isinstance(result, list):
            raise failed(f"{self._url}: `{form['query'][:200]}` gave no {wanted}", MALFORMED)
        return result

    def _ask(self, path: str, form: Mapping[str, str]) -> tuple[object, object]:
        """Type of the result, and the result."""
        left_s = min(self._deadline - time.monotonic(), self._each_s)
        body = urlencode({**form, "timeout": f"{max(1, round(1000 * left_s))}ms"}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        token = self._token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        ask = Ask(method="POST", url=self._url + path, headers=headers, body=body, timeout_s=left_s)
        try:
            answer = exchange(ask)
        except SourceUnavailable as error:
            if error.code == SERVER_ERROR and '"timeout"' in error.message:
                raise failed(error.message, TIMED_OUT) from None
            raise
        return self._read(answer)

    def _read(self, answer: net.Response) -> tuple[object, object]:
        try:
            page = json.loads(answer.body)
        except (ValueError, RecursionError):
            message = f"{self._url}: the answer is not JSON{page_for_people(answer)}"
            raise failed(message, MALFORMED) from None
        if not isinstance(page, dict) or page.get("status") != "success":
            raise self._failed(page)
        data = page.get("data")
        if not isinstance(data, dict):
            raise failed(f"{self._url}: the answer has no data", MALFORMED)
        self._beside(page)
        return data.get("resultType"), data.get("result")

    def _failed(self, page: object) -> SourceUnavailable:
        if not isinstance(page, dict) or page.get("status") != "error":
            return failed(f"{self._url}: the answer has no status", MALFORMED)
        code = TIMED_OUT if page.get("errorType") in TIMED_OUT_TYPES else SERVER_ERROR
        said = line(f"{page.get('errorType')}: {page.get('error')}".encode("utf-8", "replace"))
        return failed(f"{self._url}: {said}", code)

    def _beside(self, page: Mapping[str, object]) -> None:
        """Warnings (the answer is partial) and infos."""
        for key in ("warnings", "infos"):
            said = page.get(key)
            if not said:
                continue
            self.partial = self.partial or key == "warnings"
            for one in said if isinstance(said, list) else [said]:
                if str(one)[:300] not in self.warnings:
                    self.warn(str(one)[:300])


def _series(series: object) -> tuple[Mapping[str, object] | None, str | None]:
    """Labels and value's text of one element of a vector."""
    if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
        return None, None
    point = series.get("value")
    if not isinstance(point, list) or len(point) != 2 or not isinstance(point[1], str):
        return None, None
    return series["metric"], point[1]


def _points(series: object) -> tuple[Mapping[str, object] | None, Samples]:
    """Labels and samples of one element of a matrix; no labels when it cannot be read."""
    if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
        return None, {}
    points = series.get("values")
    if not isinstance(points, list):
        return None, {}
    found = {}
    for point in points:
        if not isinstance(point, list) or len(point) != 2 or not isinstance(point[1], str):
            return None, {}
        at_s, value = point[0], count(point[1])
        if isinstance(at_s, bool) or not isinstance(at_s, int | float):
            return None, {}
        if value is not None:
            found[float(at_s)] = value
    return series["metric"], found


def _value(point: object) -> float | None:
    """The number of a scalar."""
    if not isinstance(point, list) or len(point) != 2 or not isinstance(point[1], str):
        return None
    return number(point[1])
