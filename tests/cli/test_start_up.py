"""What is imported for what: counted in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import write_fleet

REPORT = """
import sys
before = set(sys.modules)
sys.argv = ["ringctl", *sys.argv[1:]]
from ringctl.__main__ import main
code = main()
sys.stdout.flush()
names = {name.split(".")[0] for name in set(sys.modules) - before}
known = sys.stdlib_module_names | {"ringctl"}
print(*sorted(names - known), file=sys.stderr)
sys.exit(code)
"""


def run(*words: str, directory: Path | None = None, code: str = REPORT) -> "subprocess.CompletedProcess[str]":
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": "/nonexistent",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        check=False, capture_output=True, text=True, timeout=60, cwd=directory, env=environ,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["--version"], ["--help"], [], ["-h"], ["help"], ["help", "exit-codes"], ["help", "environment"],
        ["-q", "--help"], ["--no-input", "--version"], ["completion", "bash"], ["completion", "zsh"],
        ["completion", "fish"], ["__complete", "rollouts"], ["completion", "--help"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_static_commands_import_no_third_party(words: list[str], tmp_path: Path) -> None:
    done = run(*words, directory=tmp_path)
    assert (done.returncode, done.stderr.split()) == (0, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["statsu"], ["help", "nope"], ["completion", "tcsh"], ["-o", "xml", "plan"]]
)
def test_usage_errors_of_the_static_part_import_no_third_party(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == ""


def test_status_imports_nothing_it_does_not_need(tmp_path: Path) -> None:
    write_fleet(tmp_path)
    begun = run("start", "--policy", "policy.yaml", "--bundle", "b1", "-o", "json", directory=tmp_path)
    assert begun.returncode == 0, begun.stderr
    done = run("status", "-o", "json", directory=tmp_path)
    assert (done.returncode, done.stderr.split()) == (0, [])
    done = run("status", "last", "-o", "json", directory=tmp_path)
    assert done.returncode == 0
    others = {name for name in done.stderr.split() if "cython" not in name}
    assert others <= {"yaml", "_yaml"}
    done = run("status", "last", directory=tmp_path)
    assert done.returncode == 0
    assert not {"rich", "httpx", "prometheus_client", "psycopg", "jinja2"} & set(done.stderr.split())


@pytest.mark.parametrize("words", [[], ["last"], ["build"]], ids=" ".join)
def test_status_for_machines_says_the_same_by_the_short_and_the_usual_way(
    words: list[str], tmp_path: Path
) -> None:
    write_fleet(tmp_path)
    run("start", "--policy", "policy.yaml", "--bundle", "b1", "-o", "json", directory=tmp_path)
    usual = REPORT.replace(
        "code = main()", "import ringctl.cli.quick as q; q.answers = lambda *_: False; code = main()"
    )
    done, same = (
        run("status", *words, "-o", "json", directory=tmp_path, code=code) for code in (REPORT, usual)
    )
    assert (done.returncode, done.stdout) == (same.returncode, same.stdout)
    assert "typer" in same.stderr.split()
    assert "typer" not in done.stderr.split()


def test_complete_lists_rollouts_of_the_store(tmp_path: Path) -> None:
    write_fleet(tmp_path)
    run("start", "--policy", "policy.yaml", "--bundle", "b1", "-o", "json", directory=tmp_path)
    done = run("__complete", "rollouts", directory=tmp_path)
    assert done.stdout.startswith("build-")
    assert done.stderr.split() == []


@pytest.mark.parametrize("state", ["sqlite:///absent.db", "sqlite:///text.db", "postgresql://x", ""])
def test_complete_is_silent_where_there_is_no_answer(state: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    done = run("__complete", "rollouts", state, directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def test_an_unexpected_error_ends_in_a_file() -> None:
    code = REPORT.replace("code = main()", "import ringctl.cli.topics as t; t.topic = None; code = main()")
    done = run("help", "exit-codes", "-o", "json", code=code)
    assert done.returncode == 1
    assert done.stderr.startswith("error[RC0001]: unexpected TypeError: 'NoneType' object is not callable\n")
    path = Path(done.stderr.split("traceback: ")[1].split("\n")[0])
    try:
        assert "Traceback (most recent call last)" in path.read_text()
        assert '"code": "RC0001"' in done.stdout
    finally:
        path.unlink()


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    line = f"{sys.executable} -m ringctl completion zsh | {sys.executable} -c 'import sys; sys.stdin.close()'"
    done = subprocess.run(
        ["sh", "-c", line], check=False, capture_output=True, text=True, timeout=60, env=environ
    )
    assert done.stderr == ""
