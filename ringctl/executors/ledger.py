"""The ledger in each target: what keeps a second runner of a step out, whatever happened to its claim.

One row a (component, account, step), moved by compare-and-set in the same transaction as the effect
(DESIGN 7, 12.19). Every write raises the row's fence; a runner with a lower fence changes nothing.
`ringctl_runs` holds a start record, committed before the effect, and a stop record, committed with it,
so that double runs are found from the target itself. `ringctl_incarnation` names this life of the
database: a restored or replaced target shows another one, or an older ledger.
"""

import contextlib
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ringctl.executors.databases import Database, Limits, Refused, TargetError, Value, one_text
from ringctl.executors.rivals import Rival
from ringctl.executors.sqltext import POSTGRESQL
from ringctl.ports.executor import Order

TABLES: Final = ("ringctl_ledger", "ringctl_runs", "ringctl_incarnation")
_CREATE: Final = (
    (
        "CREATE TABLE IF NOT EXISTS {p}ringctl_incarnation ("
        " one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, made {time} NOT NULL)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS {p}ringctl_runs ("
        " component TEXT NOT NULL, account TEXT NOT NULL, step TEXT NOT NULL, digest TEXT NOT NULL,"
        " claim TEXT NOT NULL, fence BIGINT NOT NULL, run TEXT NOT NULL PRIMARY KEY,"
        " started {time} NOT NULL, ended {time}, outcome TEXT NOT NULL DEFAULT '')"
    ),
    # the cursor is a JSON text, '' before the first batch: one form to compare on both engines
    (
        "CREATE TABLE IF NOT EXISTS {p}ringctl_ledger ("
        " component TEXT NOT NULL, account TEXT NOT NULL, step TEXT NOT NULL, digest TEXT NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('running', 'done')), cursor TEXT NOT NULL DEFAULT '',"
        " upper_bound TEXT NOT NULL DEFAULT '', pass INTEGER NOT NULL DEFAULT 0, fence BIGINT NOT NULL,"
        " incarnation TEXT NOT NULL, revision TEXT NOT NULL, rollout TEXT NOT NULL,"
        " began {time} NOT NULL, ended {time}, PRIMARY KEY (component, account, step))"
    ),
)
_ROW: Final = "component = :component AND account = :account AND step = :step"
READ: Final = (
    "SELECT digest, state, cursor, upper_bound, pass, fence, rollout FROM {p}ringctl_ledger WHERE {row}"
)
_INSERT: Final = (
    "INSERT INTO {p}ringctl_ledger (component, account, step, digest, state, fence, incarnation, revision,"
    " rollout, began) VALUES (:component, :account, :step, :digest, 'running', :fence, :incarnation,"
    " :revision, :rollout, {now}) ON CONFLICT (component, account, step) DO NOTHING"
)
_TAKE: Final = (
    "UPDATE {p}ringctl_ledger SET fence = :fence, digest = :digest, state = :state, pass = :pass,"
    " revision = :revision, rollout = :rollout, ended = NULL WHERE {row}"
    " AND fence <= :fence AND digest = :was AND state = :was_state"
)
_FENCE_OFF: Final = "UPDATE {p}ringctl_ledger SET fence = :fence WHERE {row} AND fence <= :fence"
# The two guards that keep a second runner out. Tests replace them to show that they are needed.
MOVE: Final = (
    "UPDATE {p}ringctl_ledger SET cursor = :cursor, upper_bound = :upper, pass = :pass, fence = :fence"
    " WHERE {row} AND digest = :digest AND state = 'running' AND fence <= :fence"
    " AND cursor = :was_cursor AND upper_bound = :was_upper AND pass = :was_pass"
)
FINISH: Final = (
    "UPDATE {p}ringctl_ledger SET state = 'done', fence = :fence, ended = {now}"
    " WHERE {row} AND digest = :digest AND state = 'running' AND fence <= :fence"
    " AND cursor = :was_cursor"
)
_RUN_STARTED: Final = (
    "INSERT INTO {p}ringctl_runs (component, account, step, digest, claim, fence, run, started)"
    " VALUES (:component, :account, :step, :digest, :claim, :fence, :run, {now})"
)
_RUN_ENDED: Final = (
    "UPDATE {p}ringctl_runs SET ended = {now}, outcome = :outcome WHERE run = :run AND ended IS NULL"
)
RUNS_KEPT: Final = 20
"""Runs kept of one step on one account. Only a repeated step looks, so that the table needs no index more."""
_RUNS_FORGOTTEN: Final = (
    "DELETE FROM {p}ringctl_runs WHERE {row} AND run NOT IN"
    " (SELECT run FROM {p}ringctl_runs WHERE {row} ORDER BY started DESC, fence DESC LIMIT :keep)"
)
_LAST_RUN: Final = (
    "SELECT claim, started, ended FROM {p}ringctl_runs WHERE {row} AND fence > :fence"
    " ORDER BY fence DESC LIMIT 1"
)
_DOUBLES: Final = (
    "SELECT a.component, a.account, a.step, a.claim, b.claim FROM {p}ringctl_runs a"
    " JOIN {p}ringctl_runs b ON b.component = a.component AND b.account = a.account AND b.step = a.step"
    " AND b.digest = a.digest AND b.run <> a.run AND b.outcome = 'done' AND b.started >= a.started"
    " WHERE a.outcome = 'done' OR (a.outcome NOT IN ('', 'stopped') AND b.started < a.ended)"
    " ORDER BY a.started"
)
PREPARE_LIMITS: Final = Limits(lock_s=5.0, statement_s=10.0)


