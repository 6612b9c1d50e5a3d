"""Values with units. A bare number where a unit belongs is refused: nobody guesses what it meant."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

from ringctl.core.closest import did_you_mean
from ringctl.core.policy import Amount
from ringctl.core.timing import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Span
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.report import OUT_OF_RANGE, UNKNOWN_NAME, WRONG_TYPE, WRONG_UNIT, Mistake

Number = TypeVar("Number", int, float)

SPANS: Mapping[str, Span] = {
    "d": DAY,
    "h": HOUR,
    "m": MINUTE,
    "s": SECOND,
    "ms": MILLISECOND,
}
LONGEST: Span = 3650 * DAY
MOST = 1_000_000_000
LONGEST_EXPRESSION = 500

_PARTS = re.compile(r"(\d{1,9})(ms|[dhms])")
_SPAN = re.compile(r"(?:\d{1,9}(?:ms|[dhms]))+")
_LOOSE_SPAN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_SHARE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)%")
_NEAR_UNITS = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "hr": "h", "day": "d"}


def duration(node: Node) -> Span:
    """A span such as `50ms`, `30s`, `15m`, `12h`, `3d` or `1h30m`, largest unit first."""
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        hint = f"{node.text}s? {node.text}m?"
        raise Mistake(WRONG_UNIT, "a duration without a unit", known=SPANS, hint=hint)
    if not isinstance(value, str):
        hint = _duration_of(node)
        raise Mistake(WRONG_TYPE, f"a duration is wanted, here is {node.kind}", known=SPANS, hint=hint)
    if not _SPAN.fullmatch(value) or not value.isascii():
        raise Mistake(WRONG_UNIT, "not a duration", known=SPANS, hint=_span_hint(value))
    total, last = 0, LONGEST
    for count, unit in _PARTS.findall(value):
        if SPANS[unit] >= last:
            raise Mistake(WRONG_UNIT, "largest unit first, each once", known=SPANS, hint="as in 1h30m")
        last = SPANS[unit]
        total += int(count) * last
    if total > LONGEST:
        raise Mistake(OUT_OF_RANGE, "longer than 3650d")
    return total


def _duration_of(node: Node) -> str:
    if node.is_mapping:
        return "one duration, such as 15m"
    return "such as 15m; leave the key out for its default" if node.value is None else "such as 15m"


def _span_hint(text: str) -> str:
    loose = _LOOSE_SPAN.fullmatch(text)
    if not loose:
        return "such as 15m or 1h30m"
    count, unit = loose.groups()
    if "." in count:
        return "whole numbers only: 1h30m, not 1.5h"
    singular = unit.lower().removesuffix("s") if len(unit) > 1 else unit.lower()
    near = _NEAR_UNITS.get(singular, singular)
    if near == "w":
        return f"{int(count) * 7}d?"
    return f"{count}{near}?" if near in SPANS else "such as 15m or 1h30m"


def share(node: Node) -> float:
    """A share such as `100%` or `0.5%`, as a fraction."""
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Mistake(WRONG_UNIT, "a share is written with %", known=("%",), hint=f"{node.text}%?")
    if not isinstance(value, str):
        message = f"a share is wanted, here is {node.kind}"
        raise Mistake(WRONG_TYPE, message, known=("%",), hint="such as 5%")
    matched = _SHARE.fullmatch(value)
    if not matched or not value.isascii():
        raise Mistake(WRONG_UNIT, "not a share", known=("%",), hint="such as 5% or 0.5%")
    return float(Decimal(matched[1]) / 100)


def count(node: Node) -> int:
    """A whole number of at least 0, without a unit."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int):
        wrong = WRONG_UNIT if isinstance(value, float | str) and _starts_with_digit(node) else WRONG_TYPE
        said = f"`{clipped(node.text)}`" if isinstance(value, float | str) else node.kind
        raise Mistake(wrong, f"a whole number is wanted, here is {said}", hint="such as 5")
    if not 0 <= value <= MOST:
        raise Mistake(OUT_OF_RANGE, f"must be 0 to {MOST}")
    return value


def _starts_with_digit(node: Node) -> bool:
    return node.text[:1].isdigit()


