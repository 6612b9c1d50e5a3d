"""Bakes are simulated, hundreds of thousands of looks: counting their lines would take four times as long."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def untraced(request: pytest.FixtureRequest) -> Iterator[None]:
    """`@pytest.mark.bakes`: the test's lines are not counted. Those that it reaches need tests beside it."""
    tracer = sys.gettrace()
    if request.node.get_closest_marker("bakes") is None or tracer is None:
        yield
        return
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
