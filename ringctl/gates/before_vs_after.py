"""Judge `before-vs-after`: counts against the same accounts before (see `own_past`)."""

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Count, Ratio
from ringctl.gates import own_past


class BeforeVsAfter:
    """`compare: before-vs-after` with `increase` or `decrease`, on counts."""

    name = own_past.NAME
    part = 0.7

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        measure, limits = check.measure, check.fail_if
        events = isinstance(measure, Count) or (isinstance(measure, Ratio) and measure.of_counts)
        asked = limits.increase is not None or limits.decrease is not None
        return check.compare == self.name and events and asked

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        return own_past.look(check, state, evidence)
