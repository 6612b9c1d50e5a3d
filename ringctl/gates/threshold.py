"""Judge `threshold`: fixed limits, named as not anytime-valid (see `ceiling`)."""

from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.policy import Check
from ringctl.gates import ceiling


class Threshold:
    """`above` and `p95`, whatever the check compares with beside; `compare: threshold` alone."""

    name = "threshold"
    part = 0.0

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        limits = check.fail_if
        return check.compare == self.name or limits.above is not None or limits.p95 is not None

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in."""
        return ceiling.look(check, state, evidence)
