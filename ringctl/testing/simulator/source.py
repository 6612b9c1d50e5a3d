"""The metric source of a world: counters that rise with virtual time, worse where a harmful step took effect."""

from __future__ import annotations

from collections.abc import Collection

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.ports.metrics import Reading
from ringctl.testing.scripted_source import ScriptedSource
from ringctl.testing.simulator.faults import Faults
from ringctl.testing.simulator.oracle import Oracle
from ringctl.testing.simulator.threads import SimClock


class SimSource(ScriptedSource):
    """Each reading is a switch point and may fail. `out`: the source is down; `gone`: it has no series."""

    def __init__(self, faults: Faults, oracle: Oracle) -> None:
        super().__init__(SimClock(faults.world))
        self.out = False
        self.gone = False
        self._faults = faults
        self._oracle = oracle

    def read(
        self, counters: Collection[Counter], timeout_s: float, *, accounts: Collection[str] | None = None
    ) -> Reading:
        """One reading. Raises SourceUnavailable while it is down, and now and then."""
        self._faults.point()
        rates = self._faults.rates
        if self.out or (rates.missing and self._faults.world.random.random() < rates.missing):
            raise SourceUnavailable("simulated: connection refused")
        self.asked.clear()
        reading = super().read(counters, timeout_s, accounts=accounts)
        self._faults.point()
        if self.gone or (rates.absent and self._faults.world.random.random() < rates.absent):
            return Reading(at_us=reading.at_us, values={counter: {} for counter in counters})
        self._oracle.answered_us = self._faults.world.now_us
        return reading
