"""Recorded data, one JSON object a line: read whole, checked line by line, then put in order.

    {"t": 12, "account": "a17", "cohort": "canary", "check": "errors", "n": 50, "y": 1}     counts
    {"t": 12, "account": "a17", "cohort": "control", "check": "size", "value": 3.2}          a value
    {"t": 10, "account": "a17", "event": "start"}                                            optional: start | done
`t` is in minutes; numbers are what happened in the interval up to `t`. null is missing, as is a line that is not
there; so are NaN, infinities and numbers beyond the bounds of `core.magnitudes`, with a warning. The order of the
lines, and a line that stands twice, change nothing; two lines for the same thing that disagree are missing. An
account may be control first and canary later; a file in which it is both at the same `t` is refused.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ringctl.core.closest import did_you_mean
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.magnitudes import MOST_AMOUNT, MOST_COUNT, countable, measurable
from ringctl.core.policy import Check, Count, Ratio

WRONG_LINE: Final = "RC1001"
MOST_FINDINGS: Final = 1000
MOST_MINUTES: Final = 10_000_000
COHORTS: Final = ("canary", "control")
EVENTS: Final = ("start", "done")
_KNOWN: Final = ("t", "account", "cohort", "check", "n", "y", "value", "event")


class Row(NamedTuple):
    """One account in one interval. `n`, `y` None: missing."""

    t: float
    account: str
    cohort: str
    check: str
    n: float | None
    y: float | None


class Event(NamedTuple):
    """An account's work began, or ended."""

    t: float
    account: str
    event: str


@dataclass(slots=True)
class Recording:
    """A file's rows in the order of time, then of account and check."""

    rows: list[Row] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def checks(self) -> frozenset[str]:
        """The checks that have a line."""
        return frozenset(row.check for row in self.rows)


class _Wrong(Exception):
    """Why a line is refused."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def read(path: Path, checks: Mapping[str, Check]) -> Recording:
    """A file of recorded lines. Raises InvalidInput with every line that is wrong (the first thousand)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror or type(error).__name__}"
        raise InvalidInput([Finding(code=WRONG_LINE, message=message, path=str(path))]) from None
    return parse(content.splitlines(), str(path), checks)


def parse(lines: Iterable[bytes | str], path: str, checks: Mapping[str, Check]) -> Recording:
    """The same from lines; `path` is for messages."""
    recordable = [name for name, check in checks.items() if _kind(check) != "steps"]
    only = recordable[0] if len(recordable) == 1 else ""
    kinds = {name: _kind(check) for name, check in checks.items()}
    rows: list[Row] = []
    places: list[int] = []
    found = Recording()
    findings: list[Finding] = []
    unclear: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        try:
            one = _line(line, kinds, only)
        except _Wrong as error:
            if len(findings) < MOST_FINDINGS:
                findings.append(
                    Finding(
                        code=WRONG_LINE,
                        message=error.message,
                        path=path,
                        line=number,
                        column=1,
                        hint=error.hint,
                    )
                )
            continue
        if isinstance(one, Event):
            found.events.append(one)
        else:
            rows.append(one)
            places.append(number)
            if one.n is not None and not _clear(one):
                unclear.append(number)
    findings += _in_both(rows, places, path)
    if findings:
        raise InvalidInput(findings[:MOST_FINDINGS])
    found.rows, disagree = _settled(rows)
    found.events.sort()
    if unclear:
        most = f"at most {MOST_COUNT:.3g} events or {MOST_AMOUNT:g} of an amount"
        said = f"{len(unclear)} lines hold NaN or a number that none can be ({most})"
        found.warnings.append(f"{path}:{unclear[0]}: {said}: taken as missing")
    if disagree:
        found.warnings.append(f"{path}: {disagree} times lines for the same thing disagree: taken as missing")
    return found


def _kind(check: Check) -> str:
    if isinstance(check.measure, Count):
        return "count"
    if isinstance(check.measure, Ratio):
        return "counts" if check.measure.of_counts else "value"
    return "steps"


def _line(line: bytes | str, kinds: Mapping[str, str], only: str) -> Row | Event:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise _Wrong(f"not a JSON object: {said}") from None
    if not isinstance(item, dict):
        raise _Wrong(f"not a JSON object, here is {type(item).__name__}")
    t = item.get("t")
    if isinstance(t, bool) or not isinstance(t, int | float) or not abs(t) <= MOST_MINUTES:
        raise _Wrong("`t` must be a number of minutes", '{"t": 12, "account": "a17", ...}')
    account = item.get("account")
    if not isinstance(account, str) or not account:
        raise _Wrong("`account` must be a text that is not empty")
    if "event" not in item:
        return _row(item, (float(t), account), kinds, only)
    if item["event"] not in EVENTS:
        raise _Wrong(f"`event` must be {' or '.join(EVENTS)}")
    return Event(float(t), account, item["event"])


