"""Recorded series through the panel: looks, cohorts, baseline and the outcome."""

import json
import random
from dataclasses import replace

import pytest

from ringctl.bootstrap import Judges
from ringctl.core.errors import UsageError
from ringctl.core.policy import Count, Counter, FailIf
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.engine import backtest
from ringctl.engine.backtest import Grid, Look, Outcome, alphas_of, recordable, run
from ringctl.engine.power import plan_minutes
from ringctl.engine.recorded import Recording, Row, parse
from tests.gates.checks import DURATION, EMPTY, ERRORS

CANARY = ("c1", "c2", "c3")
CONTROL = tuple(f"k{one}" for one in range(8))


def line(t, account, n, y, check="errors", **more):
    cohort = "canary" if account in CANARY else "control"
    return {"t": t, "account": account, "cohort": cohort, "check": check, "n": n, "y": y, **more}


def series(minutes=120, *, harm=1, start=1, skip=()):
    """20 answers a minute and account, of which one in 20 is bad; the canary's `harm` times as many."""
    return [
        line(
            t,
            one,
            20,
            (harm if one in CANARY else 1) if (t + place) % 2 else harm - 1 if one in CANARY else 0,
        )
        for t in range(start, start + minutes)
        for place, one in enumerate(CANARY + CONTROL)
        if (t, one) not in skip
    ]


def judged(items, *, checks=None, baseline=None):
    checks = checks or {"errors": ERRORS}
    recording = parse([json.dumps(one) for one in items], "s", checks)
    before = parse([json.dumps(one) for one in baseline], "b", checks) if baseline is not None else None
    *looks, outcome = run(checks, Judges(), alphas_of(checks), recording, before)
    assert isinstance(outcome, Outcome)
    return [one for one in looks if isinstance(one, Look)], outcome


def test_a_healthy_series_passes_and_says_since_when() -> None:
    looks, outcome = judged(series())
    assert outcome.final is Verdict.PASS
    assert [one.t for one in looks] == list(range(1, 121))
    first = next(one.t for one in looks if one.judgement.verdict is Verdict.PASS)
    assert outcome.at is not None
    assert first <= outcome.at <= 120


def test_a_harmful_series_fails_and_stays_failed() -> None:
    looks, outcome = judged(series(harm=8))
    assert outcome.final is Verdict.FAIL
    failed = [one.t for one in looks if one.judgement.verdict is Verdict.FAIL]
    assert outcome.at == failed[0]
    assert failed == list(range(int(failed[0]), 121))


def test_any_order_gives_the_same_looks() -> None:
    items = series(60, harm=3)
    mixed = items + items[:200]
    random.Random(1).shuffle(mixed)
    one, other = judged(items), judged(mixed)
    assert [look.record() for look in one[0]] == [look.record() for look in other[0]]
    assert one[1].at == other[1].at


def test_what_is_missing_is_named_and_does_not_pass() -> None:
    looks, outcome = judged(series(skip={(120, "c2")}))
    assert looks[-1].record()["missing"] == ["c2"]
    dark = [one for one in series() if one["t"] < 100 or one["account"] not in CANARY]
    looks, outcome = judged(dark)
    assert (outcome.final, outcome.at) == (Verdict.INCONCLUSIVE, None)
    gap = [one for one in series() if not 50 <= one["t"] < 60]
    looks, _ = judged(gap)
    assert len(looks) == 120
    assert looks[54].record()["missing"] == list(CANARY)


def test_nothing_recorded_is_inconclusive() -> None:
    looks, outcome = judged([])
    assert (looks, outcome.final) == ([], Verdict.INCONCLUSIVE)
    only = [one for one in series() if one["account"] in CONTROL]
    assert judged(only)[1].final is Verdict.INCONCLUSIVE


def test_an_account_that_moves_from_control_to_canary_is_touched_from_then_on() -> None:
    items = [
        {**one, "cohort": "control" if one["account"] == "c3" and one["t"] <= 60 else one["cohort"]}
        for one in series(200)
    ]
    recording = parse([json.dumps(one) for one in items], "s", {"errors": ERRORS})
    who = backtest.cohorts(recording)
    assert who.begun == {"c1": 0, "c2": 0, "c3": 60}
    assert who.done == 60
    looks, outcome = judged(items)
    assert outcome.final is Verdict.PASS
    assert all(one.judgement.verdict is not Verdict.PASS for one in looks if one.t <= 60)


