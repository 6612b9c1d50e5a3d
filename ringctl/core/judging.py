"""From measurements to verdicts: the judges' contract, and how several checks make one gate.

A judge is a fold: `look(state, evidence)` takes its own persisted state (plain JSON values) and one look,
and answers with the next state and a judgement. Sequential evidence (e-values) therefore survives a
restart and moves between nodes: the state is saved in the transaction that saves the look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ringctl.core.facts import CheckState, WaveFacts
from ringctl.core.learning import NOTHING, Learnt
from ringctl.core.policy import CONTROL_MIN, Check
from ringctl.core.states import Verdict
from ringctl.core.timing import Instant, Span

JudgeState = Mapping[str, object]


class Cell(NamedTuple):
    """One account in one look: `y` out of `n` in the interval since the previous look.

    None is missing (no series, reset, NaN, first reading), never zero. `after` is True when the whole
    interval lies after the account's first step intent; cells that straddle it are not handed on.
    """

    account: str
    n: float | None
    y: float | None
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One look of one check on one wave.

    `touched`: the wave's accounts, before or after their first intent (`Cell.after`). `control`: accounts
    not touched yet by the rollout. `complete`: the wave's last account is done and the whole interval lies
    after that: only then may samples count towards PASS. `strict`: every account of the wave must be judged
    (canary, requalification and lone waves); else a quorum is enough (DESIGN 12.13, 12.20).
    `error`/`reason`: the source gave no usable answer: cells are empty then. `reason` alone: whose values are missing
    because they cannot be used.
    `intents`: the wave's accounts with the time of their first step intent (None: not begun yet).
    `control_min`: with fewer accounts of control there is no comparison.
    `learnt`: what was known before anything was done, frozen at the wave's first intent.
    """

    at_us: Instant
    interval_us: Span
    touched: tuple[Cell, ...] = ()
    control: tuple[Cell, ...] = ()
    expected: int = 0
    strict: bool = True
    complete: bool = False
    error: str = ""
    reason: str = ""
    intents: Mapping[str, Instant | None] = field(default_factory=dict)
    learnt: Learnt = NOTHING
    control_min: int = CONTROL_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's answer. `numbers` are what it rests on, `worst` the accounts that weigh most.

    `needs_before`: the judge compares accounts with themselves, and what they did before is not established
    yet: the wave must not open, or it could never pass.
    `abstains`: this judge only ever objects (it looks for one kind of harm): short of a FAIL it has no say in
    whether the check passes.
    """

    verdict: Verdict
    reason: str
    numbers: Mapping[str, object] = field(default_factory=dict)
    worst: tuple[str, ...] = ()
    needs_before: bool = False
    abstains: bool = False


class Judge(Protocol):
    """One way to judge. Pure: the same state and evidence give the same answer on every node.

    `part`: its weight when a check's false-alarm level is shared out over the judges that apply: a judge is handed
    the check with `false_alarm` = its own level. 0: it makes no promise about false alarms (fixed limits), or needs
    none. Numbers of an e-process are reported as `e` and `level` (FAIL from e >= level = 1/false_alarm).
    """

    name: str
    part: float

    def applies(self, check: Check) -> bool:
        """Whether the check asks for this judge."""
        ...

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        """Fold one look in. An empty state is the start."""
        ...


def combine(judgements: Iterable[Judgement]) -> Judgement:
    """One verdict of a check with several judges: any FAIL fails; PASS when all that do not abstain pass.

    No judgement at all is inconclusive, and so are abstentions alone: a gate that nothing judges is no gate.
    """
    everything = tuple(judgements)
    failed = [one for one in everything if one.verdict is Verdict.FAIL]
    if not everything:
        return Judgement(verdict=Verdict.INCONCLUSIVE, reason="no judge applies to this check")
    voices = failed or [one for one in everything if not one.abstains] or everything
    given = {one.verdict for one in voices}
    wanted = next(v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if v in given)
    same = [one for one in voices if one.verdict is wanted]
    numbers: dict[str, object] = {}
    for one in everything:
        numbers.update(one.numbers)
    return Judgement(
        verdict=wanted,
        reason="; ".join(dict.fromkeys(one.reason for one in same)),
        numbers=numbers,
        worst=tuple(dict.fromkeys(name for one in same for name in one.worst)),
        needs_before=_needing(everything),
    )


def _needing(judgements: Iterable[Judgement]) -> bool:
    return any(one.needs_before for one in judgements)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """The gate of one wave: the verdict over its checks, with the checks that explain it."""

    verdict: Verdict
    failed: tuple[CheckState, ...] = ()
    undecided: tuple[CheckState, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def silent(self) -> tuple[CheckState, ...]:
        """Undecided checks whose source gave no answer."""
        return tuple(state for state in self.undecided if state.error)


def gate(checks: Iterable[Check], facts: WaveFacts) -> GateState:
    """The gate's state from the latest verdict of every check.

    FAIL if any check failed (sticky). PASS only if every check has a PASS; a check without a verdict is
    `missing` and holds (DESIGN I5). A gate without checks passes on time and completion alone.
    """
    names = [check.name for check in checks]
    states = [facts.checks[name] for name in names if name in facts.checks]
    failed = tuple(state for state in states if state.failed or state.verdict is Verdict.FAIL)
    undecided = tuple(state for state in states if state not in failed and state.verdict is not Verdict.PASS)
    missing = tuple(name for name in names if name not in facts.checks)
    if failed:
        verdict = Verdict.FAIL
    elif undecided or missing:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    return GateState(verdict=verdict, failed=failed, undecided=undecided, missing=missing)


def credit(previous_us: Instant | None, now_us: Instant, every_us: Span) -> Span:
    """Bake time credited by a look: the span since the last one, up to twice the declared interval.

    The first look and a clock that went backwards credit nothing (DESIGN 12.11).
    """
    if previous_us is None or now_us <= previous_us:
        return 0
    return min(now_us - previous_us, 2 * every_us)
