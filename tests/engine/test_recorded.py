"""Recorded lines: what is read, what is missing, what is refused."""

import json
import random

import pytest

from ringctl.core.errors import InvalidInput
from ringctl.core.policy import Count, Counter, StepMeasure
from ringctl.engine.recorded import Event, Row, parse, read, spacing
from tests.gates.checks import EMPTY, ERRORS

REQUESTS = ERRORS.__class__(
    name="requests", source="p", measure=Count(of=Counter(name="r")), compare="x", fail_if=ERRORS.fail_if
)
STEPS = ERRORS.__class__(
    name="slow",
    source="steps",
    measure=StepMeasure(name="duration"),
    compare="threshold",
    fail_if=ERRORS.fail_if,
)
CHECKS = {"errors": ERRORS, "answers": EMPTY, "requests": REQUESTS, "slow": STEPS}
GOOD = {"t": 1, "account": "a", "cohort": "canary", "check": "errors", "n": 50, "y": 1}


def lines(*items):
    return [json.dumps(one) for one in items]


def rows(*items):
    return parse(lines(*items), "x", CHECKS).rows


def test_what_each_kind_of_check_reads() -> None:
    assert rows(GOOD) == [Row(1.0, "a", "canary", "errors", 50.0, 1.0)]
    value = {**GOOD, "check": "answers", "n": 4, "value": 2.5}
    assert rows(value)[0][4:] == (4.0, 10.0)
    del value["n"]
    assert rows(value)[0][4:] == (1.0, 2.5)
    assert rows({**GOOD, "check": "answers"})[0][4:] == (50.0, 1.0)
    count = {**GOOD, "check": "requests", "y": 7}
    del count["n"]
    assert rows(count)[0][4:] == (1.0, 7.0)


@pytest.mark.parametrize(
    "item",
    [
        {**GOOD, "n": None},
        {**GOOD, "y": None},
        {**GOOD, "y": float("nan")},
        {**GOOD, "n": float("inf")},
        {**GOOD, "check": "answers", "value": None},
        {**GOOD, "check": "answers", "value": float("nan")},
        {**GOOD, "check": "requests", "y": None},
        {**GOOD, "n": 1e308},
        {**GOOD, "n": 1e308, "y": 1e308},
        {**GOOD, "n": 10**400},
        {**GOOD, "n": 2.0**53 * 1.001},
        {**GOOD, "n": 1e-300, "y": 0},
        {**GOOD, "check": "requests", "y": 1e16},
        {**GOOD, "check": "answers", "value": 1e300},
        {**GOOD, "check": "answers", "value": 0, "n": 1e16},
        {**GOOD, "check": "answers", "value": 1e-300},
    ],
)
def test_null_and_not_a_number_are_missing(item) -> None:
    found = parse(lines(item), "x", CHECKS)
    assert found.rows[0][4:] == (None, None)
    assert bool(found.warnings) is (None not in item.values())


def test_numbers_within_bounds_are_read_and_the_first_line_beyond_them_is_named() -> None:
    assert rows({**GOOD, "n": 2.0**53, "y": 1e-9})[0][4:] == (2.0**53, 1e-9)
    assert rows({**GOOD, "check": "answers", "value": 1e100, "n": 2})[0][4:] == (2.0, 2e100)
    found = parse(lines(GOOD, {**GOOD, "t": 2, "n": 1e308}, {**GOOD, "t": 3, "y": 1e308}), "x", CHECKS)
    assert [row.n for row in found.rows] == [50.0, None, None]
    (said,) = found.warnings
    assert said.startswith(
        "x:2: 2 lines hold NaN or a number that none can be (at most 9.01e+15 events or 1e+100"
    )


def test_order_and_repetition_change_nothing_and_disagreement_is_missing() -> None:
    many = [{**GOOD, "t": t, "account": a, "y": t % 3} for t in range(1, 30) for a in "abc"]
    straight = rows(*many)
    shuffled = many * 2
    random.Random(3).shuffle(shuffled)
    assert rows(*shuffled) == straight
    found = parse(lines(*many, {**many[0], "y": 9}), "x", CHECKS)
    assert found.rows[0][4:] == (None, None)
    assert "disagree" in found.warnings[0]


