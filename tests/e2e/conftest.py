"""Nodes in processes of their own on one SQLite file; nothing of a test stays behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine


@pytest.fixture
def ringctl(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line in the test's directory."""
    line = CommandLine(tmp_path)
    yield line
    line.end()
