"""Claims: the exclusive right to run a task, and how it is given out."""

from collections.abc import Mapping, Sequence

from ringctl.core.errors import BugError
from ringctl.core.model import Rollout, Session, Wave
from ringctl.core.states import TaskState
from ringctl.ports.records import Claim, Effect
from ringctl.stores import rows
from ringctl.stores.counting import RESOLVE_TRIES, Moves
from ringctl.stores.database import Row, Transaction, Value
from ringctl.stores.journal import rollout_key
from ringctl.stores.part import Part
from ringctl.stores.sessions import session_lost


class Claims(Part):
    """The store's methods about claims."""

    # -- claiming ----------------------------------------------------------------------------------
    def claim(self, session: Session, rollout: Rollout, wave: Wave, *, limit: int) -> tuple[Claim, ...]:
        """See `Store.claim`."""
        with self.database.write() as tx:
            if tx.one("session_alive", id=session.id) is None:
                raise session_lost(session)
            admitted = tx.one("admitting_wave", wave=wave.id, revision=wave.revision)
            if admitted is None:
                return ()
            key, parallel, failures = admitted
            flight = tx.one("wave_in_flight", rollout=key, wave=wave.id)
            assert flight is not None
            running, lost = flight
            # I8: with a budget of n, at most n + 1 can be lost even if everything in flight goes wrong
            room = min(limit, parallel - running, failures + 1 - lost - running)
            if room <= 0:
                return ()
            found = tx.rows("pending_tasks", wave=wave.id, limit=room)
            claims = self._take(tx, session, rollout, (wave.id, wave.revision), found)
            moves = Moves(rollout=key, session=session.id)
            moves.task(wave.id, TaskState.PENDING, TaskState.RUNNING, len(claims))
            moves.write(tx)
        return claims

    def claim_unknown(self, session: Session, rollout: Rollout, *, limit: int) -> tuple[Claim, ...]:
        """See `Store.claim_unknown`. In flight stays within each wave's `parallel`."""
        claims: list[Claim] = []
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            if not tx.rows("waves_with_unknown", rollout=key):
                return ()
        with self.database.write() as tx:
            now = tx.now_us()
            if tx.one("session_alive", id=session.id) is None:
                raise session_lost(session)
            moves = Moves(rollout=key, session=session.id)
            for wave, parallel, revision in tx.rows("waves_with_unknown", rollout=key):
                tx.rows("lock_wave", wave=wave)
                flight = tx.one("wave_in_flight", rollout=key, wave=wave)
                assert flight is not None
                running, _ = flight
                room = min(limit - len(claims), parallel - running)
                if room <= 0:
                    continue
                found = tx.rows("unknown_tasks", wave=wave, now=now, tries=RESOLVE_TRIES, limit=room)
                taken = self._take(tx, session, rollout, (wave, revision), found, unknown=True)
                moves.task(wave, TaskState.UNKNOWN, TaskState.RUNNING, len(taken))
                claims += taken
            moves.write(tx)
        return tuple(claims)

    def _take(
        self,
        tx: Transaction,
        session: Session,
        rollout: Rollout,
        place: tuple[int, int],
        found: Sequence[Row],
        *,
        unknown: bool = False,
    ) -> tuple[Claim, ...]:
        """Give each task found a claim id and a fence, under the guard of its state."""
        if not found:
            return ()
        wave, revision = place
        key = rollout_key(tx, rollout.id)
        history = revision > 1 or tx.one("unfinished_history", rollout=key) is not None
        claims: list[Claim] = []
        takes: list[Mapping[str, Value]] = []
        for fence, row in zip(tx.numbers("fence", len(found)), found, strict=True):
            task, attempt, start_at, resolving, member, account, size, traits, columns = row
            effects, earlier = effects_of(tx, task, member) if attempt or history else ((), ())
            claim = Claim(
                id=self._ids(),
                task=task,
                rollout=rollout.id,
                wave=wave,
                account=account,
                revision=revision,
                fence=fence,
                attempt=attempt + 1,
                size=size,
                traits=dict(rows.pairs_out(traits)),
                columns=dict(rows.pairs_out(columns)),
                start_at=start_at,
                resolving=bool(resolving),
                effects=effects,
                earlier=earlier,
            )
            claims.append(claim)
            takes.append({"id": task, "claim": claim.id, "fence": fence, "holder": session.id})
        taken = tx.many("take_unknown" if unknown else "take_task", takes)
        if taken != len(takes):
            raise BugError(f"{taken} of {len(takes)} tasks were taken: the claim is not exclusive")
        return tuple(claims)


def effects_of(tx: Transaction, task: int, member: int) -> tuple[tuple[Effect, ...], tuple[Effect, ...]]:
    """(the task's own effects, those of the account's older tasks), both in order."""
    own: list[Effect] = []
    earlier: list[Effect] = []
    for row in tx.rows("effects_of_member", member=member):
        (own if row[0] == task else earlier).append(rows.effect_out(row[1:]))
    return tuple(own), tuple(earlier)
