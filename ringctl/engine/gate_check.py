"""A gate without a rollout: canary and control are named, the sources are read live, the same panel judges.

The canary counts as changed, and done, since `since_us`: what came before is its past, where the source knows it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ringctl.core import panel
from ringctl.core.errors import SourceUnavailable
from ringctl.core.judging import Judge, Judgement, JudgeState
from ringctl.core.observing import Watch, counters_of, fold, gone, silent, withheld
from ringctl.core.policy import Check, Counter, SourceSpec
from ringctl.core.states import Verdict
from ringctl.core.timing import MILLISECOND, SECOND, Instant
from ringctl.engine import pasts
from ringctl.engine.rerecord import Memory, raw_values
from ringctl.ports.clock import Clock
from ringctl.ports.metrics import MetricSource, RangeSource, Reading

READ_S = 10.0
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

    @property
    def every_s(self) -> float:
        """Seconds between looks: the shortest interval of the checks."""
        return min(check.every_us for check in self.checks.values()) / SECOND

    def run(self, timeout_s: float) -> Iterator[Looked]:
        """Looks until the gate fails or passes, or the time is over; the last one is the answer.

        What the sources remember comes first: since the change, and of the baseline before it.
        """
        ends = self.clock.monotonic() + timeout_s
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
        own = {key: value for key, value in state.items() if key not in {"fold", "history"}}
        after, judgement = panel.look(check, self.judges, own, evidence, alpha=self.alphas[check.name])
        self._states[check.name] = {**after, "fold": folded, "history": state.get("history", {})}
        judgement = withheld(judgement, evidence, gone(folded))
        if evidence.error:
            judgement = replace(judgement, reason=f"{evidence.error}: {evidence.reason}")
        return judgement, evidence.error

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
                values = raw_values(source, checks, memory)
            except SourceUnavailable as error:
                self._notes |= {check.name: f"{error.code}: {error.message}" for check in checks}
                continue
            for at_us in sorted(values):
                for check in checks:
                    self._judge(check, Reading(at_us=at_us, values=values[at_us]), at_us)

    def _learnt(self, check: Check, state: Mapping[str, object]) -> Mapping[str, object]:
        """The check's state with its hours of history, where it has not heard them yet."""
        if not pasts.wanted(check, state):
            return state
        names = [*self.canary[: pasts.MOST_PAST], *self.control[: pasts.MOST_PAST]]
        source = self.source(self.sources[check.source])
        past = pasts.ask(source, [check], names, self._remembered_us, self.clock)
        if past is None:
            return state
        found = pasts.learnt(check, state, past, dict.fromkeys(self.canary))
        if pasts.note(found):
            self._notes[check.name] = pasts.note(found)
        return found

    def _read(self) -> dict[str, Reading | SourceUnavailable]:
        wanted: dict[str, dict[Counter, None]] = {}
        for check in self.checks.values():
            for counter in counters_of(check):
                wanted.setdefault(check.source, {})[counter] = None
        accounts = [*self.canary, *self.control]
        answers: dict[str, Reading | SourceUnavailable] = {}
        for name, counters in wanted.items():
            try:
                reading = self.source(self.sources[name]).read(tuple(counters), READ_S, accounts=accounts)
            except SourceUnavailable as error:
                answers[name] = error
                continue
            partial = SourceUnavailable("the source answered in part", code="RC8006")
            answers[name] = partial if reading.partial else reading
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
