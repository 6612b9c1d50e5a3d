"""An account against its own worst hour: what one account may do alone, and what it may not."""

import json
import random
from dataclasses import replace

import pytest

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.learning import Past
from ringctl.core.policy import FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates import own_process
from ringctl.gates.own_ceiling import OwnCeiling
from tests.gates.checks import CEILING, EMPTY, ERRORS, OWN
from tests.gates.draws import poisson
from tests.support.scale import scaled

FAIL, OPEN = Verdict.FAIL, Verdict.INCONCLUSIVE
WEEKS = 14 * 24
START = WEEKS * HOUR
ACCOUNTS = ("a", "b", "c", "d")


def past(**worst: float) -> list[Past]:
    """Two weeks of hours of 150 answers each; in one of them `worst` of an account's were bad, else 3 %."""
    return [
        Past((hour + 1) * HOUR, one, 150.0, 150 * (worst.get(one, 0.03) if hour == 20 else 0.03), 60.0)
        for hour in range(WEEKS)
        for one in worst
    ]


def looks(count: int, **pairs: tuple[float | None, float | None]) -> list[Evidence]:
    return [
        Evidence(
            at_us=START + number * MINUTE,
            interval_us=MINUTE,
            touched=tuple(Cell(one, n, y, after=True) for one, (n, y) in pairs.items()),
            expected=len(ACCOUNTS),
            intents=dict.fromkeys(ACCOUNTS, START),
        )
        for number in range(1, count + 1)
    ]


def judged(before: list[Past], seen: list[Evidence], alpha: float = 0.001) -> Judgement:
    state: JudgeState = panel.feed({}, before, dict.fromkeys(ACCOUNTS))
    judgement: Judgement | None = None
    for one in seen:
        state, judgement = panel.look(ERRORS, {"own-ceiling": OwnCeiling()}, state, one, alpha=alpha)
        state = json.loads(json.dumps(state, allow_nan=False))
    assert judgement is not None
    return judgement


def test_which_checks_ask_for_it() -> None:
    judge = OwnCeiling()
    assert judge.applies(ERRORS)
    assert judge.applies(OWN)
    assert not judge.applies(CEILING)
    assert not judge.applies(EMPTY)
    assert not judge.applies(replace(ERRORS, fail_if=FailIf(ceiling=0.1)))


def test_one_account_that_is_all_bad_is_enough() -> None:
    known = past(a=0.03, b=0.03)
    judgement = judged(known, looks(6, a=(2.0, 2.0), b=(2.0, 0.0)))
    assert (judgement.verdict, judgement.worst) == (FAIL, ("a",))
    assert "100 % of a is bad" in judgement.reason
    assert judged(known, looks(1, a=(2.0, 2.0), b=(2.0, 0.0))).verdict is OPEN


def test_an_account_that_was_as_bad_before_is_within_its_ceiling() -> None:
    assert judged(past(a=0.6, b=0.03), looks(30, a=(2.0, 1.6), b=(2.0, 0.0))).verdict is OPEN


def test_a_third_of_one_account_needs_a_second_one() -> None:
    known = past(a=0.03, b=0.03)
    alone = judged(known, looks(60, a=(3.0, 1.0), b=(3.0, 0.0)))
    assert (alone.verdict, alone.worst) == (OPEN, ("a",))
    assert "a second account would fail" in alone.reason
    both = judged(known, looks(60, a=(3.0, 1.0), b=(3.0, 1.0)))
    assert both.verdict is FAIL
    assert "and 1 more" in both.reason


def test_a_fail_is_final() -> None:
    seen = [*looks(6, a=(2.0, 2.0)), *looks(60, a=(9.0, 0.0))]
    assert judged(past(a=0.03), seen).verdict is FAIL


def test_missing_and_idle_are_no_evidence() -> None:
    for pair in ((None, None), (None, 2.0), (0.0, 0.0), (2.0, None), (1.0, 2.0)):
        judgement = judged(past(a=0.03), looks(30, a=pair))
        assert judgement.verdict is OPEN
        assert judgement.numbers["judged"] == 0
    early = [
        replace(one, touched=tuple(cell._replace(after=False) for cell in one.touched), intents={})
        for one in looks(30, a=(2.0, 2.0))
    ]
    assert judged([], early).verdict is OPEN


def test_an_account_without_a_past_is_judged_by_all_or_not_at_all() -> None:
    assert judged(past(b=0.03), looks(30, a=(2.0, 2.0), c=(2.0, 0.0))).verdict is FAIL
    nothing = judged([], looks(9, a=(2.0, 2.0)))
    assert (nothing.verdict, nothing.numbers["judged"]) == (OPEN, 0)
    assert "no account has a past" in nothing.reason
    short = [Past(HOUR, "a", 15.0, 0.0, 60.0), Past(2 * HOUR, "a", 4.0, 0.0, 60.0)]
    assert judged(short, looks(9, a=(2.0, 2.0))).numbers["judged"] == 0
    thin = [Past(hour * HOUR, "a", 9.0, 0.0, 60.0) for hour in (1, 2)] + [
        Past(3 * HOUR, "a", 15.0, 0.0, 60.0)
    ]
    assert judged(thin, looks(60, a=(2.0, 2.0))).verdict is FAIL


