"""The edge tables: only what they have is taken, every edge has a reason, every end is an end."""

from itertools import product

import pytest

from ringctl.core.errors import BugError
from ringctl.core.states import (
    OPEN_ROLLOUT_STATES,
    ROLLOUT_EDGES,
    TASK_EDGES,
    WAVE_EDGES,
    RolloutState,
    TaskState,
    WaveState,
    step,
)

TABLES = [(RolloutState, ROLLOUT_EDGES), (WaveState, WAVE_EDGES), (TaskState, TASK_EDGES)]
PAIRS = [(table, a, b) for states, table in TABLES for a, b in product(states, states)]


@pytest.mark.parametrize(("table", "before", "after"), PAIRS)
def test_only_edges_of_the_table_are_taken(table, before, after):
    if before is after or after in table[before]:
        assert step(table, before, after) is after
    else:
        with pytest.raises(BugError):
            step(table, before, after)


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_every_state_is_in_its_table_and_every_edge_has_a_reason(states, table):
    assert set(table) == set(states)
    for edges in table.values():
        assert all(len(reason) > 5 for reason in edges.values())


@pytest.mark.parametrize(("states", "table"), TABLES)
def test_every_state_is_reachable_from_the_first_one(states, table):
    first = next(iter(states))
    seen, todo = {first}, [first]
    while todo:
        for after in table[todo.pop()]:
            if after not in seen:
                seen.add(after)
                todo.append(after)
    assert seen == set(states)


def test_an_ended_rollout_is_never_opened_again():
    for state in set(RolloutState) - OPEN_ROLLOUT_STATES:
        assert not OPEN_ROLLOUT_STATES & set(ROLLOUT_EDGES[state])


def test_passed_and_withdrawn_waves_are_final():
    assert not WAVE_EDGES[WaveState.PASSED]
    assert not WAVE_EDGES[WaveState.WITHDRAWN]
