"""The promises of DESIGN 2 as functions over plain values: the store's checks, the engine's tests and the simulator
ask the same ones. Each answers with what does not hold, in words; empty when all does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ringctl.core.audit import Linked, audit_chain
from ringctl.core.facts import WaveFacts
from ringctl.core.model import Revision, Wave
from ringctl.core.policy import Bake, Check
from ringctl.core.states import TaskState, Verdict, WaveKind, WaveState

Broken = tuple[str, ...]
Place = TypeVar("Place", bound=tuple[object, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTask:
    """One account under one revision. `begun`: whether any step of it was ever sent."""

    account: str
    ring: str
    revision: int
    wave: int | None
    state: TaskState
    begun: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWave:
    """A wave with its facts, the checks that watch it and the bake it has to stand."""

    wave: Wave
    facts: WaveFacts
    checks: tuple[Check, ...]
    bake: Bake


def once(effects: Iterable[tuple[str, str, str]]) -> Broken:
    """I1: no step takes effect twice on an account under one digest. `effects`: (account, step, digest) as the
    target saw them."""
    seen: set[tuple[str, str, str]] = set()
    broken = []
    for effect in effects:
        if effect in seen:
            broken.append(f"I1: step {effect[1]} ({effect[2]}) took effect twice on {effect[0]}")
        seen.add(effect)
    return tuple(broken)


def requalified(tasks: Iterable[SeenTask], waves: Iterable[Wave], revisions: Iterable[Revision]) -> Broken:
    """I4: under a revision after the first nothing is begun outside its requalification subset before it has
    qualified. Ask after every move: times are not compared, clocks jump."""
    kinds = {wave.id: wave.kind for wave in waves}
    unqualified = {rev.number for rev in revisions if rev.number > 1 and rev.qualified_at_us is None}
    return tuple(
        f"I4: {task.account} received r{task.revision}, which has not requalified, in a "
        f"{kinds.get(task.wave) if task.wave is not None else 'no'} wave"
        for task in tasks
        if task.begun
        and task.revision in unqualified
        and (task.wave is None or kinds.get(task.wave) is not WaveKind.REQUALIFICATION)
    )


def on_evidence(waves: Iterable[SeenWave]) -> Broken:
    """I5: no wave passed without a PASS of each of its checks, its credited bake and activity, and all its accounts
    ended within the budget."""
    broken = []
    for seen in waves:
        if seen.wave.state is not WaveState.PASSED:
            continue
        label = f"I5: wave {seen.wave.id} ({seen.wave.kind} of {seen.wave.ring}) passed"
        without = [
            check.name
            for check in seen.checks
            if check.name not in seen.facts.checks
            or seen.facts.checks[check.name].failed
            or seen.facts.checks[check.name].verdict is not Verdict.PASS
        ]
        if without:
            broken.append(f"{label} without a pass of {', '.join(without)}")
        if seen.facts.bake_us < seen.bake.min_us:
            broken.append(f"{label} on {seen.facts.bake_us} of {seen.bake.min_us} us of bake")
        if seen.facts.activity < seen.bake.activity:
            broken.append(f"{label} on {seen.facts.activity} of {seen.bake.activity} samples")
        if seen.facts.unfinished or seen.facts.failed + seen.facts.unknown > seen.wave.failures:
            broken.append(f"{label} with accounts that are not done")
    return tuple(broken)


def frozen(before: Mapping[int, frozenset[str]], now: Mapping[int, frozenset[str]]) -> Broken:
    """I7: members of a wave that has opened never change. Wave -> accounts, seen earlier and now."""
    return tuple(
        f"I7: members of wave {wave} changed: {sorted(members ^ now.get(wave, frozenset()))}"
        for wave, members in before.items()
        if members != now.get(wave, frozenset())
    )


def one_ring(tasks: Iterable[SeenTask], waves: Iterable[Wave]) -> Broken:
    """I7: each account is in exactly one ring, and in waves of that ring only; a revision draws it once."""
    rings: dict[str, str] = {}
    of_wave = {wave.id: wave.ring for wave in waves}
    drawn: set[tuple[str, int]] = set()
    broken = []
    for task in tasks:
        home = rings.setdefault(task.account, task.ring)
        place = home if task.wave is None else of_wave.get(task.wave)
        if not home == task.ring == place:
            broken.append(f"I7: {task.account} of ring {home} is in ring {task.ring}, wave of {place}")
        if (task.account, task.revision) in drawn:
            broken.append(f"I7: {task.account} has two tasks of r{task.revision}")
        drawn.add((task.account, task.revision))
    return tuple(broken)


def bounded(waves: Iterable[tuple[Wave, WaveFacts]]) -> Broken:
    """I8: in flight never above the wave's parallelism, nor above the failures left + 1."""
    broken = []
    for wave, facts in waves:
        left = max(0, wave.failures - facts.failed - facts.unknown)
        if facts.running > wave.parallel:
            broken.append(f"I8: wave {wave.id} has {facts.running} in flight, at most {wave.parallel}")
        if facts.running > left + 1:
            broken.append(f"I8: wave {wave.id} has {facts.running} in flight with {left} failures left")
    return tuple(broken)


def chained(entries: Iterable[Linked]) -> Broken:
    """I11: a rollout's journal is what was written."""
    at = audit_chain(entries)
    return () if at is None else (f"I11: the journal's chain is broken at entry {at}",)


def recounted(waves: Mapping[int, WaveFacts], tasks: Iterable[SeenTask]) -> Broken:
    """I11: the counters that decisions rest on are those of the tasks."""
    counted: dict[tuple[int, str], int] = {}
    for task in tasks:
        if task.wave is not None:
            place = (task.wave, str(task.state))
            counted[place] = counted.get(place, 0) + 1
    kept = {
        (wave, str(state)): getattr(facts, str(state)) for wave, facts in waves.items() for state in TaskState
    }
    return tuple(f"I11: {what}" for what in differences("tasks", counted, kept))


def differences(name: str, counted: Mapping[Place, int], kept: Mapping[Place, int]) -> list[str]:
    """Where kept counts are not the counted ones; a missing count is 0."""
    return [
        f"{name} {place}: kept {kept.get(place, 0)}, counted {counted.get(place, 0)}"
        for place in sorted({*counted, *kept}, key=str)
        if kept.get(place, 0) != counted.get(place, 0)
    ]
