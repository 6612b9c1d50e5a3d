"""Looks: read the metric sources, fold the readings into evidence, let the judges judge, save the look.

A look is saved by compare-and-set on its number, together with the folded state, so that several nodes may
observe the same wave and evidence is never folded twice. A source that gives no answer is a look too: it is saved as
inconclusive with its code, and credits no bake time.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ringctl.core import controls
from ringctl.core.controls import Control
from ringctl.core.decide import baseline_of, checks_of, interval_of
from ringctl.core.digests import canonical
from ringctl.core.errors import SourceUnavailable, VersionConflict
from ringctl.core.judging import credit
from ringctl.core.model import Rollout, Wave
from ringctl.core.observing import counters_of
from ringctl.core.policy import Check, Counter
from ringctl.core.states import OPEN_ROLLOUT_STATES, WaveState
from ringctl.core.timing import Instant, Span
from ringctl.engine import pasts
from ringctl.engine.hearing import Answer, whole
from ringctl.engine.looking import CONTROL, Scene, Seen, chosen_control, stored_control
from ringctl.engine.parts import Parts
from ringctl.ports.records import LookRecord, Watched

_PHASES = {WaveState.PLANNED: "before", WaveState.OPEN: "during", WaveState.BAKING: "bake"}

Due = tuple[Wave, tuple[Check, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """Whom a wave's looks are about: both lists never change once the wave was looked at."""

    accounts: frozenset[str]
    control: Control


