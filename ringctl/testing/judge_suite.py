"""The judges' conformance suite: what every judge must keep, ours and those of others.

    from ringctl.testing.judge_suite import ORACLES, Case

    @pytest.mark.parametrize("oracle", ORACLES, ids=lambda one: one.__name__)
    def test_mine(oracle):
        oracle(Case(judge=Mine(), check=check, healthy=looks, harmful=other_looks))

An oracle raises AssertionError, saying what is wrong. `counts`, `answers` and `steps` make streams.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judge, Judgement, JudgeState
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.core.timing import SECOND

START_US: Final = 1_700_000_000 * SECOND
UNKNOWNS: Final = (None, math.nan, math.inf, -math.inf, -1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A judge with a check that it applies to, a stream that must pass and one that must fail."""

    judge: Judge
    check: Check
    healthy: Sequence[Evidence]
    harmful: Sequence[Evidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """How a stream goes: looks before the intent, looks while it runs, complete looks after."""

    before: int = 10
    running: int = 2
    done: int = 60
    every_us: int = SECOND

    def looks(
        self, look: Callable[[bool, int], tuple[Sequence[Cell], Sequence[Cell]]]
    ) -> tuple[Evidence, ...]:
        """`look(after, number)` gives touched and control cells."""
        found = []
        intent_us = START_US + (self.before - 1) * self.every_us
        for number in range(self.before + self.running + self.done):
            after = number >= self.before
            touched, control = look(after, number)
            found.append(
                Evidence(
                    at_us=START_US + number * self.every_us,
                    interval_us=self.every_us,
                    touched=tuple(touched),
                    control=tuple(control),
                    expected=len({cell.account for cell in touched}),
                    complete=number >= self.before + self.running,
                    intents={cell.account: intent_us if after else None for cell in touched},
                )
            )
        return tuple(found)


def stream(
    story: Story,
    *,
    accounts: int,
    control: int,
    before: tuple[float, float],
    after: tuple[float, float],
) -> tuple[Evidence, ...]:
    """Every account has (n, y) = `before` a look until its intent and `after` from then on; control stays."""

    def look(is_after: bool, _: int) -> tuple[list[Cell], list[Cell]]:
        n, y = after if is_after else before
        touched = [Cell(account=f"c{one}", n=n, y=y, after=is_after) for one in range(accounts)]
        others = [Cell(account=f"k{one}", n=before[0], y=before[1], after=False) for one in range(control)]
        return touched, others

    return story.looks(look)


def run(
    judge: Judge, check: Check, looks: Iterable[Evidence], state: JudgeState | None = None
) -> Iterator[tuple[JudgeState, Judgement]]:
    """Fold the looks, one (state, judgement) each. The state is saved and loaded in between."""
    now: JudgeState = state or {}
    for evidence in looks:
        now, judgement = sit(judge, check, now, evidence)
        yield now, judgement
        now = saved(now)


def sit(judge: Judge, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
    """One look through the panel, as everywhere else, with this judge alone on it."""
    return panel.look(check, {judge.name: judge}, state, evidence, alpha=check.false_alarm)


def verdicts(judge: Judge, check: Check, looks: Iterable[Evidence]) -> list[Verdict]:
    """The verdict at every look."""
    return [judgement.verdict for _, judgement in run(judge, check, looks)]


def saved(state: JudgeState) -> JudgeState:
    """The state as it comes back from the store. Fails on what is not strict JSON."""
    loaded: JudgeState = json.loads(json.dumps(state, allow_nan=False))
    return loaded


def altered(
    looks: Iterable[Evidence], change: Callable[[Cell], Cell], *, control: bool = True
) -> tuple[Evidence, ...]:
    """The looks with every cell changed."""
    return tuple(
        replace(
            look,
            touched=tuple(change(cell) for cell in look.touched),
            control=tuple(change(cell) if control else cell for cell in look.control),
        )
        for look in looks
    )


# -- oracles -----------------------------------------------------------------------------------------
def it_applies(case: Case) -> None:
    """The judge says that it is asked for, and has a name."""
    assert case.judge.applies(case.check), "the judge does not apply to its own check"
    assert case.judge.name, "a judge without a name"


def it_can_pass(case: Case) -> None:
    """The healthy stream ends with PASS and never fails: a gate that holds for ever is none."""
    found = verdicts(case.judge, case.check, case.healthy)
    assert found[-1] is Verdict.PASS, f"healthy ends with {found[-1]}"
    assert Verdict.FAIL not in found, "healthy failed"


def it_can_fail(case: Case) -> None:
    """The harmful stream ends with FAIL, stays there, and never passes before."""
    found = verdicts(case.judge, case.check, case.harmful)
    assert Verdict.FAIL in found, "a judge that cannot fail"
    first = found.index(Verdict.FAIL)
    assert set(found[first:]) == {Verdict.FAIL}, "a FAIL that did not last"
    assert Verdict.PASS not in found, "passed on the way to FAIL"


def no_data_is_inconclusive(case: Case) -> None:
    """Nothing at all, looks without cells, and a complete look of silent accounts: inconclusive."""
    empty = Evidence(at_us=START_US, interval_us=SECOND, complete=True)
    silent = replace(empty, expected=len(case.healthy[-1].touched))
    for looks in ([empty] * 3, [silent] * 50):
        _all_inconclusive(case, looks, "no data at all")


def unknown_is_never_evidence(case: Case) -> None:
    """A missing number (None, NaN, infinite, negative) in n, in y or in both counts for nothing."""
    for unknown in UNKNOWNS:
        for fields in ({"n": unknown}, {"y": unknown}, {"n": unknown, "y": unknown}):
            change = _changer(fields)
            for looks in (case.healthy, case.harmful):
                _all_inconclusive(case, altered(looks, change), f"cells with {fields}")


def going_silent_is_never_evidence(case: Case) -> None:
    """Accounts that report up to their intent and never again neither pass nor fail: missing is missing."""
    for fields in ({"n": None, "y": None}, {"y": None}):
        change = _changer(fields)

        def silence(cell: Cell, change: Callable[[Cell], Cell] = change) -> Cell:
            return change(cell) if cell.after else cell

        for looks in (case.healthy, case.harmful):
            _all_inconclusive(case, altered(looks, silence, control=False), f"{fields} after the intent")


def silence_after_a_pass_holds(case: Case) -> None:
    """Once passed, a look without an answer, and one of silent accounts, are inconclusive again."""
    *_, (state, judgement) = run(case.judge, case.check, case.healthy)
    assert judgement.verdict is Verdict.PASS, "healthy does not end with PASS"
    last = case.healthy[-1]
    later = replace(last, at_us=last.at_us + last.interval_us)
    error = replace(later, touched=(), control=(), error="RC8001", reason="unreachable")
    (quiet,) = altered([later], _changer({"n": None, "y": None}))
    for look in (error, quiet, replace(later, touched=())):
        _, answer = sit(case.judge, case.check, saved(state), look)
        assert answer.verdict is Verdict.INCONCLUSIVE, f"{answer.verdict} on silence after a pass"


def errors_are_inconclusive(case: Case) -> None:
    """A source without an answer: inconclusive with its code in the reason, and the state as it was."""
    state: JudgeState = {}
    for look in case.healthy:
        error = replace(look, touched=(), control=(), error="RC8004", reason="no answer in time")
        same, judgement = sit(case.judge, case.check, state, error)
        assert judgement.verdict is Verdict.INCONCLUSIVE, f"{judgement.verdict} on an error"
        assert "RC8004" in judgement.reason, "the reason does not name the code"
        assert saved(same) == saved(state), "an error changed the state"
        state = saved(sit(case.judge, case.check, state, look)[0])


def an_error_does_not_lift_a_fail(case: Case) -> None:
    """A FAIL is final: neither an error nor healthy looks afterwards lift it."""
    *_, (state, judgement) = run(case.judge, case.check, case.harmful)
    assert judgement.verdict is Verdict.FAIL, "harmful does not end with FAIL"
    error = replace(case.harmful[-1], touched=(), control=(), error="RC8001", reason="gone")
    for _, later in run(case.judge, case.check, [error, *case.healthy], saved(state)):
        assert later.verdict is Verdict.FAIL, f"{later.verdict} after a FAIL"


def incomplete_never_passes(case: Case) -> None:
    """PASS evidence counts only after the wave's last account is done (DESIGN 12.20)."""
    looks = [replace(look, complete=False) for look in case.healthy]
    assert Verdict.PASS not in verdicts(case.judge, case.check, looks), "passed before completion"


def before_is_no_evidence(case: Case) -> None:
    """Cells before the intent neither pass nor fail, whatever they hold."""
    for looks in (case.healthy, case.harmful):
        early = altered(looks, lambda cell: cell._replace(after=False))
        _all_inconclusive(case, early, "cells before the intent")


def more_harm_fails_no_later(case: Case) -> None:
    """The harmful looks once more, after the FAIL: it goes on failing, and what came before is unchanged."""
    first = verdicts(case.judge, case.check, case.harmful).index(Verdict.FAIL)
    bad = [look for look in case.harmful if any(cell.after for cell in look.touched)]
    looks = [*case.harmful, *(_later(look, len(case.harmful)) for look in bad)]
    found = verdicts(case.judge, case.check, looks)
    assert set(found[first:]) == {Verdict.FAIL}, "more bad data lifted a FAIL"
    assert found[: first + 1] == verdicts(case.judge, case.check, case.harmful[: first + 1])


def folding_is_deterministic(case: Case) -> None:
    """The same looks give the same states and judgements; the state handed in is not touched; the order
    of the cells and a save in between change nothing."""
    for looks in (case.healthy, case.harmful):
        straight: JudgeState = {}
        for look, (state, judgement) in zip(looks, run(case.judge, case.check, looks), strict=True):
            text = json.dumps(straight, sort_keys=True)
            straight, same = sit(case.judge, case.check, straight, look)
            again, _ = sit(case.judge, case.check, json.loads(text), look)
            assert saved(again) == saved(straight) == saved(state), "two folds, two states"
            assert same == judgement, "saving the state changed the judgement"
            json.dumps(dict(same.numbers), allow_nan=False)
        turned = [replace(look, touched=look.touched[::-1], control=look.control[::-1]) for look in looks]
        assert verdicts(case.judge, case.check, turned) == verdicts(case.judge, case.check, looks)


def states_are_not_shared(case: Case) -> None:
    """A look does not change the state it is handed: another node may fold the same one again."""
    for looks in (case.healthy, case.harmful):
        for state, _ in run(case.judge, case.check, looks):
            text = json.dumps(state, sort_keys=True)
            sit(case.judge, case.check, state, looks[-1])
            assert json.dumps(state, sort_keys=True) == text, "the look changed the state it was handed"


def reasons_are_sentences(case: Case) -> None:
    """Every judgement says why, on one line."""
    for looks in (case.healthy, case.harmful):
        for _, judgement in run(case.judge, case.check, looks):
            assert judgement.reason, "a judgement without a reason"
            assert "\n" not in judgement.reason, "a reason of several lines"


ORACLES: Final[tuple[Callable[[Case], None], ...]] = (
    it_applies,
    it_can_pass,
    it_can_fail,
    no_data_is_inconclusive,
    unknown_is_never_evidence,
    going_silent_is_never_evidence,
    silence_after_a_pass_holds,
    errors_are_inconclusive,
    an_error_does_not_lift_a_fail,
    incomplete_never_passes,
    before_is_no_evidence,
    more_harm_fails_no_later,
    folding_is_deterministic,
    states_are_not_shared,
    reasons_are_sentences,
)


def conform(case: Case) -> None:
    """All oracles, one after another."""
    for oracle in ORACLES:
        oracle(case)


def _all_inconclusive(case: Case, looks: Iterable[Evidence], what: str) -> None:
    for verdict in verdicts(case.judge, case.check, looks):
        assert verdict is Verdict.INCONCLUSIVE, f"{verdict} on {what}"


def _changer(fields: Mapping[str, float | None]) -> Callable[[Cell], Cell]:
    def change(cell: Cell) -> Cell:
        return Cell(
            account=cell.account,
            n=fields.get("n", cell.n),
            y=fields.get("y", cell.y),
            after=cell.after,
        )

    return change


def _later(look: Evidence, looks: int) -> Evidence:
    return replace(look, at_us=look.at_us + looks * look.interval_us)
