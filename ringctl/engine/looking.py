"""One look of one wave: readings and what is stored become evidence, evidence becomes verdicts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ringctl.core import builtin, controls, panel, spending
from ringctl.core.controls import Control
from ringctl.core.digests import canonical
from ringctl.core.errors import SourceUnavailable
from ringctl.core.facts import CheckState
from ringctl.core.judging import Evidence, Judgement, JudgeState
from ringctl.core.model import Rollout, Wave
from ringctl.core.observing import (
    Watch,
    activity,
    counters_of,
    covered,
    fold,
    gone,
    silent,
    step_evidence,
    withheld,
)
from ringctl.core.policy import Check, StepMeasure
from ringctl.core.states import Verdict, WaveKind, WaveState
from ringctl.core.timing import Instant, Span
from ringctl.engine import pasts
from ringctl.engine.hearing import Answer, heard
from ringctl.engine.parts import Parts
from ringctl.ports.records import Watched

CONTROL: Final = "*control*"
"""Under this name a wave's control is saved beside its checks' states: no check is called so."""

_LENIENT = frozenset({WaveKind.EXPANSION, WaveKind.RESERVE})
_NEED_CONTROL = frozenset({"canary-vs-control", "unchanged"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One check's part of a look. `baseline_left`: how much baseline may still be credited now; `covered`: how much
    of the time before the look its samples cover (both None: it has no source that could)."""

    verdict: CheckState
    state: str
    samples: int
    baseline_left: Span | None = None
    covered: Span | None = None


def stored_control(watched: Watched) -> Control | None:
    """The wave's control as it was chosen at its first look, by whichever node."""
    text = watched.states.get(CONTROL)
    return Control.of(json.loads(text)) if text else None


