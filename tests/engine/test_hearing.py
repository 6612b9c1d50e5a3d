"""Whose queries a verdict names: those of its check's counters, as far as a source can tell."""

import pytest

from ringctl.core.judging import Evidence
from ringctl.core.observing import Watch, counters_of
from ringctl.engine import hearing
from ringctl.engine.hearing import QUERIES_SHOWN, heard
from ringctl.ports.metrics import Reading
from tests.gates.checks import EMPTY, ERRORS

BAD, ALL = counters_of(ERRORS)
ITEMS, ANSWERS = counters_of(EMPTY)


def queries(check, **reading):
    answer = Reading(at_us=None, values={}, **reading)
    return heard(check, Evidence(at_us=0, interval_us=0), answer, Watch(touched={}))["queries"]


def test_a_source_that_can_tell_is_believed() -> None:
    asked = {BAD: ("b", "b-age"), ALL: ("a", "a-age"), ITEMS: ("i",), ANSWERS: ("n",)}
    everything = tuple(query for some in asked.values() for query in some)
    assert queries(ERRORS, queries=everything, asked=asked) == ["b", "b-age", "a", "a-age"]
    assert queries(EMPTY, queries=everything, asked=asked) == ["i", "n"]


def test_else_the_counters_names_are_looked_for() -> None:
    named = tuple(f"sum({one.name})" for one in (BAD, ITEMS, ANSWERS))
    near = f"sum(un{ITEMS.name})", f"sum({ITEMS.name}_more)"
    assert queries(EMPTY, queries=(*near, *named)) == list(named[1:])


def test_one_address_for_everything_is_everybody_s() -> None:
    assert queries(EMPTY, queries=("GET /metrics",)) == ["GET /metrics"]
    assert queries(EMPTY) == []


def assert_some_of_each() -> None:
    asked = {BAD: tuple(f"b{one}" for one in range(9)), ALL: ("a",)}
    found = queries(ERRORS, asked=asked)
    assert found == ["b0", "b1", "a", "b2"]
    assert len(found) == QUERIES_SHOWN


def test_of_many_queries_some_of_each_counter_are_shown() -> None:
    assert_some_of_each()


def test_a_list_that_is_simply_cut_would_be_noticed(monkeypatch) -> None:
    monkeypatch.setattr(
        hearing, "_queries", lambda check, answer: list(answer.queries_of(counters_of(check)))[:QUERIES_SHOWN]
    )
    with pytest.raises(AssertionError):
        assert_some_of_each()