def test_an_account_in_both_cohorts_at_once_is_refused_with_both_lines() -> None:
    first = [{**GOOD, "t": t, "account": a} for t in (2, 1) for a in ("b", "a")]
    other = {**GOOD, "cohort": "control", "check": "requests", "y": 1}
    late = {**GOOD, "t": 1, "account": "b", "cohort": "control"}
    control = {**GOOD, "account": "k", "cohort": "control"}
    with pytest.raises(InvalidInput) as caught:
        parse([*lines(*first), "", *lines(control, other, other, late)], "day.ndjson", CHECKS)
    found = caught.value.findings
    assert [(one.path, one.line) for one in found] == [("day.ndjson", line) for line in (7, 8, 9)]
    assert found[0].message == "a is control here and canary in line 4, both at t 1"
    assert "canary in line 3" in found[2].message


def test_control_first_and_canary_later_is_read() -> None:
    found = rows({**GOOD, "cohort": "control"}, {**GOOD, "t": 2})
    assert [row.cohort for row in found] == ["control", "canary"]


def test_events_and_empty_lines() -> None:
    found = parse([*lines({"t": 5, "account": "a", "event": "start"}), "", b"  ", *lines(GOOD)], "x", CHECKS)
    assert found.events == [Event(5.0, "a", "start")]
    assert len(found.rows) == 1


def test_the_only_check_need_not_be_named() -> None:
    item = {key: value for key, value in GOOD.items() if key != "check"}
    assert parse(lines(item), "x", {"errors": ERRORS}).rows[0].check == "errors"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not a JSON object"),
        ("[1]", "here is list"),
        (json.dumps({**GOOD, "t": "1"}), "`t` must be"),
        (json.dumps({**GOOD, "t": True}), "`t` must be"),
        (json.dumps({**GOOD, "t": 1e300}), "`t` must be"),
        (json.dumps({**GOOD, "account": ""}), "`account`"),
        (json.dumps({**GOOD, "account": 7}), "`account`"),
        (json.dumps({**GOOD, "cohort": "canry"}), "`cohort` must be"),
        (json.dumps({**GOOD, "check": "erors"}), 'no check "erors"'),
        (json.dumps({**GOOD, "check": None}), "`check` is missing"),
        (json.dumps({**GOOD, "check": "slow"}), "own steps"),
        (json.dumps({**GOOD, "y": 51}), "51 bad ones of 50"),
        (json.dumps({**GOOD, "y": -1}), "negative"),
        (json.dumps({**GOOD, "y": "1"}), "`y` must be a number"),
        (json.dumps({**GOOD, "y": True}), "`y` must be a number"),
        (json.dumps({**GOOD, "N": 3}), "unknown key `N`"),
        (json.dumps({"t": 1, "account": "a", "cohort": "canary", "check": "errors", "n": 3}), "needs `n`"),
        (json.dumps({"t": 1, "account": "a", "cohort": "canary", "check": "requests"}), "needs `y`"),
        (
            json.dumps({"t": 1, "account": "a", "cohort": "canary", "check": "answers", "n": 3}),
            "needs `value`",
        ),
        (json.dumps({"t": 1, "account": "a", "event": "stop"}), "`event` must be"),
        (json.dumps({**GOOD, "y": -(10**400)}), "negative"),
    ],
)
def test_wrong_lines_are_refused_with_their_number(line, said) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse([json.dumps(GOOD), line], "series.ndjson", CHECKS)
    (finding,) = caught.value.findings
    assert (finding.code, finding.line, finding.path) == ("RC1001", 2, "series.ndjson")
    assert said in finding.message


def test_a_file_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "none", CHECKS)
    (tmp_path / "one").write_text(json.dumps(GOOD))
    assert len(read(tmp_path / "one", CHECKS).rows) == 1


def test_two_lines_that_disagree_count_once_however_often_they_stand() -> None:
    other = {**GOOD, "y": 9}
    for many in ([GOOD, other], [other, GOOD, GOOD, other, GOOD]):
        found = parse(lines(*many), "x", CHECKS)
        assert found.rows == [Row(1.0, "a", "canary", "errors", None, None)]
        assert "1 times" in found.warnings[0]


def test_the_spacing_is_the_most_common_distance_of_an_account() -> None:
    def at(*times, account="a"):
        return [Row(t, account, "canary", "errors", 1.0, 0.0) for t in times]

    assert spacing(at(1, 2, 3, 9, 10)) == 1
    assert spacing(at(5)) == 1
    assert spacing(at(0, 5, 10, 11)) == 5
    apart = sorted([*at(0, 5, 10), *at(2, 7, 12, account="b")])
    assert spacing(apart) == 5
