"""A metric source whose counters a test writes down."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import Instant
from ringctl.ports.clock import Clock
from ringctl.ports.metrics import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One reading that was asked for."""

    counters: tuple[Counter, ...]
    timeout_s: float


class ScriptedSource:
    """Implements `ringctl.ports.metrics.MetricSource`: counters that rise with the fake clock.

    Every account has `rates` (counter name -> events per second), or its own after `rate`. `harms` names the
    accounts that are doing badly now: `harmful` replaces their rates. `silence` makes the source answer with an
    error, `absent` takes an account's series away, `fix` pins a value (NaN, too, which no real source may give).
    """

    def __init__(self, clock: Clock, accounts: Iterable[str] = (), *, name: str = "app") -> None:
        self.name = name
        self.accounts: set[str] = set(accounts)
        self.rates: dict[str, float] = {"all": 50.0, "bad": 0.0}
        self.harmful: dict[str, float] = {"bad": 25.0}
        self.harms: Callable[[str], bool] = lambda _account: False
        self.asked: list[Asked] = []
        self.partial = False
        self.at_us: Instant | None = None
        self._clock = clock
        self._last = clock.monotonic()
        self._values: dict[tuple[str, str], float] = {}
        self._own: dict[tuple[str, str], float] = {}
        self._absent: set[str] = set()
        self._fixed: dict[tuple[str, str], float] = {}
        self._error: tuple[str, str] | None = None

    # -- programming -------------------------------------------------------------------------------
    def rate(self, account: str, counter: str, per_second: float) -> None:
        """An account's own rate from now on (0: its series stands still)."""
        self._flow()
        self._own[account, counter] = per_second

    def harm(self, accounts: Collection[str] | None = None) -> None:
        """From now on these accounts (None: all) do badly."""
        self._flow()
        chosen = None if accounts is None else frozenset(accounts)
        self.harms = lambda account: chosen is None or account in chosen

    def heal(self) -> None:
        """All accounts do well again, and the source answers."""
        self._flow()
        self.harms = lambda _account: False
        self._error = None
        self._absent.clear()
        self._fixed.clear()
        self.partial = False

    def silence(self, code: str = "RC8001", reason: str = "connection refused") -> None:
        """The source gives no answer, with this code."""
        self._error = (code, reason)

    def answer(self) -> None:
        """The source answers again."""
        self._error = None

    def absent(self, *accounts: str) -> None:
        """These accounts have no series."""
        self._absent.update(accounts)

    def fix(self, account: str, counter: str, value: float = math.nan) -> None:
        """Pin a value, whatever happens."""
        self._fixed[account, counter] = value

    # -- MetricSource ------------------------------------------------------------------------------
    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading. Raises SourceUnavailable while silenced."""
        self.asked.append(Asked(counters=tuple(counters), timeout_s=timeout_s))
        self._flow()
        if self._error is not None:
            code, reason = self._error
            raise SourceUnavailable(reason, code=code)
        there = sorted(self.accounts - self._absent)
        if accounts is not None:
            wanted = frozenset(accounts)
            there = [account for account in there if account in wanted]
        values = {
            counter: {account: self._value(account, counter.name) for account in there}
            for counter in counters
        }
        return Reading(at_us=self.at_us, values=values, partial=self.partial)

    def _value(self, account: str, counter: str) -> float:
        return self._fixed.get((account, counter), float(int(self._values.get((account, counter), 0.0))))

    def _flow(self) -> None:
        """Let the counters rise for the time since the last call."""
        now = self._clock.monotonic()
        passed, self._last = now - self._last, now
        for account in self.accounts:
            now_rates = {**self.rates, **(self.harmful if self.harms(account) else {})}
            for counter, rate in now_rates.items():
                own = self._own.get((account, counter), rate)
                place = (account, counter)
                self._values[place] = self._values.get(place, 0.0) + own * passed
