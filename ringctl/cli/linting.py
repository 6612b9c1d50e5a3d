"""What every `lint` prints, and how a JSON Schema is written out."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringctl.cli import findings as finding_lines
from ringctl.cli.invocation import current
from ringctl.cli.machine import Case, Suite, json_text
from ringctl.cli.render import Block, View, emit
from ringctl.cli.style import Painter, columns_of, show, wants_color
from ringctl.core.errors import Finding, InvalidInput, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """One file or directory that was checked."""

    path: str
    findings: tuple[Finding, ...] = ()
    digest: str = ""

    @property
    def errors(self) -> int:
        """How many findings refuse it."""
        return sum(1 for finding in self.findings if finding.severity == "error")


def report(checked: Sequence[Linted]) -> int:
    """Print the findings; the exit code."""
    errors = sum(one.errors for one in checked)
    paint = Painter(on=current().output == "table" and wants_color(current().color, sys.stdout))

    def blocks() -> list[Block]:
        every = [finding for one in checked for finding in one.findings]
        made: list[Block] = []
        if current().output == "markdown":
            made += [
                f"{show(finding.position)}: {show(finding.code)} {show(finding.message)}" for finding in every
            ]
        elif every:
            made += finding_lines.render(every, paint, columns_of()).rstrip("\n").split("\n")
        return [*made, finding_lines.summary(every, len(checked), "")]

    emit(View(document=lambda: document(checked), blocks=blocks, suites=lambda: [_suite(checked)]))
    return InvalidInput.exit_code if errors else 0


def document(checked: Sequence[Linted]) -> dict[str, object]:
    """The result as an object."""
    return {
        "schema": "ringctl/lint/v1",
        "ok": not any(one.errors for one in checked),
        "errors": sum(one.errors for one in checked),
        "warnings": sum(len(one.findings) - one.errors for one in checked),
        "files": [
            {
                "path": one.path,
                "ok": not one.errors,
                "digest": one.digest,
                "findings": [finding_lines.as_json(finding) for finding in one.findings],
            }
            for one in checked
        ],
    }


def _suite(checked: Sequence[Linted]) -> Suite:
    plain = Painter(on=False)
    cases = [
        Case(
            name=one.path,
            failure=finding_lines.render(one.findings, plain) if one.errors else "",
            message=f"{one.errors} errors",
        )
        for one in checked
    ]
    return Suite(name="lint", cases=cases)


def print_schema(schema: Mapping[str, object]) -> None:
    """A JSON Schema is JSON in every format but YAML."""
    output = current().output
    if output in {"junit", "markdown"}:
        raise UsageError(f"a schema has no -o {output}; known here: table, json, yaml, ndjson")
    if output == "yaml":
        from ringctl.cli.machine import dumped

        sys.stdout.write(dumped(schema, "yaml"))
        return
    sys.stdout.write(json_text(schema, indent=None if output == "ndjson" else 2) + "\n")
