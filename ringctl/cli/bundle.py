"""`ringctl bundle`: lint, schema, digest, diff."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringctl.cli import linting
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit
from ringctl.cli.style import show
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.timing import SECOND

if TYPE_CHECKING:
    from ringctl.core.bundle import Bundle
    from ringctl.core.changes import BundleChange

Directory = Annotated[str, typer.Argument(metavar="DIR", help="A directory with bundle.yaml.")]


def lint(
    directories: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR]...", help="Directories with bundle.yaml; default: .")
    ] = None,
) -> int:
    """Check bundles and the options of their steps; exit 3 when anything is refused."""
    return linting.report([_linted(path) for path in directories or ["."]])


def _linted(path: str) -> linting.Linted:
    from ringctl import bootstrap, registry
    from ringctl.engine.checking import placed, step_findings
    from ringctl.settings import load_bundle

    found: Sequence[Finding] = ()
    digest = ""
    try:
        loaded = load_bundle(Path(path), dict.fromkeys(registry.known("ringctl.executors")))
        checked = [placed(one, Path(path)) for one in step_findings(bootstrap.executor, loaded)]
        digest, found = loaded.bundle.digest, (*checked, *loaded.warnings)
    except InvalidInput as error:
        found = error.findings
    return linting.Linted(path=path, findings=tuple(found), digest=digest)


def schema() -> None:
    """Print the JSON Schema of a bundle (draft-07, for editors)."""
    from ringctl.settings import bundle_schema

    linting.print_schema(bundle_schema())


def digest(directory: Directory) -> None:
    """Print a bundle's digest, its steps' and its files'."""
    from ringctl.settings import load_bundle

    bundle = load_bundle(Path(directory)).bundle
    emit(View(document=lambda: document(bundle), blocks=lambda: _digest_blocks(bundle)))


def document(bundle: "Bundle") -> dict[str, object]:
    """The bundle as an object."""
    return {
        "schema": "ringctl/bundle/v1",
        "name": bundle.name,
        "version": bundle.version,
        "component": bundle.component,
        "author": bundle.author,
        "digest": bundle.digest,
        "steps": [
            {
                "id": spec.id, "executor": spec.executor, "digest": spec.digest, "files": list(spec.files),
                "timeout_seconds": spec.timeout_us / SECOND, "idempotent": spec.idempotent,
                "forward_only": spec.forward_only, "scope": spec.scope,
                "probe": spec.probe is not None, "undo": spec.undo is not None,
            }
            for spec in bundle.steps
        ],
        "close_window": bundle.close_window is not None,
        "files": dict(bundle.files),
    }  # fmt: skip


def _digest_blocks(bundle: "Bundle") -> list[Block]:
    steps = [[show(spec.id), show(spec.executor), show(spec.digest)] for spec in bundle.steps]
    files = [[show(path, 80), show(hexes)] for path, hexes in sorted(bundle.files.items())]
    return [
        bundle.digest,
        "",
        Line(
            text=f"{show(bundle.name)} {show(bundle.version)}, component {show(bundle.component)}",
            style="bold",
        ),
        Grid(columns=columns("STEP", "EXECUTOR", "DIGEST"), rows=steps),
        "",
        Grid(columns=columns("~FILE", "SHA-256"), rows=files),
    ]


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The bundle before.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The bundle after.")],
) -> None:
    """Compare two bundles, step by step: what differs, and of which class the change is.

    Classes, rising: none, cosmetic, probe, timing, code, data-shape. Every change requalifies; the class
    decides how much evidence and who must agree.
    """
    from ringctl.core.changes import compare
    from ringctl.settings import load_bundle

    before, after = load_bundle(Path(old)), load_bundle(Path(new))
    found = compare(before.bundle, after.bundle, before.contents, after.contents)
    emit(
        View(
            document=lambda: diff_document(before.bundle, after.bundle, found),
            blocks=lambda: _diff_blocks(before.bundle, after.bundle, found),
        )
    )


def diff_document(before: "Bundle", after: "Bundle", found: "BundleChange") -> dict[str, object]:
    """The comparison as an object."""
    return {
        "schema": "ringctl/bundle-diff/v1",
        "old": {"version": before.version, "digest": before.digest},
        "new": {"version": after.version, "digest": after.digest},
        "class": found.change,
        "parts": list(found.parts),
        "steps": [
            {"step": one.step, "kind": one.kind, "class": one.change, "parts": list(one.parts)}
            for one in found.steps
        ],
    }


_STYLE = {
    "none": "dim",
    "cosmetic": "",
    "probe": "",
    "timing": "yellow",
    "code": "yellow",
    "data-shape": "red",
}


def _diff_blocks(before: "Bundle", after: "Bundle", found: "BundleChange") -> list[Block]:
    rows = [[show(one.step), one.kind, one.change, cell(", ".join(one.parts))] for one in found.steps]
    styles = {number: _STYLE[one.change] for number, one in enumerate(found.steps)}
    made: list[Block] = [
        " -> ".join(f"{show(one.version)} {one.digest[7:19]}" for one in (before, after)),
        "",
        Grid(
            columns=columns("STEP", "IS", "CLASS", "~WHAT DIFFERS"),
            rows=rows,
            styles=styles,
        ),
    ]  # fmt: skip
    if found.parts:
        made += ["", f"  beside the steps: {show(', '.join(found.parts), 400)}"]
    if found.change == "none":
        return [*made, "", "The same bundle."]
    return [
        *made,
        "",
        Line(text=f"The change is of class {found.change}.", style="bold"),
        "In a running rollout it starts again in a small watched subset: ringctl amend.",
    ]


COMMANDS = {"bundle lint": lint, "bundle schema": schema, "bundle digest": digest, "bundle diff": diff}
