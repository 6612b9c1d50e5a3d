"""JSON, NDJSON, YAML and JUnit: every object carries its `schema`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Valid in JSON text, but a terminal acts on them: C1 controls, DEL, direction and format marks,
# line separators, lone surrogates. Outside of strings JSON has none of them, so `\u` is exact.
_UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]"
)


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON that is safe to look at; raises ValueError for NaN and infinity."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=_plain)
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, Sequence):
        return list(value)
    msg = f"no JSON for {type(value).__name__}"
    raise TypeError(msg)


def dumped(document: Mapping[str, object], output: str) -> str:
    """One object in the format asked for, ended by a line break."""
    if output == "yaml":
        import yaml

        plain = json.loads(json_text(document))
        return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False, width=100))
    return json_text(document, indent=2 if output == "json" else None) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One JUnit case. `failure` fails it, `error` is no answer, `waiting` skips it; all empty: passed."""

    name: str
    failure: str = ""
    error: str = ""
    waiting: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One JUnit suite."""

    name: str
    cases: Sequence[Case] = field(default=())


def junit(suites: Sequence[Suite]) -> str:
    """JUnit XML, as CI systems read it."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for suite in suites:
        failures = sum(1 for case in suite.cases if case.failure)
        errors = sum(1 for case in suite.cases if case.error)
        skipped = sum(1 for case in suite.cases if case.waiting)
        lines.append(
            f'  <testsuite name="{_xml(suite.name)}" tests="{len(suite.cases)}" failures="{failures}"'
            f' errors="{errors}" skipped="{skipped}">'
        )
        for case in suite.cases:
            lines += _case(suite.name, case)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _case(suite: str, case: Case) -> list[str]:
    head = f'    <testcase classname="{_xml(suite)}" name="{_xml(case.name)}"'
    for tag, text in (("failure", case.failure), ("error", case.error), ("skipped", case.waiting)):
        if text:
            first = _xml(case.message or text.split("\n", 1)[0])
            return [f"{head}>", f'      <{tag} message="{first}">{_xml(text)}</{tag}>', "    </testcase>"]
    return [f"{head}/>"]


def _xml(text: str) -> str:
    from xml.sax.saxutils import quoteattr

    from ringctl.cli.style import show

    shown = "\n".join(show(line, 2000) for line in text.split("\n"))
    return quoteattr(shown, {'"': "&quot;"})[1:-1].replace("&#10;", "\n")
