"""Every code has a page, every page a code, and every page its four parts."""

import re
from pathlib import Path

import pytest

from ringctl.cli import explain
from ringctl.cli.style import show
from tests.tidy.tree import ROOT

PAGES = sorted(explain.PAGES.glob("*.md"))
PARTS = ["Cause", "What ringctl did", "What to do", "Example"]
COMMANDS = re.compile(r"`ringctl ([a-z][a-z-]+)")


def codes_in_use() -> set[str]:
    texts = (path.read_text() for path in (ROOT / "ringctl").rglob("*.py"))
    return {code for text in texts for code in re.findall(r"RC\d{4}", text)}


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    pages = {path.stem for path in PAGES}
    used = codes_in_use()
    assert used - pages == set(), "write ringctl/cli/errors/CODE.md"
    assert pages - used == set(), "nothing uses these codes any more: remove their pages"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_its_parts_and_fits_a_terminal(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {path.stem}: \S.*\n\n## Cause\n", text)
    found = explain.sections(text)
    assert list(found) == PARTS
    assert all(found.values())
    assert max(map(len, text.splitlines())) <= 120
    assert all(line == show(line, 200) for line in text.splitlines())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_names_only_commands_and_codes_that_exist(path: Path) -> None:
    from ringctl.__main__ import COMMANDS as TABLE

    text = path.read_text()
    assert set(COMMANDS.findall(text)) <= TABLE.keys()
    assert set(re.findall(r"RC\d{4}", text)) <= codes_in_use()
