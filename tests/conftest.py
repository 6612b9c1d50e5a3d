"""What every suite shares: programs a test needs, a real PostgreSQL, hypothesis profiles."""

import itertools
import os
import shutil
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support.postgres import PostgresServer, PostgresUnavailable, installed_programs
from tests.support.scale import scaled

REQUIRE_ALL = os.environ.get("RINGCTL_REQUIRE_ALL", "") not in {"", "0"}

hypothesis.settings.register_profile("normal", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile(
    "nightly", derandomize=False, deadline=None, max_examples=2000, print_blob=True
)
hypothesis.settings.load_profile(("normal", "nightly")[scaled(0, 1)])


def missing(what: str, way_out: str) -> None:
    """Skip the test for want of `what`, or fail it where everything is required (CI)."""
    reason = f"needs {what}: {way_out}"
    if REQUIRE_ALL:
        pytest.fail(f"{reason} (RINGCTL_REQUIRE_ALL is set)", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold back a test whose programs are not installed: `@pytest.mark.needs("prometheus")`."""
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            if shutil.which(tool) is None:
                missing(tool, "run ./do ci-setup")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real server for the whole run; a test that restarts it leaves it running."""
    try:
        installed_programs()
    except PostgresUnavailable as error:
        missing("postgresql", str(error))
    with PostgresServer() as server:
        yield server


_databases = itertools.count(1)


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database of this test's own."""
    name = f"test_{next(_databases)}"
    url = postgres.create_database(name)
    yield url
    postgres.drop_database(name)
