"""What a look of the whole panel costs for a big wave, and how large its state is."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from bench.gate_runs import ALPHA, ERRORS, FLOW, Goals, judges_known
from bench.gate_streams import START
from bench.tables import Table
from ringctl.core import panel
from ringctl.core.digests import canonical
from ringctl.core.judging import Cell, Evidence
from ringctl.core.learning import Past
from ringctl.core.policy import Check, Counter, FailIf, Ratio
from ringctl.core.timing import HOUR, MINUTE

ITEMS = Ratio(y=Counter(name="items"), n=Counter(name="answers"), of_counts=False)
CHECKS = (
    ERRORS,
    replace(ERRORS, name="empty"),
    replace(ERRORS, name="slow"),
    FLOW,
    replace(ERRORS, name="items", measure=ITEMS, compare="before-vs-after",
            fail_if=FailIf(becomes_empty=True, shift=0.5)),
)  # fmt: skip
CONTROL = 1_000
FEW = 100
PAST_HOURS = 24
LOOKS = 8
KIB = 1024


def cost(title: str, goals: Goals, *, accounts: int) -> Table:
    """Seconds a look of all checks, and bytes of state, at two sizes of the wave."""
    table = Table(
        f"{title}: cost",
        f"{len(CHECKS)} checks (errors, empty and slow answers and throughput against {CONTROL:,} control accounts, "
        f"items an answer against before), 50 answers an account and minute, {PAST_HOURS} hours of past; the "
        "whole panel "
        "(everything learnt, all judges), one process; the state as the JSON that is saved.",
        (
            "accounts",
            "seconds a look",
            "us an account and check",
            "state, KiB a check",
            "bytes an account and check",
        ),
    )
    small, large = _one(accounts // 100), _one(accounts)
    for count, (seconds, size) in ((accounts // 100, small), (accounts, large)):
        table.rows.append(
            (f"{count:,}", f"{seconds:.2f}", f"{1e6 * seconds / count / len(CHECKS):.1f}",
             f"{size / len(CHECKS) / KIB:,.0f}", f"{size / len(CHECKS) / count:,.0f}")
        )  # fmt: skip
    goals.at_most(f"{accounts:,} accounts x {len(CHECKS)} checks, seconds a look", large[0], 1.0)
    beside = beside_accounts(lambda touched, control: _one(touched, control)[1] / len(CHECKS) / KIB)
    goals.at_most("state a check beside what accounts need (touched and control), KiB", beside, 4)
    return table


def beside_accounts(size: Callable[[int, int], float]) -> float | None:
    """What of a state's size belongs to no account, from its sizes at (touched, control) accounts.

    Few accounts: of many, each further one needs less, and control less than touched, so that what is left after
    accounts times the need of one would come out far below 0. Where it does, there is no such figure: None.
    """
    few = size(FEW, FEW)
    touched, control = size(2 * FEW, FEW) - few, size(FEW, 2 * FEW) - few
    left = few - touched - control
    return left if left >= 0 else None


def _one(accounts: int, others: int = CONTROL) -> tuple[float, int]:
    """(median seconds of a look of all checks, bytes of all states) with so many touched and control accounts."""
    rng, judges = Random(7), judges_known()
    touched = [f"acct-{place:07d}" for place in range(accounts)]
    control = [f"ctrl-{place:07d}" for place in range(others)]
    begun = dict.fromkeys(touched, START)
    states = {}
    for check in CHECKS:
        cells = [
            Past(START - hour * HOUR, name, *_cell(check, rng, 60), 60.0)
            for hour in range(PAST_HOURS - 1, -1, -1)
            for name in (*touched, *control)
        ]
        states[check.name] = panel.feed({}, cells, begun)
    seconds = []
    for look in range(LOOKS):
        evidences = [_evidence(check, rng, look, (touched, control)) for check in CHECKS]
        began = time.perf_counter()
        for check, evidence in zip(CHECKS, evidences, strict=True):
            states[check.name], _ = panel.look(check, judges, states[check.name], evidence, alpha=ALPHA)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), sum(len(canonical(state)) for state in states.values())


def _evidence(check: Check, rng: Random, look: int, names: tuple[Sequence[str], Sequence[str]]) -> Evidence:
    touched, control = names
    return Evidence(
        at_us=START + (look + 1) * MINUTE,
        interval_us=MINUTE,
        touched=tuple(Cell(name, *_cell(check, rng, 1), True) for name in touched),
        control=tuple(Cell(name, *_cell(check, rng, 1), False) for name in control),
        expected=len(touched),
        complete=True,
        intents=dict.fromkeys(touched, START),
    )


def _cell(check: Check, rng: Random, minutes: int) -> tuple[float, float]:
    """(n, y) of one account in so many minutes: about right is enough."""
    answers = 50 * minutes
    if check is FLOW:
        return float(minutes), round(rng.gauss(answers, answers**0.5))
    if check.measure is ITEMS:
        return answers, round(rng.gauss(3 * answers, answers**0.5))
    return answers, max(0, round(rng.gauss(0.01 * answers, (0.01 * answers) ** 0.5)))
