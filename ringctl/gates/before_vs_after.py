"""Judge `before-vs-after`: a ratio of counts against the same accounts before (see `history`)."""

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check, Ratio
from ringctl.gates import history


class BeforeVsAfter:
    """`compare: before-vs-after` with `increase`, on a ratio of counts."""

    name = "before-vs-after"

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        return (
            check.compare == self.name
            and check.fail_if.increase is not None
            and isinstance(check.measure, Ratio)
            and check.measure.of_counts
        )

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        return history.look(check, state, evidence)