def test_events_say_when_work_began_and_ended() -> None:
    events = [{"t": 10, "account": one, "event": "start"} for one in CANARY]
    events += [{"t": 90, "account": one, "event": "done"} for one in CANARY]
    looks, outcome = judged([*series(200), *events])
    assert outcome.final is Verdict.PASS
    assert min(one.t for one in looks if one.judgement.verdict is Verdict.PASS) > 90


def test_a_baseline_is_learnt_and_moved_before_the_series() -> None:
    before = [line(60 * hour, one, 1200, 30) for hour in range(1, 49) for one in CANARY + CONTROL]
    looks, outcome = judged(series(60), baseline=before)
    assert outcome.learnt["errors"].source == "history"
    assert outcome.learnt["errors"].hours == 48
    early = [{**one, "t": one["t"] - 5000} for one in before]
    again, _ = judged(series(60), baseline=early)
    assert [one.record()["e"] for one in looks] == [one.record()["e"] for one in again]


def test_a_value_that_becomes_empty_fails_by_one_account() -> None:
    checks = {"answers": EMPTY}

    def at(t, one, rows):
        return line(t, one, 5, rows, check="answers")

    before = [at(t, one, 40) for t in range(1, 41) for one in CANARY]
    after = [at(t, one, 0 if one == "c2" and t > 10 else 40) for t in range(1, 41) for one in CANARY]
    looks, outcome = judged(after, checks=checks, baseline=before)
    assert outcome.final is Verdict.FAIL
    assert 11 <= (outcome.at or 0) <= 13
    failed = next(one for one in looks if one.judgement.verdict is Verdict.FAIL)
    assert failed.record()["worst"] == ["c2"]


def test_a_count_that_falls_away_fails() -> None:
    requests = replace(
        ERRORS, name="requests", measure=Count(of=Counter(name="r")), fail_if=FailIf(decrease=0.5)
    )

    def at(t, one, y):
        return {"t": t, "account": one, "cohort": "canary" if one in CANARY else "control", "y": y}

    before = [at(60 * hour, one, 1200 + 10 * (hour % 3)) for hour in range(1, 49) for one in CANARY + CONTROL]
    after = [at(t, one, 4 if one in CANARY else 20) for t in range(1, 61) for one in CANARY + CONTROL]
    assert judged(after, checks={"requests": requests}, baseline=before)[1].final is Verdict.FAIL


def test_lines_between_looks_are_summed() -> None:
    slow = replace(ERRORS, every_us=5 * 60_000_000)
    looks, _ = judged(series(60), checks={"errors": slow})
    assert [one.t for one in looks] == list(range(5, 65, 5))


def test_levels_are_shared_out_by_weight_and_steps_cannot_be_recorded() -> None:
    other = replace(ERRORS, name="other", weight=3.0)
    assert alphas_of({"errors": ERRORS, "other": other}) == {"errors": 0.0025, "other": 0.0075}
    assert list(recordable({"errors": ERRORS, "steps": DURATION})) == ["errors"]


def test_a_change_inside_an_interval_is_neither_before_nor_after() -> None:
    slow = replace(ERRORS, every_us=5 * MINUTE)
    items = [{**one, "cohort": "control" if one["t"] <= 7 else one["cohort"]} for one in series(20)]
    recording = parse([json.dumps(one) for one in items], "s", {"errors": slow})
    who = backtest.cohorts(recording)
    assert set(who.begun.values()) == {7}
    grid = Grid.of(recording, slow, who)
    assert [one.after for one in grid.evidence(5).touched] == [False] * 3
    assert grid.evidence(10).touched == ()
    assert [(one.after, one.n) for one in grid.evidence(15).touched] == [(True, 100)] * 3
    assert grid.evidence(15).complete