def chosen_control(parts: Parts, rollout: Rollout, wave: Wave) -> Control:
    """A control for the wave: to be saved with its first look."""
    return controls.choose(
        parts.store.strata(wave),
        parts.store.untouched(rollout, wave),
        fleet=rollout.accounts,
        control_min=rollout.policy.limits.control_min,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything one wave's look needs. `control`: those of the wave's control that still serve; `no_control` says
    why there is none; `sampled_us`: baseline credited so far."""

    parts: Parts
    rollout: Rollout
    wave: Wave
    watched: Watched
    chosen: Control
    control: tuple[str, ...]
    no_control: str
    now: Instant
    sampled_us: Span

    @property
    def watch(self) -> Watch:
        """Whom the look is about."""
        baking = self.wave.state is WaveState.BAKING
        return Watch(
            touched=self.watched.accounts,
            control=self.control,
            all_done=baking,
            last_done_us=self.watched.last_done_us if baking else None,
            settled=self.watched.settled,
            strict=self.wave.kind not in _LENIENT,
        )

    def stored(self, check: Check) -> dict[str, Any]:
        """The check's state as saved with the last look."""
        text = self.watched.states.get(check.name)
        found = json.loads(text) if text else {}
        assert isinstance(found, dict)
        return found

    # -- a check ----------------------------------------------------------------------------------
    def check(
        self, check: Check, stored: Mapping[str, Any], answer: Answer, past: "pasts.Past | None" = None
    ) -> Seen:
        """One check's look, from what was `stored` of it: folded, judged, and what it adds."""
        if builtin.is_builtin(check):
            return self._builtin(check, stored)
        state: JudgeState = {name: value for name, value in stored.items() if name != "fold"}
        if past is not None and pasts.wanted(check, state):
            state = pasts.learnt(check, state, past, self.watched.accounts)
        folded, evidence = self._evidence(check, stored.get("fold", {}), answer)
        alpha = spending.share(self.rollout, self.wave, check).alpha
        after, judgement = panel.look(check, self.parts.judges, state, evidence, alpha=alpha)
        judgement = self._explained(check, withheld(judgement, evidence, gone(folded)), evidence)
        left = check.baseline_us
        if judgement.needs_before:
            # what the accounts did before is not established: the last interval of the baseline stays
            # uncredited, and the wave does not open (DESIGN 12.20)
            left = max(0, check.baseline_us - check.every_us - self.sampled_us)
        numbers = {**judgement.numbers, **self._heard(check, state, evidence, answer)}
        kept = {"history": state["history"]} if "history" in state else {}
        return Seen(
            verdict=self._said(check, judgement, evidence, numbers),
            state=canonical({"fold": folded, **after, **kept}),
            samples=activity(evidence) if evidence.complete else 0,
            baseline_left=left,
            covered=covered(evidence) if counters_of(check) else None,
        )

    def _evidence(self, check: Check, before: JudgeState, answer: Answer) -> tuple[JudgeState, Evidence]:
        """The check's next fold state and its evidence."""
        measure = check.measure
        if isinstance(measure, StepMeasure):
            values = self.parts.store.step_measures(self.rollout.id, self.wave.id).get(measure.name, {})
            return {}, step_evidence(values, self.watch, self.now)
        if answer is None or isinstance(answer, SourceUnavailable):
            code = answer.code if answer else "RC8001"
            reason = answer.message if answer else f"source {check.source} was not read"
            return silent(before, self.watch, self.now, error=code, reason=reason)
        return fold(check, before, answer, self.watch, self.now)

    def _explained(self, check: Check, judgement: Judgement, evidence: Evidence) -> Judgement:
        """With what the judges cannot know: why there is no control, and that nobody is left to measure."""
        said = ""
        if self.no_control and check.compare in _NEED_CONTROL:
            said = f"without control: {self.no_control}"
        elif self.watched.settled and not evidence.expected:
            said = "a person settled every account of the wave: nothing of them is measured"
        if not said or evidence.error or judgement.verdict is Verdict.FAIL:
            return judgement
        return replace(judgement, reason=f"{judgement.reason} ({said})")

    def _heard(
        self, check: Check, state: JudgeState, evidence: Evidence, answer: Answer
    ) -> Mapping[str, object]:
        """Who was expected and who answered: saved with the verdict's numbers."""
        found = heard(check, evidence, answer, self.watch)
        if counters_of(check):
            found["control_accounts"] = len(self.control)
            found["control_note"] = self.no_control or str(self.chosen)
            failed = pasts.note(state)
            if failed:
                found["history_error"] = failed
        return found

    def _said(
        self, check: Check, judgement: Judgement, evidence: Evidence, numbers: Mapping[str, object]
    ) -> CheckState:
        return CheckState(
            check=check.name,
            verdict=judgement.verdict,
            reason=evidence.reason if evidence.error else judgement.reason,
            at_us=self.now,
            error=evidence.error,
            failed=judgement.verdict is Verdict.FAIL,
            numbers=numbers,
        )

    # -- built-in ---------------------------------------------------------------------------------
    def _builtin(self, check: Check, stored: Mapping[str, Any]) -> Seen:
        """A built-in check's look: from the store alone, with no say in baseline, activity or coverage."""
        store, before = self.parts.store, stored.get("own", {})
        done = self.wave.state is WaveState.BAKING
        kept: dict[str, object] = {}
        if check.measure == StepMeasure(name=builtin.OVERSHOOT):
            classes = stored.get("classes")
            if classes is None and self.wave.state is not WaveState.PLANNED:
                # the waves before are over: what steps took there does not change any more
                found = store.step_classes(self.rollout, self.wave)
                classes = {
                    step: {str(size): row for size, row in rows.items()} for step, rows in found.items()
                }
            kept = {} if classes is None else {"classes": classes}
            hold = self.rollout.hold(builtin.OVERSHOOT)
            after, judgement = builtin.overshoot(
                before,
                {
                    step: {int(size): tuple(row) for size, row in rows.items()}
                    for step, rows in (classes or {}).items()
                },
                store.step_times(self.rollout.id, self.wave.id),
                hold=hold if hold and hold.wave == self.wave.id else None,
                complete=done,
                now_us=self.now,
            )
        else:
            duplicates = store.step_measures(self.rollout.id, self.wave.id)[builtin.DUPLICATES]
            after, judgement = builtin.recreated(before, duplicates, complete=done)
        evidence = Evidence(at_us=self.now, interval_us=0)
        numbers = {**judgement.numbers, **({"worst": list(judgement.worst)} if judgement.worst else {})}
        return Seen(
            verdict=self._said(check, judgement, evidence, numbers),
            state=canonical({"own": after, **kept}),
            samples=0,
        )
