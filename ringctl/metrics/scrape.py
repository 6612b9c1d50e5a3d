"""Source `scrape`: reads exposition endpoints itself, no server needed (the embedded default).

options: urls (or url), timeout_us, max_age_us.

All endpoints or none: one that fails makes the reading fail, for a partial sum would look like a reset or
like fewer events. Series are added up per account over endpoints, where every `match` expression holds as
in PromQL (`=~`: anchored, an absent label is the empty text). Values with a timestamp older than `max_age`
by the endpoint's own clock (its Date header), or of unknown age because it has none, are left out with a warning:
stale is not fresh.

Sums are taken before differences, so a restarted endpoint is seen as a reset of the account unless the
others grew by more in the same interval; then that interval counts too few events, of y and n alike.
"""

import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import MILLISECOND
from ringctl.metrics.asking import Ask, clock_s, exchange, failed, page_for_people
from ringctl.metrics.exposition import Exposition, Sample, parse, shown
from ringctl.metrics.options import DEFAULT_MAX_AGE_US, DEFAULT_TIMEOUT_US, Options, checked
from ringctl.metrics.values import count, few, unfit
from ringctl.ports.metrics import Reading

ACCEPT: Final = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
MOST_THREADS: Final = 8


class Scrape:
    """Reads the endpoints named in the options."""

    def __init__(self, name: str, options: Mapping[str, object], *, folder: Path = Path()) -> None:
        self.name = name
        given = Options(source=name, given=options, folder=folder)
        given.only("url", "urls", "timeout_us", "max_age_us")
        self._urls = given.urls()
        self._timeout_s = given.span("timeout_us", DEFAULT_TIMEOUT_US)
        self._max_age_s = given.span("max_age_us", DEFAULT_MAX_AGE_US)

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading of all counters. Raises SourceUnavailable. A page has all accounts: those wanted are kept."""
        wanted = checked(counters)
        deadline = time.monotonic() + min(timeout_s, self._timeout_s)
        pages = [self._page(self._urls[0], deadline)] if len(self._urls) == 1 else self._all(deadline)
        warnings: list[str] = []
        oldest: list[float] = []
        by_name: dict[str, list[Sample]] = defaultdict(list)
        names = {counter.name for counter in wanted}
        for (page, now_s), url in zip(pages, self._urls, strict=True):
            warnings += [f"{url}: {warning}" for warning in page.warnings]
            for sample in page.samples:
                if sample.name in names:
                    by_name[sample.name].append(self._timed(sample, now_s, oldest))
            warnings += _gauges(page, names, url)
        picked = None if accounts is None else frozenset(accounts)
        values = {counter: _sums(counter, by_name[counter.name], warnings, picked) for counter in wanted}
        return Reading(
            at_us=None,
            oldest_us=int(min(oldest) * MILLISECOND) if oldest else None,
            values=values,
            warnings=few(warnings),
            queries=tuple(f"GET {url}" for url in self._urls),
        )

    def _all(self, deadline: float) -> list[tuple[Exposition, float | None]]:
        with ThreadPoolExecutor(min(MOST_THREADS, len(self._urls))) as pool:
            return list(pool.map(lambda url: self._page(url, deadline), self._urls))

    def _page(self, url: str, deadline: float) -> tuple[Exposition, float | None]:
        """The endpoint's page, and its clock in seconds where it says so."""
        left_s = deadline - time.monotonic()
        answer = exchange(Ask(method="GET", url=url, headers={"Accept": ACCEPT}, timeout_s=left_s))
        openmetrics = answer.headers.get("content-type", "").startswith("application/openmetrics-text")
        try:
            page = parse(answer.body, openmetrics=openmetrics)
        except SourceUnavailable as error:
            message = f"{url}: {error.message}{page_for_people(answer)}"
            raise failed(message, error.code) from None
        return page, clock_s(answer)

    def _timed(self, sample: Sample, now_s: float | None, oldest: list[float]) -> Sample:
        """The sample, its value NaN when it is stale."""
        if sample.at_ms is None:
            return sample
        if unfit(None if now_s is None else now_s - sample.at_ms / 1000, self._max_age_s):
            return sample._replace(value=float("nan"))
        oldest.append(sample.at_ms)
        return sample


def _gauges(page: Exposition, names: Iterable[str], url: str) -> list[str]:
    return [
        f"{url}: {name} is a {page.types[name]}, not a counter"
        for name in sorted(names)
        if page.types.get(name) in {"gauge", "histogram", "summary"}
    ]


def _sums(
    counter: Counter, samples: Iterable[Sample], warnings: list[str], picked: frozenset[str] | None
) -> dict[str, float]:
    """Account -> sum of the counter's series; an account with a series that cannot be used is left out."""
    patterns = {label: re.compile(pattern, re.DOTALL) for label, pattern in counter.match.items()}
    sums: dict[str, float] = {}
    unusable: set[str] = set()
    for sample in samples:
        labels = dict(sample.labels)
        if not all(one.fullmatch(labels.get(label, "")) for label, one in patterns.items()):
            continue
        account = labels.get(counter.account, "")
        if not account:
            warnings.append(f"{shown(sample)} has no label {counter.account}: left out")
        elif picked is not None and account not in picked:
            continue
        elif count(sample.value) is None:
            unusable.add(account)
            warnings.append(
                f"{shown(sample)} is stale or of unknown age, NaN, infinite or negative: account {account} left out"
            )
        else:
            sums[account] = sums.get(account, 0.0) + sample.value
    return {account: value for account, value in sums.items() if account not in unusable}
