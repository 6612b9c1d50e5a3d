"""Rollouts: created, loaded, moved by compare-and-set."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ringctl.core.digests import GENESIS, canonical, sha256_hex
from ringctl.core.errors import BugError, ConflictError, NotFound, VersionConflict
from ringctl.core.model import Member, Rollout
from ringctl.core.states import RolloutState, Settle, TaskState, WaveState
from ringctl.ports.records import NewRollout, Summary
from ringctl.stores import rows
from ringctl.stores.counting import RESOLVE_TRIES, Moves
from ringctl.stores.database import Transaction, Value
from ringctl.stores.journal import Journal, rollout_key
from ringctl.stores.part import Part

if TYPE_CHECKING:  # only `apply` needs them
    from ringctl.core.decisions import Step

_CHUNK = 2000


class Rollouts(Part):
    """The store's methods about rollouts and bundles."""

    # -- bundles by content ------------------------------------------------------------------------
    def put_bundle(self, digest: str, manifest: str, files: Mapping[str, bytes]) -> None:
        """See `Store.put_bundle`."""
        with self.database.write() as tx:
            if tx.one("has_bundle", digest=digest):
                return
            tx.run("add_bundle", digest=digest, manifest=manifest)
            for path, content in files.items():
                blob = sha256_hex(content)
                tx.run("add_blob", digest=blob, content=content)
                tx.run("add_bundle_file", bundle=digest, path=path, blob=blob)

    def bundle_manifest(self, digest: str) -> str:
        """See `Store.bundle_manifest`."""
        with self.database.read() as tx:
            row = tx.one("bundle_manifest", digest=digest)
        if row is None:
            raise NotFound(f"the store has no bundle {digest}")
        return str(row[0])

    def bundle_files(self, digest: str) -> Mapping[str, bytes]:
        """See `Store.bundle_files`."""
        with self.database.read() as tx:
            if tx.one("has_bundle", digest=digest) is None:
                raise NotFound(f"the store has no bundle {digest}")
            return {path: bytes(content) for path, content in tx.rows("bundle_files", digest=digest)}

    # -- creating ----------------------------------------------------------------------------------
    def next_wave_ids(self, count: int) -> int:
        """See `Store.next_wave_ids`."""
        with self.database.write() as tx:
            last = tx.one("count_up", name="wave", count=count)
        assert last is not None
        return int(last[0]) - count + 1

    def create_rollout(self, new: NewRollout) -> None:
        """See `Store.create_rollout`."""
        rollout = new.rollout
        with self.database.write() as tx:
            now = tx.now_us()
            if tx.one("rollout_key", id=rollout.id):
                raise ConflictError(f"there is a rollout {rollout.id} already")
            head = tx.one(
                "add_rollout",
                id=rollout.id,
                version=rollout.version,
                seed=rollout.seed,
                fleet_digest=rollout.fleet_digest,
                created_us=rollout.created_us,
                actor=rollout.actor,
                origin=rollout.origin,
                origin_host=rollout.origin_host,
                journal_hash=GENESIS,
                **_without(rows.rollout_in(rollout), "wake_at_us"),
            )
            assert head is not None
            key = int(head[0])
            _save_revisions(tx, key, rollout)
            for position, ring in enumerate(rollout.policy.rings):
                tx.run("add_ring", rollout=key, position=position, name=ring.name)
            for wave in rollout.waves:
                tx.run("save_wave", rollout=key, **rows.wave_in(rollout, wave))
            _add_members(tx, key, new)
            tx.rows("lock_starts")
            _refuse_overlap(tx, key)
            _refuse_unsettled(tx, key)
            journal = Journal(tx=tx, key=key, rollout=rollout.id, at_us=now, actor=new.actor)
            journal.add("created", new.payload)

    # -- reading -----------------------------------------------------------------------------------
    def rollouts(self, *, only_open: bool = False) -> tuple[Summary, ...]:
        """See `Store.rollouts`."""
        found = self.database.ask("open_rollouts" if only_open else "all_rollouts")
        return tuple(
            Summary(
                id=ident,
                release=release,
                component=component,
                state=state,
                version=version,
                created_us=created,
                wake_at_us=wake,
            )
            for ident, release, component, state, version, created, wake in found
        )

    def served(self) -> tuple[str, ...]:
        """See `Store.served`."""
        return tuple(ident for (ident,) in self.database.ask("served_rollouts", tries=RESOLVE_TRIES))

    def load(self, rollout_id: str) -> Rollout:
        """See `Store.load`."""
        with self.database.read() as tx:
            row = tx.one("rollout_row", id=rollout_id)
            if row is None:
                raise NotFound(f"there is no rollout {rollout_id}")
            revisions = tx.rows("revisions_of", rollout=row[0])
            waves = tx.rows("waves_of", rollout=row[0])
        (_, ident, release, component, state, version, policy, holds, drawn, seed, plan_digest, fleet_digest,
         accounts, created, ended, actor, origin, origin_host) = row  # fmt: skip
        return Rollout(
            id=ident,
            release=release,
            component=component,
            state=RolloutState(state),
            version=version,
            policy=self._policy(policy),
            bundle=self._bundle(revisions[-1][10]),
            revisions=tuple(rows.revision_out(revision) for revision in revisions),
            waves=tuple(rows.wave_out(wave) for wave in waves),
            holds=rows.holds_out(holds),
            drawn=tuple(rows.list_out(drawn)),
            seed=seed,
            plan_digest=plan_digest,
            fleet_digest=fleet_digest,
            accounts=accounts,
            created_us=created,
            ended_us=ended,
            actor=actor,
            origin=origin,
            origin_host=origin_host,
        )

    # -- moving ------------------------------------------------------------------------------------
    def apply(self, step: Step, *, expected: int, actor: str) -> Rollout:
        """See `Store.apply`."""
        from ringctl.stores.decisions import Carrying, end_tasks

        rollout = step.rollout
        with self.database.write() as tx:
            now = tx.now_us()
            key = rollout_key(tx, rollout.id)
            saved = rows.rollout_in(rollout, wake_at_us=step.wake_at_us)
            origin = {"origin": rollout.origin, "origin_host": rollout.origin_host}
            if tx.run("save_rollout", key=key, expected=expected, **origin, **saved) != 1:
                raise VersionConflict(f"{rollout.id} is no longer at version {expected}")
            rollout = _with_drawn(replace(rollout, version=expected + 1), step)
            if _save_revisions(tx, key, rollout):
                tx.run("clear_drift", rollout=key)
            _save_waves(tx, key, rollout)
            journal = Journal(tx=tx, key=key, rollout=rollout.id, at_us=now, actor=actor)
            moves = Moves(rollout=key)
            carrying = Carrying(tx=tx, key=key, rollout=rollout, now_us=now, moves=moves)
            for decision in step.decisions:
                carrying.carry_out(decision)
                journal.add(decision.kind, decision.payload)
            if not saved["is_open"]:
                end_tasks(tx, key, moves, now)
            moves.write(tx)
        return rollout

    def record(self, rollout_id: str, kind: str, payload: Mapping[str, object], *, actor: str) -> None:
        """See `Store.record`."""
        with self.database.write() as tx:
            key = rollout_key(tx, rollout_id)
            journal = Journal(tx=tx, key=key, rollout=rollout_id, at_us=tx.now_us(), actor=actor)
            journal.add(kind, payload)


