"""The fewest looks in which a check can decide at all: its judges are shown an ideal series and asked.

Every account answers in every look with the same, then (harm) with nothing or with twice the change asked about, or
(health) with the same again. What that does not decide in time no real series does: the judges themselves say so, so
that this cannot drift from them. For values, which are judged by looks; counts can decide in one that is rich enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judge
from ringctl.core.policy import Check
from ringctl.core.states import Verdict
from ringctl.core.timing import Instant, Span

MOST: Final = 200
"""Looks that are tried: what needs more is not worth waiting for."""
CONTROL: Final = 8
ANSWERS: Final = 1e6
LARGE: Final = 10
LEAST_BEFORE: Final = 5
MOST_BEFORE: Final = 60
START_US: Final[Instant] = 946_684_800_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The wave that is imagined: how many accounts, looks before it opens, and whether there is a control."""

    accounts: int
    before: int
    alpha: float
    every_us: Span
    control: bool = True


def stage(check: Check, accounts: int, every_us: Span, alpha: float, *, control: bool = True) -> Stage:
    """A wave of so many accounts. Large ones need no more looks than ten accounts."""
    return Stage(
        accounts=max(1, min(accounts, LARGE)),
        before=max(LEAST_BEFORE, min(MOST_BEFORE, check.baseline_us // max(1, every_us))),
        alpha=alpha,
        every_us=every_us,
        control=control,
    )


def looks_to_fail(check: Check, judges: Mapping[str, Judge], stage: Stage) -> int | None:
    """Looks since the intent until the worst of harm fails the check; None when it takes over `MOST`."""
    change = 1 + 2 * (check.fail_if.shift or 0.0)
    return _looks(check, judges, stage, 0.0 if check.fail_if.becomes_empty else change, Verdict.FAIL)


def looks_to_pass(check: Check, judges: Mapping[str, Judge], stage: Stage) -> int | None:
    """Looks since the last account was done until a wave on which nothing changes passes; None: over `MOST`."""
    return _looks(check, judges, stage, 1.0, Verdict.PASS)


def _looks(
    check: Check, judges: Mapping[str, Judge], stage: Stage, change: float, wanted: Verdict
) -> int | None:
    state: Mapping[str, object] = {}
    for number in range(-stage.before, MOST):
        state, judgement = panel.look(check, judges, state, _look(stage, number, change), alpha=stage.alpha)
        if number >= 0 and judgement.verdict is wanted:
            return number + 1
    return None


def _look(stage: Stage, number: int, change: float) -> Evidence:
    begun = number >= 0
    names = [f"a{one}" for one in range(stage.accounts)]
    others = [f"k{one}" for one in range(CONTROL if stage.control else 0)]
    amount = ANSWERS * (change if begun else 1.0)
    return Evidence(
        at_us=START_US + number * stage.every_us,
        interval_us=stage.every_us,
        touched=tuple(Cell(name, ANSWERS, amount, begun) for name in names),
        control=tuple(Cell(name, ANSWERS, ANSWERS, False) for name in others),
        expected=stage.accounts,
        complete=begun,
        intents=dict.fromkeys(names, START_US if begun else None),
    )
