"""`batched_sql`: one statement over `:lo` to `:hi` of a key; ringctl owns the loop (UPGRADE 4.1 to 4.3).

Each batch is one transaction with its cursor in the target's ledger. The upper bound is fixed at the
start; one catch-up pass at the end takes what came in meanwhile. A crash goes on at the cursor.
"""

import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.executors import ledger
from ringctl.executors.databases import (
    CommitLost,
    Interrupted,
    Limits,
    Lost,
    Refused,
    TargetError,
    Unreachable,
    Value,
    engine_of,
)
from ringctl.executors.keys import KeyColumn
from ringctl.executors.ledgered import (
    OPTIONS,
    Session,
    duplicate_key,
    option_findings,
    probe_ledger,
    run_ledgered,
    standing_refusal,
)
from ringctl.executors.options import finding, seconds, text_of, unknown
from ringctl.executors.pacing import Batching, Pace
from ringctl.executors.sqltext import SQLITE, parameters, split
from ringctl.executors.watch import Ended, Watch, ended, step_seconds_left
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran

BATCH_OPTIONS: Final = ("target", "target_us", "max_rows", "pause", "pause_us", "nice")
LOCK_SECONDS: Final = 5.0
LEAST_LIMIT_SECONDS: Final = 5.0
LIMIT_TARGETS: Final = 20
"""One batch may take so many times its target, but at least the seconds above, before it is rolled back."""
_NAME: Final = re.compile(r'(?:[A-Za-z_][\w$]*|"[^"\0]+")')
_TABLE: Final = re.compile(rf"(?:{_NAME.pattern}\.)?{_NAME.pattern}")


class BatchedSqlExecutor:
    """Runs one statement over a table in batches; each row is in exactly one committed batch."""

    kind = "batched_sql"
    fencing = Fencing.LEDGER

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """Options, and with `files` (texts by bundle path) the statement too."""
        found = [*unknown(spec, (*OPTIONS, "table", "key", "batch"), spec.options)]
        found += option_findings(spec, files)
        found += _loop_findings(spec)
        path = text_of(spec, "file")
        if files is not None and path in files:
            found += _statement_findings(spec, files[path], engine_of(text_of(spec, "database")) or SQLITE)
        return tuple(found)

    def run(self, order: Order, control: Control) -> Ran:
        """Run the batches that are left, unless the ledger says that none is."""
        wrong = _loop_findings(order.step)
        if wrong:
            return Ran(outcome=Outcome.FAILED, reason=f"{wrong[0].code}: {wrong[0].message}")
        return run_ledgered(order, control, _run, _statement_findings)

    def probe(self, order: Order, control: Control) -> Probed:
        """Ask the ledger: `did-not` also means half done, and going on from the cursor is safe."""
        return probe_ledger(order, control)


def batching_of(spec: StepSpec) -> Batching:
    """The step's `batch` with its defaults; raises ValueError."""
    batch = spec.options.get("batch", {})
    given = batch if isinstance(batch, Mapping) else {}
    if given is not batch:
        raise ValueError("must be a mapping such as {target: 50ms, max_rows: 5000, pause: 20ms}")
    plain = Batching()
    rows, nice = given.get("max_rows", plain.max_rows), given.get("nice", plain.nice)
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise ValueError("max_rows must be a whole number of at least 1")
    if not isinstance(nice, int | float) or isinstance(nice, bool) or not 0 <= nice <= 100:
        raise ValueError("nice must be a number from 0 to 100")
    target = seconds(given.get("target", given.get("target_us", "50ms")))
    if not target > 0:
        raise ValueError("target must be more than 0")
    return Batching(
        target_s=target,
        max_rows=rows,
        pause_s=seconds(given.get("pause", given.get("pause_us", 0))),
        nice=float(nice),
    )


def _loop_findings(spec: StepSpec) -> list[Finding]:
    """What must hold of table, key and batch: the names go into ringctl's own statements."""
    found = [
        finding(spec, "RC6007", f"option {name!r} must be the name of a {what}", text=text_of(spec, name))
        for name, what, form in (("table", "table", _TABLE), ("key", "column", _NAME))
        if not form.fullmatch(text_of(spec, name))
    ]
    batch = spec.options.get("batch", {})
    if isinstance(batch, Mapping):
        found += unknown(spec, BATCH_OPTIONS, batch)
    try:
        batching_of(spec)
    except ValueError as error:
        found.append(finding(spec, "RC6014", f"batch: {error}"))
    return found


def _statement_findings(spec: StepSpec, text: str, dialect: str) -> list[Finding]:
    path = text_of(spec, "file")
    names = parameters(text, dialect)
    count = len(split(text, dialect))
    found = []
    if count != 1:
        message = f"{path} must hold exactly one statement, not {count}"
        found.append(finding(spec, "RC6006", message, text=path))
    if "lo" not in names or "hi" not in names:
        message = f"the statement in {path} does not use both :lo and :hi"
        found.append(finding(spec, "RC6006", message, hint="WHERE key BETWEEN :lo AND :hi"))
    return found


def _run(session: Session, text: str, values: Mapping[str, Value]) -> Ran:
    with Watch(session.control, session.database) as watch:
        loop = _Loop(session, watch, text, values)
        ran = None
        while ran is None:
            ran = loop.turn()
        return ran