class Standing(StrEnum):
    """How an order stands to the ledger's row."""

    NEW = "new"
    GO_ON = "go-on"
    TAKE_OVER = "take-over"
    ALREADY = "already"
    STALE = "stale"
    OTHER = "other"


class Conflict(TargetError):
    """A compare-and-set moved no row: another runner was here. The caller's transaction is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a batched step is: last key done, last key to do, and which pass (0: not bounded yet)."""

    cursor: str = ""
    upper: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The ledger's row of one step on one account."""

    digest: str
    state: str
    place: Place
    fence: int
    rollout: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How a run was let in, or why not. `run` names its start record; `rival` is who was here with a newer claim."""

    standing: Standing
    place: Place
    incarnation: str
    run: str = ""
    reason: str = ""
    rival: Rival | None = None


def stored(key: Value) -> str:
    """A key as the ledger keeps it."""
    return "" if key is None else json.dumps(key, ensure_ascii=False)


def loaded(text: str) -> Value:
    """A key as it was before `stored`."""
    if not text:
        return None
    key = json.loads(text)
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise Refused("the ledger's cursor is not a key that ringctl wrote")
    return key


def standing(row: Row | None, order: Order) -> Standing:
    """What the row says to this order (pure; DESIGN 12.19)."""
    if row is None:
        return Standing.NEW
    if row.fence > order.fence:
        return Standing.STALE
    if row.digest == order.step.digest:
        return Standing.ALREADY if row.state == "done" else Standing.GO_ON
    return Standing.TAKE_OVER if row.digest in order.accepts else Standing.OTHER


def prepare(database: Database) -> str:
    """Create what is missing, once, whoever else does the same now; returns the incarnation."""
    if not all(database.has_table(name) for name in TABLES):
        _create(database)
    found = _incarnation(database)
    if not found:
        raise Refused("the target's ledger has no incarnation: its tables were tampered with")
    return found


def enter(database: Database, order: Order, incarnation: str) -> Entry:
    """Settle in one transaction whether this order may run, raise the fence and record the start."""
    database.begin(PREPARE_LIMITS)
    names = {**_names(order), "incarnation": incarnation}
    inserted = database.run(_sql(_INSERT, database), names).count == 1
    row = read(database, order, lock=True)
    if row is None:
        raise Refused("the ledger's row vanished: something else writes to it")
    found = Standing.NEW if inserted else standing(row, order)
    if found is Standing.ALREADY:
        database.run(_sql(_FENCE_OFF, database), _names(order))
        database.commit()
        return Entry(standing=found, place=row.place, incarnation=incarnation)
    if found in {Standing.STALE, Standing.OTHER}:
        newer = _rival(database, order, row)
        database.rollback()
        return Entry(
            standing=found, place=row.place, incarnation=incarnation, reason=_reason(found, row), rival=newer
        )
    if not inserted:
        _take(database, order, row, found)
        database.run(_sql(_RUNS_FORGOTTEN, database), {**_key(order), "keep": RUNS_KEPT - 1})
    run = secrets.token_hex(8)
    database.run(_sql(_RUN_STARTED, database), {**_names(order), "claim": order.claim, "run": run})
    database.commit()
    turn = row.place.turn if found is not Standing.TAKE_OVER or row.state != "done" else 1
    place = Place(cursor=row.place.cursor, upper=row.place.upper, turn=turn)
    return Entry(standing=found, place=place, incarnation=incarnation, run=run)


def read(database: Database, order: Order, *, lock: bool = False) -> Row | None:
    """The row as it stands; with `lock` held until the transaction ends."""
    suffix = " FOR UPDATE" if lock and database.engine == POSTGRESQL else ""
    rows = database.run(_sql(READ, database) + suffix, _key(order)).rows
    if not rows:
        return None
    digest, state, cursor, upper, turn, fence, rollout = rows[0]
    place = Place(cursor=str(cursor), upper=str(upper), turn=int(str(turn)))
    fence = int(str(fence))
    return Row(digest=str(digest), state=str(state), place=place, fence=fence, rollout=str(rollout))


def rival(database: Database, order: Order) -> Rival | None:
    """Who was here with a newer claim than the order's; None when nobody was, or nobody answers. No transaction
    may be open."""
    with contextlib.suppress(TargetError):
        row = read(database, order)
        return None if row is None else _rival(database, order, row)
    return None


def _rival(database: Database, order: Order, row: Row) -> Rival | None:
    if row.fence <= order.fence:
        return None
    runs = database.run(_sql(_LAST_RUN, database), {**_key(order), "fence": order.fence}).rows
    claim, started, ended = runs[0] if runs else ("", "", None)  # a probe raises the fence and runs nothing
    return Rival(
        claim=str(claim), fence=row.fence, rollout=row.rollout, started=str(started), ended=str(ended or "")
    )


def fence_off(database: Database, order: Order, incarnation: str) -> Row | None:
    """The row, after the fence was raised so that no older runner can write any more.

    Waits for a transaction that is still open. None: a newer fence is there, this order says nothing.
    """
    database.begin(PREPARE_LIMITS)
    names = {**_names(order), "incarnation": incarnation}
    database.run(_sql(_INSERT, database), names)
    row = read(database, order, lock=True)
    if row is None or row.fence > order.fence:
        database.rollback()
        return None
    database.run(_sql(_FENCE_OFF, database), {**_key(order), "fence": order.fence})
    database.commit()
    return row


def move(database: Database, order: Order, before: Place, after: Place) -> None:
    """Move the cursor in the caller's transaction; raises Conflict when another runner was here."""
    values = {
        **_names(order),
        "cursor": after.cursor, "upper": after.upper, "pass": after.turn,
        "was_cursor": before.cursor, "was_upper": before.upper, "was_pass": before.turn,
    }  # fmt: skip
    if database.run(_sql(MOVE, database), values).count != 1:
        raise Conflict("another runner was here")