def test_null_is_no_line() -> None:
    gone = {(50, "c1"), (51, "k1"), (52, "c2")}
    without = judged(series(skip=gone))
    null = judged([{**one, "y": None} if (one["t"], one["account"]) in gone else one for one in series()])
    assert [one.record() for one in without[0]] == [one.record() for one in null[0]]


def test_an_account_that_falls_silent_keeps_the_gate_from_passing() -> None:
    names = tuple(f"c{one}" for one in range(10))

    def items(skip):
        return [
            {**line(t, one, 20, (t + place) % 2), "cohort": "canary" if one in names else "control"}
            for t in range(1, 121)
            for place, one in enumerate((*names, *CONTROL))
            if not (skip and one == "c7" and t > 100)
        ]

    assert judged(items(skip=False))[1].final is Verdict.PASS
    looks, outcome = judged(
        items(skip=True)
    )  # nine of ten answer: a quorum, but not of those that were there
    assert outcome.final is Verdict.INCONCLUSIVE
    assert "c7 had data and has been absent for 20 looks" in looks[-1].judgement.reason


WAVE = tuple(f"c{one}" for one in range(10))  # nine of ten are a quorum


def recorded(minutes, *, without=(), null=()):
    return [
        {
            **line(t, one, 20, None if one in null else (t + place) % 2),
            "cohort": "canary" if one in WAVE else "control",
        }
        for t in range(1, minutes + 1)
        for place, one in enumerate((*WAVE, *CONTROL))
        if one not in without
    ]


@pytest.mark.parametrize("bake", [{"without": ("c7",)}, {"null": ("c7",)}])
def test_an_account_with_a_baseline_and_no_number_in_the_bake_keeps_it_from_passing(bake) -> None:
    looks, outcome = judged(recorded(120, **bake), baseline=recorded(120))
    assert (outcome.final, looks[-1].record()["missing"]) == (Verdict.INCONCLUSIVE, ["c7"])
    assert "c7 had data and has been absent for 120 looks" in looks[-1].judgement.reason
    named = [look.t for look in looks if "c7 had data" in look.judgement.reason]
    assert named[0] == 3


def test_an_account_that_the_baseline_has_only_null_of_was_never_there() -> None:
    looks, outcome = judged(recorded(120, null=("c7",)), baseline=recorded(120, null=("c7",)))
    assert outcome.final is Verdict.PASS
    assert not any("had data" in look.judgement.reason for look in looks)


def test_a_canary_that_only_the_baseline_knows_is_expected() -> None:
    before = [line(t, one, 20, t % 2) for t in range(1, 61) for one in (*CANARY, "c9", *CONTROL)]
    before = [{**one, "cohort": "canary"} if one["account"] == "c9" else one for one in before]
    looks, outcome = judged(series(), baseline=before)
    assert looks[-1].record()["missing"] == ["c9"]
    assert outcome.final is Verdict.INCONCLUSIVE


def test_work_that_never_ended_never_passes() -> None:
    ended = [{"t": 5, "account": one, "event": "done"} for one in CANARY]
    assert judged([*series(), *ended])[1].final is Verdict.PASS
    assert judged([*series(), *ended[:2]])[1].final is Verdict.INCONCLUSIVE


def test_started_without_any_line_is_missing() -> None:
    looks, outcome = judged([*series(), {"t": 3, "account": "c5", "event": "start"}])
    assert looks[-1].record()["missing"] == ["c5"]
    assert outcome.final is Verdict.INCONCLUSIVE


def test_a_check_whose_lines_end_early_does_not_pass() -> None:
    other = replace(ERRORS, name="other")
    items = [{**one, "check": "other"} for one in series(60)] + series(120)
    looks, outcome = judged(items, checks={"errors": ERRORS, "other": other})
    assert [one.t for one in looks if one.check == "other"] == list(range(1, 121))
    assert outcome.final is Verdict.INCONCLUSIVE
    only = judged(series(120), checks={"errors": ERRORS, "other": other})
    assert len([one for one in only[0] if one.check == "other"]) == 120
    assert only[1].final is Verdict.INCONCLUSIVE


def test_coarse_lines_are_looked_at_as_often_as_they_come() -> None:
    items = [{**one, "t": 5 * one["t"]} for one in series(24)]
    looks, _ = judged(items)
    assert [one.t for one in looks] == list(range(5, 125, 5))
    assert looks[-1].record()["missing"] == []


