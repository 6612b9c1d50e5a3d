"""The production engine under virtual time: every seed keeps every promise, and every seeded bug is caught.

To replay a seed: `python -m ringctl.testing.simulator SEED SEED+1 [--bug NAME]`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

import pytest

from ringctl.testing.simulator.bugs import BUGS
from ringctl.testing.simulator.run import Played, play
from tests.support.scale import scaled

SEEDS = scaled(1_000, 20_000)
BATCH = 50
FIRST = 0
WITHIN = 60
"""Each seeded bug is caught within so many seeds."""
WORKERS = min(4, os.cpu_count() or 1)

KEPT = (10, 52, 95, 179)
"""Seeds that found something in the product. What they play changes with the simulator and with the product."""

STEPS = {"pause", "resume", "amend", "abort", "abort --now", "retry", "edit", "jump", "start"}


@dataclass
class Total:
    """What all tests of this file played."""

    seeds: int = 0
    switches: int = 0
    hours: float = 0.0
    faults: int = 0
    acts: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)
    caught: dict[str, int] = field(default_factory=dict)

    def add(self, played: Played) -> None:
        self.seeds += 1
        self.switches += played.switches
        self.hours += played.hours
        self.faults += played.stops + played.crashes + played.refused
        self.acts |= set(played.acts)
        self.ends |= set(played.ends)


@pytest.fixture(scope="module")
def total(last_line: Callable[[str], None]) -> Iterator[Total]:
    """Counted over the file, and told at the end."""
    found = Total()
    yield found
    last_line(
        f"simulator: {found.seeds} seeds, {len(found.caught)} of {len(BUGS)} bugs, {found.switches} switches, "
        f"{found.hours:.1f} virtual hours, {found.faults} faults"
    )


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        yield pool


def replay(seed: int, bug: str = "") -> str:
    return f"python -m ringctl.testing.simulator {seed} {seed + 1}" + (f" --bug {bug}" if bug else "")


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, BATCH))
def test_every_promise_holds(workers: ProcessPoolExecutor, total: Total, first: int) -> None:
    broken = []
    for played in workers.map(play, range(first, first + BATCH), chunksize=5):
        total.add(played)
        if played.failure:
            broken.append(f"{replay(played.seed)}\n  {played.failure}")
    assert broken == [], "\n".join(broken)


@pytest.mark.parametrize("seed", KEPT)
def test_seeds_that_found_something(seed: int) -> None:
    assert play(seed).failure == "", replay(seed)


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught(workers: ProcessPoolExecutor, total: Total, bug: str) -> None:
    """Seeds are taken a few at a time, until one sees it."""
    step = 2 * WORKERS
    for first in range(FIRST, FIRST + WITHIN, step):
        seeds = range(first, min(first + step, FIRST + WITHIN))
        caught = [one for one in workers.map(partial(play, bug=bug), seeds) if one.failure]
        if caught:
            total.caught[bug] = caught[0].seed
            sys.stdout.write(f"{bug}: {replay(caught[0].seed, bug)}\n  {caught[0].failure}\n")
            return
    pytest.fail(f"{bug} is not seen within {WITHIN} seeds: the simulator has lost its power")


def trace_of(seed: int, hash_seed: str) -> str:
    """What a fresh interpreter says of a seed, the time it took left out."""
    done = subprocess.run(
        [sys.executable, "-m", "ringctl.testing.simulator", str(seed), str(seed + 2)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rpartition(" virtual hours")[0]


def test_the_same_seed_is_the_same_run_everywhere() -> None:
    here = [play(seed) for seed in (4, 5)]
    one, other = trace_of(4, "1"), trace_of(4, "2")
    assert one == other
    for played in here:
        assert f"seed {played.seed} trace {played.trace:08x} switches {played.switches} " in one


def test_enough_was_played(total: Total) -> None:
    """A smaller simulation proves less; a story in which nothing happens proves nothing."""
    assert total.seeds >= SEEDS
    assert sorted(total.caught) == sorted(BUGS)
    assert total.acts >= STEPS
    assert total.ends >= {"succeeded", "partial", "aborted"}
    assert total.faults >= 10 * SEEDS
    assert total.hours >= SEEDS / 40
