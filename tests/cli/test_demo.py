"""What the demo's command does with its words; the story itself is played in tests/e2e."""

from pathlib import Path
from typing import Any

import pytest

from ringctl.demo import story
from tests.cli.conftest import Ring


@pytest.mark.parametrize(
    "words", [["--fault", "x"], ["--engine", "x"], ["--metrics", "x"], ["--accounts", "1"]]
)
def test_wrong_words_are_refused(words: list[str], ring: Ring) -> None:
    assert ring("demo", *words).code == 2


def test_the_story_is_told_and_its_failures_counted(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def run(options: story.Options, say: Any) -> story.Outcome:
        told.append(options)
        say("one\x1b\ntwo")
        return story.Outcome(
            directory=Path("d"), rollout="r", state="held", seconds=1.0, exposed=("a",), minutes=0.5,
            failures=("x",) * (len(told) - 1),
        )  # fmt: skip

    monkeypatch.setattr(story, "run", run)
    answer = ring("demo", "--fault", "errors", "--accounts", "30")
    assert (answer.code, answer.out, answer.err) == (0, "one\\x1b\ntwo\n", "")
    assert (told[0].fault, told[0].accounts, told[0].state) == ("errors", 30, "")
    machine = ring("demo", "--state", "sqlite:///x.db", "-o", "ndjson")
    assert machine.code == 1
    assert machine.err == "one\\x1b\ntwo\n"
    assert (machine.json["schema"], told[1].state) == ("ringctl/demo/v1", "sqlite:///x.db")