class _Loop:
    """The batches of one run; `turn` does one of them and says whether it was the last."""

    def __init__(self, session: Session, watch: Watch, text: str, values: Mapping[str, Value]) -> None:
        spec = session.order.step
        self._session = session
        self._watch = watch
        self._text = text
        self._values = values
        self._batching = batching_of(spec)
        self._pace = Pace(self._batching)
        self._keys = KeyColumn(table=text_of(spec, "table"), key=text_of(spec, "key"))
        self._place = session.entry.place
        self._connected = True
        self._unsure = False
        self._rows = self._batches = self._conflicts = self._troubles = 0
        self._longest_s = self._paused_s = 0.0

    def turn(self) -> Ran | None:
        """One transaction: a bound set, a batch done, or the end; None to go on."""
        why = ended(self._session.control)
        if why is not None:
            return self._stopped(str(why))
        try:
            if not self._connected:
                refusal = self._reconnected()
                if refusal is not None:
                    return refusal
            return self._transaction()
        except ledger.Conflict as error:
            self._watch.disarm()
            self._session.database.rollback()
            self._conflicts += 1
            return self._ran(Outcome.UNKNOWN, error.reason, self._session.met_another())
        except Refused as error:
            self._watch.disarm()
            self._session.database.rollback()
            self._session.note("failed")
            stands = f"; {self._batches} batches of this run stand" if self._batches else ""
            said = f"a batch was rolled back: {error.reason}{stands}"
            return self._ran(Outcome.FAILED, said, duplicate_key(error))
        except TargetError as error:
            return self._trouble(error)

    def _transaction(self) -> Ran | None:
        session, place = self._session, self._place
        database, order = session.database, session.order
        began = time.monotonic()
        limit = min(
            max(LEAST_LIMIT_SECONDS, LIMIT_TARGETS * self._batching.target_s),
            step_seconds_left(session.control),
        )
        database.begin(Limits(lock_s=min(LOCK_SECONDS, limit), statement_s=limit + 1.0))
        self._watch.arm(limit)
        span = self._keys.next_span(database, place, self._pace.size) if place.turn else None
        if span is not None:
            after = ledger.Place(cursor=ledger.stored(span.hi), upper=place.upper, turn=place.turn)
            ledger.move(database, order, place, after)
            bounds: dict[str, Value] = {"lo": span.lo, "hi": span.hi}
            changed = database.run(self._text, {**self._values, **bounds}).count
            self._commit(after)
            self._count_batch(span.keys, changed, time.monotonic() - began)
        elif place.turn < 2:
            after = ledger.Place(cursor=place.cursor, upper=self._keys.last(database), turn=place.turn + 1)
            ledger.move(database, order, place, after)
            self._commit(after)
        else:
            ledger.finish(database, order, place)
            ledger.note_end(database, session.entry.run, "done")
            self._commit(place)
            return self._ran(Outcome.DONE, "")
        return None

    def _commit(self, after: ledger.Place) -> None:
        self._watch.disarm()
        self._session.database.commit()
        self._place = after

    def _count_batch(self, keys: int, changed: int, took_s: float) -> None:
        self._batches += 1
        self._rows += max(changed, 0)
        self._longest_s = max(self._longest_s, took_s)
        self._pace.succeeded(keys, took_s)
        self._sleep(self._pace.pause(took_s))

    def _trouble(self, error: TargetError) -> Ran | None:
        """A lock, a time-out or a lost connection: smaller, again, and the third time stop."""
        self._watch.disarm()
        self._session.database.rollback()
        if isinstance(error, Interrupted) and self._watch.why in {
            Ended.STOP, Ended.LEASE, Ended.STEP,
        }:  # fmt: skip
            return self._stopped(f"the open batch was rolled back: {self._watch.why}")
        self._troubles += 1
        if isinstance(error, Lost | CommitLost | Unreachable):
            self._connected = False
            self._unsure = self._unsure or isinstance(error, CommitLost)
        if not self._pace.failed():
            return self._stopped(f"{self._pace.failures} failures in a row, last: {error.reason}")
        self._session.control.log(f"batch rolled back ({error.reason}), {self._pace.size} rows next")
        self._sleep(self._pace.pause(0.0))
        return None

    def _reconnected(self) -> Ran | None:
        """Connect anew and read from the ledger what the lost transaction came to."""
        self._session.reopen()
        self._watch.follow(self._session.database)
        self._connected, self._unsure = True, False
        self._place = self._session.entry.place
        refusal = standing_refusal(self._session)
        if refusal is None or refusal.outcome is not Outcome.DONE:
            return refusal
        return self._ran(Outcome.DONE, "")

    def _stopped(self, why: str) -> Ran:
        if self._unsure:
            return self._ran(Outcome.UNKNOWN, f"the last commit's fate is not known; {why}")
        if self._connected:
            self._session.note("stopped")
        return self._ran(Outcome.STOPPED, why)

    def _sleep(self, pause_s: float) -> None:
        if pause_s > 0:
            began = time.monotonic()
            self._session.control.sleep(pause_s)
            self._paused_s += time.monotonic() - began

    def _ran(self, outcome: Outcome, reason: str, more: Mapping[str, object] = MappingProxyType({})) -> Ran:
        numbers: dict[str, object] = {
            "incarnation": self._session.entry.incarnation,
            "rows": self._rows,
            "batches": self._batches,
            "longest_batch_s": round(self._longest_s, 6),
            "paused_s": round(self._paused_s, 6),
            "troubles": self._troubles,
            "conflicts": self._conflicts,
            "cursor": self._place.cursor,
            **more,
        }
        return Ran(outcome=outcome, reason=reason, numbers=numbers)