def test_rounded_times_of_a_day_of_seconds_do_not_drift() -> None:
    second = replace(ERRORS, every_us=MINUTE // 60)
    times = [round(one / 60, 6) for one in range(1, 86_401)]
    rows = [Row(t, "c1", "canary", "errors", 1.0, 0.0) for t in times]
    recording = Recording(rows=rows)
    grid = Grid.of(recording, second, backtest.cohorts(recording))
    assert grid.looks == 86_400
    assert all(len(grid.sums[number]) == 1 for number in range(1, 86_401))
    assert {row["c1"][0] for row in grid.sums.values()} == {1.0}


def test_minutes_of_a_count_are_those_that_have_a_line() -> None:
    requests = replace(ERRORS, measure=Count(of=Counter(name="r")), every_us=5 * MINUTE)
    items = [
        {"t": t, "account": "c1", "cohort": "canary", "check": "errors", "y": 7}
        for t in range(1, 11)
        if t not in {3, 4}
    ]
    recording = parse([json.dumps(one) for one in items], "s", {"errors": requests})
    grid = Grid.of(recording, requests, backtest.cohorts(recording))
    assert [grid.evidence(t).touched[0][1:3] for t in (5, 10)] == [(3, 21), (5, 35)]


def test_a_series_without_end_is_refused() -> None:
    far = [line(t, one, 20, 1) for t in (1, 2, 3, 9_000_000) for one in CANARY + CONTROL]
    with pytest.raises(UsageError, match="looks at errors"):
        judged(far)


def planned(items, *, check=ERRORS, baseline=None):
    checks = {"errors": check}
    _, outcome = judged(items, checks=checks, baseline=baseline)
    at_level = replace(check, false_alarm=alphas_of(checks)["errors"])
    return plan_minutes(at_level, outcome.learnt["errors"], outcome.paces["errors"])


def test_a_plan_without_a_baseline_is_at_the_rates_of_the_recording() -> None:
    healthy = planned(series())
    assert healthy[1] == "control"
    assert healthy[0] is not None
    assert 5 < healthy[0] < 200
    assert planned(series(harm=8)) == healthy, "the harm in the canary's own lines says nothing of its rate"
    fewer = [one for one in series() if one["account"] not in CANARY[1:]]
    alone = planned(fewer)
    assert alone[0] is None or alone[0] > healthy[0]
    before = [{**one, "cohort": "control"} if one["t"] <= 60 else one for one in series(120)]
    minutes, source = planned(before)
    assert source == "baseline"
    assert minutes is not None
    own = replace(ERRORS, compare="before-vs-after")
    kept = [one for one in before if one["account"] in CANARY]
    assert planned(kept, check=own)[1] == "baseline"
    assert planned([one for one in series() if one["account"] in CANARY], check=own) == (None, "")


def test_a_plan_says_when_nothing_is_known_and_when_harm_is_never_seen() -> None:
    assert planned([]) == (None, "")
    quiet = [{**one, "y": 0} for one in series()]
    assert planned(quiet) == (None, "")
    alike = replace(ERRORS, alike=True)
    assert (planned(series(), check=alike)[0] or 0) <= (planned(series())[0] or 0)
    own = replace(ERRORS, compare="before-vs-after", baseline_us=MINUTE)
    rare = [{**one, "y": int(one["t"] == 60 and one["account"] in CONTROL)} for one in series()]
    assert planned(rare, check=own) == (None, "control")


def test_lines_that_are_not_put_in_order_would_be_noticed() -> None:
    """The test of any order can fail: the same rows, unsorted, give other looks."""
    items = series(60, harm=3)
    recording = parse([json.dumps(one) for one in items], "s", {"errors": ERRORS})
    mixed = Recording(rows=list(recording.rows))
    random.Random(1).shuffle(mixed.rows)
    checks = {"errors": ERRORS}
    good, bad = (
        [one.record() for one in run(checks, Judges(), alphas_of(checks), one) if isinstance(one, Look)]
        for one in (recording, mixed)
    )
    assert good != bad
