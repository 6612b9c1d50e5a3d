"""Spin on `claim.pml`: generate a checker, compile it, run it, read what it says."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("claim.pml")
SECONDS = 600
DEPTH = 100_000  # longer than the longest path; a search that is cut off is an error


@dataclass(frozen=True, slots=True)
class Size:
    """What one search may do: the bounds of the model, and what they leave out."""

    nodes: int
    claims: int
    steps: int = 2
    amends: int = 1
    holds: int = 0
    crashes: int = 0

    def macros(self) -> list[str]:
        """The bounds as the model's macros."""
        names = ("nodes", "claims", "steps", "amends", "holds", "crashes")
        return [f"-D{name.upper()}={getattr(self, name)}" for name in names]


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search: how many states, and the first thing that is wrong ("" when nothing is)."""

    states: int
    error: str
    unreached: tuple[str, ...]


class Checker:
    """One compiled checker. `fair`: for what must happen in the end, else for what must never happen."""

    def __init__(
        self, directory: Path, size: Size, *, bug: str = "", fair: bool = False, optimise: str = "-O2"
    ):
        macros = [*size.macros(), *([f"-D{bug}"] if bug else [])]
        directory.mkdir(exist_ok=True)
        run(["spin", "-a", *macros, str(MODEL)], directory)
        kind = ["-DNFAIR=3"] if fair else ["-DSAFETY", "-DNOCLAIM"]
        run(["gcc", "-w", optimise, *kind, "-o", "pan", "pan.c"], directory)
        self.directory = directory

    def search(self, promise: str = "") -> Found:
        """All that can happen, or up to the first error. `promise`: the name of what must happen in the end."""
        live = ["-a", "-f", "-N", promise] if promise else []
        said = run(["./pan", *live, f"-m{DEPTH}", "-w22"], self.directory)
        error = re.search(r"^(?:pan:1: (.*) \(at depth -?\d+\)|(error: .*))$", said, re.MULTILINE)
        states = re.search(r"^ *(\S+) states, stored", said, re.MULTILINE)
        assert states is not None, said
        return Found(
            states=int(float(states[1])),
            error=(error[1] or error[2]) if error else "",
            unreached=tuple(re.findall(r'claim\.pml:\d+, state \d+, "(?!-end-)(.*)"', said)),
        )


def run(command: Sequence[str], directory: Path) -> str:
    """Its output; a program that fails is a failure of the test."""
    done = subprocess.run(
        command, cwd=directory, check=False, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout
