"""Recorded tracks become cells of the past as live looks do."""

import math
from dataclasses import replace
from typing import NamedTuple

from ringctl.core.learning import Past
from ringctl.core.policy import Check, Count, Counter, FailIf, Ratio, StepMeasure
from ringctl.core.timing import HOUR, Instant
from ringctl.core.tracks import from_tracks

BAD = Counter(name="requests", match={"code": "5.."})
ALL = Counter(name="requests")
OTHER = Counter(name="errors")
ERRORS = Check(
    name="errors", source="p", measure=Ratio(y=BAD, n=ALL, of_counts=True), compare="x", fail_if=FailIf()
)


class Track(NamedTuple):
    counter: Counter
    account: str
    points: tuple[tuple[Instant, float], ...]


def points(*values: float, start: int = 1) -> tuple[tuple[Instant, float], ...]:
    return tuple(
        ((start + place) * HOUR, value) for place, value in enumerate(values) if not math.isnan(value)
    )


def cells(check: Check, *tracks: Track) -> list[Past]:
    return from_tracks(check, tracks, HOUR)


def test_growth_between_points_and_none_where_there_was_a_reset_or_a_gap() -> None:
    found = cells(
        ERRORS,
        Track(ALL, "a", points(100, 150, 20, 60, math.nan, math.nan, math.nan, 100, 130)),
        Track(BAD, "a", points(1, 2, 0, 1, math.nan, math.nan, math.nan, 2, 2)),
    )
    assert [(one.at_us // HOUR, one.n, one.y, one.minutes) for one in found] == [
        (2, 50.0, 1.0, 60.0), (4, 40.0, 1.0, 60.0), (9, 30.0, 0.0, 60.0),
    ]  # fmt: skip


def test_points_that_no_counter_has_are_none() -> None:
    found = cells(
        ERRORS, Track(ALL, "a", points(100, 1e308, 200, 250, 1e16)), Track(BAD, "a", points(1, 2, 3, 4, 5))
    )
    assert [(one.at_us // HOUR, one.n) for one in found] == [(4, 50.0)]
    values = replace(ERRORS, measure=Ratio(y=OTHER, n=ALL, of_counts=False))
    found = cells(values, Track(ALL, "a", points(1, 2, 3)), Track(OTHER, "a", points(0, 1e90, 1e101)))
    assert [(one.at_us // HOUR, one.y) for one in found] == [(2, 1e90)]
    count = replace(ERRORS, measure=Count(of=ALL))
    assert [one.y for one in cells(count, Track(ALL, "a", points(1, 2, 1e16)))] == [1.0]


def test_no_series_of_bad_events_is_none_only_where_it_is_a_part_of_all() -> None:
    assert [one.y for one in cells(ERRORS, Track(ALL, "a", points(1, 2)))] == [0.0]
    other = Check(
        name="e", source="p", measure=Ratio(y=OTHER, n=ALL, of_counts=True), compare="x", fail_if=FailIf()
    )
    assert cells(other, Track(ALL, "a", points(1, 2))) == []


def test_counts_are_events_by_minutes_and_steps_have_no_past() -> None:
    count = Check(name="c", source="p", measure=Count(of=ALL), compare="x", fail_if=FailIf())
    assert cells(count, Track(ALL, "b", points(0, 5)), Track(ALL, "a", points(0, 6))) == [
        Past(2 * HOUR, "a", 60.0, 6.0, 60.0),
        Past(2 * HOUR, "b", 60.0, 5.0, 60.0),
    ]
    steps = Check(
        name="s", source="steps", measure=StepMeasure(name="duration"), compare="x", fail_if=FailIf()
    )
    assert cells(steps, Track(ALL, "a", points(0, 5))) == []


def test_good_ones_are_counted_and_the_others_are_bad() -> None:
    fast = Counter(name="requests", match={"le": "0.5"})
    slow = replace(ERRORS, measure=Ratio(y=fast, n=ALL, of_counts=True, good=True))
    found = cells(
        slow, Track(ALL, "a", points(100, 150, 180, 200)), Track(fast, "a", points(90, 130, 170, 185))
    )
    assert [(one.n, one.y) for one in found] == [(50.0, 10.0), (20.0, 5.0)], "not 40 good ones of 30"
    assert cells(slow, Track(ALL, "a", points(100, 150))) == [], "no good one is no absence of bad ones"


def test_a_series_that_begins_with_its_first_bad_event_had_none_before() -> None:
    """As a live look has it: by name a part of all events, absent until there was one."""
    found = cells(ERRORS, Track(ALL, "a", points(100, 150, 200, 250)), Track(BAD, "a", points(2, 3, start=3)))
    assert [(one.n, one.y) for one in found] == [(50.0, 0.0), (50.0, 2.0), (50.0, 1.0)]
    narrow = replace(ALL, match={"code": "2.."})
    odd = replace(ERRORS, measure=Ratio(y=BAD, n=narrow, of_counts=True))
    assert cells(odd, Track(narrow, "a", points(100, 150, 200))) == [], "no part of it: unknown, not none"
    other = replace(ERRORS, measure=Ratio(y=replace(BAD, account="tenant"), n=ALL, of_counts=True))
    assert cells(other, Track(ALL, "a", points(100, 150, 200))) == []
