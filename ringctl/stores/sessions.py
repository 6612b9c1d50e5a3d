"""Node sessions: leases by the store's clock, and the rescue of what dead ones left."""

from collections.abc import Sequence

from ringctl.core.errors import SessionLost
from ringctl.core.model import Session
from ringctl.core.states import Settle, TaskState, WaveState
from ringctl.core.timing import HOUR, Instant, Span
from ringctl.ports.records import Beat, Held, Node
from ringctl.stores.counting import Moves
from ringctl.stores.database import Row, Transaction
from ringctl.stores.journal import Journal
from ringctl.stores.part import Part

POISON_DEATHS = 3
"""So many holders lost with the same task in hand: it is parked as unknown, and a person says how it goes on."""
RESCUER = "ringctl"
"""The actor of what no person did."""


class Sessions(Part):
    """The store's methods about node sessions."""

    def open_session(self, node: str, *, lease_us: Span) -> Session:
        """See `Store.open_session`."""
        session = Session(id=self._ids(), node=node, lease_us=lease_us)
        with self.database.write() as tx:
            now = tx.now_us()
            tx.run("add_session", id=session.id, node=node, now=now, lease_until=now + lease_us)
        return session

    def beat(self, session: Session) -> Beat:
        """See `Store.beat`."""
        with self.database.write() as tx:
            until = tx.now_us() + session.lease_us
            renewed = tx.one("renew_session", id=session.id, lease_until=until)
            if renewed is None:
                raise session_lost(session)
            held = tx.rows("held_tasks", holder=session.id)
        return Beat(
            draining=bool(renewed[0]),
            held=tuple(
                Held(task=task, claim=claim, settle=Settle(settle), cancelled=bool(cancel))
                for task, claim, settle, cancel in held
            ),
        )

    def close_session(self, session: Session) -> None:
        """See `Store.close_session`."""
        with self.database.write() as tx:
            tx.run("end_session", id=session.id, now=tx.now_us())

    def drain(self, name: str, *, actor: str) -> tuple[Node, ...]:
        """See `Store.drain`."""
        called = [node for node in self.nodes() if not node.dead and _is_called(node, name)]
        with self.database.write() as tx:
            now = tx.now_us()
            found = tuple(node for node in called if node.lease_until_us >= now)
            for node in found:
                tx.run("drain_session", id=node.session, by=actor)
        return found

    def nodes(self) -> tuple[Node, ...]:
        """See `Store.nodes`."""
        with self.database.read() as tx:
            found = tx.rows("recent_sessions", since=tx.now_us() - HOUR)
        return tuple(
            Node(
                session=ident,
                node=node,
                started_us=started,
                lease_until_us=lease_until,
                dead=bool(dead),
                ended=bool(ended),
                drained_by=drained_by,
                held=held,
            )
            for ident, node, started, lease_until, dead, ended, drained_by, held in found
        )

    def abandon(self, session: Session, *, keep: Sequence[str]) -> int:
        """See `Store.abandon`."""
        moved = 0
        entries: dict[int, list[dict[str, object]]] = {}
        with self.database.write() as tx:
            now = tx.now_us()
            for orphan in tx.rows("orphans_of", holder=session.id, limit=1000):
                if orphan[1] not in keep:
                    moved += _rescue_one(tx, (*orphan[:3], now), now, 0, entries, died=False)
            _journal_rescues(tx, now, entries)
        return moved

    def rescue(self, *, grace_us: Span, limit: int = 100) -> int:
        """See `Store.rescue`. A first, read-only look keeps the many ticks with nothing to do out of the
        writers' way; what is found is looked at again in the writing transaction."""
        if not self.database.ask("anything_to_rescue", grace=grace_us):
            return 0
        moved = 0
        entries: dict[int, list[dict[str, object]]] = {}
        with self.database.write() as tx:
            now = tx.now_us()
            tx.run("kill_sessions", now=now)
            orphans: list[Row] = []
            for session, _ in tx.rows("dead_sessions", before=now - grace_us, limit=limit):
                found = tx.rows("orphans_of", holder=session, limit=limit - len(orphans))
                orphans += found
                if len(orphans) >= limit:
                    break
                if not found:
                    tx.run("clear_session", id=session)
            orphans += tx.rows("overdue_tasks", now=now, limit=limit - len(orphans))
            for orphan in sorted(orphans):  # one order of locks for all
                moved += _rescue_one(tx, orphan, now, grace_us, entries)
            _journal_rescues(tx, now, entries)
        return moved


def _is_called(node: Node, name: str) -> bool:
    """A node is called by its name, or by the beginning of its session."""
    return node.node == name or (len(name) >= 4 and node.session.startswith(name))


def session_lost(session: Session) -> SessionLost:
    """The refusal of a session whose lease ran out."""
    return SessionLost(
        f"the lease of session {session.id} on {session.node} is over",
        hint="what it runs must stop; a new session may be opened",
    )


def _rescue_one(
    tx: Transaction,
    orphan: Row,
    now_us: Instant,
    grace_us: Span,
    entries: dict[int, list[dict[str, object]]],
    *,
    died: bool = True,
) -> int:
    """Move one task on, if it is still the orphan that was seen. What was under way is not known: never guessed."""
    task, claim, holder, lease_until = orphan
    tx.rows("lock_rollout_of_task", task=task)
    row = tx.one("orphan", task=task)
    if row is None:
        return 0
    rollout, wave, revision, account, wave_state, is_open, deaths, open_intent, begun = row
    if open_intent:
        state = TaskState.UNKNOWN
        reason = "its holder was lost during a step: what became of it is not known"
    else:
        state = given_back(wave_state, is_open=bool(is_open), begun=bool(begun))
        reason = "its holder was lost between steps"
    parked = died and deaths + 1 >= POISON_DEATHS and state is not TaskState.CANCELLED
    if parked:
        state = TaskState.UNKNOWN
        reason = f"{deaths + 1} holders were lost while they had it: it may be what kills them"
    # a holder that hangs may still be alive: nobody looks at the step before its lease and grace are over
    after = max(now_us, lease_until + grace_us)
    changed = tx.run(
        "rescue_task",
        task=task,
        claim=claim,
        state=state,
        reason=reason,
        resolve_after=after,
        died=int(died),
        parked=int(parked),
        now=now_us,
    )
    if not changed:
        return 0
    if open_intent:
        tx.run("doubt_effects", task=task)
    moves = Moves(rollout=rollout)
    moves.task(wave, TaskState.RUNNING, state)
    moves.write(tx)
    entries.setdefault(rollout, []).append(
        {"account": account, "revision": f"r{revision}", "state": str(state), "session": holder}
    )
    return 1


def given_back(wave_state: str, *, is_open: bool, begun: bool) -> TaskState:
    """What a task becomes that its holder no longer runs and of which no step is under way.

    Where nobody may go on with it (wave withdrawn, rollout ended) it is cancelled if no step was begun, and
    unknown if it stands half way: a half-done account is never called cancelled.
    """
    if is_open and wave_state != WaveState.WITHDRAWN:
        return TaskState.PENDING
    return TaskState.UNKNOWN if begun else TaskState.CANCELLED


def _journal_rescues(tx: Transaction, now_us: Instant, entries: dict[int, list[dict[str, object]]]) -> None:
    for key, tasks in entries.items():
        row = tx.one("rollout_id", key=key)
        assert row is not None
        journal = Journal(tx=tx, key=key, rollout=row[0], at_us=now_us, actor=RESCUER)
        journal.add("rescued", {"tasks": tasks})
