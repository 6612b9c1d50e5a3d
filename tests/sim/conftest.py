"""The last line that the simulator's suite prints: what it played and found."""

import sys
from collections.abc import Callable

import pytest

_LINES: list[str] = []


@pytest.fixture(scope="session")
def last_line() -> Callable[[str], None]:
    """Takes a line to print when everything is over."""
    return _LINES.append


def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own summary."""
    del config
    for line in _LINES:
        sys.stdout.write(f"{line}\n")
