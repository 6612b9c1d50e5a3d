"""What each judge says at its edges."""

import json
import time
from dataclasses import replace

import pytest

from ringctl.core.judging import Evidence
from ringctl.core.policy import Check, FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.gates import ceiling, evidence
from ringctl.gates.becomes_empty import BecomesEmpty
from ringctl.gates.before_vs_after import BeforeVsAfter
from ringctl.gates.evidence import Stakes, quorum, shared_ratio
from ringctl.gates.shift import Shift
from ringctl.gates.split import Split
from ringctl.gates.threshold import Threshold
from ringctl.testing.judge_suite import altered, run
from tests.gates.checks import (
    CASES,
    CEILING,
    DURATION,
    EMPTY,
    ERRORS,
    FAILURES,
    OWN,
)
from tests.gates.looks import after, before, last

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
JUDGES = {one.name: one for one in (Split(), BeforeVsAfter(), Threshold(), BecomesEmpty(), Shift())}


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        (ERRORS, {"split"}),
        (replace(ERRORS, fail_if=FailIf(increase=1.0, above=0.05)), {"split", "threshold"}),
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
    assert Stakes(on=(0.0, 0.0)).at(5, (0.2, 0.8)).row() == [5, 1, 0.5, 0.1, 0.4]
    assert stakes.at(5 + 29 * MINUTE).opened == 1
    assert stakes.at(5 + 60 * MINUTE).opened == 3
    assert stakes.at(0).opened == 1  # a clock that went back opens nothing
    whole = stakes.at(5 + 48 * 60 * MINUTE)
    assert whole.opened == 97
    assert whole.rest == pytest.approx(0.1 * 48 / 97)
    assert whole.evidence == pytest.approx(1)
    month = whole.at(5 + 30 * 24 * 60 * MINUTE)
    assert 0 < month.rest < 0.01
    assert month.evidence == pytest.approx(1)
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
                cell._replace(account=f"{cell.account}-{n}") for cell in one.touched for n in range(1000)
            ),
            expected=1000 * one.expected,
        )
        for one in (case.healthy[0], case.healthy[-1])
    ]
    began = time.process_time()
    list(run(case.judge, case.check, wide))
    assert time.process_time() - began < 2
    assert altered(wide, lambda cell: cell)[0] == wide[0]


def test_a_judge_that_compares_with_before_says_when_there_is_none() -> None:
    few = before(a=(4.0, 30.0))[:2]
    for judge, check in ((BecomesEmpty(), EMPTY), (BeforeVsAfter(), OWN)):
        assert last(judge, check, few).needs_before
    assert not last(BecomesEmpty(), EMPTY, before(a=(4.0, 30.0))).needs_before
