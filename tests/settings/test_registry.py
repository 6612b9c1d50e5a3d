"""Plug-ins by name: unknown ones are answered with what is known."""

from dataclasses import dataclass
from typing import Any

import pytest

from ringctl.core.errors import UsageError
from ringctl.registry import Registry, UnknownPlugin


@dataclass(frozen=True)
class Entry:
    name: str
    value: str
    fails: type[Exception] | None = None

    def load(self) -> Any:
        if self.fails is not None:
            raise self.fails("no module named psycopg")
        return self.value


class Installed:
    """Entry points of a pretended installation; counts how often they are read."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries
        self.asked: list[str] = []

    def __call__(self, group: str) -> tuple[Entry, ...]:
        self.asked.append(group)
        return self.entries


SQL = Entry("sql", "ringctl.executors.sql:SqlExecutor")


def test_nothing_is_read_before_it_is_asked_for_and_then_once() -> None:
    installed = Installed(SQL, Entry("http", "x:y"))
    registry = Registry(installed)
    assert installed.asked == []
    assert registry.known("ringctl.executors") == ("http", "sql")
    assert registry.load("ringctl.executors", "sql") == SQL.value
    assert installed.asked == ["ringctl.executors"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        Registry(Installed(SQL, Entry("http", "x:y"))).load("ringctl.executors", "sqll")
    assert caught.value.message == "there is no executor `sqll` (known: http, sql)"
    assert caught.value.hint == "did you mean `sql`?"
    assert caught.value.exit_code == 2
    assert caught.value.code == "RC0003"


def test_an_unknown_group_lists_the_groups() -> None:
    with pytest.raises(UnknownPlugin, match=r"no plug-in group `ringctl\.executor`") as caught:
        Registry(Installed()).known("ringctl.executor")
    assert caught.value.hint == "did you mean `ringctl.executors`?"


@pytest.mark.parametrize("error", [ImportError, AttributeError])
def test_a_plug_in_that_does_not_load_says_which(error: type[Exception]) -> None:
    registry = Registry(Installed(Entry("sql", "x:y", error)))
    with pytest.raises(UnknownPlugin, match=r"`sql` \(x:y\) cannot be loaded: no module"):
        registry.load("ringctl.executors", "sql")


def test_two_plug_ins_of_one_name_are_refused() -> None:
    registry = Registry(Installed(SQL, Entry("sql", "other:Sql")))
    with pytest.raises(UnknownPlugin, match="two plug-ins are called `sql`"):
        registry.known("ringctl.executors")


def test_the_same_plug_in_twice_is_one() -> None:
    """An editable install can list its entry points twice."""
    assert Registry(Installed(SQL, SQL)).known("ringctl.executors") == ("sql",)
