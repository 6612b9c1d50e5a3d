"""What workers do for every task, as PostgreSQL does it best: one statement each (sql/postgresql/hot.sql).

The same rules as in `claims` and `effects`, and the same suite. An answer that is lost is asked for again: each of
these statements may be sent twice under one claim, and the second one says what the first one did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ringctl.core.digests import canonical
from ringctl.core.errors import BugError
from ringctl.core.model import Rollout, Session, Wave
from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import Span
from ringctl.ports.records import Claim, Ending, Result
from ringctl.stores import rows
from ringctl.stores.claims import Claims, effects_of
from ringctl.stores.database import Value
from ringctl.stores.effects import ENDS, Effects
from ringctl.stores.journal import rollout_key
from ringctl.stores.sessions import session_lost

if TYPE_CHECKING:
    from ringctl.stores.postgres_database import PostgresDatabase


class PostgresHot(Claims, Effects):
    """The hot methods; everything rare is as in every store."""

    database: PostgresDatabase

    # -- claiming ----------------------------------------------------------------------------------
    def claim(self, session: Session, rollout: Rollout, wave: Wave, *, limit: int) -> tuple[Claim, ...]:
        """See `Store.claim`."""
        place: dict[str, Value] = {"wave": wave.id, "session": session.id}
        with self.database.write() as tx:
            admitted = tx.one("lock_admitting_wave", revision=wave.revision, **place)
            if admitted is None:
                if tx.one("session_alive", id=session.id) is None:
                    raise session_lost(session)
                return ()
            key, parallel, failures = admitted
            found = tx.rows(
                "claim_tasks",
                rollout=key,
                parallel=parallel,
                failures=failures,
                limit=limit,
                epoch=self.database.epoch(),
                **place,
            )
            if not found:
                return ()
            history = wave.revision > 1 or tx.one("unfinished_history", rollout=key) is not None
            claims = []
            for (
                task,
                claim,
                fence,
                attempt,
                start_at,
                resolving,
                member,
                account,
                size,
                traits,
                columns,
            ) in found:
                own, earlier = effects_of(tx, task, member) if attempt > 1 or history else ((), ())
                claims.append(
                    Claim(
                        id=claim,
                        task=task,
                        rollout=rollout.id,
                        wave=wave.id,
                        account=account,
                        revision=wave.revision,
                        fence=fence,
                        attempt=attempt,
                        size=size,
                        traits=dict(rows.pairs_out(traits)),
                        columns=dict(rows.pairs_out(columns)),
                        start_at=start_at,
                        resolving=bool(resolving),
                        effects=own,
                        earlier=earlier,
                    )
                )
        return tuple(claims)

    # -- running -----------------------------------------------------------------------------------
    def intent(self, claim: Claim, step: str, digest: str, key: str, *, deadline_us: Span) -> None:
        """See `Store.intent`."""
        if not self._intend([claim], step, digest, [key], deadline_us):
            raise self._lost(claim)

    def intend_all(
        self, claims: Sequence[Claim], step: str, digest: str, keys: Sequence[str], *, deadline_us: Span
    ) -> frozenset[str]:
        """See `Store.intend_all`."""
        return self._counted(claims, self._intend(claims, step, digest, keys, deadline_us))

    def _intend(
        self, claims: Sequence[Claim], step: str, digest: str, keys: Sequence[str], deadline_us: Span
    ) -> frozenset[str]:
        largest = max(claims, key=lambda claim: claim.size)
        seen = largest.size <= self._touched.get(largest.rollout, -1.0)
        found, _ = self.database.statement(
            "intend_tasks",
            tasks=[claim.task for claim in claims],
            claims=[claim.id for claim in claims],
            fences=[claim.fence for claim in claims],
            keys=list(keys),
            step=step,
            digest=digest,
            deadline=deadline_us,
            size=None if seen else largest.size,
        )
        if not all(noted for _, noted in found):
            raise BugError(f"step {step} took effect already: it is never begun again")
        if found:
            self._saw_touched(largest)
        return frozenset(claim for claim, _ in found)

    def finish(
        self,
        claim: Claim,
        state: TaskState,
        reason: str = "",
        *,
        lines: Sequence[str] = (),
        last: Result | None = None,
    ) -> None:
        """See `Store.finish`."""
        ending = Ending(claim=claim, state=state, reason=reason, lines=lines, last=last)
        if not self._is_plain(ending):
            super().finish(claim, state, reason, lines=lines, last=last)
        elif not self._finish([ending]):
            raise self._lost(claim)

    def finish_all(self, endings: Sequence[Ending]) -> frozenset[str]:
        """See `Store.finish_all`."""
        plain = [ending for ending in endings if self._is_plain(ending)]
        rest = [ending for ending in endings if not self._is_plain(ending)]
        ended = self._finish(plain) if plain else frozenset()
        if rest:
            ended |= super().finish_all(rest)
        return self._counted([ending.claim for ending in plain], ended & {e.claim.id for e in plain}) | ended

    def _is_plain(self, ending: Ending) -> bool:
        """Whether the one statement covers it: nothing given back, no resolution, no trait value met first here."""
        claim = ending.claim
        if ending.state not in ENDS:
            raise BugError(f"a claim does not end as {ending.state}")
        if ending.last is not None and ending.last.state is EffectState.INTENT:
            raise BugError("an intent is no result")
        if ending.state is TaskState.PENDING or claim.resolving:
            return False
        return ending.state is not TaskState.DONE or not claim.traits or self._knows_traits(claim)

    def _knows_traits(self, claim: Claim) -> bool:
        key = self._keys.get(claim.rollout)
        if key is None:
            with self.database.read() as tx:
                key = self._keys[claim.rollout] = rollout_key(tx, claim.rollout)
        return not self._new_traits(key, claim)

    def _finish(self, endings: Sequence[Ending]) -> frozenset[str]:
        lasts = [ending.last or Result(step="", state=EffectState.DONE) for ending in endings]
        said = list(_said(endings))
        identity: dict[str, list[object]] = {
            "tasks": [ending.claim.task for ending in endings],
            "claims": [ending.claim.id for ending in endings],
            "steps": [last.step for last in lasts],
            "results": [str(last.state) for last in lasts],
        }
        found, repeated = self.database.statement(
            "finish_tasks",
            fences=[ending.claim.fence for ending in endings],
            states=[str(ending.state) for ending in endings],
            reasons=[ending.reason for ending in endings],
            outcomes=[canonical(last.outcome) for last in lasts],
            lines=[len(ending.lines) for ending in endings],
            line_tasks=[task for task, _, _ in said],
            line_numbers=[number for _, number, _ in said],
            line_texts=[line for _, _, line in said],
            slot=self.database.slot(),
            **identity,
        )
        if not all(ended for _, _, ended in found):
            raise BugError("a result without an intent")
        held = {claim for claim, _, _ in found}
        if repeated and len(held) < len(endings):
            before, _ = self.database.statement("ended_by", **identity)
            held |= {claim for (claim,) in before}
        return frozenset(held)


def _said(endings: Sequence[Ending]) -> Iterator[tuple[int, int, str]]:
    """(task, number from 0, line) of all lines."""
    for ending in endings:
        for number, line in enumerate(ending.lines):
            yield ending.claim.task, number, line
