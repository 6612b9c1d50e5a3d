"""Small modules, small functions, few exemptions."""

import ast
import re

import pytest

from tests.tidy.tree import named, parsed, python_files

# folders -> most lines of a module, most lines of a function
LIMITS = {("ringctl", "scripts", "bench"): (400, 60), ("tests",): (600, 80)}

# How often each way round a check may be used, by top folder. Raise one only with a reason beside.
EXEMPTIONS = {
    ("ringctl", r"#\s*pragma: no (?:cover|branch)"): 5,
    ("ringctl", r"#\s*type: ignore"): 5,
    ("ringctl", r"#\s*(?:ruff: )?noqa"): 15,
    ("tests", r"#\s*pragma: no (?:cover|branch)"): 0,
    ("tests", r"#\s*type: ignore"): 15,
    ("tests", r"#\s*(?:ruff: )?noqa"): 15,
    ("scripts", r"#\s*(?:type: ignore|(?:ruff: )?noqa)"): 0,
}


def test_modules_stay_short() -> None:
    too_long = []
    for folders, (most, _) in LIMITS.items():
        for path in python_files(*folders):
            lines = len(path.read_text().splitlines())
            if lines > most:
                too_long.append(f"{named(path)}: {lines} lines, at most {most}")
    assert not too_long, "split by noun:\n" + "\n".join(too_long)


def test_functions_stay_short() -> None:
    too_long = []
    for folders, (_, most) in LIMITS.items():
        for path in python_files(*folders):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > most:
                        where = f"{named(path)}:{node.lineno}"
                        too_long.append(f"{where} {node.name}: {lines} lines, at most {most}")
    assert not too_long, "\n".join(too_long)


@pytest.mark.parametrize(("folder", "pattern"), EXEMPTIONS, ids=lambda value: re.sub(r"\W+", "-", value))
def test_exemptions_stay_few(folder: str, pattern: str) -> None:
    found = [
        f"{named(path)}:{number} {line.strip()}"
        for path in python_files(folder)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(pattern, line) and named(path) != "tests/tidy/test_sizes.py"
    ]
    most = EXEMPTIONS[folder, pattern]
    assert len(found) <= most, f"{len(found)} times, at most {most}:\n" + "\n".join(found)
