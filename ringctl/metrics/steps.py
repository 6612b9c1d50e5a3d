"""Source `steps`: duration, failures and retries per account, from the store. No server, no counters."""

import math
from collections.abc import Mapping
from typing import Final

MEASURES: Final = ("duration", "failures", "retries")


class Steps:
    """Built in: a check with `source: steps` reads what the workers recorded (`Store.step_measures`)."""

    name = "steps"

    def read_steps(self, measures: Mapping[str, Mapping[str, float]], measure: str) -> dict[str, float]:
        """Account -> value of one measure; what is not a finite number of at least 0 is left out.

        The engine hands the result to `ringctl.core.observing.step_evidence`.
        """
        return {
            account: float(value)
            for account, value in measures.get(measure, {}).items()
            if math.isfinite(value) and value >= 0
        }
