"""What a bundle's steps say to the executors that will run them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ringctl.core.bundle import Bundle
from ringctl.core.errors import Finding


def step_findings(bundle: Bundle, directory: Path) -> tuple[Finding, ...]:
    """Every executor's findings on its steps, `close_window` included, placed in the manifest."""
    return tuple(_all(bundle, directory / "bundle.yaml"))


def _all(bundle: Bundle, manifest: Path) -> Iterable[Finding]:
    from ringctl import bootstrap

    specs = [*bundle.steps, *([bundle.close_window] if bundle.close_window else [])]
    for spec in specs:
        for finding in bootstrap.executor(spec.executor).check(spec):
            if finding.path:
                yield finding
            else:
                yield replace(finding, path=str(manifest), line=spec.line, column=1 if spec.line else 0)
