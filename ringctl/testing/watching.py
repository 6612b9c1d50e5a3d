"""Watches rollouts in a store: after every move, all promises of `ringctl.core.invariants` that a store can show."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringctl.core import invariants
from ringctl.core.decide import bake_of, checks_of
from ringctl.core.invariants import Broken, SeenTask, SeenWave
from ringctl.core.model import Rollout
from ringctl.core.states import WaveState
from ringctl.ports.store import Store
from ringctl.testing.scripted_executor import Run


@dataclass(slots=True)
class Watching:
    """What was seen so far of the opened waves' members."""

    store: Store
    members: dict[int, frozenset[str]] = field(default_factory=dict)

    def broken(self, rollout_id: str) -> Broken:
        """Everything that does not hold of a rollout now."""
        rollout = self.store.load(rollout_id)
        facts = self.store.facts(rollout)
        tasks = tuple(self._tasks(rollout))
        waves = [
            SeenWave(wave=w, facts=facts.wave(w.id), checks=checks_of(rollout, w), bake=bake_of(rollout, w))
            for w in rollout.waves
        ]
        found = (
            invariants.requalified(tasks, rollout.waves, rollout.revisions)
            + invariants.on_evidence(waves)
            + self._frozen(rollout, tasks)
            + invariants.one_ring(tasks, rollout.waves)
            + invariants.bounded((seen.wave, seen.facts) for seen in waves)
            + invariants.chained(self.store.journal(rollout_id))
            + invariants.recounted({w.id: facts.wave(w.id) for w in rollout.waves}, tasks)
        )
        return tuple(f"{rollout_id}: {what}" for what in found)

    def _tasks(self, rollout: Rollout) -> Iterable[SeenTask]:
        for row in self.store.tasks(rollout.id):
            yield SeenTask(
                account=row.account,
                ring=row.ring,
                revision=row.revision,
                wave=row.wave,
                state=row.state,
                begun=bool(row.steps),
            )

    def _frozen(self, rollout: Rollout, tasks: Iterable[SeenTask]) -> Broken:
        now: dict[int, set[str]] = {wave.id: set() for wave in rollout.waves}
        for task in tasks:
            if task.wave is not None:
                now[task.wave].add(task.account)
        every = {wave: frozenset(accounts) for wave, accounts in now.items()}
        mine = {wave.id for wave in rollout.waves}
        earlier = {wave: accounts for wave, accounts in self.members.items() if wave in mine}
        opened = [w for w in rollout.waves if w.state is not WaveState.PLANNED]
        self.members.update((wave.id, every[wave.id]) for wave in opened if wave.id not in self.members)
        return invariants.frozen(earlier, every)


def effects_of(runs: Iterable[Run]) -> list[tuple[str, str, str]]:
    """What took effect, as `invariants.once` wants it, apart per rollout (over rollouts the target's ledger keeps
    a second effect out); closing a window may be repeated."""
    return [
        (f"{run.rollout}/{run.account}", run.step, run.digest)
        for run in runs
        if run.effect and not run.step.startswith("close_window")
    ]
