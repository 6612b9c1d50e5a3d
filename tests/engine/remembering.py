"""A source with a past whose counters are functions of time, for tests of what is made of it."""

import math
from collections.abc import Callable, Collection, Iterator

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import MINUTE, Instant, Span
from ringctl.ports.metrics import Reading, Track

ZERO: Instant = 1_700_000_000_000_000 // MINUTE * MINUTE
CANARY = ("c1", "c2", "c3")
CONTROL = tuple(f"k{one}" for one in range(8))

Value = Callable[[Counter, str, float], float | None]


class Live:
    """Knows only now. Answers with `value(counter, account, minutes since `zero`)`; None: there is no series."""

    name = "app"

    def __init__(
        self,
        value: Value,
        *,
        least: float = 0.0,
        now: Callable[[], Instant] | None = None,
        zero: Instant = ZERO,
    ) -> None:
        self.value, self.least, self.now, self.zero = value, least, now, zero
        self.broken = ""

    def at(self, counter: Counter, account: str, at_us: Instant) -> float | None:
        minutes = (at_us - self.zero) / MINUTE
        return None if minutes < self.least else self.value(counter, account, minutes)

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        assert self.now is not None
        if self.broken:
            raise SourceUnavailable(self.broken, code="RC8004")
        at_us = self.now()
        values = {
            counter: {
                one: found
                for one in accounts or ()
                if (found := self.at(counter, one, at_us)) is not None and math.isfinite(found)
            }
            for counter in counters
        }
        return Reading(at_us=at_us, values=values)


class Remembering(Live):
    """Knows the past as well."""

    def history(
        self,
        counters: Collection[Counter],
        *,
        accounts: Collection[str] | None,
        from_us: Instant,
        to_us: Instant,
        step_us: Span,
        timeout_s: float,
    ) -> Iterator[Track]:
        if self.broken:
            raise SourceUnavailable(self.broken, code="RC8004")
        times = range(from_us, to_us + 1, step_us)
        for counter in counters:
            for account in accounts or ():
                found = ((at, self.at(counter, account, at)) for at in times)
                points = tuple((at, value) for at, value in found if value is not None)
                if points:
                    yield Track(counter, account, points)


def steady(harm: float = 1.0, since: float = 0.0) -> Value:
    """20 answers a minute and account, one in 20 bad; of the canary `harm` times as many since a minute."""

    def value(counter: Counter, account: str, t: float) -> float | None:
        if counter.match.get("code") == "5..":
            more = harm if account in CANARY else 1.0
            return float(math.floor(min(t, since) + max(0.0, t - since) * more + 10_000))
        return float(math.floor(20 * t + 200_000))

    return value
