"""Every way to play the demo ends with 0: each is `ringctl demo` in a process of its own (see conftest)."""

from pathlib import Path
from typing import Any

import pytest

from ringctl.demo import postgres
from tests.conftest import missing
from tests.e2e.conftest import Played


def check(document: Any, *, exposed: bool) -> None:
    assert (document["schema"], document["state"]) == ("ringctl/demo/v1", "succeeded")
    assert document["failures"] == []
    assert bool(document["exposed"]) is exposed
    assert (Path(document["directory"]) / "ringctl.db").exists()


def test_the_demo_without_a_fault(played: Played) -> None:
    check(played("none"), exposed=False)


def test_the_demo_of_errors_is_stopped_and_finishes(played: Played) -> None:
    check(played("errors"), exposed=True)


@pytest.mark.needs("prometheus")
def test_the_demo_with_its_own_prometheus(played: Played) -> None:
    check(played("prometheus"), exposed=False)


@pytest.mark.postgres
def test_the_demo_on_postgresql(played: Played) -> None:
    if not postgres.available():
        missing("postgresql", "install the extra `demo`")
    check(played("postgresql"), exposed=True)
