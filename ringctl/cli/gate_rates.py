"""Rates that people give to `gate plan`: `--rate GATE=0.5`, or a file of them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringctl.cli.names import unknown
from ringctl.cli.style import show
from ringctl.core.errors import NotFound, UsageError
from ringctl.core.policy import Check, Count
from ringctl.engine.outlook import Rate

HINT = "errors=0.5/min, or errors=0.5 of 50/min: bad events (of all) a minute and account"
KEYS = {"events": "events", "samples": "samples", "phi": "phi", "drift": "drift", "past_minutes": "past"}
MOST = 1e9
LEAST = 1.0
"""Of `phi` and `drift`: events that come one by one."""


def given_rates(path: str, options: Sequence[str], checks: Mapping[str, Check]) -> dict[str, Rate]:
    """The rates of a file, then those of options. Raises UsageError, and NotFound for a gate that is not there."""
    found = _of_file(Path(path), checks) if path else {}
    for text in options:
        name, _, said = text.partition("=")
        _must_know(name, checks)
        events, _, samples = said.removesuffix("/min").partition(" of ")
        one = Rate(
            events=_number(events, f"--rate {text}", zero=True),
            samples=_number(samples, f"--rate {text}") if samples else None,
            said="given",
        )
        found[name] = _of_count(_possible(one, f"--rate {text}"), checks[name])
    return found


def _of_file(path: Path, checks: Mapping[str, Check]) -> dict[str, Rate]:
    """Either gate -> number or mapping, or the same under `rates`, as `gate plan -o json` prints it."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UsageError(f"--rates: cannot read {show(str(path))}: {reason}") from None
    rows = document.get("rates", document) if isinstance(document, dict) else None
    if not isinstance(rows, dict):
        raise UsageError("--rates: a mapping of gates to rates is wanted", hint='{"errors": 0.5}')
    found = {}
    for name, row in rows.items():
        _must_know(name, checks)
        one = _of_row(row, f"--rates: {name}")
        if one is not None:
            part = not isinstance(checks[name].measure, Count)
            found[name] = _of_count(_possible(one, f"--rates: {name}", part=part), checks[name])
    return found


def _possible(one: Rate, where: str, *, part: bool = True) -> Rate:
    """The rate. Raises UsageError for more bad ones than there are (where they are a `part` of them), and for fewer
    together than one."""
    if part and one.samples is not None and one.events is not None and one.events > one.samples:
        raise UsageError(f"{show(where, 200)}: more bad ones than there are", hint=HINT)
    for name, value in (("phi", one.phi), ("drift", one.drift)):
        if value is not None and value < LEAST:
            raise UsageError(f"{show(where, 200)}.{name}: must be at least {LEAST:g}")
    return one


def _of_row(row: object, where: str) -> Rate | None:
    """One gate's rate; None where it says that nothing is known."""
    if not isinstance(row, dict):
        return Rate(events=_number(row, where, zero=True), said="given")
    named: dict[str, Any] = {
        field: _number(row[key], f"{where}.{key}", zero=key in {"events", "past_minutes"})
        for key, field in KEYS.items()
        if row.get(key) is not None
    }
    said = row.get("said")
    known = named.keys() & {"events", "samples"}
    return Rate(**named, said=said if isinstance(said, str) and said else "given") if known else None


def _of_count(one: Rate, check: Check) -> Rate:
    """Of a plain count the minutes are its samples; of a value the number given is of answers."""
    if isinstance(check.measure, Count):
        return replace(one, samples=1.0)
    if one.samples is None and not getattr(check.measure, "of_counts", True):
        return replace(one, events=None, samples=one.events)
    return one


def _must_know(name: str, checks: Mapping[str, Check]) -> None:
    if name not in checks:
        raise NotFound(unknown("gate", name, checks))


def _number(value: object, where: str, *, zero: bool = False) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise UsageError(f"{show(where, 200)}: {show(str(value), 60)} is no number", hint=HINT)
    if not (0 <= number < MOST if zero else 0 < number < MOST):
        raise UsageError(f"{show(where, 200)}: must be {'at least' if zero else 'more than'} 0", hint=HINT)
    return number
