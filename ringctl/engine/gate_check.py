"""A gate without a rollout: canary and control are named, the sources are read live, the same panel judges.

The canary counts as changed, and done, since `since_us`: what came before is its past, where the source knows it.
All accounts are named by hand, so one that is never heard is a mistake or a loss, and nothing passes without it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ringctl.core import panel
from ringctl.core.errors import SourceUnavailable
from ringctl.core.judging import Judge, Judgement, JudgeState
from ringctl.core.observing import Watch, counters_of, fold, gone, silent, withheld
from ringctl.core.policy import Check, SourceSpec
from ringctl.core.states import Verdict
from ringctl.core.timing import MILLISECOND, SECOND, Instant
from ringctl.engine import pasts
from ringctl.engine.hearing import heard, whole
from ringctl.engine.rerecord import TIMEOUT_S, Memory, raw_values
from ringctl.ports.clock import Clock
from ringctl.ports.metrics import MetricSource, RangeSource, Reading

READ_S = 10.0
GRACE_S = 1.0
"""How long over the time-out the last look may wait for an answer."""
NEVER_SHOWN = 3
MOST_LOOKS = 3000
"""Made up for from what a source remembers: two days of minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One look at all checks: the judgement of each by name, with RC8xxx where a source gave no answer.

    `unknown`: accounts that no source has; `notes`: why a check has no history, said at the look that asked for it.
    """

    at_us: Instant
    judgements: Mapping[str, Judgement]
    errors: Mapping[str, str]
    unknown: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Of the gate: any FAIL fails, only all PASS passes."""
        verdicts = {one.verdict for one in self.judgements.values()}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        return Verdict.PASS if verdicts == {Verdict.PASS} else Verdict.INCONCLUSIVE


