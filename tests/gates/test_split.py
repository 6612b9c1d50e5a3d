"""Counts against control, at their edges."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ringctl.core import panel
from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.learning import Past
from ringctl.core.policy import Check, Count, Counter, FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE
from ringctl.gates import absence, evidence, split
from ringctl.gates.asked import directions
from ringctl.gates.split import Split
from ringctl.testing.judge_suite import Case, Story, conform, stream, verdicts
from tests.gates.checks import CASES, ERRORS, case
from tests.gates.draws import poisson
from tests.gates.looks import Pair, last, look

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
REQUESTS = replace(
    ERRORS,
    measure=Count(of=Counter(name="http_requests_total")),
    fail_if=FailIf(decrease=0.5),
    min_samples=20,
)
FLAG_OFF = replace(ERRORS, compare="unchanged")


def canary(pairs: tuple[Pair, ...], *, looks: int = 20, control: int = 8, check: Check = ERRORS) -> Judgement:
    early = [
        look(one, {"a": (50, 0.5), "b": (50, 0.5), "c": (50, 0.5)}, after=False, control=control)
        for one in range(10)
    ]
    touched = dict(zip("abc", pairs, strict=False))
    late = [look(10 + one, touched, control=control) for one in range(looks)]
    return last(Split(), check, early + late)


def test_one_bad_account_of_three_is_not_enough_to_fail_nor_to_pass() -> None:
    judgement = canary(((50, 25), (50, 0.5), (50, 0.5)))
    assert judgement.verdict is OPEN
    assert judgement.worst[0] == "a"
    assert "one account alone does not fail" in judgement.reason
    assert canary(((50, 25), (50, 25), (50, 0.5))).verdict is FAIL


def test_the_only_account_touched_so_far_may_fail_by_itself_on_ten_times_the_evidence() -> None:
    assert canary(((50, 25),)).verdict is FAIL
    harm = canary(((50, 2.6),), looks=7)
    assert harm.verdict is OPEN
    assert float(str(harm.numbers["e"])) < 10 / ERRORS.false_alarm


def test_harm_that_is_over_before_it_could_fail_does_not_fail_later() -> None:
    early = [
        look(n, {"a": (50, 0.5), "b": (50, 0.5), "c": (50, 0.5)}, after=False, control=8) for n in range(10)
    ]
    harm = [look(10 + n, {"a": (50, 40), "b": (50, 0.5), "c": (50, 0.5)}, control=8) for n in range(20)]
    well = [look(40 + n, {"a": (50, 0), "b": (50, 0), "c": (50, 0)}, control=8) for n in range(700)]
    state: JudgeState = {}
    reasons = set()
    for one in [*early, *harm, *well]:
        state, judgement = panel.look(ERRORS, {"split": Split()}, state, one, alpha=0.01)
        assert judgement.verdict is not FAIL
        reasons.add(judgement.reason)
    assert "evidence of harm, but none of late" in reasons


def test_harm_spread_thin_over_many_accounts_fails_though_none_is_clearly_worse() -> None:
    early = [look(n, {f"c{one}": (20, 0.2) for one in range(60)}, after=False, control=8) for n in range(10)]
    late = [look(20 + n, {f"c{one}": (20, 0.5) for one in range(60)}, control=8) for n in range(20)]
    judgement = last(Split(), ERRORS, early + late)
    assert (judgement.verdict, judgement.numbers["worse"]) == (FAIL, 0)


def test_a_rise_below_the_harm_asked_for_neither_fails_nor_is_hidden() -> None:
    assert canary(((500, 6), (500, 6), (500, 6)), looks=500).verdict is PASS  # 1.2 times: below harm
    judgement = canary(((50, 1.2), (50, 1.2), (50, 1.2)), looks=12)
    assert judgement.verdict is OPEN  # 2.4 times so far, not certain
    assert "not ruled out" in judgement.reason


def test_samples_and_control_must_suffice() -> None:
    good: tuple[Pair, ...] = ((1, 0), (1, 0), (1, 0))
    assert "samples of the canary" in canary(good, looks=10).reason
    looks = list(CASES["split"].healthy)
    quiet = replace(
        looks[-1],
        control=tuple(Cell(account=c.account, n=None, y=None, after=False) for c in looks[-1].control),
    )
    judgement = last(Split(), ERRORS, [*looks, quiet])
    assert (judgement.verdict, "0 control accounts report" in judgement.reason) == (OPEN, True)


def test_no_event_at_all_on_either_side_passes_after_the_samples_asked_for() -> None:
    looks = [look(n, {"a": (50, 0), "b": (50, 0)}, after=n > 4) for n in range(5 + 3)]
    clean = [
        replace(one, control=tuple(Cell(f"k{k}", 50.0, 0.0, after=False) for k in range(8))) for one in looks
    ]
    judgement = last(Split(), ERRORS, clean)
    assert judgement.verdict is PASS
    assert "no event at all" in judgement.reason
    assert last(Split(), replace(ERRORS, min_samples=1000), clean).verdict is OPEN


def test_the_demo_is_caught_within_a_few_looks() -> None:
    """3 canary accounts, 2 to 10 requests/s each, 1 % errors, harm 30 %: a look a second."""
    story = Story(before=6, running=10, done=0)
    looks = stream(story, accounts=3, control=20, before=(4.0, 0.04), after=(4.0, 1.2))
    found = verdicts(Split(), replace(ERRORS, min_samples=20), looks)
    assert found.index(FAIL) <= 6 + 6
    story = Story(before=10, running=20, done=0)
    looks = stream(story, accounts=3, control=0, before=(5.0, 0.05), after=(5.0, 1.5))
    found = verdicts(Split(), replace(ERRORS, min_samples=20), looks)
    assert found.index(FAIL) <= 10 + 5


def test_directions() -> None:
    assert directions(ERRORS) == (2.0,)
    assert directions(REQUESTS) == (0.5,)
    assert directions(replace(ERRORS, fail_if=FailIf(increase=1.0, decrease=0.5))) == (2.0, 0.5)
    assert directions(FLAG_OFF) == (2.0, 0.5)
    assert directions(replace(ERRORS, fail_if=FailIf())) == ()


@pytest.mark.bakes
@pytest.mark.parametrize("times", [4.0, 0.2])
def test_a_flag_that_is_off_must_change_nothing_either_way(times: float) -> None:
    conform(case(Split(), FLAG_OFF, (50.0, 2.0), (50.0, 2.0 * times)))


@pytest.mark.bakes
def test_traffic_that_falls_away_fails_and_a_shared_lull_does_not() -> None:
    story = Story(before=30, running=2, done=80, every_us=MINUTE)

    def looks(canary_rate: float, control_rate: float) -> tuple[Evidence, ...]:
        made = stream(story, accounts=3, control=8, before=(1.0, 20.0), after=(1.0, canary_rate))
        return tuple(
            replace(
                one,
                control=tuple(c._replace(y=control_rate if number >= 30 else 20.0) for c in one.control),
            )
            for number, one in enumerate(made)
        )

    conform(Case(judge=Split(), check=REQUESTS, healthy=looks(20.0, 20.0), harmful=looks(2.0, 20.0)))
    assert FAIL not in verdicts(Split(), REQUESTS, looks(2.0, 2.0))


def test_accounts_of_unequal_rate_that_are_begun_one_after_another_are_no_harm() -> None:
    """a0 errs ten times as often as the others, always did, and goes first."""
    rates = {"a0": 5.0, "a1": 0.5, "a2": 0.5, **{f"k{one}": 0.5 for one in range(8)}}

    def cells(names: list[str], hour: int) -> list[Past]:
        return [Past(hour * HOUR, one, 3000.0, 60 * rates[one], 60.0) for one in names]

    def ends(known: bool) -> Verdict:
        state: JudgeState = {}
        touched: Mapping[str, int | None] = {"a0": 24 * HOUR, "a1": None, "a2": None}
        if known:
            past = [one for hour in range(1, 25) for one in cells(sorted(rates), hour)]
            state = panel.feed({}, past, touched)
        verdict = Verdict.INCONCLUSIVE
        for minute in range(1, 120):
            seen = Evidence(
                at_us=24 * HOUR + minute * MINUTE,
                interval_us=MINUTE,
                touched=(Cell("a0", 50.0, rates["a0"], after=True),),
                control=tuple(Cell(one, 50.0, rates[one], after=False) for one in rates if one[0] == "k"),
                expected=3,
                intents=touched,
            )
            state, judgement = panel.look(ERRORS, {"split": Split()}, state, seen, alpha=0.01)
            verdict = judgement.verdict
        return verdict

    assert ends(known=True) is OPEN
    assert ends(known=False) is FAIL


def judged_by(judgement: Judgement) -> object:
    """Who of the two that the judge stands for spoke."""
    each = judgement.numbers["judges"]
    assert isinstance(each, dict)
    return each["split"]["judge"]


def test_a_control_that_vanishes_hands_the_evidence_on() -> None:
    early = [look(n, {"a": (50, 0.5), "b": (50, 0.5)}, after=False, control=8) for n in range(60)]
    half = [look(60 + n, {"a": (50, 1.3), "b": (50, 1.3)}, control=8) for n in range(6)]
    rest = [look(66 + n, {"a": (50, 2.5), "b": (50, 2.5)}, control=2) for n in range(40)]
    state: JudgeState = {}
    levels, e, verdict = [], 1.0, OPEN
    for one in [*early, *half, *rest]:
        state, judgement = panel.look(ERRORS, {"split": Split()}, state, one, alpha=0.01)
        verdict = judgement.verdict
        if len(one.control) > 2:
            assert judged_by(judgement) == "split"
            e = float(str(judgement.numbers["e"]))
        else:
            assert judged_by(judgement) == "before-vs-after"
            levels.append(float(str(judgement.numbers["level"])))
    assert e > 1.2
    assert levels == [pytest.approx(100 / e)] * 40, "what is left of control adds nothing to its evidence"
    assert verdict is FAIL
    fixed = replace(ERRORS, without_control="threshold", fail_if=FailIf(increase=1.0, above=0.02))
    assert last(Split(), fixed, [*early, *rest]).verdict is FAIL


def test_a_count_says_nothing_of_accounts_without_a_past() -> None:
    strangers = [look(n, {"a": (1, 20), "b": (1, 20)}, control=8) for n in range(30)]
    judgement = last(Split(), REQUESTS, strangers)
    assert (judgement.verdict, judgement.numbers["canary"]) == (OPEN, [0.0, 0.0])
    early = [look(n, {"a": (1, 20)}, after=False, control=8) for n in range(30)]
    joined = [look(40 + n, {"a": (1, 20), "b": (1, 20)}, control=8) for n in range(5)]
    known = last(Split(), REQUESTS, [*early, *joined]).numbers["canary"]
    assert isinstance(known, list)
    assert known[0] == 100.0


def test_shares_of_a_stake_lean_towards_the_harm_asked_about() -> None:
    shares = evidence.leaning((1.5, 2.0, 3.0, 100.0), 2.0)
    assert sum(shares) == pytest.approx(1)
    assert shares.index(max(shares)) == 1
    assert evidence.grid_down(0.5) == (0.65, 0.5, 0.25, 0.1, 0.01)
    assert evidence.grid_down(1.99) == (0.01,)


def test_absence_grows_on_events_of_control_and_shrinks_on_those_of_the_canary() -> None:
    start = [0.0, 0.0]
    assert absence.evidence(start) == 1
    assert absence.evidence(absence.added(start, 2.0, 0.5, 0, 20)) > 20
    assert absence.evidence(absence.added(start, 2.0, 0.5, 20, 0)) < 0.05
    assert absence.evidence(absence.added(start, 0.5, 0.5, 20, 20)) > 1
    assert absence.evidence([-1e9, -1e9]) == math.exp(-absence.MOST)
    assert absence.evidence([3.0, 3.0], 3.0) == pytest.approx(math.e)


def noisy(seed: int, *, looks: int, broken: float = 0.01, many: int = 10) -> list[Evidence]:
    """Accounts with 1 % bad of 10 answers a minute, one of them with more from minute 60 on; three days of past are
    given by `judged`."""
    rng = random.Random(seed)
    names = [f"c{one}" for one in range(many)]

    def cells(which: list[str], at: int, *, after: bool) -> tuple[Cell, ...]:
        rate = {"c0": broken if at > 60 else 0.01}
        return tuple(Cell(one, 10.0, float(poisson(rng, 10 * rate.get(one, 0.01))), after) for one in which)

    return [
        Evidence(
            at_us=DAYS + at * MINUTE,
            interval_us=MINUTE,
            touched=cells(names, at, after=True),
            control=cells([f"k{one}" for one in range(30)], at, after=False),
            expected=many,
            complete=True,
            intents=dict.fromkeys(names, DAYS),
        )
        for at in range(1, looks)
    ]


DAYS = 72 * HOUR
NAMES = [*(f"c{one}" for one in range(10)), *(f"k{one}" for one in range(30))]


def judged(check: Check, looks: list[Evidence], past: list[Past] | None = None) -> list[Judgement]:
    hours = [Past((at + 1) * HOUR, one, 600.0, 6.0, 60.0) for at in range(72) for one in NAMES]
    state: JudgeState = panel.feed({}, hours if past is None else past, dict.fromkeys(NAMES[:10]))
    found = []
    for one in looks:
        state, judgement = panel.look(check, {"split": Split()}, state, one, alpha=0.01)
        found.append(judgement)
    return found


@pytest.mark.bakes
def test_one_broken_account_among_others_that_are_as_noisy_as_ever_fails_nothing_for_hours() -> None:
    """The others need evidence of their own: at 5 % a look, one of nine would be out by chance in no time."""
    rung = sum(judged(ERRORS, noisy(seed, looks=260, broken=0.3))[-1].verdict is FAIL for seed in range(8))
    assert rung <= 1


def test_nothing_passes_on_the_eve_of_a_fail() -> None:
    """Two hours of health are strong evidence of absence; harm that has begun must not pass on them."""
    looks = noisy(3, looks=200)
    worse = [
        replace(one, touched=tuple(cell._replace(y=(cell.y or 0.0) + 0.3) for cell in one.touched))
        if place >= 120 else one
        for place, one in enumerate(looks)
    ]  # fmt: skip
    found = judged(ERRORS, worse)
    assert found[119].verdict is PASS
    fail = next(place for place, one in enumerate(found) if one.verdict is FAIL)
    suspect = [one for one in found[120:fail] if float(str(one.numbers["e"])) >= 20]
    assert suspect
    assert not any(one.verdict is PASS for one in suspect)


def traffic(number: int, y: float, *, after: bool, control: int) -> Evidence:
    """Three accounts that did so many requests in a look of a minute, control one half."""
    seen = look(number, dict.fromkeys("abc", (1.0, y)), after=after, control=control)
    return replace(seen, control=tuple(cell._replace(n=1.0) for cell in seen.control))


@pytest.mark.parametrize("control", [8, 0])
def test_a_fall_is_judged_where_a_rise_is_as_well(control: int) -> None:
    both = replace(REQUESTS, fail_if=FailIf(increase=1.0, decrease=0.5))
    early = [traffic(one, 0.5, after=False, control=control) for one in range(60)]
    looks = [*early, *(traffic(60 + one, 0.02, after=True, control=control) for one in range(90))]
    lone = [
        replace(one, touched=one.touched[:1], expected=1, intents={"a": one.intents["a"]}) for one in looks
    ]
    for check in (both, replace(both, fail_if=FailIf(decrease=0.5))):
        found = last(Split(), check, looks)
        assert (found.verdict, found.worst) == (FAIL, ("a", "b", "c"))
        assert last(Split(), check, lone).verdict is FAIL, "the only account, on ten times the evidence"


def test_a_history_that_comes_late_counts_from_then_on() -> None:
    looks = noisy(1, looks=5)
    hours = [Past((at + 1) * HOUR, one, 600.0, 6.0, 60.0) for at in range(72) for one in NAMES]
    state: JudgeState = {}
    state, first = panel.look(ERRORS, {"split": Split()}, state, looks[0], alpha=0.01)
    learnt = panel.feed({}, hours, dict.fromkeys(NAMES[:10]))
    state = {**state, "past": learnt["past"]}
    _, second = panel.look(ERRORS, {"split": Split()}, state, looks[1], alpha=0.01)
    assert float(str(second.numbers["margin"])) < 1.2 < float(str(first.numbers["margin"]))


def test_a_rare_event_of_the_past_does_not_hold_a_clean_release_for_ever() -> None:
    hours = [
        Past((at + 1) * HOUR, one, 60_000.0, float(one == "k3" and at == 7), 60.0)
        for at in range(72)
        for one in NAMES
    ]
    clean = [
        replace(one, touched=tuple(cell._replace(y=0.0) for cell in one.touched),
                control=tuple(cell._replace(y=0.0) for cell in one.control))
        for one in noisy(1, looks=400)
    ]  # fmt: skip
    found = judged(ERRORS, clean, hours)
    assert found[200].verdict is OPEN
    assert "29957 rule out 0.01%" in found[200].reason
    assert found[-1].verdict is PASS
    falls = judged(replace(REQUESTS, fail_if=FailIf(decrease=0.5)), clean, hours)
    assert falls[-1].verdict is OPEN, "no traffic at all is silence"


@pytest.mark.bakes
def test_accounts_of_which_little_is_known_are_not_held_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts differ by a factor of five. Three with a few events each do 1.75 times as many: luck explains it."""
    rates = {f"k{one}": 0.6 if one % 2 else 3.0 for one in range(30)} | dict.fromkeys(
        ("c0", "c1", "c2"), 0.06
    )
    hours = [Past((at + 1) * HOUR, one, 600.0, rate, 60.0) for at in range(72) for one, rate in rates.items()]

    def minute(at: int) -> Evidence:
        return Evidence(
            at_us=DAYS + at * MINUTE, interval_us=MINUTE,
            touched=tuple(Cell(one, 100.0, 0.0236, after=True) for one in rates if one[0] == "c"),
            control=tuple(Cell(one, 100.0, rate / 6, after=False) for one, rate in rates.items() if one[0] == "k"),
            expected=3, complete=True, intents=dict.fromkeys(("c0", "c1", "c2"), DAYS),
        )  # fmt: skip

    def ends() -> Verdict:
        return judged(ERRORS, [minute(at) for at in range(1, 1440)], hours)[-1].verdict

    assert ends() is not FAIL
    monkeypatch.setattr(split, "_lean", lambda check, se, harm: 0.0)
    assert ends() is FAIL


def test_cohorts_that_are_declared_alike_have_no_margin() -> None:
    looks = noisy(1, looks=5)
    assert judged(replace(ERRORS, alike=True), looks, [])[-1].numbers["margin"] == 1
    assert float(str(judged(ERRORS, looks, [])[-1].numbers["margin"])) > 1


def test_how_much_control_is_enough_is_for_the_policy_to_say() -> None:
    looks = [replace(one, control=one.control[:3], control_min=3) for one in noisy(1, looks=30)]
    assert judged_by(judged(ERRORS, looks)[-1]) == "split"
    assert judged_by(judged(ERRORS, [replace(one, control_min=4) for one in looks])[-1]) == "before-vs-after"
