"""The tutorial is true: each file is written, each command is run, each output compared."""

from pathlib import Path

import pytest

from tests.docs import blocks
from tests.tidy.tree import ROOT

PAGES = sorted((ROOT / "docs" / "tutorial").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tutorial_does_what_it_says(page: Path, tmp_path: Path) -> None:
    assert blocks.follow(page.read_text(), tmp_path) > 10


def test_a_wrong_output_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the page"):
        blocks.follow("```console\n$ echo yes\nno\n```\n", tmp_path)
    assert blocks.follow('```text title="a/b"\nyes\n```\n```console\n$ cat a/b\n...s\n```\n', tmp_path) == 1
