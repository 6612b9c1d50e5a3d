"""The failing disk, and the last line that the suite prints: how many crash points it went through."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.faults import build

_LINES: list[str] = []


@pytest.fixture(scope="session")
def last_line() -> Callable[[str], None]:
    """Takes a line to print when everything is over."""
    return _LINES.append


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes the disk fail."""
    return build(tmp_path_factory.mktemp("disk"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own summary."""
    del config
    for line in _LINES:
        sys.stdout.write(f"{line}\n")
