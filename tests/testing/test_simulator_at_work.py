"""The simulator in this process, for coverage: `tests/sim` plays a thousand seeds in processes nothing measures."""

import pytest

from ringctl.testing.simulator.bugs import BUGS
from ringctl.testing.simulator.run import Played, play

SEEDS = range(8)


@pytest.fixture(scope="module")
def clean() -> Played:
    """A seed played before any seeded bug was."""
    return play(SEEDS[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_keeps_every_promise_and_is_the_same_twice(seed: int) -> None:
    played = play(seed)
    assert played.failure == ""
    assert played.switches > 100
    assert play(seed).trace == played.trace


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_seeded_bug_leaves_the_product_whole_afterwards(bug: str, clean: Played) -> None:
    play(SEEDS[1], bug=bug)
    again = play(SEEDS[0])
    assert (again.failure, again.trace) == (clean.failure, clean.trace)
