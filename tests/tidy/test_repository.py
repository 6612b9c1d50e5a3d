"""What the repository promises about itself, and that it holds nothing of any one machine."""

import re
import subprocess
import types

import pytest

import ringctl
from tests.tidy.tree import ROOT, named, own_files, pyproject

# Spelled in two parts, so that this file does not hold what it looks for.
FORBIDDEN = [
    head + tail
    for head, tail in (
        ("/wo", "rk/"), ("/ro", "ot/"), ("/opt/", "wheels"), ("/opt/", "pypi"),
        ("/tmp/", "bash_jobs"), ("pypi", ".org"), ("files.python", "hosted"),
        ("registry.", "npmjs"), ("deb.", "debian"), ("crates", ".io"), ("index-", "url"),
    )
]  # fmt: skip
LOCKS = ("requirements.lock", "requirements-run.lock")
SCRIPTS = {"do": "sh", "scripts/lock": "sh", ".ci/run": "bash"}
REQUIREMENT = re.compile(
    r"[a-z0-9][a-z0-9.-]*==\S+(?: ; [^\\]+?)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+(?:\n|$)"
)


def test_version_is_said_once() -> None:
    assert ringctl.__version__ == pyproject()["project"]["version"]


def test_all_is_what_the_package_holds() -> None:
    held = {
        name
        for name, value in vars(ringctl).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    declared = set(ringctl.__all__)
    assert held - declared == set(), "public, but not in __all__"
    assert {name for name in declared if not hasattr(ringctl, name)} == set(), "in __all__ only"
    assert len(declared) == len(ringctl.__all__), "named twice"


def test_changelog_has_an_unreleased_section() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[?Unreleased\]?$", text, re.MULTILINE)


def test_nothing_of_a_machine_or_a_registry_is_committed() -> None:
    found = []
    for path in own_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{named(path)}: {text[: text.index(word)].count(chr(10)) + 1}: {word}"
            for word in FORBIDDEN
            if word in text and not (word.startswith("index-") and path.name == "lock")
        ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_names_versions_and_hashes_only(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert REQUIREMENT.sub("", text) == ""


def names_in(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", requirement)[0].lower() for requirement in requirements}


def test_locks_agree_and_hold_every_requirement() -> None:
    every, run = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS
    )
    assert run.items() <= every.items(), "scripts/lock writes both"
    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    needed_to_run = [
        *project["dependencies"],
        *extras["postgres"],
        *extras["demo"],
        *extras["build"],
    ]
    assert names_in(needed_to_run) <= run.keys(), "run scripts/lock"
    assert names_in(extras["test"]) <= every.keys(), "run scripts/lock"


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_executable_and_parses(name: str) -> None:
    path = ROOT / name
    assert path.stat().st_mode & 0o111, "not executable"
    subprocess.run([SCRIPTS[name], "-n", str(path)], check=True, timeout=10)


def test_do_explains_every_command() -> None:
    text = (ROOT / "do").read_text()
    commands = re.findall(r"^  ([a-z-]+)\)", text[text.index('case "$command" in') :], re.MULTILINE)
    usage = text[: text.index("say()")]
    assert commands, "no command found"
    assert [name for name in commands if f"\n  {name} " not in usage and name != "help"] == []


def test_do_refuses_an_unknown_command() -> None:
    done = subprocess.run([ROOT / "do", "nonsense"], check=False, capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert "unknown command: nonsense" in done.stderr
    assert done.stdout == ""