def _row(item: Mapping[str, object], place: tuple[float, str], kinds: Mapping[str, str], only: str) -> Row:
    check = item.get("check", only)
    if not isinstance(check, str) or check not in kinds:
        known = sorted(kinds)
        if not check:
            raise _Wrong("`check` is missing, and the policy has several", f"one of {', '.join(known)}")
        raise _Wrong(f"there is no check {json.dumps(check)[:80]}", did_you_mean(str(check), known))
    cohort = item.get("cohort")
    if cohort not in COHORTS:
        raise _Wrong(f"`cohort` must be {' or '.join(COHORTS)}")
    if kinds[check] == "steps":
        raise _Wrong(f"check {check} measures ringctl's own steps: it has no recorded data")
    return Row(*place, str(cohort), check, *_numbers(item, kinds[check]))


def _numbers(item: Mapping[str, object], kind: str) -> tuple[float | None, float | None]:
    for key in item:
        if key not in _KNOWN:
            raise _Wrong(f"unknown key `{key[:80]}`", did_you_mean(key, _KNOWN))
    amounts = measurable if kind == "value" else countable
    n, y, value = (
        _number(item, key, sound) for key, sound in (("n", countable), ("y", amounts), ("value", amounts))
    )
    if kind == "counts":
        if "n" not in item or "y" not in item:
            raise _Wrong("a ratio of counts needs `n` (all) and `y` (bad ones)")
        if n is not None and y is not None and n < y < math.inf:
            raise _Wrong(f"{y:g} bad ones of {n:g}")
        return (None, None) if n is None or y is None else (n, y)
    if kind == "count":
        if "y" not in item:
            raise _Wrong("a count needs `y`, the events of the interval")
        return (None, None) if y is None else (1.0, y)
    if "value" in item:
        trials = 1.0 if "n" not in item else n
        return (None, None) if value is None or trials is None else (trials, _amount(value, trials))
    if "n" in item and "y" in item:
        return (None, None) if n is None or y is None else (n, y)
    raise _Wrong("a value needs `value`, or `n` (answers) and `y` (amount)")


def _number(item: Mapping[str, object], key: str, sound: Callable[[float], bool]) -> float | None:
    """The number under a key; None for null and what is not there, infinite for what is not `sound`."""
    value = item.get(key)
    if value is None:
        return None
    if type(value) not in {int, float}:
        raise _Wrong(f"`{key}` must be a number or null")
    assert isinstance(value, int | float)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf if value > 0 else -math.inf
    if found < 0:
        raise _Wrong(f"`{key}` is negative")
    return found if sound(found) else math.inf


def _amount(value: float, trials: float) -> float:
    return math.inf if math.inf in {value, trials} else value * trials


def _clear(row: Row) -> bool:
    """Whether both numbers are there, and can be used."""
    return row.n is not None and row.n < math.inf and row.y is not None and row.y < math.inf


def _in_both(rows: Sequence[Row], places: Sequence[int], path: str) -> Iterator[Finding]:
    """Lines that call an account canary where an earlier one calls it control at the same time, or the reverse."""
    canary = {row[:2] for row in rows if row.cohort == "canary"}
    both = {row[:2] for row in rows if row.cohort == "control" and row[:2] in canary}
    if not both:
        return
    first: dict[tuple[float, str], tuple[str, int]] = {}
    for row, place in zip(rows, places, strict=True):
        if row[:2] not in both:
            continue
        cohort, line = first.setdefault(row[:2], (row.cohort, place))
        if cohort != row.cohort:
            yield Finding(
                code=WRONG_LINE,
                message=f"{row.account} is {row.cohort} here and {cohort} in line {line}, both at t {row.t:g}",
                path=path,
                line=place,
                column=1,
                hint="an account may be control first and canary later, not both at once",
            )


def _settled(rows: list[Row]) -> tuple[list[Row], int]:
    """Rows in order, each time, account and check once; those that disagree are missing. And how many did."""
    rows.sort(key=_order)
    found: list[Row] = []
    disagree, last = 0, -1
    for row in rows:
        clear = row if row.n is None or _clear(row) else row._replace(n=None, y=None)
        if not found or found[-1][:2] != clear[:2] or found[-1].check != clear.check:
            found.append(clear)
        elif found[-1] != clear:
            found[-1] = clear._replace(n=None, y=None)
            disagree, last = disagree + (last != len(found)), len(found)
    return found, disagree


def _order(row: Row) -> tuple[float, str, str, str, float, float]:
    n, y = row.n, row.y
    return row.t, row.account, row.check, row.cohort, -1.0 if n is None else n, -1.0 if y is None else y


def spacing(rows: Iterable[Row]) -> float:
    """Minutes of a line: the most common distance between an account's lines; 1 where nothing says. `rows` are
    sorted."""
    counts: dict[float, int] = {}
    last: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row.account, row.check)
        before = last.get(key)
        if before is not None and row.t > before:
            distance = round(row.t - before, 6)
            counts[distance] = counts.get(distance, 0) + 1
        last[key] = row.t
    return max(counts, key=lambda one: (counts[one], -one)) if counts else 1.0
