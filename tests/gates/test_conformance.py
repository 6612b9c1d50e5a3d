"""Every judge keeps the suite; seeded bugs do not get past it."""

from collections.abc import Callable

import pytest

from ringctl.core.judging import Cell, Evidence, Judge, Judgement, JudgeState
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.gates.becomes_empty import BecomesEmpty
from ringctl.testing import judge_suite
from ringctl.testing.judge_suite import ORACLES, Case, conform
from tests.gates.checks import CASES, CEILING, EMPTY, case

Looked = tuple[JudgeState, Judgement]


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", CASES)
def test_judge_conforms(name: str, oracle: Callable[[Case], None]) -> None:
    oracle(CASES[name])


class Naive:
    """A threshold judge as one writes it on a Friday; each mutant below adds one bug to it."""

    name = "naive"
    part = 1.0

    def applies(self, check: Check) -> bool:
        return True

    def numbers(self, cell: Cell) -> tuple[float, float] | None:
        if cell.n is None or cell.y is None or not (0 <= cell.n < 1e300 and 0 <= cell.y < 1e300):
            return None
        return cell.n, cell.y

    def kept(self, state: JudgeState, evidence: Evidence) -> list[float]:
        row = state.get("row")
        sums = list(row) if isinstance(row, list) else [0.0, 0.0, 0.0]
        for cell in evidence.touched:
            pair = self.numbers(cell)
            if pair is not None and cell.after:
                sums[0] += pair[0]
                sums[1] += pair[1]
                sums[2] += evidence.complete
        return sums

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> Looked:
        if state.get("failed"):
            return state, Judgement(verdict=Verdict.FAIL, reason="failed before")
        if evidence.error:
            return state, self.hold(evidence.error)
        sums = self.kept(state, evidence)
        after: JudgeState = {"row": sums, "failed": sums[0] >= 100 and sums[1] / sums[0] > 0.05}
        if after["failed"]:
            return after, Judgement(verdict=Verdict.FAIL, reason="above")
        if self.enough(sums, evidence):
            return after, Judgement(verdict=Verdict.PASS, reason="fine")
        return after, self.hold("not enough")

    def enough(self, sums: list[float], evidence: Evidence) -> bool:
        heard = [cell for cell in evidence.touched if self.numbers(cell) is not None]
        return sums[2] > 0 and evidence.complete and len(heard) == evidence.expected > 0

    def hold(self, reason: str) -> Judgement:
        return Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason)


class MissingIsZero(Naive):
    """The common bug: `cell.y or 0`."""

    def numbers(self, cell: Cell) -> tuple[float, float] | None:
        return cell.n or 0.0, cell.y or 0.0


class ZeroAsY(Naive):
    """Only y is taken as zero."""

    def numbers(self, cell: Cell) -> tuple[float, float] | None:
        return None if cell.n is None else (cell.n, cell.y or 0.0)


class PassesOnNoData(Naive):
    """No bad event seen is a pass."""

    def enough(self, sums: list[float], evidence: Evidence) -> bool:
        return evidence.complete


class PassesOnError(Naive):
    """The source's error is passed over."""

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> Looked:
        if evidence.error and state.get("row"):
            return state, Judgement(verdict=Verdict.PASS, reason="was fine so far")
        return super().look(check, state, evidence)


class RemembersThePass(Naive):
    """Once enough, always enough: silence after a pass stays a pass."""

    def enough(self, sums: list[float], evidence: Evidence) -> bool:
        return sums[2] > 0


class PassesEarly(Naive):
    """Samples count from the intent on."""

    def enough(self, sums: list[float], evidence: Evidence) -> bool:
        return sums[0] > 100


class Forgives(Naive):
    """A FAIL is lifted by an error."""

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> Looked:
        if evidence.error:
            return state, self.hold(evidence.error)
        return super().look(check, state, evidence)


class KeepsItself(Naive):
    """Evidence is kept in the object, not in the state: gone after a restart, doubled on another node."""

    def __init__(self) -> None:
        self.sums = [0.0, 0.0, 0.0]

    def kept(self, state: JudgeState, evidence: Evidence) -> list[float]:
        self.sums = super().kept({"row": self.sums}, evidence)
        return self.sums


class NeverFails(Naive):
    """A gate that cannot fail."""

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> Looked:
        after, judgement = super().look(check, state, evidence)
        after = {**after, "failed": False}
        return after, self.hold("hm") if judgement.verdict is Verdict.FAIL else judgement


class CountsBefore(Naive):
    """Samples of before the intent count."""

    def kept(self, state: JudgeState, evidence: Evidence) -> list[float]:
        cells = tuple(Cell(account=c.account, n=c.n, y=c.y, after=True) for c in evidence.touched)
        return super().kept(state, Evidence(
            at_us=0, interval_us=0, touched=cells, complete=evidence.complete))  # fmt: skip


class MissingIsEmpty(BecomesEmpty):
    """`becomes_empty` that takes a silent account for one that answers without items."""

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> Looked:
        if evidence.error:
            return super().look(check, state, evidence)
        filled = tuple(
            Cell(account=c.account, n=10.0, y=0.0, after=True) if c.after and c.y is None else c
            for c in evidence.touched
        )
        return super().look(check, state, Evidence(
            at_us=evidence.at_us, interval_us=evidence.interval_us, touched=filled,
            expected=evidence.expected, complete=evidence.complete,
        ))  # fmt: skip


def naive(judge: Judge) -> Case:
    return case(judge, CEILING, (50.0, 0.5), (50.0, 20.0))


def test_the_naive_judge_without_a_bug_conforms() -> None:
    conform(naive(Naive()))


@pytest.mark.parametrize(
    ("mutant", "oracles"),
    [
        (MissingIsZero, {"unknown_is_never_evidence", "no_data_is_inconclusive"}),
        (ZeroAsY, {"unknown_is_never_evidence", "going_silent_is_never_evidence"}),
        (PassesOnNoData, {"no_data_is_inconclusive"}),
        (PassesOnError, {"errors_are_inconclusive", "silence_after_a_pass_holds"}),
        (RemembersThePass, {"silence_after_a_pass_holds"}),
        (PassesEarly, {"incomplete_never_passes"}),
        (Forgives, {"an_error_does_not_lift_a_fail"}),
        (KeepsItself, {"folding_is_deterministic", "errors_are_inconclusive"}),
        (NeverFails, {"it_can_fail"}),
        (CountsBefore, {"before_is_no_evidence"}),
    ],
)
def test_seeded_bugs_are_caught(mutant: type[Naive], oracles: set[str]) -> None:
    caught = set()
    for name in oracles:
        try:
            getattr(judge_suite, name)(naive(mutant()))
        except AssertionError:
            caught.add(name)
    assert caught, f"{mutant.__name__} got past {oracles}"


def test_an_emptiness_judge_that_counts_missing_as_empty_is_caught() -> None:
    mutant = case(MissingIsEmpty(), EMPTY, (10.0, 80.0), (10.0, 0.0))
    judge_suite.it_can_pass(mutant)
    judge_suite.it_can_fail(mutant)
    with pytest.raises(AssertionError, match="after the intent"):
        judge_suite.going_silent_is_never_evidence(mutant)
