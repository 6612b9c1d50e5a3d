"""docs/reference is what the code says: written by scripts/docs, compared here."""

import subprocess
import sys

from tests.tidy.tree import ROOT

SCRIPT = [sys.executable, "-m", "scripts.docs"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SCRIPT, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_reference_is_what_the_code_says() -> None:
    done = run("--check")
    assert done.returncode == 0, f"run scripts/docs\n{done.stdout[-4000:]}{done.stderr}"


def test_the_script_is_executable_and_refuses_what_it_does_not_know() -> None:
    assert (ROOT / "scripts" / "docs").stat().st_mode & 0o111
    done = run("--nonsense")
    assert done.returncode == 2
    assert "usage" in done.stderr
