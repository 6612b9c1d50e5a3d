"""Everything in any order: the promises hold after every call."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sim.machine import CALLS, Fleet
from tests.support.scale import scaled

RULES = 2_000


def test_the_promises_hold_whatever_happens() -> None:
    CALLS.clear()
    run_state_machine_as_test(
        Fleet,
        settings=settings(
            max_examples=scaled(120, 1500),
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    seen = {name for name in CALLS if name.startswith("seen ")}
    calls = sum(count for name, count in CALLS.items() if name not in seen and name != "crashes")
    assert calls >= RULES, f"only {calls} rule calls: a smaller machine proves less"
    assert CALLS["crashes"] > 0
    # the machine must come far enough to mean anything
    for reached in (
        "requalification passed",
        "canary passed",
        "canary failed",
        "canary withdrawn",
        "requalifying",
    ):
        assert f"seen {reached}" in seen, f"never reached: {reached}"
