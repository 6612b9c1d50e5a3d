"""The way in: global options, unknown names, errors and exit codes."""

import io
import sys
from pathlib import Path

import pytest

from ringctl.__main__ import COMMANDS, help_text, main
from ringctl.cli import entry, invocation
from ringctl.cli.invocation import Invocation, split
from ringctl.cli.topics import ENVIRONMENT, EXIT_CODES, HELP
from ringctl.core.errors import BugError, RingctlError, UsageError
from tests.cli.conftest import Ring


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["-q", "-h"], ["-q"]])
def test_help_lists_every_command(words: list[str], ring: Ring) -> None:
    answer = ring(*words)
    assert (answer.code, answer.out, answer.err) == (0, help_text(), "")
    assert all(f"\n  {name} " in answer.out for name in COMMANDS)


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["-q", "--version"]])
def test_version(words: list[str], ring: Ring) -> None:
    assert ring(*words).out.startswith("ringctl 0.")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [(["exit-codes"], EXIT_CODES), (["environment"], ENVIRONMENT), (["--help"], HELP), (["help"], HELP)],
)
def test_topics(words: list[str], wanted: str, ring: Ring) -> None:
    answer = ring("help", *words)
    assert (answer.code, answer.out) == (0, wanted)


def test_help_on_a_command_is_its_help(ring: Ring) -> None:
    assert ring("help", "plan").out == ring("plan", "--help").out != ""
    assert "Usage: ringctl policy lint" in ring("help", "policy", "lint").out
    assert ring("help", "completion").out == ring("completion", "--help").out


