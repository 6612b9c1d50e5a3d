"""Targets of both engines."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.executors.kit import postgres_build_table, sqlite_build_table

Maker = Callable[..., str]


@pytest.fixture(params=["sqlite", "postgresql"])
def build_table(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    """Makes the target with table `build`: `build_table(rows, gap=1)` returns its database value."""
    if request.param == "sqlite":
        return lambda rows, gap=1: sqlite_build_table(tmp_path / "target.db", rows, gap=gap)
    url = request.getfixturevalue("postgres_database")
    return lambda rows, gap=1: postgres_build_table(url, rows, gap=gap)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An empty folder for the bundle's files."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder
