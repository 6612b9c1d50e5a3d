"""Looks that the judges' tests are made of."""

from collections.abc import Mapping, Sequence

from ringctl.core.judging import Cell, Evidence, Judge, Judgement
from ringctl.core.policy import Check
from ringctl.core.timing import SECOND
from ringctl.testing.judge_suite import run

Pair = tuple[float | None, float | None]


def look(
    number: int,
    touched: Mapping[str, Pair],
    *,
    after: bool = True,
    complete: bool = True,
    expected: int = 0,
    control: int = 0,
) -> Evidence:
    return Evidence(
        at_us=number * SECOND,
        interval_us=SECOND,
        touched=tuple(Cell(account=one, n=n, y=y, after=after) for one, (n, y) in touched.items()),
        control=tuple(Cell(account=f"k{one}", n=50.0, y=0.5, after=False) for one in range(control)),
        expected=expected or len(touched),
        complete=complete and after,
        intents=dict.fromkeys(touched, 0 if after else None),
    )


def last(judge: Judge, check: Check, looks: Sequence[Evidence]) -> Judgement:
    *_, (_, judgement) = run(judge, check, looks)
    return judgement


def before(count: int = 10, many: Mapping[str, Pair] | None = None, /, **touched: Pair) -> list[Evidence]:
    return [look(number, {**(many or {}), **touched}, after=False) for number in range(count)]


def after(
    count: int = 10,
    many: Mapping[str, Pair] | None = None,
    /,
    *,
    complete: bool = True,
    expected: int = 0,
    **touched: Pair,
) -> list[Evidence]:
    pairs = {**(many or {}), **touched}
    return [look(100 + number, pairs, complete=complete, expected=expected) for number in range(count)]
