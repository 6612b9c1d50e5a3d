"""Worlds for engine tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.world import SIMPLE, World, make_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two rings, one ratio gate on a scripted source."""
    made = make_world(tmp_path)
    yield made
    made.parts.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[World]:
    """Two rings, watched by the built-in source alone."""
    made = make_world(tmp_path, policy=SIMPLE)
    yield made
    made.parts.close()
