"""Looks of waves, and the aggregates that `decide` sees: O(waves + nodes), never O(accounts)."""

import json
from collections.abc import Iterator, Mapping, Sequence

from ringctl.core.digests import canonical
from ringctl.core.errors import BugError, VersionConflict
from ringctl.core.facts import CheckState, Drift, Facts, WaveFacts
from ringctl.core.model import Rollout, Wave
from ringctl.ports.records import LookRecord, Watched
from ringctl.stores import rows
from ringctl.stores.counting import RESOLVE_TRIES
from ringctl.stores.database import Transaction, Value
from ringctl.stores.journal import rollout_key
from ringctl.stores.part import Part

_PHASES = {"before", "during", "bake"}
_PAGE = 1000


class Looks(Part):
    """The store's methods about observation."""

    def facts(self, rollout: Rollout) -> Facts:
        """See `Store.facts`."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            progress = {row[0]: row[1:] for row in tx.rows("progress_of_rollout", rollout=key)}
            settling = {wave: _settling(tx, wave) for wave, sums in progress.items() if sums[5]}
            credited = tx.rows("credits_of_rollout", rollout=key)
            verdicts = tx.rows("verdicts_of_rollout", rollout=key)
            done = tx.rows("done_decades", rollout=key, revision=rollout.revision.number)
            drift = tx.one("drift_of_rollout", rollout=key)
            nodes = tx.one("alive_sessions", now=tx.now_us())
        assert nodes is not None
        checks: dict[int, dict[str, CheckState]] = {}
        for wave, *verdict in verdicts:
            state = rows.check_out(tuple(verdict))
            checks.setdefault(wave, {})[state.check] = state
        waves = {}
        for wave, bake, baseline, activity, look, answer in credited:
            tasks = progress.get(wave, (0,) * 8)
            waves[wave] = _wave_facts(
                settling.get(wave, 0), tasks, (bake, baseline, activity, look, answer), checks.get(wave, {})
            )
        finished = sum(wave.done + wave.skipped for wave in waves.values())
        return Facts(
            waves=waves,
            drift=_drift(drift),
            nodes=nodes[0],
            unfinished_accounts=rollout.accounts - finished,
            half_done=sum(wave.unknown for wave in waves.values()),
            proven=sum(members for _, members in done),
        )

    def watched(self, rollout: Rollout, wave: Wave) -> Watched:
        """See `Store.watched`."""
        with self.database.read() as tx:
            rollout_key(tx, rollout.id)
            looks = tx.one("wave_looks", wave=wave.id)
            if looks is None:
                raise BugError(f"wave {wave.id} of {rollout.id} was never saved")
            states = tx.rows("judges_of_wave", wave=wave.id)
            accounts = tx.rows("accounts_of_wave", wave=wave.id)
        ends = [ended for _, _, ended, _ in accounts if ended is not None]
        return Watched(
            number=looks[0],
            last_us=looks[1],
            states=dict(states),
            accounts={account: begun for account, begun, _, _ in accounts},
            last_done_us=max(ends, default=None),
            settled=frozenset(account for account, _, _, settled in accounts if settled),
        )

    def add_look(self, record: LookRecord) -> None:
        """See `Store.add_look`."""
        if record.phase not in _PHASES:
            known = ", ".join(sorted(_PHASES))
            raise BugError(f"a look has no phase {record.phase}; known: {known}")
        baking = record.phase == "bake"
        look: dict[str, Value] = {"wave": record.wave, "number": record.number}
        with self.database.write() as tx:
            counted = tx.one(
                "count_look",
                at_us=record.at_us,
                answered=int(record.answered),
                bake=record.credit_us if baking else 0,
                baseline=record.credit_us if record.phase == "before" else 0,
                active=record.activity if baking else 0,
                **look,
            )
            if counted is None:
                raise VersionConflict(f"look {record.number} of wave {record.wave} is saved already")
            tx.run(
                "add_look",
                at_us=record.at_us,
                phase=record.phase,
                credit_us=record.credit_us,
                activity=record.activity,
                answered=int(record.answered),
                **look,
            )
            for verdict in record.verdicts:
                columns = rows.check_in(verdict)
                tx.run("add_verdict", **look, **columns)
                tx.run("put_latest_verdict", rollout=counted[0], wave=record.wave, **columns)
            for check, state in record.states.items():
                tx.run("put_judge", wave=record.wave, check_name=check, state=state)

    def looks(self, rollout_id: str, wave: int | None = None) -> Iterator[Mapping[str, object]]:
        """See `Store.looks`."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout_id)
            waves = [row[0] for row in tx.rows("wave_ids", rollout=key)]
        for one in waves:
            if wave is None or one == wave:
                yield from self._looks_of(one)

    def _looks_of(self, wave: int) -> Iterator[Mapping[str, object]]:
        number, check = 0, ""
        while True:
            with self.database.read() as tx:
                page = tx.rows("verdict_page", wave=wave, number=number, check_name=check, limit=_PAGE)
            for row in page:
                yield _verdict_json(row)
            if len(page) < _PAGE:
                return
            number, check = page[-1][4], page[-1][7]

    def set_drift(self, rollout_id: str, where: str, files: Sequence[str]) -> None:
        """See `Store.set_drift`."""
        with self.database.write() as tx:
            key = rollout_key(tx, rollout_id)
            if files:
                text = canonical(list(files))
                tx.run("put_drift", rollout=key, place=where, files=text, now=tx.now_us())
            else:
                tx.run("end_drift", rollout=key, place=where)


def _settling(tx: Transaction, wave: int) -> int:
    row = tx.one("settling_of_wave", wave=wave, tries=RESOLVE_TRIES)
    assert row is not None
    return int(row[0])


def _wave_facts(
    settling: int,
    tasks: Sequence[int],
    credited: tuple[int, int, int, int | None, int | None],
    checks: Mapping[str, CheckState],
) -> WaveFacts:
    waiting, pending, running, done, failed, unknown, cancelled, skipped = tasks
    bake, baseline, activity, look, answer = credited
    return WaveFacts(
        waiting=waiting,
        pending=pending,
        running=running,
        done=done,
        failed=failed,
        unknown=unknown,
        cancelled=cancelled,
        skipped=skipped,
        settling=settling,
        bake_us=bake,
        baseline_us=baseline,
        activity=activity,
        last_look_us=look,
        last_answer_us=answer,
        checks=checks,
    )


def _drift(row: tuple[str, str, int] | None) -> Drift | None:
    if row is None:
        return None
    place, files, at_us = row
    return Drift(where=place, files=tuple(rows.list_out(files)), at_us=at_us)


def _verdict_json(row: tuple[object, ...]) -> Mapping[str, object]:
    names = (
        "wave",
        "ring",
        "wave_kind",
        "revision",
        "look",
        "phase",
        "at_us",
        "check",
        "verdict",
        "reason",
        "error",
    )
    found: dict[str, object] = dict(zip(names, row, strict=False))
    found["revision"] = f"r{row[3]}"
    found["failed"] = bool(row[11])
    found["numbers"] = json.loads(str(row[12]))
    return found