def _refuse_overlap(tx: Transaction, key: int) -> None:
    """Two open rollouts never hold one account (DESIGN 4): the second start is refused, and rolled back."""
    other = tx.one("rollout_of_shared_account", rollout=key)
    if other is not None:
        ident, account, count = other
        raise ConflictError(
            f"{count} account(s), {account} among them, belong to the open rollout {ident}",
            code="RC2016",
            hint=f"wait for its end (ringctl wait {ident}), or abort it",
        )


def _refuse_unsettled(tx: Transaction, key: int) -> None:
    """An ended rollout may still run a step on an account, or not know what became of one: until that is settled
    no other rollout sends anything there (promises I1, I2)."""
    other = tx.one("unsettled_elsewhere", rollout=key)
    if other is not None:
        ident, account, count = other
        raise ConflictError(
            f"{count} account(s), {account} among them, still run or are unknown in rollout {ident}",
            code="RC2017",
            hint=f"see them: ringctl why {ident}; settle each: ringctl retry {ident} --account {account} "
            "--as done|not-done --reason TEXT",
        )


def _without(columns: dict[str, Value], name: str) -> dict[str, Value]:
    return {key: value for key, value in columns.items() if key != name}


def _with_drawn(rollout: Rollout, step: Step) -> Rollout:
    """The rollout with the waves that its decisions draw, where they are not part of it yet."""
    from ringctl.core.decisions import AddWave

    known = {wave.id for wave in rollout.waves}
    drawn = (decision.wave for decision in step.decisions if isinstance(decision, AddWave))
    new = [wave for wave in drawn if wave.id not in known]
    if not new:
        return rollout
    waves = sorted((*rollout.waves, *new), key=lambda wave: wave.id)
    return replace(rollout, waves=tuple(waves))


