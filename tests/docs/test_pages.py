"""What the pages name exists: files, commands, options; what they show loads and runs."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringctl.__main__ import COMMANDS, main
from ringctl.cli import manifest
from ringctl.settings import policy_from_text
from tests.docs import blocks
from tests.docs.fleets import write_bundle
from tests.tidy.tree import ROOT, own_files

WRITTEN = [
    path for path in own_files() if path.suffix == ".md" and "ringctl" not in path.relative_to(ROOT).parts
]
PAGES = [path for path in WRITTEN if "reference" not in path.parts]
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("write-an-executor.md")) + sorted(
    (ROOT / "docs" / "how-to").glob("write-a-metric-source.md")
)
SAMPLES = sorted((ROOT / "config").iterdir())
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
RUN = re.compile(r"(?:^|[\s;&|(=])(ringctl(?: +[^\n#;&|<>]*)?)", re.MULTILINE)
SHELL = {"sh", "console", "text", "cron"}
README = ROOT / "README.md"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    text = blocks.BLOCK.sub("", path.read_text())
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []


def command_lines(path: Path) -> Iterator[str]:
    """Every command line of ours that a page or sample shows."""
    text = path.read_text().replace("\\\n", " ")
    if path.suffix != ".md":
        yield from (
            line for line in RUN.findall(re.sub(r"^#.*$", "", text, flags=re.MULTILINE)) if " " in line
        )
        return
    for block in blocks.blocks(text):
        if block.language == "console":
            for command in blocks.session(block.body):
                yield from RUN.findall(command.line)
        elif block.language == "sh":
            yield from RUN.findall(block.body)
    plain = blocks.BLOCK.sub("", text)
    yield from RUN.findall("\n".join(line for line in plain.splitlines() if line.startswith("    ")))
    yield from re.findall(r"`(ringctl [^`\n]+)`", plain)


def problems(line: str) -> list[str]:
    """Commands and options of the line that there are not."""
    words = [word for word in shlex.split(line.replace("...", ""))[1:] if word]
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    known = {"-o", "-q", "-v", "-y", "-h", *manifest.GLOBALS.replace("=", "").split()}
    valued = {"--state", "--output", "-o", "--actor", "--color"}
    rest: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if not word.startswith("-") and before not in valued:
            rest.append(word)
    if not rest or rest[0] in {"COMMAND", "X"}:
        return [option for option in options if option not in known]
    name = rest[0]
    if name not in COMMANDS:
        return [f"no command {name}"]
    subs = manifest.subcommands(name)
    if subs and len(rest) > 1 and rest[1] not in subs:
        return [f"no command {name} {rest[1]}"]
    own = manifest.options_of(f"{name} {rest[1]}" if subs and len(rest) > 1 else name)
    return [f"{name} has no {option}" for option in sorted(options) if option not in known | own.keys()]


@pytest.mark.parametrize("path", [*PAGES, *SAMPLES], ids=name_of)
def test_commands_and_options_are_there(path: Path) -> None:
    planned = {"replay", "rehearse"}
    found = [(line, problems(line)) for line in command_lines(path)]
    wrong = [(line, why) for line, why in found if why and line.split()[1] not in planned]
    assert wrong == []


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert problems("ringctl status last -o json") == []
    assert problems("ringctl --state sqlite:///x.db tick --budget 50s") == []
    assert problems("ringctl stat") == ["no command stat"]
    assert problems("ringctl policy fix") == ["no command policy fix"]
    assert problems("ringctl start --nonsense") == ["start has no --nonsense"]


@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_plug_in_examples_pass_their_tests(path: Path, tmp_path: Path) -> None:
    assert blocks.follow(path.read_text(), tmp_path) == 1


def test_the_policy_of_the_readme_has_nine_lines_and_plans_sixty_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (policy,) = (block.body for block in blocks.blocks(README.read_text()) if block.language == "yaml")
    assert len(policy.splitlines()) == 9
    _, findings = policy_from_text(policy.encode(), "policy.yaml")
    assert [finding.severity for finding in findings] == ["warning"]
    (tmp_path / "policy.yaml").write_text(policy)
    rows = [
        f"acc-{n:02},{0 if n < 8 else 1 + n % 2},{('eu', 'us')[n % 2]},{(40, 300, 2500)[n % 3]}"
        for n in range(60)
    ]
    (tmp_path / "accounts.csv").write_text("\n".join(["account_id,ring,region,rows", *rows, ""]))
    bundle = write_bundle(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("RINGCTL_STATE", "RINGCTL_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    assert main(["plan", "--policy", "policy.yaml", "--bundle", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert "60 accounts" in said
    assert not (tmp_path / "ringctl.db").exists(), "a plan changes nothing"


def test_the_readme_is_short_and_names_tests_that_are_there() -> None:
    text = README.read_text()
    assert len(text.splitlines()) < 150
    named = re.findall(r"\((tests/[^)]+)\)", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
