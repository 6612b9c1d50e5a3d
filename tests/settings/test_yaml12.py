"""YAML as YAML 1.2 has it, not as YAML 1.1 had it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.errors import InvalidInput
from ringctl.settings.yaml12 import parse, resolved


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("No", "No"), ("22:00", "22:00"), ("1_0", "1_0"),
        ("2026-12-18", "2026-12-18"), ("0o17", 15), ("0x1F", 31), ("017", 17), ("0b1", "0b1"),
        ("true", True), ("FALSE", False), ("~", None), ("null", None), ("", None), ("-7", -7),
        ("+7", 7), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-2", -0.015),
        ("1.2.3", "1.2.3"), ("-", "-"), ("0o8", "0o8"), ("5%", "5%"), ("1e", "1e"),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert resolved(text) == value
    assert type(resolved(text)) is type(value)


def test_quoted_scalars_are_text() -> None:
    node, report = parse(b"- \"1\"\n- 'true'\n- |\n  ~\n", "f")
    assert node.plain() == ["1", "true", "~\n"]
    assert report.findings == []


def test_every_value_has_its_place() -> None:
    node, _ = parse("a:\n  - {b: 'ü', c: [1,\n    x]}\n".encode(), "f")
    inner = node.entries["a"].node.items[0]
    assert (inner.line, inner.column) == (2, 5)
    assert (inner.entries["c"].key.line, inner.entries["c"].key.column) == (2, 14)
    x = inner.entries["c"].node.items[1]
    assert (x.line, x.column, x.text) == (3, 5, "x")


def test_aliases_stand_for_their_anchor() -> None:
    node, report = parse(b"a: &x {n: 1}\nb: *x\n", "f")
    assert node.plain() == {"a": {"n": 1}, "b": {"n": 1}}
    assert report.findings == []


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    node, _ = parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "f")
    assert node.plain() == {"a": 1, "b": 2}


@pytest.mark.parametrize("text", ["%YAML 1.1\n---\na: 1\n", "a: !x 1\n", "--- a\n--- b\n"])
def test_what_is_not_supported_says_so(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text.encode(), "f")[1].finish()
    assert {one.code for one in caught.value.findings} == {"RC3018"}


@given(st.text(max_size=60))
def test_a_scalar_is_resolved_or_refused(text: str) -> None:
    try:
        value = resolved(text)
    except ValueError:
        return
    assert not isinstance(value, float) or math.isfinite(value)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text("abcäö{}: #'\"\n\\,[]%&*!|>~", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc:# ", min_size=1, max_size=4), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(PLAIN)
def test_what_a_yaml_writer_writes_is_read_back(value: object) -> None:
    import json

    text = json.dumps(value, ensure_ascii=False)
    node, report = parse(text.encode(), "f")
    assert report.findings == [] or "<<" in text
    assert node.plain() == value
