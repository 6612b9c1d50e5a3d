"""`noop`: a step that does nothing, for benchmarks and rehearsed plans."""

from collections.abc import Mapping

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.executors.options import unknown
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran


class NoopExecutor:
    """Nothing runs, so nothing can run twice."""

    kind = "noop"
    fencing = Fencing.NONE

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """It has no options."""
        return tuple(unknown(spec, (), spec.options))

    def run(self, order: Order, control: Control) -> Ran:
        """Done at once, unless a stop was requested."""
        del order
        if control.stop_requested():
            return Ran(outcome=Outcome.STOPPED, reason="nothing was sent: a stop was requested")
        return Ran(outcome=Outcome.DONE)

    def probe(self, order: Order, control: Control) -> Probed:
        """It had no effect, and running it again has none."""
        del order, control
        return Probed.DID_NOT
