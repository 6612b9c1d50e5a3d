"""What the checks of all executors share: options of the wrong name, type or form. Pure."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding
from ringctl.core.placeholders import findings as placeholder_findings
from ringctl.core.timing import SECOND

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)")
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def finding(spec: StepSpec, code: str, message: str, *, text: str = "", hint: str = "") -> Finding:
    """A finding about a step, at the step's line."""
    return Finding(code=code, message=f"step {spec.id!r}: {message}", line=spec.line, text=text, hint=hint)


def unknown(spec: StepSpec, known: Sequence[str], options: Mapping[str, object]) -> Iterator[Finding]:
    """RC6002 for each option that this executor does not have."""
    for name in sorted(set(options) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        yield Finding(
            code="RC6002",
            message=f"step {spec.id!r}: {spec.executor} has no option {name!r}",
            line=spec.line,
            text=name,
            known=tuple(known),
            hint=f"did you mean {close[0]!r}?" if close else "",
        )


def text_of(spec: StepSpec, name: str) -> str:
    """An option that must be a text; '' when it is not (see `missing_text`)."""
    value = spec.options.get(name)
    return value if isinstance(value, str) else ""


def missing_text(spec: StepSpec, *names: str) -> Iterator[Finding]:
    """RC6003 for each of these options that is not a text with something in it."""
    for name in names:
        if not text_of(spec, name):
            yield finding(spec, "RC6003", f"option {name!r} must be a text", text=name)


def missing_file(spec: StepSpec, path: str) -> Iterator[Finding]:
    """RC6004 when the bundle does not hold the file."""
    if path and path not in spec.files:
        yield finding(
            spec, "RC6004", f"the bundle has no file {path!r}", text=path,
            hint="paths are relative to bundle.yaml",
        )  # fmt: skip


def bad_placeholders(spec: StepSpec, where: str, *texts: str) -> Iterator[Finding]:
    """RC6001 for each placeholder outside the closed set."""
    for text in texts:
        for found in placeholder_findings(text, f"{where} of step {spec.id!r}"):
            yield Finding(
                code=found.code, message=found.message, line=spec.line, text=found.text,
                known=found.known, hint=found.hint,
            )  # fmt: skip


def texts_of(value: object) -> tuple[str, ...]:
    """A list of texts as a tuple; () when it is anything else."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return ()


def mapping_of(value: object) -> dict[str, str]:
    """A mapping of texts to scalars, as texts; values that are no scalar are left out."""
    if not isinstance(value, Mapping):
        return {}
    return {
        str(name): str(item)
        for name, item in value.items()
        if isinstance(item, str | int) and not isinstance(item, bool)
    }


def bad_mapping(spec: StepSpec, name: str) -> Iterator[Finding]:
    """RC6003 when the option is there and not a mapping of names to texts or whole numbers."""
    value = spec.options.get(name, {})
    if not isinstance(value, Mapping) or len(mapping_of(value)) != len(value):
        yield finding(spec, "RC6003", f"option {name!r} must map names to texts", text=name)


def probe_options(spec: StepSpec, kind: str) -> Mapping[str, object] | None:
    """The options of a step's probe of this kind: `{executor, options}`, or as the manifest has it,
    `{command: [...], env: [...]}` and `{http: {url: ...}}`. None when the probe is of another kind."""
    probe = spec.probe or {}
    if "executor" in probe:
        options = probe.get("options")
        return options if probe["executor"] == kind and isinstance(options, Mapping) else None
    value = probe.get(kind)
    if isinstance(value, Mapping):
        return value
    if isinstance(value, str):
        return {"url": value}
    if isinstance(value, list | tuple):
        return {"argv": value, "env": probe.get("env", ())}
    return None


def seconds(value: object) -> float:
    """A duration: `50ms`, `1.5s`, or whole microseconds; raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value / SECOND
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no duration such as 50ms, 2s or 5m")
    return float(match.group(1)) * _UNITS[match.group(2)]
