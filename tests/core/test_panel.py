"""The panel: levels shared out, what is learnt frozen, judgements combined."""

from dataclasses import replace

import pytest

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.learning import Past
from ringctl.core.policy import Check, Counter, FailIf, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE

CHECK = Check(
    name="errors",
    source="p",
    measure=Ratio(y=Counter(name="e"), n=Counter(name="n"), of_counts=True),
    compare="canary-vs-control",
    fail_if=FailIf(increase=1.0),
)


class Told:
    """A judge that says what it is told to, and keeps the levels that it was handed."""

    def __init__(
        self, name: str, verdict: Verdict, *, part: float = 1.0, abstains: bool = False, e: float = 1.0
    ):
        self.name, self.part = name, part
        self.says = Judgement(
            verdict=verdict, reason=f"{name} says so", abstains=abstains, numbers={"e": e, "level": 100.0}
        )
        self.levels: list[float] = []
        self.notes: list[str] = []

    def applies(self, check: Check) -> bool:
        return check.name == "errors"

    def look(self, check: Check, state: JudgeState, evidence: Evidence) -> tuple[JudgeState, Judgement]:
        self.levels.append(check.false_alarm)
        self.notes.append(evidence.learnt.note)
        seen = state.get("looks", 0)
        assert isinstance(seen, int)
        return {"looks": seen + 1}, self.says


def seen(number, *, begun=True, **changes):
    cells = tuple(Cell(one, 50.0, 1.0, after=begun) for one in ("c1", "c2"))
    control = tuple(Cell(one, 50.0, 1.0, after=False) for one in ("k1", "k2"))
    found = Evidence(
        at_us=number * MINUTE,
        interval_us=MINUTE,
        touched=cells,
        control=control,
        expected=2,
        intents={"c1": 0 if begun else None, "c2": 0 if begun else None},
    )
    return replace(found, **changes)


PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        ([(PASS, False)], PASS),
        ([(PASS, False), (OPEN, True)], PASS),
        ([(PASS, False), (OPEN, False)], OPEN),
        ([(PASS, False), (FAIL, True)], FAIL),
        ([(OPEN, True)], OPEN),
        ([], OPEN),
    ],
)
def test_one_verdict_of_several_judges(verdicts: list[tuple[Verdict, bool]], wanted: Verdict) -> None:
    judges = {f"j{n}": Told(f"j{n}", one, abstains=silent) for n, (one, silent) in enumerate(verdicts)}
    _, judgement = panel.look(CHECK, judges, {}, seen(1), alpha=0.01)
    assert judgement.verdict is wanted


def test_the_level_is_shared_out_by_part_and_fixed_at_the_first_look() -> None:
    judges = {name: Told(name, OPEN, part=part) for name, part in (("a", 3.0), ("b", 1.0), ("c", 0.0))}
    state, _ = panel.look(CHECK, judges, {}, seen(1), alpha=0.01)
    panel.look(CHECK, judges, state, seen(2), alpha=0.5)
    assert judges["a"].levels == [0.0075, 0.0075]
    assert judges["b"].levels == [0.0025, 0.0025]
    assert judges["c"].levels == [0.01, 0.01]


def test_the_judge_that_decided_or_is_nearest_stands_in_front() -> None:
    judges = {"a": Told("a", OPEN, e=5.0), "b": Told("b", OPEN, e=50.0), "c": Told("c", PASS, e=-1.0)}
    _, judgement = panel.look(CHECK, judges, {}, seen(1), alpha=0.01)
    assert judgement.numbers["judge"] == "b"
    assert judgement.numbers["e"] == 50.0
    _, judgement = panel.look(CHECK, {**judges, "d": Told("d", FAIL, e=1.0)}, {}, seen(1), alpha=0.01)
    assert judgement.numbers["judge"] == "d"
    each = judgement.numbers["judges"]
    assert isinstance(each, dict)
    assert sorted(each) == ["a", "b", "c", "d"]


def test_what_is_missing_is_named() -> None:
    cells = (Cell("c1", None, None, after=True), Cell("c2", 5.0, 0.0, after=True))
    _, judgement = panel.look(CHECK, {"a": Told("a", OPEN)}, {}, seen(1, touched=cells), alpha=0.01)
    assert (judgement.numbers["missing"], judgement.numbers["missing_count"]) == (["c1"], 1)
    gone = replace(seen(1, touched=cells), intents={"c2": 0, "c3": 0})
    _, judgement = panel.look(CHECK, {"a": Told("a", OPEN)}, {}, gone, alpha=0.01)
    assert judgement.numbers["missing"] == ["c1", "c3"]


def test_the_past_is_learnt_until_the_first_intent() -> None:
    judge = Told("a", OPEN)
    state: JudgeState = panel.feed(
        {}, [Past(n * HOUR, "c1", 9.0, 1.0, 60.0) for n in range(1, 6)], {"c1": None}
    )
    for number in range(5):
        state, _ = panel.look(CHECK, {"a": judge}, state, seen(400 + number, begun=False), alpha=0.01)
    for number in range(5):
        state, _ = panel.look(CHECK, {"a": judge}, state, seen(500 + number), alpha=0.01)
    assert judge.notes[0].startswith("5 h of history")
    assert len(set(judge.notes[4:])) == 1


def test_missing_cells_are_not_learnt_from() -> None:
    cells = (Cell("c1", None, 1.0, after=False), Cell("c2", 5.0, float("nan"), after=False))
    dark = seen(1, begun=False, touched=cells, control=())
    state, _ = panel.look(CHECK, {"a": Told("a", OPEN)}, {}, dark, alpha=0.01)
    assert state["past"] == {}


def test_a_look_without_an_answer_leaves_everything_as_it_was() -> None:
    state, _ = panel.look(CHECK, {"a": Told("a", OPEN)}, {}, seen(1), alpha=0.01)
    dark = seen(2, touched=(), control=(), error="RC8001")
    same, judgement = panel.look(CHECK, {"a": Told("a", OPEN)}, state, dark, alpha=0.01)
    assert same == state
    assert judgement.verdict is OPEN
