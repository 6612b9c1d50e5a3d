"""The way in and out that `sql` and `batched_sql` share: connect, ledger, errors as outcomes, probe."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.placeholders import expand_database, expand_line
from ringctl.executors import ledger
from ringctl.executors.databases import Database, KeyExists, Limits, Refused, TargetError, Value, engine_of
from ringctl.executors.options import (
    bad_mapping,
    bad_placeholders,
    finding,
    mapping_of,
    missing_file,
    missing_text,
    text_of,
)
from ringctl.executors.rivals import double_claim
from ringctl.executors.sqltext import POSTGRESQL, SQLITE, forbidden
from ringctl.executors.targets import CONNECT_SECONDS, open_database
from ringctl.executors.watch import ended, seconds_left
from ringctl.ports.executor import Control, Order, Outcome, Probed, Ran

OPTIONS: Final = ("file", "database", "params")
Look = Callable[[StepSpec, str, str], Sequence[Finding]]
"""What is wrong with a step's text in a dialect."""


class Session:
    """A run that the ledger let in: its connection and its place (both replaced on reconnecting)."""

    def __init__(
        self, order: Order, control: Control, target: str, database: Database, entry: ledger.Entry
    ) -> None:
        self.order = order
        self.control = control
        self.target = target
        self.database = database
        self.entry = entry

    def reopen(self) -> None:
        """Connect and enter anew, after a lost connection; raises TargetError."""
        self.database.close()
        self.database, self.entry = _entered(self.order, self.target)

    def note(self, outcome: str) -> None:
        """Write the stop record of a run that did not end in `done`, if that is possible."""
        with contextlib.suppress(TargetError):
            self.database.begin(Limits(lock_s=1.0, statement_s=5.0))
            ledger.note_end(self.database, self.entry.run, outcome)
            self.database.commit()

    def met_another(self) -> Mapping[str, object]:
        """After a conflict was rolled back: write the stop record, and give the evidence if two claims held.

        A run whose right has ended was a late one: its record says `stopped`, for it overlapped nobody.
        """
        found = double_claim(self.order, self.control, ledger.rival(self.database, self.order))
        self.note("stopped" if ended(self.control) is not None else "conflict")
        return found


def duplicate_key(error: TargetError) -> Mapping[str, object]:
    """For a step's numbers: whether it failed because a key existed already (the built-in check `recreated`)."""
    return {"duplicate_key": 1} if isinstance(error, KeyExists) else {}


def run_ledgered(
    order: Order,
    control: Control,
    work: Callable[[Session, str, Mapping[str, Value]], Ran],
    look: Look = lambda *_: (),
) -> Ran:
    """Let `work` run with the file's text and the bound parameters, if inputs, right and ledger allow it.

    `look` says what is wrong with a step's text in a dialect, before anything is sent.
    """
    try:
        target = expand_database(text_of(order.step, "database"), order.placeholders)
        values: dict[str, Value] = {
            name: expand_line(text, order.placeholders)
            for name, text in mapping_of(order.step.options.get("params")).items()
        }
        text = _checked_text(order, engine_of(target), look)
    except InvalidInput as error:
        return Ran(outcome=Outcome.FAILED, reason=f"{error.code}: {error.message}")
    why = ended(control)
    if why is not None:
        return Ran(outcome=Outcome.STOPPED, reason=f"nothing was sent: {why}")
    try:
        database, entry = _entered(order, target, min(CONNECT_SECONDS, seconds_left(control)))
    except Refused as error:
        return Ran(outcome=Outcome.FAILED, reason=f"before the first statement: {error.reason}")
    except TargetError as error:  # also a commit lost here: only the ledger's row was in it
        return Ran(outcome=Outcome.UNREACHABLE, reason=error.reason)
    session = Session(order, control, target, database, entry)
    try:
        refusal = standing_refusal(session)
        return work(session, text, values) if refusal is None else refusal
    finally:
        session.database.close()


