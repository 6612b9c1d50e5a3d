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
from ringctl.core.timing import SECOND, Instant
from ringctl.engine import pasts
from ringctl.ports.clock import Clock
from ringctl.ports.metrics import MetricSource, Reading

READ_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One look at all checks: the judgement of each by name, with RC8xxx where a source gave no answer."""

    at_us: Instant
    judgements: Mapping[str, Judgement]
    errors: Mapping[str, str]
    unknown: tuple[str, ...]

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

    @property
    def every_s(self) -> float:
        """Seconds between looks: the shortest interval of the checks."""
        return min(check.every_us for check in self.checks.values()) / SECOND

    def run(self, timeout_s: float) -> Iterator[Looked]:
        """Looks until the gate fails or passes, or the time is over; the last one is the answer."""
        ends = self.clock.monotonic() + timeout_s
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
        watch = Watch(
            touched=dict.fromkeys(self.canary, self.since_us),
            control=tuple(self.control),
            all_done=True,
            last_done_us=self.since_us,
        )
        judgements, errors = {}, {}
        for name, check in self.checks.items():
            answer = answers[check.source]
            state = self._learnt(check, self._states.get(name, {}), answer)
            before = state.get("fold")
            raw: JudgeState = before if isinstance(before, Mapping) else {}
            if isinstance(answer, SourceUnavailable):
                folded, evidence = silent(raw, watch, now, error=answer.code, reason=answer.message)
            else:
                folded, evidence = fold(check, raw, answer, watch, now)
            own = {key: value for key, value in state.items() if key not in {"fold", "history"}}
            after, judgement = panel.look(check, self.judges, own, evidence, alpha=self.alphas[name])
            judgement = withheld(judgement, evidence, gone(folded))
            self._states[name] = {**after, "fold": folded, "history": state.get("history", {})}
            judgements[name] = judgement
            if evidence.error:
                errors[name] = evidence.error
                judgements[name] = replace(judgement, reason=f"{evidence.error}: {evidence.reason}")
        return Looked(at_us=now, judgements=judgements, errors=errors, unknown=self._unknown(answers))

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

    def _learnt(
        self, check: Check, state: Mapping[str, object], answer: Reading | SourceUnavailable
    ) -> Mapping[str, object]:
        if isinstance(answer, SourceUnavailable) or not pasts.wanted(check, state):
            return state
        names = [*self.canary[: pasts.MOST_PAST], *self.control[: pasts.MOST_PAST]]
        past = pasts.ask(self.source(self.sources[check.source]), [check], names, self.since_us, self.clock)
        if past is None:
            return state
        return pasts.learnt(check, state, past, dict.fromkeys(self.canary))

    def _unknown(self, answers: Mapping[str, Reading | SourceUnavailable]) -> tuple[str, ...]:
        """Accounts that none of the sources has any series of; empty while one of them is silent."""
        known: set[str] = set()
        for answer in answers.values():
            if isinstance(answer, SourceUnavailable):
                return ()
            for values in answer.values.values():
                known.update(values)
        return tuple(name for name in (*self.canary, *self.control) if name not in known)
