"""What must hold of a bundle beyond its file's form, before anything is planned or sent: the executors' own
checks of their steps (SQL texts included), and placeholders that the policy's inventory can fill."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ringctl.core import placeholders
from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.closest import did_you_mean
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.policy import InventorySpec
from ringctl.engine.parts import Parts
from ringctl.ports.executor import Executor
from ringctl.settings import LoadedBundle, load_bundle

MANIFEST = "bundle.yaml"


def load_checked(parts: Parts, directory: Path, inventory: InventorySpec | None = None) -> LoadedBundle:
    """The bundle of a directory, with every step accepted by its executor. Raises InvalidInput with all findings.

    With `inventory`, placeholders of traits and targets must be columns that it names.
    """
    names = parts.executors()
    loaded = load_bundle(directory, dict.fromkeys(names) if names else None)
    found = [one for one in step_findings(parts.executor, loaded) if one.severity == "error"]
    if inventory is not None:
        found += column_findings(loaded.bundle, inventory)
    if found:
        raise InvalidInput([placed(finding, directory) for finding in found])
    return loaded


def steps_of(bundle: Bundle) -> tuple[StepSpec, ...]:
    """All steps that may ever run, `close_window` included."""
    return (*bundle.steps, bundle.close_window) if bundle.close_window else bundle.steps


def step_findings(executor: Callable[[str], Executor], loaded: LoadedBundle) -> Iterator[Finding]:
    """What the executors have against their steps."""
    texts = {path: text for path, content in loaded.contents.items() if (text := _text(content)) is not None}
    for spec in steps_of(loaded.bundle):
        yield from executor(spec.executor).check(spec, texts)


def column_findings(bundle: Bundle, inventory: InventorySpec) -> Iterator[Finding]:
    """RC3021 for each placeholder of a trait or target that the inventory does not name."""
    columns = {f"account.traits.{name}" for name in inventory.traits}
    columns |= {f"account.target.{name}" for name in inventory.target}
    for spec in steps_of(bundle):
        for name in dict.fromkeys(_names(spec.options)):
            if name.startswith(placeholders.FAMILIES) and name not in columns:
                yield Finding(
                    code="RC3021",
                    message=f"step {spec.id!r}: the policy's inventory has no column for {{{name}}}",
                    line=spec.line,
                    text=f"{{{name}}}",
                    known=tuple(sorted(columns)),
                    hint=did_you_mean(name, columns),
                )


def _names(value: object) -> Iterator[str]:
    """Every placeholder in a step's options, however deep."""
    if isinstance(value, str):
        yield from placeholders.used(value)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _names(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _names(one)


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def placed(finding: Finding, directory: Path) -> Finding:
    """A finding about a step, in the manifest of its bundle."""
    if finding.path:
        return finding
    column = finding.column or (1 if finding.line else 0)
    return replace(finding, path=str(directory / MANIFEST), column=column)
