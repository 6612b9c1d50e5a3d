"""No dead module, no undeclared import, plug-ins that do not know each other."""

import ast
import itertools
import re
import sys

import pytest

from tests.tidy.tree import ROOT, imported, module_name, named, parsed, pyproject, python_files

# Modules under which no two files know each other, beside the plug-ins that the entry points name.
STRANGERS = {"stores": {"sqlite", "postgres"}}
# What a distribution is imported as, where the names differ.
IMPORTED_AS = {
    "pyyaml": "yaml",
    "import-linter": "importlinter",
    "types-pyyaml": "",
    "types-jsonschema": "",
}


def entry_points() -> dict[str, list[str]]:
    """Group -> the modules it names."""
    groups: dict[str, dict[str, str]] = pyproject()["project"].get("entry-points", {})
    return {
        group: sorted({target.split(":")[0] for target in targets.values()})
        for group, targets in groups.items()
    }


def strings(tree: ast.Module) -> set[str]:
    """Every string in the file: the command table, `-m MODULE` and `module:name` are such."""
    return {
        node.value.split(":")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 100
    }


def test_every_module_is_used() -> None:
    if not all((ROOT / "ringctl" / name).exists() for name in ("__main__.py", "bootstrap.py")):
        pytest.skip("the tree is not whole yet: no __main__ or no bootstrap")
    reached = {module for modules in entry_points().values() for module in modules}
    for path in python_files("ringctl"):
        used = imported(parsed(path)) | strings(parsed(path))
        if path.name == "__main__.py":
            used |= {f"ringctl.cli.{name}" for name in used}
        reached |= used - {module_name(path)}
    for path in python_files("tests", "bench"):  # the public test kit is for tests
        reached |= {name for name in imported(parsed(path)) if name.startswith("ringctl.testing")}
    dead = [
        named(path)
        for path in python_files("ringctl")
        if path.name not in {"__init__.py", "__main__.py"} and module_name(path) not in reached
    ]
    assert not dead, "nobody imports or names these:\n" + "\n".join(dead)


def test_plug_ins_of_a_kind_do_not_know_each_other() -> None:
    kinds = list(entry_points().values())
    kinds += [[f"ringctl.{folder}.{name}" for name in names] for folder, names in STRANGERS.items()]
    known = {module_name(path): path for path in python_files("ringctl")}
    wrong = [
        f"{module} imports {other}"
        for modules in kinds
        for module in modules
        if module in known
        for other in imported(parsed(known[module])) & set(modules) - {module}
    ]
    assert not wrong, "\n".join(wrong)


def test_every_named_plug_in_is_there() -> None:
    known = {module_name(path) for path in python_files("ringctl")}
    absent = [
        f"{group}: {module}"
        for group, modules in entry_points().items()
        for module in modules
        if module not in known
    ]
    assert not absent, "\n".join(absent)


def test_every_import_is_declared() -> None:
    project = pyproject()["project"]
    declared = {"ringctl"}
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    for requirement in [*project["dependencies"], *extras]:
        name = re.split(r"[\[<>=!~ ;]", requirement)[0].lower()
        declared.add(IMPORTED_AS.get(name, name.replace("-", "_")))
    undeclared = sorted(
        f"{named(path)}: {name}"
        for path in python_files("ringctl")
        for name in {module.split(".")[0] for module in imported(parsed(path))}
        if name not in sys.stdlib_module_names and name not in declared
    )
    assert not undeclared, "\n".join(undeclared)


def test_only_net_knows_the_http_client() -> None:
    wrong = [
        named(path)
        for path in python_files("ringctl")
        if "httpx" in imported(parsed(path)) and named(path) != "ringctl/net.py"
    ]
    assert not wrong, f"use ringctl.net: {wrong}"


def test_pure_dataclasses_are_frozen_and_slotted() -> None:
    loose = []
    for path in python_files("ringctl"):
        if path.relative_to(ROOT).parts[1] not in {"core", "gates", "strategies", "ports"}:
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                loose += [
                    f"{named(path)}:{node.lineno} {node.name}"
                    for decorator in node.decorator_list
                    if "dataclass" in ast.unparse(decorator)
                    and not {"frozen=True", "slots=True"}
                    <= set(re.findall(r"\w+=True", ast.unparse(decorator)))
                ]
    assert not loose, "frozen=True, slots=True:\n" + "\n".join(loose)
