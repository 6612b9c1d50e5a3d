"""Completion says what typer is told, and its scripts parse."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ringctl.__main__ import COMMANDS
from ringctl.cli import completion, manifest, runner
from tests.cli.conftest import Ring

STATIC = {"help", "completion"}


def told_to_typer() -> dict[str, set[str]]:
    """Command -> its options with `=`, as typer has them."""
    found = {}
    for name, (module, _, _) in COMMANDS.items():
        if name in STATIC:
            continue
        commands = {key: one for key, one in runner.commands_of(module).items() if key.split(" ")[0] == name}
        assert commands, f"{module} has no command {name}"
        parser = runner.build(name, commands)
        for key in commands:
            one: Any = parser if key == name else parser.commands[key.split(" ")[1]]
            found[key] = {
                option + ("" if parameter.is_flag else "=")
                for parameter in one.params
                if parameter.param_type_name == "option" and "--help" not in parameter.opts
                for option in parameter.opts
            }
    return found


def test_the_manifest_says_what_typer_is_told() -> None:
    assert {key: set(own.split()) for key, own in manifest.OPTIONS.items()} == told_to_typer()


def test_every_command_of_a_module_is_in_the_table() -> None:
    for module in {module for module, _, _ in COMMANDS.values()} - {"topics", "completion"}:
        for key in runner.commands_of(module):
            assert COMMANDS[key.split(" ")[0]][0] == module


def test_no_option_of_a_command_hides_a_global_one() -> None:
    shared = {word.removesuffix("=") for word in manifest.GLOBALS.split()} | {"-o", "-q", "-v", "-y", "-h"}
    for key in manifest.OPTIONS:
        assert not shared & manifest.options_of(key).keys(), key


def test_paths_and_rollouts_name_commands() -> None:
    assert {*manifest.PATHS, *manifest.ROLLOUT} <= manifest.OPTIONS.keys()
    options = {option for key in manifest.OPTIONS for option in manifest.options_of(key)}
    assert manifest.FILES.keys() <= options


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_scripts_hold_every_command_and_option(shell: str) -> None:
    script = completion.answer([shell], COMMANDS)
    for name in COMMANDS:
        assert name in script
    for own in manifest.OPTIONS.values():
        for option in own.split():
            assert option.removesuffix("=").lstrip("-") in script


def test_the_bash_script_parses_and_completes(tmp_path: Path) -> None:
    path = tmp_path / "c.bash"
    path.write_text(completion.answer(["bash"], COMMANDS))
    subprocess.run(["bash", "-n", path], check=True, timeout=10)
    asked = {
        "ringctl pol": "policy",
        "ringctl policy l": "lint",
        "ringctl --state x policy l": "lint",
        "ringctl plan --fi": "--fix",
        "ringctl -o y": "yaml",
        "ringctl completion f": "fish",
        "ringctl --col": "--color",
        "ringctl demo --fault er": "errors",
    }
    for line, wanted in asked.items():
        words = line.split(" ")
        listed = " ".join(f"'{word}'" for word in words)
        place = f"COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}"
        script = f"source {path}; {place}; _ringctl; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, timeout=10)
        assert done.stdout.split() == [wanted], line


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_scripts_parse_where_the_shell_is(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    path = tmp_path / "script"
    path.write_text(completion.answer([shell], COMMANDS))
    subprocess.run([program, "--no-execute", path], check=True, timeout=10)


def test_an_unknown_shell_is_refused(ring: Ring) -> None:
    answer = ring("completion", "tcsh")
    assert answer.code == 2
    assert "known: bash, zsh, fish" in answer.err
    assert ring("completion").code == 2
    assert ring("completion", "bash").code == 0
    assert ring("completion", "-h").out == completion.HELP


@pytest.mark.parametrize("words", [[], ["nodes"]])
def test_complete_knows_only_rollouts(words: list[str]) -> None:
    assert list(completion.candidates(words)) == []


def test_candidates_are_ids_of_the_store(begun: str, tmp_path: Path) -> None:
    assert completion.candidates(["rollouts"]) == [begun]
    assert completion.candidates(["rollouts", f"sqlite:///{tmp_path}/ringctl.db"]) == [begun]
    assert completion.candidates(["rollouts", "sqlite:///absent.db"]) == ()
    Path("text.db").write_text("no database" * 100)
    assert completion.candidates(["rollouts", "sqlite:///text.db"]) == ()