def _save_revisions(tx: Transaction, key: int, rollout: Rollout) -> bool:
    """Save all revisions; whether there is a new one. Only the newest one's bundle is at hand, so after the
    first time at most one may be new."""
    row = tx.one("count_revisions", rollout=key)
    assert row is not None
    before = int(row[0])
    if before and len(rollout.revisions) not in {before, before + 1}:
        raise BugError(f"{rollout.id} has {len(rollout.revisions)} revisions after {before}")
    for revision in rollout.revisions:
        # a rollout that continues another one's history (DESIGN 12.1) has the earlier bundles by digest only
        current = revision is rollout.revision
        document = canonical(rollout.bundle.document) if current else ""
        steps = canonical([spec.id for spec in rollout.bundle.steps] if current else [])
        tx.run("save_revision", rollout=key, document=document, steps=steps, **rows.revision_in(revision))
    return len(rollout.revisions) > before


def _save_waves(tx: Transaction, key: int, rollout: Rollout) -> None:
    """Save the waves that changed: O(waves) to compare, a write only where something moved."""
    stored = {row[0]: row for row in tx.rows("waves_of", rollout=key)}
    for wave in rollout.waves:
        new = rows.wave_in(rollout, wave)
        before = stored.pop(wave.id, None)
        if before is not None and tuple(new.values()) == tuple(before):
            continue
        tx.run("save_wave", rollout=key, **new)
        reopened = {WaveState.BAKING, WaveState.FAILED}
        if before is not None and wave.state is WaveState.OPEN and before[5] in reopened:
            tx.run("reset_bake", wave=wave.id)
        if wave.settle is Settle.STOP:
            tx.run("cancel_running_of_wave", wave=wave.id)
    if stored:
        raise BugError(f"{rollout.id} lost its waves {sorted(stored)}")


def _add_members(tx: Transaction, key: int, new: NewRollout) -> None:
    """Stream members and their first tasks in (of r1; of the newest revision where a history is carried over);
    count them by wave on the way."""
    revision = new.rollout.revision.number
    positions = {ring.name: position for position, ring in enumerate(new.rollout.policy.rings)}
    count = 0
    moves = Moves(rollout=key)
    placed: Counter[int] = Counter()
    for chunk in _chunks(new.members):
        members: list[dict[str, Value]] = []
        tasks: list[dict[str, Value]] = []
        count += len(chunk)
        ids = zip(tx.numbers("member", len(chunk)), tx.numbers("task", len(chunk)), strict=True)
        for member, (member_id, task_id) in zip(chunk, ids, strict=True):
            wave = new.placed.get(member.account)
            ring = positions[member.ring]
            members.append(
                _member_in(key, member_id, ring, member, drawn=revision if wave is not None else 0)
            )
            tasks.append({"id": task_id, "rollout": key, "member": member_id, "revision": revision, "wave": wave,
                          "rank": rows.rank_in(member.rank), "start_at": ""})  # fmt: skip
            if wave is not None:
                placed[wave] += 1
        tx.many("add_member", members)
        tx.many("add_task", tasks)
    expected = {wave.id: wave.accounts for wave in new.rollout.waves if wave.accounts}
    if dict(placed) != expected:
        raise BugError(f"{new.rollout.id}: waves have {expected} accounts, {dict(placed)} were placed")
    if count != new.rollout.accounts:
        raise BugError(f"{new.rollout.id}: {new.rollout.accounts} accounts, {count} members")
    for wave_id, accounts in placed.items():
        moves.task(wave_id, None, TaskState.WAITING, accounts)
    moves.write(tx)


def _member_in(key: int, ident: int, ring: int, member: Member, *, drawn: int) -> dict[str, Value]:
    return {
        "id": ident,
        "rollout": key,
        "account": member.account,
        "ring": ring,
        "size": member.size,
        "decade": member.decade,
        "reserve": int(member.reserve),
        "rank": rows.rank_in(member.rank),
        "traits": rows.pairs_in(member.traits),
        "columns": rows.pairs_in(member.columns),
        "drawn": drawn,
    }


def _chunks(members: Iterable[Member]) -> Iterator[list[Member]]:
    stream = iter(members)
    while chunk := list(itertools.islice(stream, _CHUNK)):
        yield chunk