def finish(database: Database, order: Order, place: Place) -> None:
    """Mark the step done in the caller's transaction; raises Conflict when another runner was here."""
    values = {**_names(order), "was_cursor": place.cursor}
    if database.run(_sql(FINISH, database), values).count != 1:
        raise Conflict("another runner was here")


def note_end(database: Database, run: str, outcome: str) -> None:
    """Write the stop record of a run, in the caller's transaction."""
    database.run(_sql(_RUN_ENDED, database), {"run": run, "outcome": outcome})


def double_runs(database: Database) -> tuple[tuple[str, ...], ...]:
    """Pairs of runs of one step and digest that both took effect, or overlapped one that did.

    A run that ended as `stopped` did nothing after its right to run had ended: the record of a node that was
    frozen meanwhile comes late, and is no overlap.
    """
    if not all(database.has_table(name) for name in TABLES):
        return ()
    rows = database.run(_DOUBLES, {}).rows
    return tuple(tuple(str(value) for value in row) for row in rows)


def _create(database: Database) -> None:
    database.begin(PREPARE_LIMITS)
    if database.engine == POSTGRESQL:  # CREATE ... IF NOT EXISTS alone fails when two do it at once
        database.run("SELECT pg_advisory_xact_lock(7245918403)", {})
    for text in _CREATE:
        database.run(_sql(text, database), {})
    database.run(
        _sql(
            "INSERT INTO {p}ringctl_incarnation (one, id, made) VALUES (1, :id, {now})"
            " ON CONFLICT (one) DO NOTHING",
            database,
        ),
        {"id": secrets.token_hex(16)},
    )
    database.commit()


def _incarnation(database: Database) -> str:
    return one_text(database.run("SELECT id FROM {p}ringctl_incarnation WHERE one = 1", {}).rows)


def _take(database: Database, order: Order, row: Row, found: Standing) -> None:
    """Take the row for this order: its fence and digest; a finished pass goes on with the catch-up."""
    reopened = found is Standing.TAKE_OVER and row.state == "done"
    values = {
        **_names(order), "state": "running", "pass": 1 if reopened else row.place.turn,
        "was": row.digest, "was_state": row.state,
    }  # fmt: skip
    if database.run(_sql(_TAKE, database), values).count != 1:
        raise Conflict("another runner was here")


def _reason(found: Standing, row: Row) -> str:
    if found is Standing.STALE:
        return f"a newer claim ran here (fence {row.fence})"
    if found is Standing.OTHER:
        return (
            f"the target's ledger holds this step under another digest ({row.digest}, {row.state}) from "
            "which from_step does not lead here"
        )
    return ""


def _key(order: Order) -> dict[str, Value]:
    return {"component": order.component, "account": order.account, "step": order.step.id}


def _names(order: Order) -> dict[str, Value]:
    return {
        **_key(order), "digest": order.step.digest, "fence": order.fence,
        "revision": order.revision, "rollout": order.rollout,
    }  # fmt: skip


def _sql(text: str, database: Database) -> str:
    time = "TIMESTAMPTZ" if database.engine == POSTGRESQL else "TEXT"
    return text.replace("{row}", _ROW).replace("{now}", database.now).replace("{time}", time)
