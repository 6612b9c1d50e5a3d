"""Everything in any order: the promises hold after every call."""

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sim.machine import CALLS, Fleet
from tests.support.scale import scaled

RULES = 2_000
ROUNDS = 4
REACHED = (
    "seen requalification passed",
    "seen canary passed",
    "seen canary failed",
    "seen canary withdrawn",
    "seen requalifying",
)
"""How far the machine must come to mean anything. Claim ids are random, so that a round may miss one."""


def play(number: int) -> None:
    run_state_machine_as_test(
        seed(number)(Fleet),
        settings=settings(
            max_examples=scaled(120, 1500),
            stateful_step_count=60,
            deadline=None,
            derandomize=False,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_promises_hold_whatever_happens() -> None:
    CALLS.clear()
    for number in range(ROUNDS):
        play(number)
        if all(CALLS[name] for name in REACHED):
            break
    calls = sum(count for name, count in CALLS.items() if not name.startswith("seen ") and name != "crashes")
    assert calls >= RULES, f"only {calls} rule calls: a smaller machine proves less"
    assert CALLS["crashes"] > 0
    assert [name for name in REACHED if not CALLS[name]] == []