@dataclass(slots=True)
class GateCheck:
    """Looks at a gate until it decides. One thread uses it."""

    checks: Mapping[str, Check]
    sources: Mapping[str, SourceSpec]
    source: Callable[[SourceSpec], MetricSource]
    judges: Mapping[str, Judge]
    alphas: Mapping[str, float]
    canary: Sequence[str]
    control: Sequence[str]
    since_us: Instant
    clock: Clock
    _states: dict[str, Mapping[str, object]] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)
    _had: dict[str, set[str]] = field(default_factory=dict)
    _ends: float = math.inf

    @property
    def every_s(self) -> float:
        """Seconds between looks: the shortest interval of the checks."""
        return min(check.every_us for check in self.checks.values()) / SECOND

    def run(self, timeout_s: float) -> Iterator[Looked]:
        """Looks until the gate fails or passes, or the time is over; the last one is the answer.

        What the sources remember comes first: since the change, and of the baseline before it. No question to a
        source outlasts the time-out by more than `GRACE_S`.
        """
        ends = self.clock.monotonic() + timeout_s
        self._ends = ends + GRACE_S
        self._catch_up()
        due = self.clock.monotonic()
        while True:
            looked = self.look()
            yield looked
            due = max(due + self.every_s, self.clock.monotonic())
            if looked.verdict is not Verdict.INCONCLUSIVE or due > ends:
                return
            self.clock.sleep(max(0.0, due - self.clock.monotonic()))

    def look(self) -> Looked:
        """One look at every check."""
        answers = self._read()
        now = self.clock.now_us()
        judgements, errors = {}, {}
        for name, check in self.checks.items():
            judgements[name], error = self._judge(check, answers[check.source], now)
            if error:
                errors[name] = error
        notes, self._notes = self._notes, {}
        return Looked(
            at_us=now, judgements=judgements, errors=errors, unknown=self._unknown(answers), notes=notes
        )

    def _judge(
        self, check: Check, answer: Reading | SourceUnavailable, now: Instant
    ) -> tuple[Judgement, str]:
        """One look at one check, folded in; with the code of a source that gave no answer."""
        watch = self._watch(now)
        state = self._states.get(check.name, {})
        if not isinstance(answer, SourceUnavailable):
            state = self._learnt(check, state)
        before = state.get("fold")
        raw: JudgeState = before if isinstance(before, Mapping) else {}
        if isinstance(answer, SourceUnavailable):
            folded, evidence = silent(raw, watch, now, error=answer.code, reason=answer.message)
        else:
            folded, evidence = fold(check, raw, answer, watch, now)
            self._hear(check, folded)
        own = {key: value for key, value in state.items() if key not in {"fold", "history"}}
        after, judgement = panel.look(check, self.judges, own, evidence, alpha=self.alphas[check.name])
        self._states[check.name] = {**after, "fold": folded, "history": state.get("history", {})}
        judgement = withheld(judgement, evidence, gone(folded))
        if evidence.error:
            judgement = replace(judgement, reason=f"{evidence.error}: {evidence.reason}")
        else:
            judgement = _without(judgement, self._never(check))
        numbers = {**judgement.numbers, **heard(check, evidence, answer, watch)}
        numbers["control_accounts"] = len(self.control)
        return replace(judgement, numbers=numbers), evidence.error

    def _hear(self, check: Check, folded: JudgeState) -> None:
        """Remember whose series the check has had: it has a base to take a difference from."""
        rows = folded.get("a")
        if isinstance(rows, Mapping):  # the first reading of all may be refused
            self._had.setdefault(check.name, set()).update(rows)

    def _never(self, check: Check) -> list[str]:
        """Who was named and never heard: of the canary by this check, of control by none at all."""
        mine = self._had.get(check.name, set())
        anyone = set().union(*self._had.values())
        return [
            *(one for one in self.canary if one not in mine),
            *(one for one in self.control if one not in anyone),
        ]

    def _left(self, most_s: float) -> float:
        """Seconds that a question may take."""
        return min(most_s, max(0.0, self._ends - self.clock.monotonic()))

    def _watch(self, now: Instant) -> Watch:
        """Whom a look is about: until the change nothing was begun."""
        begun = now > self.since_us
        return Watch(
            touched=dict.fromkeys(self.canary, self.since_us if begun else None),
            control=tuple(self.control),
            all_done=begun,
            last_done_us=self.since_us if begun else None,
        )

    # -- what the sources remember ----------------------------------------------------------------
    @property
    def _remembered_us(self) -> Instant:
        """From when on looks are made up for: the longest baseline before the change, but not without end."""
        longest = max(check.baseline_us for check in self.checks.values())
        most = MOST_LOOKS * min(check.every_us for check in self.checks.values())
        return max(self.since_us - longest, self.clock.now_us() - most)

    def _catch_up(self) -> None:
        """The looks that would have been taken up to now, from sources that know the past."""
        step_us = max(MILLISECOND, min(check.every_us for check in self.checks.values()))
        from_us, now = self._remembered_us, self.clock.now_us()
        for name in sorted({check.source for check in self.checks.values()}):
            source = self.source(self.sources[name])
            if not isinstance(source, RangeSource):
                continue
            checks = [check for check in self.checks.values() if check.source == name]
            memory = Memory(
                canary=self.canary, control=self.control, from_us=from_us, to_us=now - step_us // 2,
                since_us=self.since_us, step_us=step_us,
            )  # fmt: skip
            try:
                values = raw_values(source, checks, memory, timeout_s=self._left(TIMEOUT_S))
            except SourceUnavailable as error:
                self._notes |= {check.name: f"{error.code}: {error.message}" for check in checks}
                continue
            for at_us in sorted(values):
                if not self._left(math.inf) > 0:  # the look that ends it says so: it has no time to ask
                    return
                for check in checks:
                    self._judge(check, Reading(at_us=at_us, values=values[at_us]), at_us)

    def _learnt(self, check: Check, state: Mapping[str, object]) -> Mapping[str, object]:
        """The check's state with its hours of history, where it has not heard them yet."""
        if not pasts.wanted(check, state):
            return state
        names = pasts.names(self.canary, self.control)
        source = self.source(self.sources[check.source])
        until_us = min(self._remembered_us, self.since_us)  # hours after the change are no past
        past = pasts.ask(source, [check], names, until_us, self.clock, within_s=self._left(pasts.SLOW_S))
        if past is None:
            return state
        found = pasts.learnt(check, state, past, dict.fromkeys(self.canary))
        if pasts.note(found):
            self._notes[check.name] = pasts.note(found)
        return found

    def _read(self) -> dict[str, Reading | SourceUnavailable]:
        wanted: dict[str, list[Check]] = {}
        for check in self.checks.values():
            if counters_of(check):
                wanted.setdefault(check.source, []).append(check)
        accounts = [*self.canary, *self.control]
        answers: dict[str, Reading | SourceUnavailable] = {}
        for name, checks in wanted.items():
            counters = pasts.counters(checks)
            try:
                source = self.source(self.sources[name])
                answers[name] = whole(source.read(counters, self._left(READ_S), accounts=accounts))
            except SourceUnavailable as error:
                answers[name] = error
        return answers

    def _unknown(self, answers: Mapping[str, Reading | SourceUnavailable]) -> tuple[str, ...]:
        """Accounts that none of the sources has any series of; empty while one of them is silent."""
        known: set[str] = set()
        for answer in answers.values():
            if isinstance(answer, SourceUnavailable):
                return ()
            for values in answer.values.values():
                known.update(values)
        return tuple(name for name in (*self.canary, *self.control) if name not in known)


def _without(judgement: Judgement, never: Sequence[str]) -> Judgement:
    """The judgement, given who was never heard: they are named, and without them it does not pass."""
    if not never or judgement.verdict is Verdict.FAIL:
        return judgement
    more = f" and {len(never) - NEVER_SHOWN} more" if len(never) > NEVER_SHOWN else ""
    said = f"{', '.join(never[:NEVER_SHOWN])}{more} never had data that can be used"
    if judgement.verdict is not Verdict.PASS:
        said = f"{judgement.reason}; {said}"
    return replace(judgement, verdict=Verdict.INCONCLUSIVE, reason=said)
