"""What workers do for every task, as PostgreSQL does it best: one statement each (sql/postgresql/hot.sql).

The same rules as in `claims` and `effects`, and the same suite. An answer that is lost is asked for again: each of
these statements may be sent twice under one claim, and the second one says what the first one did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ringctl.core.digests import canonical
from ringctl.core.errors import BugError
from ringctl.core.model import Rollout, Session, Wave
from ringctl.core.states import EffectState, Settle, TaskState
from ringctl.ports.records import Beat, Claim, Ending, Held, Intent, Result
from ringctl.stores import rows
from ringctl.stores.claims import Claims, effects_of
from ringctl.stores.database import Value
from ringctl.stores.effects import ENDS, Effects
from ringctl.stores.sessions import Sessions, session_lost

if TYPE_CHECKING:
    from ringctl.stores.postgres_database import PostgresDatabase


class PostgresHot(Sessions, Claims, Effects):
    """The hot methods; everything rare is as in every store."""

    database: PostgresDatabase

    # -- living ------------------------------------------------------------------------------------
    def beat(self, session: Session) -> Beat:
        """See `Store.beat`."""
        found, _ = self.database.statement("renew_and_report", id=session.id, lease=session.lease_us)
        if not found:
            raise session_lost(session)
        held = (Held(task=t, claim=c, settle=Settle(s), cancelled=bool(x)) for _, t, c, s, x in found if t)
        return Beat(draining=found[0][0], held=tuple(held))

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
    def _intend(self, intents: Sequence[Intent]) -> list[bool]:
        largest = max((one.claim for one in intents), key=lambda claim: claim.size)
        seen = largest.size <= self._touched.get(largest.rollout, -1.0)
        found, _ = self.database.statement(
            "intend_tasks",
            tasks=numbers(one.claim.task for one in intents),
            claims=texts(one.claim.id for one in intents),
            fences=numbers(one.claim.fence for one in intents),
            steps=texts(one.step for one in intents),
            digests=texts(one.digest for one in intents),
            keys=texts(one.key for one in intents),
            deadlines=numbers(one.deadline_us for one in intents),
            largest=None if seen else largest.id,
            size=largest.size,
        )
        if not all(noted for _, noted in found):
            raise BugError("a step that took effect is never begun again")
        begun = {claim for claim, _ in found}
        if largest.id in begun:
            self._saw_touched(largest)
        return [one.claim.id in begun for one in intents]

    def result(
        self,
        claim: Claim,
        step: str,
        state: EffectState,
        outcome: Mapping[str, object],
        *,
        lines: Sequence[str] = (),
    ) -> None:
        """See `Store.result`. The result of a step asked after (a resolution) is written by the shared way."""
        if claim.resolving or state is EffectState.INTENT:
            super().result(claim, step, state, outcome, lines=lines)
            return
        found, repeated = self.database.statement(
            "save_results",
            task=claim.task,
            claim=claim.id,
            fence=claim.fence,
            step=step,
            state=state,
            outcome=canonical(outcome),
            lines=len(lines),
            line_texts=texts(lines),
        )
        if not found and not (repeated and self._ended_before(claim, step, state)):
            raise self._lost(claim)
        if not all(ended for (ended,) in found):
            raise BugError(f"a result of {step} on {claim.account} without an intent")

    def _ended_before(self, claim: Claim, step: str, state: EffectState) -> bool:
        """Whether a result whose answer was lost had been saved after all."""
        found = self.database.ask(
            "ended_by",
            tasks=numbers([claim.task]),
            claims=texts([claim.id]),
            steps=texts([step]),
            results=texts([state]),
        )
        return bool(found)

    def _finish(self, endings: Sequence[Ending]) -> list[bool]:
        plain = [one for one in endings if self._is_plain(one)]
        ended = self._finish_plain(plain) if plain else set()
        rest = [one for one in endings if not self._is_plain(one)] if len(plain) < len(endings) else []
        if rest:
            held = super()._finish(rest)
            ended |= {one.claim.id for one, mine in zip(rest, held, strict=True) if mine}
        return [one.claim.id in ended for one in endings]

    def _is_plain(self, ending: Ending) -> bool:
        """Whether the one statement covers it: nothing given back, and no resolution."""
        if ending.state not in ENDS:
            raise BugError(f"a claim does not end as {ending.state}")
        if ending.last is not None and ending.last.state is EffectState.INTENT:
            raise BugError("an intent is no result")
        return ending.state is not TaskState.PENDING and not ending.claim.resolving

    def _finish_plain(self, endings: Sequence[Ending]) -> set[str]:
        lasts = [ending.last or _NO_STEP for ending in endings]
        said = list(_said(endings))
        met = [
            (one.claim.task, trait)
            for one in endings
            if one.state is TaskState.DONE and one.claim.traits
            for trait in self._new_traits(one.claim)
        ]
        identity = {
            "tasks": numbers(ending.claim.task for ending in endings),
            "claims": texts(ending.claim.id for ending in endings),
            "steps": texts(last.step for last in lasts),
            "results": texts(last.state for last in lasts),
        }
        found, repeated = self.database.statement(
            "finish_tasks",
            fences=numbers(ending.claim.fence for ending in endings),
            states=texts(ending.state for ending in endings),
            reasons=texts(ending.reason for ending in endings),
            outcomes=texts(canonical(last.outcome) for last in lasts),
            lines=numbers(len(ending.lines) for ending in endings),
            line_tasks=numbers(task for task, _, _ in said),
            line_numbers=numbers(number for _, number, _ in said),
            line_texts=texts(line for _, _, line in said),
            trait_tasks=numbers(task for task, _ in met),
            traits=texts(trait for _, (_, _, trait, _) in met),
            trait_values=texts(value for _, (_, _, _, value) in met),
            slot=self.database.slot(),
            **identity,
        )
        if not all(ended for _, ended in found):
            raise BugError("a result without an intent")
        held = {claim for claim, _ in found}
        if repeated and len(held) < len(endings):
            before, _ = self.database.statement("ended_by", **identity)
            held |= {claim for (claim,) in before}
        ended = {one.claim.task for one in endings if one.claim.id in held}
        self._traits_done.update(trait for task, trait in met if task in ended)
        return held


_NO_STEP: Final = Result(step="", state=EffectState.DONE)


def numbers(values: Iterable[int]) -> str:
    """An array of integers as PostgreSQL reads it: a list that psycopg adapts costs ten times as much."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Iterable[str]) -> str:
    """An array of texts as PostgreSQL reads it."""
    quoted = ['"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values]
    return "{" + ",".join(quoted) + "}"


def _said(endings: Sequence[Ending]) -> Iterator[tuple[int, int, str]]:
    """(task, number from 0, line) of all lines."""
    for ending in endings:
        for number, line in enumerate(ending.lines):
            yield ending.claim.task, number, line
