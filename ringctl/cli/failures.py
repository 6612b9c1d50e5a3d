"""An error as people and as machines read it."""

import sys
from collections.abc import Sequence

from ringctl.cli import findings as finding_lines
from ringctl.cli.invocation import Invocation
from ringctl.cli.style import Painter, columns_of, show, wants_color
from ringctl.core.errors import Finding, RingctlError, UsageError


def rendered(error: RingctlError, invocation: Invocation) -> tuple[str, str]:
    """(text for standard output, text for standard error)."""
    out = ""
    if invocation.output in {"json", "ndjson", "yaml"}:
        from ringctl.cli.machine import dumped

        out = dumped(document(error), invocation.output)
    paint = Painter(on=wants_color(invocation.color, sys.stderr))
    return out, _text(error, paint, columns_of())


def findings_of(error: RingctlError) -> Sequence[Finding]:
    """The findings that an error carries."""
    found: Sequence[Finding] = getattr(error, "findings", ())
    return found


def document(error: RingctlError) -> dict[str, object]:
    """The error as an object."""
    return {
        "schema": "ringctl/error/v1",
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "findings": [finding_lines.as_json(finding) for finding in findings_of(error)],
    }


def _text(error: RingctlError, paint: Painter, columns: int) -> str:
    found = findings_of(error)
    if found:
        files = len({finding.path for finding in found if finding.path})
        text = finding_lines.render(found, paint, columns)
        return text + finding_lines.summary(found, files) + "\n"
    head = paint(f"error[{error.code}]", "bold", "red")
    lines = [f"{head}: {show(error.message, 2000)}"]
    sign = f"   {paint('=', 'blue')} "
    if error.hint:
        lines += finding_lines.wrapped(sign, show(error.hint, 1000), columns)
    if not isinstance(error, UsageError):
        lines.append(f"{sign}more: ringctl explain {error.code}")
    return "\n".join(lines) + "\n"
