"""What an account would count if nothing were wrong, and how well that is known."""

import random
from dataclasses import replace

import pytest

from ringctl.core.judging import Cell
from ringctl.core.learning import HISTORY, Learnt, Past, fold, learnt
from ringctl.core.policy import Count, Counter
from ringctl.core.timing import HOUR
from ringctl.gates.exposure import (
    LEAST_CV2,
    MOST_APART,
    TAU,
    Rates,
    apart,
    counted,
    dispersion,
    uncertainty,
    with_bursts,
)
from ringctl.gates.scatter import UNLEARNT_PHI
from tests.gates.checks import ERRORS
from tests.gates.draws import poisson
from tests.gates.looks import look


def known(hours: int = 1, **rows: tuple[float, float]) -> Learnt:
    cells = [Past((at + 1) * HOUR, name, n, y, 60.0) for at in range(hours) for name, (n, y) in rows.items()]
    return learnt(fold({}, cells, {"a": None}, HISTORY))


def test_an_account_with_a_short_past_is_pulled_towards_the_others_the_more_the_less_accounts_differ() -> (
    None
):
    one = known(a=(100.0, 8.0), b=(100.0, 0.0), c=(1000.0, 40.0))
    p = 48 / 1200
    for k, phi in ((1.0, 1.0), (16.0, 1.0), (4.0, 4.0)):
        rates = Rates(ERRORS, one, pseudo=k, phi=phi)
        assert rates.expected("a", 50) == pytest.approx(50 * p * (8 / phi + k) / (100 * p / phi + k))
    assert Rates(ERRORS, one, pseudo=1e9).expected("a", 50) == pytest.approx(50 * p)
    assert Rates(ERRORS, one).expected("new", 50) == pytest.approx(50 * p)
    plain = replace(ERRORS, measure=Count(of=Counter(name="x")))
    assert Rates(plain, one).expected("new", 1) is None


def test_how_well_a_group_is_known_is_the_weighted_mean_of_its_accounts() -> None:
    one = known(a=(100.0, 8.0), b=(100.0, 0.0), c=(1000.0, 40.0))
    rates = Rates(ERRORS, one, pseudo=2.0)
    counts = {"a": (30.0, 0.0), "new": (10.0, 0.0)}
    assert rates.doubt(counts, 1.0) == pytest.approx(0.75**2 / (8 + 2) + 0.25**2 / 2)
    assert rates.noise("a") == pytest.approx(8 / 100)
    assert rates.noise("b") == rates.noise("new") == 0
    alike = Rates(replace(ERRORS, alike=True), one)
    assert alike.doubt(counts, 1.0) == alike.noise("a") == 0


@pytest.mark.parametrize("cv2", [0.0, 0.3, 1.5])
def test_how_far_accounts_differ_is_found_and_rather_too_large(cv2: float) -> None:
    found = []
    for seed in range(40):
        rng = random.Random(seed)
        rates = [rng.gammavariate(1 / cv2, cv2) if cv2 else 1.0 for _ in range(100)]
        found.append(apart([(1000.0, float(poisson(rng, 20 * one))) for one in rates], 1.0))
    assert sum(one >= cv2 for one in found) >= 24
    assert sorted(found)[20] <= 1.4 * cv2 + 0.03


def test_few_events_or_accounts_say_nothing() -> None:
    assert apart([], 1.0) == apart([(10.0, 0.0)] * 9, 1.0) == apart([(10.0, 1.0)] * 2, 1.0) == MOST_APART
    assert apart([(10.0, 1.0)] * 3, 1.0) <= MOST_APART
    assert apart([(1e9, 1e9)] * 1000, 1.0) >= LEAST_CV2


def test_only_what_is_known_counts() -> None:
    rates = Rates(ERRORS, known(a=(100.0, 8.0)))
    cells = [Cell("a", None, 1.0, True), Cell("b", 2.0, None, True), Cell("c", 0.0, 0.0, True)]
    assert counted(cells, rates, after=True) == {}
    assert list(counted([*cells, Cell("d", 5.0, 1.0, False)], rates, after=False)) == ["d"]


def test_days_of_past_say_enough_and_hours_do_not() -> None:
    days = known(48, a=(100.0, 3.0), b=(100.0, 3.0))
    assert (days.settled, dispersion(days, {})) == (True, 1.0)
    hours = known(47, a=(100.0, 3.0), b=(100.0, 3.0))
    assert (hours.settled, dispersion(hours, {})) == (False, UNLEARNT_PHI)


def test_of_groups_only_the_sums_may_be_known() -> None:
    one = known(48, a=(100.0, 3.0), b=(100.0, 3.0))
    v = 2 * (1 / 10 + 1 / 100)
    assert uncertainty(ERRORS, one, (9.0, 99.0), 2.0) == pytest.approx((v / (1 + v / TAU**2)) ** 0.5)
    assert uncertainty(replace(ERRORS, alike=True), one, (9.0, 99.0), 2.0) == 0
    assert uncertainty(ERRORS, Learnt(), (9.0, 99.0), 2.0) == TAU


def test_where_days_are_known_nobody_else_is_asked() -> None:
    seen = look(1, {"a": (50.0, 1.0)}, control=3)
    days = replace(seen, learnt=known(48, a=(100.0, 3.0), b=(100.0, 3.0)))
    assert with_bursts(ERRORS, {"kept": 1}, days) == {"kept": 1}
    assert "bursts" in with_bursts(ERRORS, {"kept": 1}, seen)