def test_every_command_has_help_and_says_how_it_ends(ring: Ring) -> None:
    for name in COMMANDS:
        assert ring(name, "--help").code == 0, name


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["statsu"], "unknown command `statsu`; did you mean `status`?"),
        (["\x1b[31mx"], "unknown command `\\x1b[31mx`"),
        (["help", "exit"], "unknown topic `exit`; did you mean `exit-codes`?"),
        (["policy", "lnt"], "unknown subcommand of policy `lnt`; did you mean `lint`?"),
        (["plan", "--polcy", "x"], "no such option: --polcy"),
        (["plan"], "missing option '--policy'"),
        (["--state"], "--state needs a value"),
        (["--state=", "status"], "--state is empty"),
        (["-o", "xml", "status"], "--output 'xml' is not known; known: table, json"),
        (["status", "--color", "red"], "--color 'red' is not known"),
        (["status", "a", "b"], "got unexpected extra argument"),
        (["explain", "nonsense"], "unknown code `nonsense`"),
        (["--state", "mysql://x", "nodes", "ls"], "no store for the state URL"),
    ],
)
def test_wrong_usage_is_two(words: list[str], wanted: str, ring: Ring) -> None:
    answer = ring(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert wanted in answer.err
    assert answer.err.startswith("error[RC0002]: ")


def test_a_group_alone_shows_its_subcommands(ring: Ring) -> None:
    answer = ring("policy")
    assert answer.code == 0
    assert "lint" in answer.out


def test_an_error_is_an_object_where_json_is_asked_for(ring: Ring) -> None:
    for output in ("json", "ndjson"):
        answer = ring("--output", output, "explain", "RC9999")
        assert answer.code == 5
        assert answer.json["schema"] == "ringctl/error/v1"
        assert (answer.json["code"], answer.json["exit_code"], answer.json["findings"]) == ("RC2404", 5, [])
        assert "RC9999" in answer.err
    assert "schema: ringctl/error/v1" in ring("-oyaml", "statsu").out


def test_a_wrong_output_variable_is_refused_but_never_in_the_way(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGCTL_OUTPUT", "xml")
    assert "RINGCTL_OUTPUT: --output 'xml'" in ring("explain").err
    assert ring("explain", "-o", "json").code == 0
    assert ring("-q", "--help").code == 0


BASE = Invocation()


@pytest.mark.parametrize(
    ("words", "wanted", "rest"),
    [
        (["status", "--state", "s", "r"], {"state": "s"}, ["status", "r"]),
        (["--state=s", "x"], {"state": "s"}, ["x"]),
        (["-ojson", "-qv", "-y"], {"output": "json", "quiet": True, "verbose": True, "yes": True}, []),
        (["-o=json"], {"output": "json"}, []),
        (["--no-input", "--actor", "ann"], {"no_input": True, "actor": "ann"}, []),
        (["--reason", "-q", "-q"], {"quiet": True}, ["--reason", "-q"]),
        (["--reason", "--state"], {}, ["--reason", "--state"]),
        (["--", "-q", "--state"], {}, ["--", "-q", "--state"]),
        (["-qx"], {}, ["-qx"]),
        (["-"], {}, ["-"]),
    ],
)
def test_global_options_go_anywhere(words: list[str], wanted: dict[str, object], rest: list[str]) -> None:
    found, left = split(words, BASE, frozenset({"--reason"}))
    assert (found, left) == (Invocation(**wanted), rest)  # type: ignore[arg-type]


def test_before_the_command_only_global_options_are_taken() -> None:
    found, left = split(["-q", "plan", "-v"], BASE, to_command=True)
    assert (found, left) == (Invocation(quiet=True), ["plan", "-v"])


def test_the_environment_gives_defaults() -> None:
    environ = {
        "RINGCTL_STATE": "s",
        "RINGCTL_OUTPUT": "json",
        "RINGCTL_ACTOR": "ann",
        "RINGCTL_NO_INPUT": "1",
    }
    wanted = Invocation(state="s", output="json", actor="ann", no_input=True)
    assert invocation.from_environment(environ) == wanted
    assert invocation.from_environment(dict.fromkeys(environ, "")) == Invocation()


class Broken(io.StringIO):
    """A reader that went away."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize(
    "words", [["--version"], ["help", "exit-codes"], ["explain"], ["statsu", "-o", "json"]]
)
def test_a_closed_pipe_ends_quietly(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def quiet() -> int:
        ended.append(1)
        return entry.PIPE_CLOSED

    monkeypatch.setattr(entry, "broken_pipe", quiet)
    monkeypatch.setattr(sys, "stdout", Broken())
    assert main(words) == entry.PIPE_CLOSED
    assert ended == [1]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted: the rollout goes on"),
        (
            RingctlError("x", code="RC1234", hint="y"),
            1,
            "error[RC1234]: x\n   = y\n   = more: ringctl explain RC1234",
        ),
        (UsageError("x"), 2, "error[RC0002]: x\n"),
    ],
)
def test_what_a_command_raises_is_an_exit_code(
    raised: BaseException, code: int, said: str, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise raised

    monkeypatch.setattr("ringctl.cli.runner.run", fail)
    answer = ring("explain")
    assert answer.code == code
    assert said in answer.err


def test_a_command_that_typer_interrupted_is_interrupted(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringctl.cli.runner.run", lambda *_: 130)
    assert ring("explain").code == 130


def test_a_bug_leaves_a_traceback_in_a_file(
    ring: Ring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> int:
        raise BugError("no edge")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ringctl.cli.runner.run", fail)
    answer = ring("explain")
    assert answer.code == 1
    assert "BugError: no edge" in Path(answer.err.split("traceback: ")[1].strip()).read_text()


def test_the_last_hook_reports_what_nobody_expected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    entry.crashed(ValueError, ValueError("a\x1b[31m"), None)
    said = capsys.readouterr().err
    assert said.startswith("error[RC0001]: unexpected ValueError: a\\x1b[31m\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    entry.crashed(ValueError, ValueError("b"), None)
    assert "no file could be written" in capsys.readouterr().err
    ended: list[int] = []
    monkeypatch.setattr(entry, "end", ended.append)
    entry.crashed(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert ended[0] == 130
