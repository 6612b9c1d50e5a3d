"""Durations, shares and amounts; a bare number is never guessed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.policy import Amount
from ringctl.core.timing import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from ringctl.settings import units
from ringctl.settings.nodes import node_of
from ringctl.settings.report import Mistake


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("50ms", 50 * MILLISECOND), ("30s", 30 * SECOND), ("15m", 15 * MINUTE), ("12h", 12 * HOUR),
        ("3d", 3 * DAY), ("1h30m", 90 * MINUTE), ("1d1h1m1s1ms", DAY + HOUR + MINUTE + SECOND + 1000),
        ("0s", 0), ("90m", 90 * MINUTE),
    ],
)  # fmt: skip
def test_durations(text: str, span: int) -> None:
    assert units.duration(node_of(text)) == span


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (30, "30s? 30m?"), (1.5, "1.5s"), ("15 m", "15m?"), ("15min", "15m?"), ("2 hours", "2h?"),
        ("3 Days", "3d?"), ("2w", "14d?"), ("1.5h", "1h30m"), ("soon", "such as"), ("", "such as"),
        ("30m1h", "as in"), ("1h1h", "as in"), ("-5m", "such as"), ("٣s", "such as"),
    ],
)  # fmt: skip
def test_durations_without_a_known_unit_are_refused(value: object, hint: str) -> None:
    with pytest.raises(Mistake) as caught:
        units.duration(node_of(value))
    assert caught.value.code == "RC3004"
    assert hint in caught.value.hint
    assert caught.value.known == ("d", "h", "m", "s", "ms")


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_other_things_are_no_durations(value: object) -> None:
    with pytest.raises(Mistake) as caught:
        units.duration(node_of(value))
    assert caught.value.code == "RC3003"


@given(st.integers(0, 3650 * DAY // 1000))
def test_every_span_of_milliseconds_can_be_written(count: int) -> None:
    parts, rest = [], count * MILLISECOND
    for unit, size in units.SPANS.items():
        number, rest = divmod(rest, size)
        parts.append(f"{number}{unit}" if number else "")
    text = "".join(parts) or "0s"
    assert units.duration(node_of(text)) == count * MILLISECOND


@given(st.decimals(0, 1000, places=4))
def test_shares_are_exact(percent: object) -> None:
    from decimal import Decimal

    assert units.share(node_of(f"{percent}%")) == float(Decimal(str(percent)) / 100)


@pytest.mark.parametrize(
    ("value", "amount"), [(5, Amount(count=5)), ("5%", Amount(share=0.05)), ("0.5%", Amount(share=0.005))]
)
def test_amounts(value: object, amount: Amount) -> None:
    assert units.amount(node_of(value)) == amount


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0.5, "RC3004"), ("5", "RC3004"), ("5 %", "RC3004"), ("101%", "RC3016"), (-1, "RC3016"),
        (True, "RC3003"), (None, "RC3003"), ([], "RC3003"),
    ],
)  # fmt: skip
def test_other_things_are_no_amounts(value: object, code: str) -> None:
    with pytest.raises(Mistake) as caught:
        units.amount(node_of(value))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "parser",
    [
        units.duration,
        units.share,
        units.count,
        units.number,
        units.amount,
        units.text,
        units.flag,
        units.name,
    ],
)
@given(
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.lists(st.none(), max_size=1)
)
def test_parsers_raise_nothing_but_mistakes(parser: object, value: object) -> None:
    assert callable(parser)
    try:
        parser(node_of(value))
    except Mistake:
        return
