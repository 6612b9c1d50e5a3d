"""What workers do for every task, as PostgreSQL does it best: one statement each (sql/postgresql/hot.sql).

The same rules as in `claims` and `effects`, and the same suite. An answer that is lost is asked for again: each of
these statements may be sent twice under one claim, and the second one says what the first one did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from ringctl.stores.postgres_connections import NUL
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
        self.database.seen(found[0][5])
        held = (Held(task=t, claim=c, settle=Settle(s), cancelled=bool(x)) for _, t, c, s, x, _ in found if t)
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
        given = [
            {
                "task": one.claim.task,
                "claim": one.claim.id,
                "fence": one.claim.fence,
                "step": one.step,
                "digest": one.digest,
                "key": one.key,
                "deadline": one.deadline_us,
            }
            for one in intents
        ]
        found, _ = self.database.statement(
            "intend_tasks", given=as_json(given), largest=None if seen else largest.id, size=largest.size
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
            lines=as_json(list(lines)),
        )
        if not found and not (repeated and self._ended_before(claim, step, state)):
            raise self._lost(claim)
        if not all(ended for (ended,) in found):
            raise BugError(f"a result of {step} on {claim.account} without an intent")

    def _ended_before(self, claim: Claim, step: str, state: EffectState) -> bool:
        """Whether a result whose answer was lost had been saved after all."""
        return bool(
            self.database.ask("result_saved", task=claim.task, step=step, claim=claim.id, state=state)
        )

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
        given, met = [], []
        for one in sorted(endings, key=lambda ending: ending.claim.task):  # one order of locks for all
            claim, last = one.claim, one.last or _NO_STEP
            new = self._new_traits(claim) if claim.traits and one.state is TaskState.DONE else []
            met += [(claim.id, trait) for trait in new]
            given.append(
                {
                    "task": claim.task,
                    "claim": claim.id,
                    "fence": claim.fence,
                    "state": one.state,
                    "reason": one.reason,
                    "step": last.step,
                    "result": last.state,
                    "outcome": canonical(last.outcome),
                    "lines": list(one.lines),
                    "traits": [trait for _, _, trait, _ in new],
                    "trait_values": [value for _, _, _, value in new],
                }
            )
        text = as_json(given)
        found, repeated = self.database.statement("finish_tasks", given=text, slot=self.database.slot())
        if not all(ended for _, ended in found):
            raise BugError("a result without an intent")
        held = {claim for claim, _ in found}
        if repeated and len(held) < len(endings):
            held |= {claim for (claim,) in self.database.ask("ended_by", given=text)}
        self._traits_done.update(trait for claim, trait in met if claim in held)
        return held


_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_NO_STEP: Final = Result(step="", state=EffectState.DONE)


def as_json(value: object) -> str:
    """A statement's input in one parameter. PostgreSQL's texts hold no NUL, but a step's output may."""
    text = _ENCODE(value)
    return _ENCODE(_without_nul(value)) if "\\u0000" in text else text


def _without_nul(value: object) -> object:
    match value:
        case str():
            return value.replace("\0", NUL)
        case list():
            return [_without_nul(one) for one in value]
        case dict():
            return {key: _without_nul(one) for key, one in value.items()}
        case _:
            return value
