"""Answers that become empty: the rule of three looks, what comes and goes, and what a pass rests on."""

import json
import random
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates.becomes_empty import BecomesEmpty, ceiling
from ringctl.testing.judge_suite import run
from tests.gates.checks import EMPTY
from tests.gates.draws import poisson
from tests.gates.looks import Pair, after, before, last, look
from tests.support.scale import scaled

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
FULL: Pair = (4.0, 30.0)
JUDGE = BecomesEmpty()


@pytest.mark.parametrize(
    ("early", "established"),
    [
        ([(4.0, 30.0)] * 5, True),
        ([(4.0, 30.0)] * 4, False),  # 4 looks
        ([(3.0, 30.0)] * 6, False),  # 18 queries
        ([(4.0, 30.0)] * 18 + [(4.0, 0.0)], False),  # 5.3 % empty
        ([(4.0, 30.0)] * 19 + [(4.0, 0.0)], True),  # 5 %
        ([(0.0, 0.0)] * 20 + [(4.0, 30.0)] * 4, False),  # idle is no look
        ([(None, None)] * 20 + [(4.0, 30.0)] * 5, True),
        ([(0.0, 30.0)] * 20 + [(4.0, 30.0)] * 4, False),  # nor are items without an answer
    ],
)
def test_the_before_of_an_account(early: list[Pair], established: bool) -> None:
    looks = [look(number, {"a": pair}, after=False) for number, pair in enumerate(early)]
    judgement = last(JUDGE, EMPTY, [*looks, *after(3, a=(3.0, 0.0))])
    assert (judgement.verdict is FAIL) is established
    assert established or "no usable before of a" in judgement.reason
    assert judgement.needs_before is not established


@pytest.mark.parametrize(
    ("late", "verdict"),
    [
        ([(3.0, 0.0)] * 3, FAIL),
        ([(3.0, 0.0)] * 2, OPEN),
        ([(2.0, 0.0)] * 3, OPEN),  # too few answers a look for a run
        ([(2.0, 0.0)] * 9, FAIL),  # but so many of them are none the less evidence
        ([(1.0, 0.0)] * 9, OPEN),  # four trials: a look had four answers before
        ([(1.0, 0.0)] * 40, FAIL),
        ([(3.0, 0.0), (3.0, 0.0), (None, None), (0.0, 0.0), (1.0, 0.0), (3.0, 0.0)], FAIL),
        ([(3.0, 0.0), (3.0, 0.0), (1.0, 2.0), (3.0, 0.0)], OPEN),  # life in between
        ([(3.0, 0.0), (3.0, 0.0), (1.0, 2.0)] * 9, FAIL),  # it comes and goes
        ([(None, None)] * 99, OPEN),
        ([FULL] * 5, PASS),
        ([FULL] * 4, OPEN),
        ([FULL] * 5 + [(3.0, 0.0)], OPEN),  # a run has begun
        ([FULL] * 5 + [(1.0, 0.0)], PASS),  # too little to say anything
        ([FULL] * 5 + [(None, None)], OPEN),
        ([FULL] * 5 + [(3.0, 0.0)] + [FULL] * 9, PASS),
        ([(0.0, 5.0)] * 9, OPEN),  # items without an answer are no look
        ([(3.0, 0.0), (3.0, 0.0), (0.0, 5.0), (3.0, 0.0)], OPEN),  # but they end a run
    ],
)
def test_the_looks_after(late: list[Pair], verdict: Verdict) -> None:
    looks = [look(100 + number, {"a": pair}) for number, pair in enumerate(late)]
    assert last(JUDGE, EMPTY, [*before(a=FULL), *looks]).verdict is verdict


def test_one_account_is_enough_and_all_must_be_judged() -> None:
    four = before(a=FULL, b=FULL, c=FULL, d=FULL)
    judgement = last(JUDGE, EMPTY, [*four, *after(3, complete=False, a=(3.0, 0.0), b=FULL)])
    assert (judgement.verdict, judgement.worst) == (FAIL, ("a",))
    assert "in 3 looks in a row" in judgement.reason
    judgement = last(JUDGE, EMPTY, [*four, *after(7, a=FULL, b=FULL, c=FULL, d=FULL, e=FULL)])
    assert (judgement.verdict, judgement.worst) == (OPEN, ("e",))
    judgement = last(JUDGE, EMPTY, [*four, *after(7, expected=5, a=FULL, b=FULL, c=FULL, d=FULL)])
    assert judgement.verdict is OPEN
    assert "4 of 5 accounts are judged" in judgement.reason
    assert judgement.needs_before
    many = {f"c{one}": FULL for one in range(9)}
    judgement = last(JUDGE, EMPTY, after(3, many))
    assert judgement.reason.startswith("no usable before of c0, c1, c2, c3, c4 and 4 more")


def test_in_an_expansion_wave_a_quorum_with_a_usable_before_is_enough_and_the_rest_is_said() -> None:
    four = before(a=FULL, b=FULL, c=FULL, d=FULL)
    looks = [*four, *after(7, expected=5, a=FULL, b=FULL, c=FULL, d=FULL, e=FULL)]
    wide = [replace(one, strict=False) for one in looks]
    judgement = last(JUDGE, EMPTY, wide)
    assert judgement.verdict is PASS
    assert "1 could not be judged" in judgement.reason
    assert last(JUDGE, EMPTY, looks).verdict is OPEN