def known_for(hours: int, *, fleet: int = 0) -> list[Past]:
    """`a` with 3 % bad for so many hours, and others of the fleet; the worst hour of all is one of theirs, 20 %."""
    return [
        Past((hour + 1) * HOUR, one, 150.0, 30.0 if one == "x0" and not hour else 4.5, 60.0)
        for hour in range(hours)
        for one in ("a", *(f"x{place}" for place in range(fleet)))
    ]


def test_the_worst_of_a_few_hours_is_no_ceiling() -> None:
    """A third of a's answers bad is far above 1.5 x 3 %, but an hour says little of the next one."""
    seen = looks(60, a=(3.0, 1.0))
    assert judged(known_for(200), seen).worst == ("a",)
    for hours, fleet in ((24, 0), (24, 20), (24, 60), (167, 8)):
        assert judged(known_for(hours, fleet=fleet), seen).worst == (), (hours, fleet)
    assert judged(known_for(24, fleet=20), looks(20, a=(2.0, 2.0))).verdict is FAIL


def test_an_account_without_a_past_has_the_ceiling_of_all() -> None:
    seen = looks(60, new=(3.0, 1.0))
    assert judged(known_for(200, fleet=8), looks(20, new=(2.0, 2.0))).verdict is FAIL
    assert judged(known_for(200, fleet=8), seen).worst == ()
    assert judged(known_for(1), seen).numbers["judged"] == 0


def test_a_source_without_an_answer_changes_nothing() -> None:
    dark = replace(looks(1)[0], error="RC8001")
    assert judged(past(a=0.03), [dark]).verdict is OPEN


def test_stakes_open_at_the_accounts_own_beginning() -> None:
    row = own_process.added(own_process.NEW, 50 * MINUTE, 0.1, 1.0, 0.0)
    assert row[own_process.SINCE] == 50 * MINUTE
    assert row[own_process.REST] == 0.5
    later = own_process.added(row, 120 * MINUTE, 0.1, 1.0, 0.0)
    assert later[own_process.OPENED] == 3
    assert own_process.bad_share(later) == 0
    assert own_process.evidence(later) < 1


def window_bake(seed: int, *, harm: bool, looks: int) -> int | None:
    """VSTS 2017 in small (GATE 4.6): 8 accounts begun every 10 min, 2.5 answers a minute, windows of 40 min."""
    rng = random.Random(seed)
    names = [f"c{one}" for one in range(8)]

    def share() -> float:
        return min(0.5, 0.03 * rng.gammavariate(0.5, 2))

    before = []
    for hour in range(WEEKS):
        for one in names:
            bad = min(150, poisson(rng, 150 * share()))
            before.append(Past((hour + 1) * HOUR, one, 150.0, bad, 60.0))
    state: JudgeState = panel.feed({}, before, dict.fromkeys(names))
    shares: dict[str, float] = {}
    for t in range(1, looks + 1):
        if t % 60 == 1:
            shares = {one: share() for one in names}
        begun = {one: (10 * place if 10 * place < t else None) for place, one in enumerate(names)}
        cells = []
        for one in names:
            n, since = poisson(rng, 2.5), begun[one]
            empty = harm and since is not None and t - since <= 40
            y = n if empty else sum(rng.random() < shares[one] for _ in range(n))
            cells.append(Cell(one, n, y, after=since is not None))
        evidence = Evidence(
            at_us=START + t * MINUTE, interval_us=MINUTE, touched=tuple(cells), expected=8,
            intents={one: None if at is None else START + at * MINUTE for one, at in begun.items()},
        )  # fmt: skip
        state, judgement = panel.look(ERRORS, {"own-ceiling": OwnCeiling()}, state, evidence, alpha=0.005)
        if judgement.verdict is FAIL:
            return t
    return None


@pytest.mark.bakes
def test_the_window_of_2017_is_seen_in_minutes_and_a_healthy_upgrade_never_rings() -> None:
    found = sorted(window_bake(seed, harm=True, looks=90) or 999 for seed in range(40))
    assert found[20] <= 6
    assert found[-1] < 45
    assert not any(window_bake(seed, harm=False, looks=300) for seed in range(scaled(20, 400)))


def test_the_less_was_seen_of_all_the_more_of_an_account_must_be_bad() -> None:
    """Five sixths of a's answers bad: a burst, as far as an hour of it can tell."""
    seen = looks(60, a=(3.0, 2.5))
    assert judged(known_for(1), seen).worst == ()
    assert judged(known_for(24, fleet=40), seen).worst == ("a",)
    assert judged(known_for(1), looks(60, a=(3.0, 3.0))).verdict is FAIL
