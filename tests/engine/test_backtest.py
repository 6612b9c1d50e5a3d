"""Recorded series through the panel: looks, cohorts, baseline and the outcome."""

import json
import random
from dataclasses import replace

from ringctl.bootstrap import Judges
from ringctl.core.policy import Count, Counter, FailIf
from ringctl.core.states import Verdict
from ringctl.engine import backtest
from ringctl.engine.backtest import Look, Outcome, alphas_of, recordable, run
from ringctl.engine.recorded import parse
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
    who = backtest.cohorts(recording, 1.0)
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
    assert [one.t for one in looks] == [1, 6, 11, 16, 21, 26, 31, 36, 41, 46, 51, 56, 61]


def test_levels_are_shared_out_by_weight_and_steps_cannot_be_recorded() -> None:
    other = replace(ERRORS, name="other", weight=3.0)
    assert alphas_of({"errors": ERRORS, "other": other}) == {"errors": 0.0025, "other": 0.0075}
    assert list(recordable({"errors": ERRORS, "steps": DURATION})) == ["errors"]