def test_four_of_five_looks_empty_at_one_answer_a_look_fail_and_say_how_often() -> None:
    early = [look(number, {"a": (1.0, 8.0)}, after=False) for number in range(25)]
    pairs: list[Pair] = [(1.0, 0.0), (1.0, 0.0), (1.0, 7.0), (1.0, 0.0), (1.0, 0.0)]
    late = [look(100 + number, {"a": pairs[number % 5]}) for number in range(20)]
    judgement = last(JUDGE, replace(EMPTY, false_alarm=0.001), [*early, *late])
    assert (judgement.verdict, judgement.numbers["empty"]) == (FAIL, 0)
    assert "of its looks since it began (E = " in judgement.reason
    assert float(str(judgement.numbers["e"])) >= float(str(judgement.numbers["level"])) == 1000
    fewer = [look(100 + number, {"a": (1.0, 0.0 if number % 25 == 0 else 7.0)}) for number in range(100)]
    assert FAIL not in [one.verdict for _, one in run(JUDGE, EMPTY, [*early, *fewer])]


def test_a_night_of_one_answer_a_look_is_not_held_against_looks_of_fifty() -> None:
    early = [look(number, {"a": (50.0, 300.0)}, after=False) for number in range(200)]
    rng = random.Random(1)
    night = [look(300 + number, {"a": (1.0, 6.0 * (rng.random() > 0.3))}) for number in range(500)]
    assert FAIL not in [one.verdict for _, one in run(JUDGE, EMPTY, [*early, *night])]


def test_an_account_with_evidence_against_it_does_not_pass_on_later_items() -> None:
    early = [look(number, {"a": (1.0, 8.0)}, after=False) for number in range(100)]
    strict = replace(EMPTY, false_alarm=1e-6)
    late = [look(200 + number, {"a": (1.0, 0.0)}) for number in range(3)]
    late += [look(203 + number, {"a": (1.0, 8.0)}) for number in range(20)]
    *_, (_, judgement) = run(JUDGE, strict, [*early, *late[:9]])
    assert (judgement.verdict, judgement.worst) == (OPEN, ("a",))
    assert judgement.reason == "not yet enough looks with items of a"
    assert ceiling(100, 0) == pytest.approx(0.05)
    assert ceiling(5, 5) == 0.9


def bake(seed: int, *, empty: float, per: float, looks: int, before: int = 90) -> tuple[Verdict | None, int]:
    """First verdict that is not open, and its look. 10 accounts, an hour's bursts: `empty` of answers on average."""
    rng = random.Random(seed)
    names = [f"c{one:02d}" for one in range(10)]
    state: dict[str, object] = {}
    share: dict[str, float] = {}
    for number in range(before + looks):
        if number % 60 == 0:
            share = {one: min(0.6, 0.005 * rng.gammavariate(0.5, 2)) for one in names}
        begun = number >= before
        cells = []
        for one in names:
            n = poisson(rng, per)
            p = empty if begun and empty else share[one]
            items = sum(rng.randrange(1, 9) for _ in range(n) if rng.random() >= p)
            cells.append(Cell(one, float(n), float(items), after=begun))
        evidence = Evidence(
            at_us=(number + 1) * MINUTE, interval_us=MINUTE, touched=tuple(cells), expected=10, complete=begun,
            intents=dict.fromkeys(names, before * MINUTE if begun else None),
        )  # fmt: skip
        after, judgement = JUDGE.look(replace(EMPTY, false_alarm=0.005), state, evidence)
        state = json.loads(json.dumps(after, allow_nan=False))
        if judgement.verdict is not OPEN:
            return judgement.verdict, number - before + 1
    return None, looks


def rung(seed: int, per: float, looks: int) -> bool:
    """Whether a harmless bake fails, a pass or not."""
    state: dict[str, object] = {}
    rng = random.Random(seed)
    names = [f"c{one:02d}" for one in range(10)]
    for number in range(looks):
        cells = []
        for one in names:
            n = poisson(rng, per)
            items = sum(1 for _ in range(n) if rng.random() >= 0.02)
            cells.append(Cell(one, float(n), float(items), after=number >= 60))
        evidence = Evidence(
            at_us=(number + 1) * MINUTE, interval_us=MINUTE, touched=tuple(cells), expected=10,
            intents=dict.fromkeys(names, 60 * MINUTE if number >= 60 else None),
        )  # fmt: skip
        after, judgement = JUDGE.look(replace(EMPTY, false_alarm=0.005), state, evidence)
        state = dict(after)
        if judgement.verdict is FAIL:
            return True
    return False


@pytest.mark.bakes
@pytest.mark.parametrize("per", [1.0, 4.0])
def test_harmless_bakes_do_not_ring(per: float) -> None:
    bakes = scaled(12, 300)
    assert sum(rung(seed, per, 420) for seed in range(bakes)) <= 0.005 * bakes + 3 * (0.005 * bakes) ** 0.5


@pytest.mark.parametrize(("per", "within"), [(0.5, 20), (2.5, 4), (10.0, 3)])
def test_accounts_gone_empty_are_seen_in_minutes(per: float, within: int) -> None:
    found = [bake(seed, empty=1.0, per=per, looks=240) for seed in range(20)]
    assert {verdict for verdict, _ in found} == {FAIL}
    assert sorted(at for _, at in found)[10] <= within


@pytest.mark.bakes
def test_half_empty_accounts_do_not_pass_and_healthy_ones_do() -> None:
    """At one answer a look half of all answers are half of the looks: the harm that a pass rules out."""
    harmful = [bake(seed, empty=0.5, per=1.5, looks=120)[0] for seed in range(20)]
    assert harmful.count(PASS) <= 1
    assert harmful.count(FAIL) >= 19
    healthy = [bake(seed, empty=0.0, per=4.0, looks=120)[0] for seed in range(20)]
    assert healthy.count(PASS) == 20
