"""The repository as the tidy tests see it: its own files, parsed once."""

import ast
import functools
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def own_files() -> tuple[Path, ...]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout.decode()
    return tuple(sorted(ROOT / name for name in set(listed.split("\0")) if name and _is_there(name)))


def _is_there(name: str) -> bool:
    return (ROOT / name).is_file()


def python_files(*folders: str) -> list[Path]:
    """The Python files under these top folders."""
    return [
        path for path in own_files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(), filename=str(path))


def named(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """`ringctl/core/__init__.py` -> `ringctl.core`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def pyproject() -> dict[str, Any]:
    """pyproject.toml, read."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def imported(tree: ast.Module) -> set[str]:
    """Every module the file imports anywhere, `from a import b` as both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
