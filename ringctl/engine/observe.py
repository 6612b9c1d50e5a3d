"""Looks: read the metric sources, fold the readings into evidence, let the judges judge, save the look.

A look is saved by compare-and-set on its number, together with the folded state, so that several nodes may
observe the same wave and evidence is never folded twice. A source that gives no answer is a look too: it is saved as
inconclusive with its code, and credits no bake time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ringctl.core.decide import baseline_of, checks_of, interval_of
from ringctl.core.digests import canonical
from ringctl.core.errors import SourceUnavailable, VersionConflict
from ringctl.core.facts import CheckState
from ringctl.core.judging import Evidence, Judgement, JudgeState, combine, credit
from ringctl.core.model import Rollout, Wave
from ringctl.core.observing import Watch, activity, fold, silent, step_evidence, with_level
from ringctl.core.policy import Check, Counter, Ratio, StepMeasure
from ringctl.core.states import OPEN_ROLLOUT_STATES, Verdict, WaveKind, WaveState
from ringctl.core.timing import Instant, Span
from ringctl.engine.parts import Parts
from ringctl.ports.metrics import Reading
from ringctl.ports.records import LookRecord, Watched

CONTROL_LIMIT = 2_000
"""Most control accounts read per look."""

WAVES_PER_RING = 4
"""Waves a ring is expected to have when `false_alarm` is shared out over the rollout (DESIGN 12.10)."""

_PHASES = {WaveState.PLANNED: "before", WaveState.OPEN: "during", WaveState.BAKING: "bake"}


@dataclass(slots=True)
class Observer:
    """Observes every wave that is open, baking or next to open. One thread uses it."""

    parts: Parts
    timeout_s: float = 5.0
    _due: dict[int, Instant] = field(default_factory=dict)

    def observe(self, rollout: Rollout) -> bool:
        """Take every look of the rollout that is due. Returns whether one was taken."""
        if rollout.state not in OPEN_ROLLOUT_STATES:
            return False
        due = [(wave, checks) for wave, checks in watched_waves(rollout) if self._is_due(rollout, wave)]
        if due:
            due = self._not_looked_at(rollout, due)
        if not due:
            return False
        answers = self._read(rollout, [check for _, checks in due for check in checks])
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

    def _not_looked_at(
        self, rollout: Rollout, due: list[tuple[Wave, tuple[Check, ...]]]
    ) -> list[tuple[Wave, tuple[Check, ...]]]:
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
    def _read(self, rollout: Rollout, checks: Iterable[Check]) -> dict[str, "Reading | SourceUnavailable"]:
        """One reading per source, or why there is none."""
        wanted: dict[str, dict[Counter, None]] = {}
        for check in checks:
            if isinstance(check.measure, Ratio):
                wanted.setdefault(check.source, {}).update(dict.fromkeys((check.measure.y, check.measure.n)))
        answers: dict[str, Reading | SourceUnavailable] = {}
        for name, counters in wanted.items():
            try:
                reading = self.parts.source(rollout.policy.sources[name]).read(
                    tuple(counters), self.timeout_s
                )
            except SourceUnavailable as error:
                answers[name] = error
                continue
            if reading.partial:
                answers[name] = SourceUnavailable("the source answered in part", code="RC8006")
            else:
                answers[name] = reading
        return answers

    # -- one look ---------------------------------------------------------------------------------
    def _look(
        self,
        rollout: Rollout,
        wave: Wave,
        checks: tuple[Check, ...],
        answers: Mapping[str, "Reading | SourceUnavailable"],
    ) -> None:
        store = self.parts.store
        now = store.now_us()
        watched = store.watched(rollout, wave)
        control = control_of(rollout, watched, store.control(rollout, limit=CONTROL_LIMIT))
        sampled = store.facts(rollout).wave(wave.id).baseline_us if wave.state is WaveState.PLANNED else 0
        scene = _Scene(
            parts=self.parts,
            rollout=rollout,
            wave=wave,
            watched=watched,
            control=control,
            now=now,
            sampled_us=sampled,
        )
        seen = [scene.check(check, answers.get(check.source)) for check in checks]
        answered = not any(one.verdict.error for one in seen)
        phase = _PHASES[wave.state]
        credited = credit(watched.last_us, now, interval_of(rollout, wave)) if answered else 0
        if phase == "before":
            credited = min(credited, *(one.baseline_left for one in seen), baseline_of(checks))
        record = LookRecord(
            wave=wave.id,
            number=watched.number + 1,
            at_us=now,
            phase=phase,
            credit_us=credited,
            activity=max((one.samples for one in seen), default=0) if phase == "bake" else 0,
            answered=answered,
            verdicts=tuple(one.verdict for one in seen),
            states={one.verdict.check: one.state for one in seen},
        )
        try:
            store.add_look(record)
        except VersionConflict:
            # another node looked at the same moment; its look counts, ours is thrown away whole
            return


def watched_waves(rollout: Rollout) -> Iterator[tuple[Wave, tuple[Check, ...]]]:
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


def control_of(rollout: Rollout, watched: Watched, untouched: tuple[str, ...]) -> tuple[str, ...]:
    """Accounts not touched yet and not of this wave; none when too few remain to compare with (DESIGN 12.22):
    fewer than `control.min`, or a tenth of the fleet. The check's `without_control` judges then."""
    control = tuple(account for account in untouched if account not in watched.accounts)
    tenth = min(rollout.accounts // 10, CONTROL_LIMIT // 2)
    return control if len(control) >= max(rollout.policy.limits.control_min, tenth) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One check's part of a look. `baseline_left`: how much baseline may still be credited now."""

    verdict: CheckState
    state: str
    samples: int
    baseline_left: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """Everything one wave's look needs."""

    parts: Parts
    rollout: Rollout
    wave: Wave
    watched: Watched
    control: tuple[str, ...]
    now: Instant
    sampled_us: Span

    def stored(self, check: Check, part: str) -> dict[str, Any]:
        """The check's folded state as saved with the last look: `fold` or `judges`."""
        text = self.watched.states.get(check.name)
        found = json.loads(text).get(part, {}) if text else {}
        assert isinstance(found, dict)
        return found

    def fold(self, check: Check, answer: "Reading | SourceUnavailable | None") -> tuple[JudgeState, Evidence]:
        """The check's next fold state and its evidence."""
        state, evidence = self._fold(check, answer)
        return state, replace(evidence, strict=self.wave.kind not in {WaveKind.EXPANSION, WaveKind.RESERVE})

    def _fold(
        self, check: Check, answer: "Reading | SourceUnavailable | None"
    ) -> tuple[JudgeState, Evidence]:
        baking = self.wave.state is WaveState.BAKING
        watch = Watch(
            touched=self.watched.accounts,
            control=self.control,
            all_done=baking,
            last_done_us=self.watched.last_done_us if baking else None,
        )
        previous = self.stored(check, "fold")
        measure = check.measure
        if isinstance(measure, StepMeasure):
            values = self.parts.store.step_measures(self.rollout.id).get(measure.name, {})
            return {}, step_evidence(values, watch, self.now)
        if answer is None or isinstance(answer, SourceUnavailable):
            code = answer.code if answer else "RC8001"
            reason = answer.message if answer else f"source {check.source} was not read"
            return silent(previous, watch, self.now, error=code, reason=reason)
        return fold(check, previous, answer, watch, self.now)

    def check(self, check: Check, answer: "Reading | SourceUnavailable | None") -> _Seen:
        """One check's look: folded, judged, and what it adds."""
        folded, evidence = self.fold(check, answer)
        judges, verdict, needs_before = self.judge(check, evidence)
        left = check.baseline_us
        if needs_before:
            # what the accounts did before is not established: the last interval of the baseline stays
            # uncredited, and the wave does not open (DESIGN 12.20)
            left = max(0, check.baseline_us - check.every_us - self.sampled_us)
        return _Seen(
            verdict=verdict,
            state=canonical({"fold": folded, "judges": judges}),
            samples=activity(evidence) if evidence.complete else 0,
            baseline_left=left,
        )

    def judge(self, check: Check, evidence: Evidence) -> tuple[dict[str, JudgeState], CheckState, bool]:
        """The judges' next states, the check's verdict, and whether its before is still lacking."""
        policy = self.rollout.policy
        level = with_level(check, parts=WAVES_PER_RING * len(policy.rings) * len(policy.checks))
        before = self.stored(check, "judges")
        after: dict[str, JudgeState] = {}
        judgements: list[Judgement] = []
        for name, judge in sorted(self.parts.judges.items()):
            if judge.applies(check):
                after[name], judgement = judge.look(level, before.get(name, {}), evidence)
                judgements.append(judgement)
        total = combine(judgements)
        numbers = dict(total.numbers)
        if total.worst:
            numbers["worst"] = list(total.worst)
        state = CheckState(
            check=check.name,
            verdict=total.verdict,
            reason=evidence.reason if evidence.error else total.reason,
            at_us=self.now,
            error=evidence.error,
            failed=total.verdict is Verdict.FAIL,
            numbers=numbers,
        )
        return after, state, total.needs_before or bool(evidence.error)
