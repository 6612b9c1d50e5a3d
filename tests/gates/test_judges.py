"""What each judge says at its edges."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell, Evidence, Judge, Judgement
from ringctl.core.policy import Check, FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, SECOND
from ringctl.gates import ceiling, evidence
from ringctl.gates.becomes_empty import BecomesEmpty
from ringctl.gates.before_vs_after import BeforeVsAfter
from ringctl.gates.canary_vs_control import CanaryVsControl
from ringctl.gates.evidence import Stakes, quorum, shared_ratio
from ringctl.gates.shift import Shift
from ringctl.gates.spread import own_ratio, phi, spread
from ringctl.gates.threshold import Threshold
from ringctl.testing.judge_suite import Story, altered, run, stream, verdicts
from tests.gates.checks import (
    CASES,
    CEILING,
    DURATION,
    EMPTY,
    ERRORS,
    FAILURES,
    OWN,
    SHIFT,
)

Pair = tuple[float | None, float | None]
PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
JUDGES = {one.name: one for one in (CanaryVsControl(), BeforeVsAfter(), Threshold(), BecomesEmpty(), Shift())}


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
    )


def last(judge: Judge, check: Check, looks: list[Evidence]) -> Judgement:
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


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        (ERRORS, {"canary-vs-control"}),
        (replace(ERRORS, fail_if=FailIf(increase=1.0, above=0.05)), {"canary-vs-control", "threshold"}),
        (OWN, {"before-vs-after"}),
        (CEILING, {"threshold"}),
        (DURATION, {"threshold"}),
        (FAILURES, {"threshold"}),
        (EMPTY, {"becomes-empty"}),
        (replace(EMPTY, fail_if=FailIf(becomes_empty=True, shift=0.5)), {"becomes-empty", "shift"}),
        (replace(ERRORS, fail_if=FailIf()), set()),
        (replace(EMPTY, fail_if=FailIf(increase=1.0)), set()),
    ],
)
def test_which_judges_a_check_asks_for(check: Check, asked: set[str]) -> None:
    assert {name for name, judge in JUDGES.items() if judge.applies(check)} == asked


# -- helpers -----------------------------------------------------------------------------------------
def test_quorum_is_80_percent_at_least_3_or_all() -> None:
    assert [quorum(count) for count in (0, 1, 2, 3, 4, 5, 10, 11, 100)] == [0, 1, 2, 3, 4, 4, 8, 9, 80]


def test_stakes_open_over_time_and_keep_their_sum() -> None:
    stakes = Stakes(on=(0.0, 0.0)).at(5)
    assert stakes.row() == [5, 1, 0.5, 0.25, 0.25]
    assert stakes.at(5 + 29 * MINUTE).opened == 1
    assert stakes.at(5 + 60 * MINUTE).opened == 3
    assert stakes.at(0).opened == 1  # a clock that went back opens nothing
    whole = stakes.at(5 + 48 * 60 * MINUTE)
    assert whole.opened == 48
    assert whole.rest == pytest.approx(0, abs=1e-12)
    assert whole.evidence == pytest.approx(1)
    high = whole.times([1e9, 1e9])
    for _ in range(20):
        high = high.times([1e9, 1e9])
    assert json.dumps(high.row(), allow_nan=False)
    assert high.evidence == evidence.HIGHEST


def test_likelihoods_stake_only_on_what_the_check_calls_harm() -> None:
    assert evidence.grid(1.0) == (1.5, 2, 3, 5, 10, 30, 100)
    assert evidence.grid(500.0) == (100,)
    assert evidence.log_likelihood(2.0, 0.5, 0.0, 0.0) == 0
    assert evidence.excess(0, 0, 0.5, 1.0) == 0


def test_a_ratio_needs_exposure_on_both_sides() -> None:
    assert shared_ratio(1, 0, 1, 1) is None
    assert shared_ratio(0, 10, 0, 1000) == pytest.approx(1)
    assert own_ratio([0, 0, 0, 0], 1.0) == 1
    shrunk = own_ratio([40, 1000, 10, 1000], 1.0)
    assert 1 < shrunk < 4
    assert own_ratio([40, 1000, 10, 1000], 10.0) < shrunk


def test_dispersion_is_one_for_independent_events_and_more_for_clustered_ones() -> None:
    alike: list[float] = [0.0] * 3
    bursts = [0.0] * 3
    for number in range(200):
        alike = spread(alike, [(100, (number + one) % 3) for one in range(6)])
        bursts = spread(bursts, [(100, 12.0 if one == number % 6 else 0.0) for one in range(6)])
    assert phi(alike) == pytest.approx(1, abs=0.5)
    assert phi(bursts) > 5
    assert phi([0, 0, 0]) == phi([50, 5, 5]) == 2
    for nothing in ([], [(10, 1)], [(10, 0), (10, 0)], [(5, 5), (5, 5)], [(0, 0), (5, 1)]):
        assert spread([1, 2, 3], nothing) == [1, 2, 3]


# -- canary against control --------------------------------------------------------------------------
def canary(pairs: tuple[Pair, ...], *, looks: int = 20, control: int = 8, check: Check = ERRORS) -> Judgement:
    early = [
        look(one, {"a": (50, 0.5), "b": (50, 0.5), "c": (50, 0.5)}, after=False, control=control)
        for one in range(10)
    ]
    touched = dict(zip("abc", pairs, strict=False))
    late = [look(10 + one, touched, control=control) for one in range(looks)]
    return last(CanaryVsControl(), check, early + late)


def test_one_bad_account_of_three_is_not_enough_to_fail_nor_to_pass() -> None:
    judgement = canary(((50, 25), (50, 0.5), (50, 0.5)))
    assert judgement.verdict is OPEN
    assert judgement.worst == ("a",)
    assert "two accounts are needed" in judgement.reason
    assert canary(((50, 25), (50, 25), (50, 0.5))).verdict is FAIL


def test_the_only_account_touched_so_far_may_fail_by_itself_on_ten_times_the_evidence() -> None:
    assert canary(((50, 25),)).verdict is FAIL
    harm = canary(((50, 1.6),), looks=12)
    assert harm.verdict is OPEN
    assert float(str(harm.numbers["e"])) < 10 / ERRORS.false_alarm


def test_a_wave_of_one_account_may_fail_by_its_own_history_and_ceiling() -> None:
    own = replace(OWN, min_samples=100)
    both = [*before(a=(50.0, 0.5)), *after(a=(50.0, 25.0))]
    assert last(BeforeVsAfter(), own, both).verdict is FAIL
    assert last(Threshold(), CEILING, both).verdict is FAIL


def test_many_slightly_worse_accounts_are_none_clearly_worse() -> None:
    early = [look(n, {f"c{one}": (20, 0.2) for one in range(60)}, after=False, control=8) for n in range(10)]
    late = [look(20 + n, {f"c{one}": (20, 0.8) for one in range(60)}, control=8) for n in range(2)]
    judgement = last(CanaryVsControl(), ERRORS, early + late)
    assert judgement.verdict is OPEN
    assert "no single account" in judgement.reason


def test_a_rise_below_the_harm_asked_for_neither_fails_nor_is_hidden() -> None:
    assert canary(((500, 6), (500, 6), (500, 6)), looks=500).verdict is PASS  # 1.2 times: below harm
    judgement = canary(((50, 1.2), (50, 1.2), (50, 1.2)), looks=12)
    assert judgement.verdict is OPEN  # 2.4 times so far, not certain
    assert "not for certain" in judgement.reason


def test_samples_and_control_must_suffice() -> None:
    good: tuple[Pair, ...] = ((1, 0), (1, 0), (1, 0))
    assert "samples of the canary" in canary(good, looks=10).reason
    assert canary(good, looks=40).verdict is PASS
    assert "200 are needed" in canary(good, looks=40, check=replace(ERRORS, min_samples=200)).reason
    looks = list(CASES["canary-vs-control"].healthy)
    quiet = replace(
        looks[-1],
        control=tuple(Cell(account=c.account, n=None, y=None, after=False) for c in looks[-1].control),
    )
    judgement = last(CanaryVsControl(), ERRORS, [*looks, quiet])
    assert (judgement.verdict, "0 control accounts report" in judgement.reason) == (OPEN, True)


def test_the_demo_is_caught_within_a_few_looks() -> None:
    """3 canary accounts, 2 to 10 requests/s each, 1 % errors, harm 30 %: a look a second."""
    story = Story(before=6, running=10, done=0)
    looks = stream(story, accounts=3, control=20, before=(4.0, 0.04), after=(4.0, 1.2))
    found = verdicts(CanaryVsControl(), replace(ERRORS, min_samples=20), looks)
    assert found.index(FAIL) <= 6 + 4
    story = Story(before=10, running=20, done=0)
    looks = stream(story, accounts=3, control=0, before=(5.0, 0.05), after=(5.0, 1.5))
    found = verdicts(CanaryVsControl(), replace(ERRORS, min_samples=20), looks)
    assert found.index(FAIL) <= 10 + 5


# -- before against after ----------------------------------------------------------------------------
def test_before_vs_after_needs_a_before_and_two_accounts() -> None:
    assert last(BeforeVsAfter(), OWN, after(a=(50.0, 25.0), b=(50.0, 25.0))).verdict is OPEN
    three = [*before(a=(50.0, 0.5), b=(50.0, 0.5), c=(50.0, 0.5))]
    judgement = last(BeforeVsAfter(), OWN, [*three, *after(a=(50.0, 25.0), b=(50.0, 0.5), c=(50.0, 0.5))])
    assert (judgement.verdict, judgement.worst) == (OPEN, ("a",))
    many = {f"c{one}": (20.0, 0.2) for one in range(60)}
    more = dict.fromkeys(many, (20.0, 0.9))
    judgement = last(BeforeVsAfter(), OWN, [*before(10, many), *after(2, more)])
    assert "no account clearly" in judgement.reason
    few = last(BeforeVsAfter(), OWN, [*before(1, a=(50.0, 0.5)), *after(9, a=(50.0, 0.5))])
    assert "50 samples before" in few.reason
    judgement = last(
        BeforeVsAfter(), OWN,
        [*before(a=(50.0, 0.5), b=(50.0, 0.5)), *after(4, a=(50.0, 1.3), b=(50.0, 1.3))],
    )  # fmt: skip
    assert (judgement.verdict, "not for certain" in judgement.reason) == (OPEN, True)


# -- fixed limits ------------------------------------------------------------------------------------
def test_one_account_above_the_ceiling_cannot_fail_a_wave_of_three() -> None:
    judgement = last(Threshold(), CEILING, after(a=(50.0, 25.0), b=(50.0, 0.0), c=(50.0, 0.0)))
    assert judgement.verdict is OPEN
    assert "too few accounts" in judgement.reason
    assert "not anytime-valid" in last(Threshold(), CEILING, after(a=(50.0, 25.0), b=(50.0, 25.0))).reason


def test_a_ceiling_needs_samples_and_a_limit() -> None:
    assert last(Threshold(), CEILING, after(1, a=(9.0, 9.0), b=(9.0, 9.0))).verdict is OPEN
    assert "20 samples" in last(Threshold(), CEILING, after(1, a=(10.0, 0.0), b=(10.0, 0.0))).reason
    none = replace(CEILING, fail_if=FailIf())
    assert last(Threshold(), none, after(a=(50.0, 0.0), b=(50.0, 0.0))).verdict is OPEN


def test_a_percentile_is_that_of_the_accounts() -> None:
    assert ceiling.p95([]) is None
    assert ceiling.p95([float(one) for one in range(1, 21)]) == 19
    assert ceiling.p95([3.0, 1.0]) == 3
    slow = {f"c{one}": (1.0, 90.0 if one == 0 else 5.0) for one in range(20)}
    assert last(Threshold(), DURATION, after(1, slow)).verdict is PASS
    slow["c1"] = (1.0, 90.0)
    assert last(Threshold(), DURATION, after(1, slow)).verdict is FAIL
    assert last(Threshold(), DURATION, after(1, complete=False, a=(1.0, 90.0), b=(1.0, 1.0))).verdict is FAIL


def test_steps_of_every_account_must_be_measured() -> None:
    most = {f"c{one}": (1.0, 5.0) for one in range(9)}
    judgement = last(Threshold(), DURATION, after(1, most, expected=10))
    assert (judgement.verdict, judgement.reason) == (OPEN, "9 of 10 accounts are measured")
    both = replace(DURATION, fail_if=FailIf(p95=60.0, above=10.0))
    assert last(Threshold(), both, after(1, most)).verdict is PASS
    one = after(1, a=(1.0, 50.0), b=(1.0, 1.0))
    assert last(Threshold(), both, one).verdict is OPEN


# -- becomes empty -----------------------------------------------------------------------------------
FULL: Pair = (4.0, 30.0)


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
    ],
)
def test_the_before_of_an_account(early: list[Pair], established: bool) -> None:
    looks = [look(number, {"a": pair}, after=False) for number, pair in enumerate(early)]
    judgement = last(BecomesEmpty(), EMPTY, [*looks, *after(3, a=(3.0, 0.0))])
    assert (judgement.verdict is FAIL) is established
    assert established or "no usable before of a" in judgement.reason


@pytest.mark.parametrize(
    ("late", "verdict"),
    [
        ([(3.0, 0.0)] * 3, FAIL),
        ([(3.0, 0.0)] * 2, OPEN),
        ([(2.0, 0.0)] * 9, OPEN),  # too few answers a look
        ([(3.0, 0.0), (3.0, 0.0), (None, None), (0.0, 0.0), (1.0, 0.0), (3.0, 0.0)], FAIL),
        ([(3.0, 0.0), (3.0, 0.0), (1.0, 2.0), (3.0, 0.0)], OPEN),  # life in between
        ([(None, None)] * 9, OPEN),
        ([FULL] * 3, PASS),
        ([FULL] * 2, OPEN),
        ([FULL] * 3 + [(3.0, 0.0)], OPEN),  # a run has begun
        ([FULL] * 3 + [(None, None)], OPEN),
    ],
)
def test_the_looks_after(late: list[Pair], verdict: Verdict) -> None:
    looks = [look(100 + number, {"a": pair}) for number, pair in enumerate(late)]
    assert last(BecomesEmpty(), EMPTY, [*before(a=FULL), *looks]).verdict is verdict


def test_one_account_is_enough_and_all_must_be_judged() -> None:
    four = before(a=FULL, b=FULL, c=FULL, d=FULL)
    judgement = last(BecomesEmpty(), EMPTY, [*four, *after(3, complete=False, a=(3.0, 0.0), b=FULL)])
    assert (judgement.verdict, judgement.worst) == (FAIL, ("a",))
    judgement = last(BecomesEmpty(), EMPTY, [*four, *after(5, a=FULL, b=FULL, c=FULL, d=FULL, e=FULL)])
    assert (judgement.verdict, judgement.worst) == (OPEN, ("e",))
    judgement = last(BecomesEmpty(), EMPTY, [*four, *after(5, expected=5, a=FULL, b=FULL, c=FULL, d=FULL)])
    assert judgement.verdict is OPEN
    assert "4 of 5 accounts are judged" in judgement.reason
    assert judgement.needs_before
    many = {f"c{one}": FULL for one in range(9)}
    judgement = last(BecomesEmpty(), EMPTY, after(3, many))
    assert judgement.reason.startswith("no usable before of c0, c1, c2, c3, c4 and 4 more")


def test_items_without_an_answer_end_a_run_but_are_no_look() -> None:
    looks = [*before(a=FULL), *after(9, a=(0.0, 5.0))]
    assert last(BecomesEmpty(), EMPTY, looks).verdict is OPEN


# -- shift -------------------------------------------------------------------------------------------
def test_shift_needs_two_accounts_for_certain() -> None:
    three = before(a=(10.0, 80.0), b=(10.0, 80.0), c=(10.0, 80.0))
    one = after(a=(10.0, 20.0), b=(10.0, 80.0), c=(10.0, 80.0))
    judgement = last(Shift(), SHIFT, [*three, *one])
    assert (judgement.verdict, judgement.worst) == (OPEN, ("a",))
    few = replace(SHIFT, min_samples=10_000)
    two = after(a=(10.0, 20.0), b=(10.0, 20.0), c=(10.0, 80.0))
    assert last(Shift(), SHIFT, [*three, *two]).verdict is FAIL
    assert "10000 are needed" in last(Shift(), few, [*three, *two]).reason
    assert "looks before and after" in last(Shift(), SHIFT, two).reason
    assert last(Shift(), SHIFT, [*three, *after(2, a=(99.0, 0.0), b=(99.0, 0.0))]).verdict is OPEN


def test_noise_is_no_shift_and_no_pass() -> None:
    wild = [look(n, dict.fromkeys("ab", (10.0, 10.0 if n % 4 else 400.0)), after=False) for n in range(8)]
    judgement = last(Shift(), SHIFT, [*wild, *after(a=(10.0, 10.0), b=(10.0, 10.0))])
    assert judgement.verdict is OPEN
    assert judgement.worst == ("a", "b")


def test_from_nothing_to_something_is_endless_and_nothing_to_nothing_is_no_change() -> None:
    none = before(a=(10.0, 0.0), b=(10.0, 0.0))
    assert last(Shift(), SHIFT, [*none, *after(a=(10.0, 1.0), b=(10.0, 1.0))]).verdict is FAIL
    assert last(Shift(), SHIFT, [*none, *after(a=(10.0, 0.0), b=(10.0, 0.0))]).verdict is PASS


def test_idle_looks_say_nothing() -> None:
    looks = [*before(a=(10.0, 80.0)), *after(20, a=(10.0, 80.0)), *after(5, a=(0.0, 0.0))]
    assert last(Shift(), SHIFT, looks).verdict is PASS


# -- all ---------------------------------------------------------------------------------------------
def test_a_source_error_without_words_has_its_code() -> None:
    judgement = last(Threshold(), CEILING, [Evidence(at_us=1, interval_us=1, error="RC8001")])
    assert judgement.reason == "no answer from the source (RC8001)"


@pytest.mark.parametrize("name", CASES)
def test_ten_thousand_accounts_are_judged_in_time(name: str) -> None:
    case = CASES[name]
    wide = [
        replace(
            one,
            touched=tuple(
                replace(cell, account=f"{cell.account}-{n}") for cell in one.touched for n in range(1000)
            ),
            expected=1000 * one.expected,
        )
        for one in (case.healthy[0], case.healthy[-1])
    ]
    began = time.process_time()
    list(run(case.judge, case.check, wide))
    assert time.process_time() - began < 2
    assert altered(wide, lambda cell: cell)[0] == wide[0]


def test_in_an_expansion_wave_a_quorum_with_a_usable_before_is_enough_and_the_rest_is_said() -> None:
    four = before(a=FULL, b=FULL, c=FULL, d=FULL)
    looks = [*four, *after(5, expected=5, a=FULL, b=FULL, c=FULL, d=FULL, e=FULL)]
    wide = [replace(one, strict=False) for one in looks]
    judgement = last(BecomesEmpty(), EMPTY, wide)
    assert judgement.verdict is PASS
    assert "1 could not be judged" in judgement.reason
    assert last(BecomesEmpty(), EMPTY, looks).verdict is OPEN


def test_a_judge_that_compares_with_before_says_when_there_is_none() -> None:
    few = before(a=FULL)[:2]
    for judge, check in ((BecomesEmpty(), EMPTY), (BeforeVsAfter(), OWN)):
        assert last(judge, check, few).needs_before
    assert not last(BecomesEmpty(), EMPTY, before(a=FULL)).needs_before
