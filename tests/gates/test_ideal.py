"""The fewest looks: what the judges say of an ideal series is what a real one needs at least."""

from dataclasses import replace

import pytest

from ringctl.core.judging import Evidence, Judge, Judgement, JudgeState
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates.becomes_empty import BecomesEmpty
from ringctl.gates.ideal import Stage, looks_to_fail, looks_to_pass
from ringctl.gates.shift import Shift
from tests.gates.checks import EMPTY, SHIFT

STAGE = Stage(accounts=3, before=10, alpha=0.001, every_us=MINUTE)
JUDGES: dict[str, Judge] = {one.name: one for one in (BecomesEmpty(), Shift())}


def test_an_account_that_answers_with_nothing_is_seen_in_three_looks_and_passes_in_five() -> None:
    assert looks_to_fail(EMPTY, JUDGES, STAGE) == 3
    assert looks_to_pass(EMPTY, JUDGES, STAGE) == 5
    assert (looks_to_pass(replace(EMPTY, miss=0.0001), JUDGES, STAGE) or 0) > 5


@pytest.mark.parametrize("compare", ["before-vs-after", "canary-vs-control"])
def test_a_shift_takes_more_looks_the_stricter_the_level(compare: str) -> None:
    check = replace(SHIFT, compare=compare)
    seen = looks_to_fail(check, JUDGES, STAGE)
    assert seen is not None
    strict = looks_to_fail(check, JUDGES, replace(STAGE, alpha=1e-12))
    assert strict is None or strict >= seen
    assert looks_to_pass(check, JUDGES, replace(STAGE, control=False)) is not None


class Never:
    """A judge that cannot decide."""

    name, part = "never", 1.0

    def applies(self, check: Check) -> bool:
        return bool(check.name)

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        return state, Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"{check.name} {evidence.at_us}")


def test_what_no_number_of_looks_decides_is_said() -> None:
    assert looks_to_fail(SHIFT, {"never": Never()}, STAGE) is None
    assert looks_to_pass(SHIFT, {"never": Never()}, STAGE) is None
