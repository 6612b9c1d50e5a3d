"""`sql`: a file's statements and the step's ledger row, in one transaction."""

from collections.abc import Mapping
from typing import Final

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.executors import ledger
from ringctl.executors.databases import CommitLost, Interrupted, Limits, Lost, TargetError, Value
from ringctl.executors.ledgered import (
    OPTIONS,
    Session,
    duplicate_key,
    option_findings,
    probe_ledger,
    run_ledgered,
)
from ringctl.executors.options import unknown
from ringctl.executors.watch import Ended, Watch, ended, step_seconds_left
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran

LOCK_SECONDS: Final = 5.0


class _ScriptEndedTransaction(TargetError):
    """The script committed or rolled back by itself: what of it stands is not known."""


class SqlExecutor:
    """Runs a script exactly once: the effect and its ledger row commit together or not at all."""

    kind = "sql"
    fencing = Fencing.LEDGER

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """Options, and with `files` (texts by bundle path) the statements too."""
        return (*unknown(spec, OPTIONS, spec.options), *option_findings(spec, files))

    def run(self, order: Order, control: Control) -> Ran:
        """Run the script, unless the ledger says that it ran."""
        return run_ledgered(order, control, _run)

    def probe(self, order: Order, control: Control) -> Probed:
        """Ask the ledger."""
        return probe_ledger(order, control)


def _run(session: Session, text: str, values: Mapping[str, Value]) -> Ran:
    numbers: dict[str, object] = {"incarnation": session.entry.incarnation}
    with Watch(session.control, session.database) as watch:
        try:
            why = _effect(session, watch, text, values)
        except ledger.Conflict as error:
            watch.disarm()
            session.database.rollback()
            seen = {**numbers, "conflicts": 1, **session.met_another()}
            return Ran(outcome=Outcome.UNKNOWN, reason=error.reason, numbers=seen)
        except CommitLost as error:
            return Ran(outcome=Outcome.UNKNOWN, reason=error.reason, numbers=numbers)
        except TargetError as error:
            watch.disarm()
            return _rolled_back(session, error, watch.why, numbers)
    if why is not None:
        return _rolled_back(session, Interrupted(""), why, numbers)
    return Ran(outcome=Outcome.DONE, numbers=numbers)


def _effect(session: Session, watch: Watch, text: str, values: Mapping[str, Value]) -> Ended | None:
    """Everything in one transaction; returns why it was rolled back instead of committed."""
    database, left = session.database, step_seconds_left(session.control)
    # the server's own limit is for a node that cannot act; one that can, says why it stopped
    database.begin(Limits(lock_s=min(LOCK_SECONDS, left), statement_s=left + 1.0))
    watch.arm(left)
    ledger.finish(database, session.order, session.entry.place)
    transaction = database.transaction()
    database.script(text, values)
    if database.transaction() != transaction:
        raise _ScriptEndedTransaction("the script ended ringctl's transaction by itself")
    ledger.note_end(database, session.entry.run, "done")
    watch.disarm()
    why = ended(session.control)
    if why is None:
        database.commit()
    return why


def _rolled_back(
    session: Session, error: TargetError, why: Ended | None, numbers: Mapping[str, object]
) -> Ran:
    """The outcome of a transaction that did not commit: only a script that ended it leaves a doubt."""
    session.database.rollback()
    if isinstance(error, _ScriptEndedTransaction):
        return Ran(outcome=Outcome.UNKNOWN, reason=error.reason, numbers=numbers)
    if isinstance(error, Lost):
        reason = f"the connection was lost before the commit, nothing took effect: {error.reason}"
        return Ran(outcome=Outcome.UNREACHABLE, reason=reason, numbers=numbers)
    if isinstance(error, Interrupted) and why in {Ended.STOP, Ended.LEASE}:
        session.note("stopped")
        return Ran(outcome=Outcome.STOPPED, reason=f"rolled back: {why}", numbers=numbers)
    session.note("failed")
    if isinstance(error, Interrupted):
        reason = f"rolled back: {Ended.STEP if why in {None, Ended.LIMIT} else why}"
        return Ran(outcome=Outcome.FAILED, reason=reason, numbers=numbers)
    seen = {**numbers, **duplicate_key(error)}
    return Ran(outcome=Outcome.FAILED, reason=f"rolled back: {error.reason}", numbers=seen)