def number(node: Node) -> float:
    """A number of at least 0."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        wrong = WRONG_UNIT if isinstance(value, str) and _starts_with_digit(node) else WRONG_TYPE
        raise Mistake(wrong, "a plain number is wanted", hint="such as 2.5")
    if value < 0:
        raise Mistake(OUT_OF_RANGE, "must not be negative")
    return float(value)


def amount(node: Node) -> Amount:
    """A number of accounts (`5`) or a share of them (`5%`)."""
    value = node.value
    if isinstance(value, int) and not isinstance(value, bool):
        return Amount(count=count(node))
    if isinstance(value, float):
        hint = f"{node.text}%?"
        raise Mistake(WRONG_UNIT, "whole accounts, or a share with %", known=("%",), hint=hint)
    if not isinstance(value, str):
        raise Mistake(
            WRONG_TYPE, f"accounts are wanted, here is {node.kind}", known=("%",), hint="such as 5 or 5%"
        )
    part = share(node)
    if part > 1:
        raise Mistake(OUT_OF_RANGE, "more than 100%")
    return Amount(share=part)


def text(node: Node) -> str:
    """Text that is not empty and holds no control characters."""
    value = node.value
    if not isinstance(value, str):
        scalar = value is not None and not node.is_list and not node.is_mapping
        hint = f'write "{node.text}"' if scalar else ""
        raise Mistake(WRONG_TYPE, f"text is wanted, here is {node.kind}", hint=hint)
    if not value.strip():
        raise Mistake(OUT_OF_RANGE, "must not be empty")
    if any(ord(one) < 32 or ord(one) == 127 for one in value):
        raise Mistake(OUT_OF_RANGE, "holds a control character")
    return value


def flag(node: Node) -> bool:
    """`true` or `false`; `yes` and `on` are texts in YAML 1.2."""
    if not isinstance(node.value, bool):
        hint = {"yes": "true?", "on": "true?", "no": "false?", "off": "false?"}
        raise Mistake(
            WRONG_TYPE,
            f"true or false is wanted, here is {node.kind}",
            known=("true", "false"),
            hint=hint.get(node.text.lower(), ""),
        )
    return node.value


def one_of(*options: str) -> Callable[[Node], str]:
    """A parser for one of some words."""

    def parse(node: Node) -> str:
        if node.value not in options or not isinstance(node.value, str):
            said = clipped(node.text) if not node.is_list and not node.is_mapping else node.kind
            wanted = " or ".join(options) if len(options) < 4 else "one of those known"
            message = f"`{said}` is not known here: {wanted}"
            raise Mistake(UNKNOWN_NAME, message, known=options, hint=did_you_mean(node.text, options))
        return node.value

    return parse


def matching(pattern: str, wanted: str) -> Callable[[Node], str]:
    """A parser for text of a form, such as a name."""
    form = re.compile(pattern)

    def parse(node: Node) -> str:
        value = text(node)
        if not form.fullmatch(value):
            raise Mistake(OUT_OF_RANGE, f"not {wanted}", hint=f"of the form {pattern}")
        return value

    return parse


NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?"
METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]{0,199}"
POINTER = r"(?:/(?:[^~/]|~[01])*)*"
ACCOUNTS = ("all", "matchers", "cohort")
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

name = matching(NAME, "a name (letters, digits, . _ -)")
identifier = matching(IDENTIFIER, "a plain SQL name")
metric = matching(METRIC, "a metric name")
label = matching(LABEL, "a label name")
variable = matching(VARIABLE, "the name of an environment variable")


def expression(node: Node) -> str:
    """A regular expression."""
    pattern = text(node)
    if len(pattern) > LONGEST_EXPRESSION:
        raise Mistake(OUT_OF_RANGE, f"a regular expression of over {LONGEST_EXPRESSION} characters")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Mistake(OUT_OF_RANGE, f"not a regular expression: {error}") from None
    return pattern


def within(
    parser: Callable[[Node], Number], low: Number, high: Number, shown: str
) -> Callable[[Node], Number]:
    """`parser`, and then from `low` to `high`; `shown` says so in the user's units."""

    def parse(node: Node) -> Number:
        value = parser(node)
        if not low <= value <= high:
            raise Mistake(OUT_OF_RANGE, f"must be {shown}")
        return value

    return parse