@dataclass(slots=True)
class Observer:
    """Observes every wave that is open, baking or next to open. One thread uses it."""

    parts: Parts
    timeout_s: float = 5.0
    _due: dict[int, Instant] = field(default_factory=dict)
    _casts: dict[int, _Cast] = field(default_factory=dict)

    def observe(self, rollout: Rollout) -> bool:
        """Take every look of the rollout that is due. Returns whether one was taken."""
        if rollout.state not in OPEN_ROLLOUT_STATES:
            return False
        due = [(wave, checks) for wave, checks in watched_waves(rollout) if self._is_due(rollout, wave)]
        if due:
            due = self._not_looked_at(rollout, due)
        if not due:
            return False
        answers = self._read(rollout, due)
        for wave, checks in due:
            self._look(rollout, wave, checks, answers)
        return True

    def _is_due(self, rollout: Rollout, wave: Wave) -> bool:
        now = self.parts.store.now_us()
        every = interval_of(rollout, wave)
        # further away than one interval: the store's clock went back, and nobody must be blind for that long
        if 0 < self._due.get(wave.id, 0) - now <= every:
            return False
        self._due[wave.id] = now + every
        return True

    def _not_looked_at(self, rollout: Rollout, due: list[Due]) -> list[Due]:
        """Without the waves that another node has looked at within the interval: looks are counted over all nodes."""
        store, left = self.parts.store, []
        now, facts = store.now_us(), store.facts(rollout)
        for wave, checks in due:
            last, every = facts.wave(wave.id).last_look_us, interval_of(rollout, wave)
            if last is not None and 0 <= now - last < every:
                self._due[wave.id] = last + every
            else:
                left.append((wave, checks))
        return left

    # -- reading ----------------------------------------------------------------------------------
    def _cast(self, rollout: Rollout, wave: Wave) -> _Cast:
        """The wave's accounts and its control, chosen now where no look has saved one yet."""
        found = self._casts.get(wave.id)
        if found is None:
            watched = self.parts.store.watched(rollout, wave)
            control = stored_control(watched) or chosen_control(self.parts, rollout, wave)
            going = {one.id for one in rollout.current_waves()}
            self._casts = {key: cast for key, cast in self._casts.items() if key in going}
            found = self._casts[wave.id] = _Cast(accounts=frozenset(watched.accounts), control=control)
        return found

    def _read(self, rollout: Rollout, due: Sequence[Due]) -> dict[str, Answer]:
        """One reading per source, or why there is none."""
        wanted: dict[str, dict[Counter, None]] = {}
        accounts: set[str] = set()
        for wave, checks in due:
            for check in checks:
                for counter in counters_of(check):
                    wanted.setdefault(check.source, {})[counter] = None
            if any(counters_of(check) for check in checks):
                cast = self._cast(rollout, wave)
                accounts.update(cast.accounts, cast.control.accounts)
        return {
            name: self._answer(rollout, name, tuple(counters), accounts) for name, counters in wanted.items()
        }

    def _answer(
        self, rollout: Rollout, name: str, counters: Collection[Counter], accounts: Collection[str]
    ) -> Answer:
        try:
            source = self.parts.source(rollout.policy.sources[name])
            return whole(source.read(counters, self.timeout_s, accounts=accounts))
        except SourceUnavailable as error:
            return error

    def _pasts(
        self, rollout: Rollout, scene: Scene, checks: Iterable[Check], answers: Mapping[str, Answer]
    ) -> dict[pasts.Asked, pasts.Past]:
        """What the sources know of the time before, for checks that have not heard it yet. A source that does not
        answer now is not asked."""
        begun = [one for one in scene.watched.accounts.values() if one is not None]
        names = pasts.names(scene.watched.accounts, scene.control)
        asking = pasts.alike(
            check for check in checks if not isinstance(answers.get(check.source), SourceUnavailable | None)
        )
        found = {}
        for asked, like in asking.items():
            source = self.parts.source(rollout.policy.sources[like[0].source])
            past = pasts.ask(source, like, names, min(begun, default=scene.now), self.parts.clock)
            if past is not None:
                found[asked] = past
        return found

    # -- one look ---------------------------------------------------------------------------------
    def _look(
        self, rollout: Rollout, wave: Wave, checks: tuple[Check, ...], answers: Mapping[str, Answer]
    ) -> None:
        watched = self.parts.store.watched(rollout, wave)
        scene, states = self._scene(rollout, wave, checks, watched)
        stored = {check.name: scene.stored(check) for check in checks}
        before = self._pasts(
            rollout, scene, [one for one in checks if pasts.wanted(one, stored[one.name])], answers
        )
        seen = [
            scene.check(
                check, stored[check.name], answers.get(check.source), before.get(pasts.asked_as(check))
            )
            for check in checks
        ]
        answered = not any(one.verdict.error for one in seen)
        phase = _PHASES[wave.state]
        record = LookRecord(
            wave=wave.id,
            number=watched.number + 1,
            at_us=scene.now,
            phase=phase,
            credit_us=_credited(rollout, wave, checks, seen, scene) if answered else 0,
            activity=max((one.samples for one in seen), default=0) if phase == "bake" else 0,
            answered=answered,
            verdicts=tuple(one.verdict for one in seen),
            states={**states, **{one.verdict.check: one.state for one in seen}},
        )
        try:
            self.parts.store.add_look(record)
        except VersionConflict:
            # another node looked at the same moment; its look counts, ours is thrown away whole
            self._casts.pop(wave.id, None)

    def _scene(
        self, rollout: Rollout, wave: Wave, checks: Iterable[Check], watched: Watched
    ) -> tuple[Scene, dict[str, str]]:
        """What the look is about, and what of it is saved for the looks to come. Read after the sources were: who
        was touched meanwhile is no control any more."""
        store, states = self.parts.store, {}
        chosen, reason = Control(), ""
        control: tuple[str, ...] = ()
        if any(counters_of(check) for check in checks):
            stored = stored_control(watched)
            chosen = stored or self._cast(rollout, wave).control
            if stored is None:
                states[CONTROL] = canonical(chosen.row())
            else:  # another node may have saved its own since ours was chosen: that one is read from now on
                self._casts[wave.id] = _Cast(accounts=frozenset(watched.accounts), control=stored)
            control, reason = controls.remaining(
                chosen,
                store.untouched_among(rollout, chosen.accounts),
                fleet=rollout.accounts,
                control_min=rollout.policy.limits.control_min,
            )
        planned = wave.state is WaveState.PLANNED
        scene = Scene(
            parts=self.parts,
            rollout=rollout,
            wave=wave,
            watched=watched,
            chosen=chosen,
            control=control,
            no_control=reason,
            now=store.now_us(),
            sampled_us=store.facts(rollout).wave(wave.id).baseline_us if planned else 0,
        )
        return scene, states


def _credited(
    rollout: Rollout, wave: Wave, checks: tuple[Check, ...], seen: Sequence[Seen], scene: Scene
) -> Span:
    """Time credited by a look that was answered: up to twice the interval, and more only where the samples of every
    check that has any cover it (DESIGN 12.11)."""
    last_us = scene.watched.last_us
    credited = credit(last_us, scene.now, interval_of(rollout, wave))
    spans = [one.covered for one in seen if one.covered is not None]
    if last_us is not None and spans:
        credited = max(credited, min(scene.now - last_us, *spans))
    if wave.state is WaveState.PLANNED:
        left = [one.baseline_left for one in seen if one.baseline_left is not None]
        credited = min(credited, *left, baseline_of(checks))
    return credited


def watched_waves(rollout: Rollout) -> Iterator[Due]:
    """Waves to look at: the one that is open or baking, and the next planned one (its baseline)."""
    planned = False
    for wave in rollout.current_waves():
        if wave.state in {WaveState.PASSED, WaveState.FAILED}:
            continue
        if wave.state is WaveState.PLANNED:
            if planned:
                return
            planned = True
        yield wave, checks_of(rollout, wave)