def standing_refusal(session: Session) -> Ran | None:
    """The end of a run that the ledger does not let in: done already, or not this runner's to do."""
    entry = session.entry
    numbers: dict[str, object] = {"incarnation": entry.incarnation}
    if entry.standing is ledger.Standing.ALREADY:
        return Ran(outcome=Outcome.DONE, numbers={**numbers, "already": True})
    if entry.standing in {ledger.Standing.STALE, ledger.Standing.OTHER}:
        seen = double_claim(session.order, session.control, entry.rival)
        return Ran(outcome=Outcome.UNKNOWN, reason=entry.reason, numbers={**numbers, **seen})
    return None


def probe_ledger(order: Order, control: Control) -> Probed:
    """What the ledger says of an interrupted step. It first shuts out every older runner, so that the
    answer stays true; a batched step that is half done `did-not`: it goes on from its cursor."""
    try:
        target = expand_database(text_of(order.step, "database"), order.placeholders)
        database = open_database(target, min(CONNECT_SECONDS, seconds_left(control)))
    except (InvalidInput, TargetError):
        return Probed.UNKNOWN
    try:
        row = ledger.fence_off(database, order, ledger.prepare(database))
    except TargetError as error:
        control.log(f"probe: {error.reason}")
        return Probed.UNKNOWN
    finally:
        database.close()
    if row is None:
        return Probed.UNKNOWN
    if row.digest == order.step.digest:
        return Probed.TOOK_EFFECT if row.state == "done" else Probed.DID_NOT
    return Probed.DID_NOT if row.digest in order.accepts else Probed.UNKNOWN


def option_findings(spec: StepSpec, files: Mapping[str, str] | None) -> Iterator[Finding]:
    """What `sql` and `batched_sql` ask of their common options; `files` are texts by bundle path."""
    path, database = text_of(spec, "file"), text_of(spec, "database")
    yield from missing_text(spec, "file", "database")
    yield from missing_file(spec, path)
    yield from bad_mapping(spec, "params")
    yield from bad_placeholders(
        spec, "database or params", database, *mapping_of(spec.options.get("params")).values()
    )
    if database and not database.startswith("{") and not engine_of(database):
        yield finding(
            spec, "RC6015", "the database is neither a path, sqlite:///... nor postgresql://...",
            hint="a path such as accounts/{account.id}.db, or {account.target.database}",
        )  # fmt: skip
    if spec.probe is not None:
        yield finding(spec, "RC6012", "takes no probe: the ledger in the target answers")
    if files is not None and path in files:
        yield from text_findings(files[path], path, database)


def text_findings(text: str, path: str, database: str) -> Iterator[Finding]:
    """Statements that may not stand in the file; what only one dialect forbids waits for the run
    where the database is a placeholder and so not known yet."""
    if database.startswith("{"):
        elsewhere = {found.line for found in forbidden(text, POSTGRESQL)}
        found = [item for item in forbidden(text, SQLITE) if item.line in elsewhere]
    else:
        found = list(forbidden(text, engine_of(database) or SQLITE))
    for item in found:
        yield Finding(
            code=item.code, message=item.message, path=path, line=item.line, column=item.column,
            text=item.text, hint=item.hint,
        )  # fmt: skip


def _checked_text(order: Order, engine: str, look: Look) -> str:
    """The file's text, read from the verified copy; raises InvalidInput."""
    name = text_of(order.step, "file")
    path = order.files / name
    try:
        if not path.resolve().is_relative_to(Path(order.files).resolve()):
            raise InvalidInput([finding(order.step, "RC6004", f"{name!r} is outside the bundle")])
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise InvalidInput([finding(order.step, "RC6004", f"cannot read {name!r}: {error}")]) from error
    if not engine:
        raise InvalidInput([finding(order.step, "RC6015", "the database's scheme is not known")])
    if "\0" in text:
        raise InvalidInput([finding(order.step, "RC6005", f"{name!r} holds a NUL character")])
    found = forbidden(text, engine)
    if found:
        raise InvalidInput(found, f"{name}:{found[0].line}: {found[0].message}")
    if wrong := look(order.step, text, engine):
        raise InvalidInput(wrong)
    return text


def _entered(order: Order, target: str, seconds: float = CONNECT_SECONDS) -> tuple[Database, ledger.Entry]:
    database = open_database(target, seconds)
    try:
        return database, ledger.enter(database, order, ledger.prepare(database))
    except TargetError:
        database.close()
        raise
