"""Fenced blocks of a Markdown page: files to write, and console sessions to run and compare."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file it is to be saved as, its text."""

    language: str
    title: str
    body: str


@dataclass(frozen=True)
class Command:
    """One line of a console session, and what it is to print."""

    line: str
    expected: str


def blocks(text: str) -> Iterator[Block]:
    """Every fenced block that names a language."""
    for match in BLOCK.finditer(text):
        title = TITLE.search(match["info"])
        yield Block(match["info"].split()[0], title[1] if title else "", match["body"])


def session(body: str) -> Iterator[Command]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        yield Command(line, expected)


def pattern(expected: str) -> re.Pattern[str]:
    """Expected output: `...` in a line is anything there, a line of `...` is any number of lines."""
    made = ""
    for line in expected.splitlines():
        if line.strip() == "...":
            made += r"(?:[^\n]*\n)*?"
        else:
            made += ".*?".join(re.escape(piece) for piece in line.rstrip().split("...")) + r"[ ]*\n"
    return re.compile(made)


def environment() -> dict[str, str]:
    """The environment of a reader: our programs first on the path, nothing of ringctl's set."""
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith("RINGCTL_") and name != "CI"
    }
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "COLUMNS": "100", "NO_COLOR": "1", "RINGCTL_ACTOR": "sam"}


def run(line: str, folder: Path) -> str:
    """What the shell line prints, errors included."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    return done.stdout


def follow(text: str, folder: Path) -> int:
    """Write every titled block and run every console session of a page, in order; the commands run."""
    count = 0
    for block in blocks(text):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body)
        if block.language != "console":
            continue
        for command in session(block.body):
            said = run(command.line, folder)
            wanted = pattern(command.expected)
            assert wanted.fullmatch(said), (
                f"$ {command.line}\n--- said\n{said}\n--- the page\n{command.expected}"
            )
            count += 1
    return count
