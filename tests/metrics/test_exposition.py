"""The exposition parser: what the format says, and nothing but SourceUnavailable for the rest."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from ringctl.core.errors import SourceUnavailable
from ringctl.metrics import exposition
from ringctl.metrics.exposition import Sample, escaped, parse, shown
from ringctl.metrics.values import MOST_WARNINGS


def only(text: str) -> Sample:
    (sample,) = parse(text.encode()).samples
    return sample


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("a 1", ("a", (), 1.0, None)),
        ("  a:b_c{}\t5e3 1700000000123", ("a:b_c", (), 5000.0, 1700000000123.0)),
        ('a{x="1",y="2",} 3', ("a", (("x", "1"), ("y", "2")), 3.0, None)),
        ('a { y = "2" , x = "1" } 3', ("a", (("x", "1"), ("y", "2")), 3.0, None)),
        (r'a{x="q\"b\\s\nn\t}{,= #"} +.5', ("a", (("x", 'q"b\\s\nn\\t}{,= #'),), 0.5, None)),
        ('a{x="é\u2028\x0b"} -1.', ("a", (("x", "é\u2028\x0b"),), -1.0, None)),
        ('a_total{x="1"} 3 # {trace_id="q"} 1.0 17', ("a_total", (("x", "1"),), 3.0, None)),
        ('a{x=""}1\r', ("a", (("x", ""),), 1.0, None)),
    ],
)
def test_lines(line: str, sample: tuple[object, ...]) -> None:
    assert tuple(only(line)) == sample


@pytest.mark.parametrize(("text", "value"), [("+Inf", math.inf), ("-inf", -math.inf), ("Infinity", math.inf)])
def test_infinities(text: str, value: float) -> None:
    assert only(f"a {text}").value == value


def test_nan_is_read() -> None:
    assert math.isnan(only("a NaN").value)


@pytest.mark.parametrize(
    "line",
    [
        "a", "a{", "a{x}", "a{x} 1", 'a{x="} 1', "a{x=1} 1", 'a{x="1"', "1a 2", "a1", "a 1 2 3", "a 1_0", "a 0x1",
        "a \u0661", 'a{x="1" y="2"} 1', 'a{x="1",x="2"} 1', "a{,} 1", 'a{="1"} 1', "a 1#", "a 1 nan", "a 1 x",
        "a\x0b1",        '{"a",x="1"} 1', "a one", "a\u00a01", "é 1",
    ],
)  # fmt: skip
def test_what_cannot_be_read_names_its_line(line: str) -> None:
    with pytest.raises(SourceUnavailable, match=r"^line 3 ") as refused:
        parse(f"# HELP a text\n\n{line}\nb 2\n".encode())
    assert refused.value.code == "RC8003"


def test_bytes_that_are_not_utf_8_name_their_line() -> None:
    with pytest.raises(SourceUnavailable, match="line 2: not UTF-8"):
        parse(b'a 1\nb{x="\xff"} 2\n')


def test_types_and_comments() -> None:
    page = parse(b"# TYPE a counter\n# HELP a it counts\n# TYPE broken\n#\n# EOF\na 1\n")
    assert page.types == {"a": "counter"}
    assert [sample.name for sample in page.samples] == ["a"]


def test_openmetrics_timestamps_are_seconds() -> None:
    (sample,) = parse(b"a_total 1 1700000000.5\n# EOF\n", openmetrics=True).samples
    assert sample.at_ms == 1700000000500.0


def test_duplicates_that_agree_stay_and_others_are_left_out_with_a_warning() -> None:
    page = parse(b'a{x="1",y="2"} 1\na{y="2",x="1"} 1\nb 1\nb 2\nb 3\nc NaN\nc NaN\n')
    assert [sample.name for sample in page.samples] == ["a", "c"]
    assert page.warnings == ("line 4: b is there twice with different values",)


def test_warnings_are_cut() -> None:
    page = parse("".join(f"a{one} 1\na{one} 2\n" for one in range(100)).encode())
    assert len(page.warnings) == MOST_WARNINGS + 1
    assert page.warnings[-1] == "and 80 more"


def test_a_page_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MOST_BYTES", 3)
    with pytest.raises(SourceUnavailable, match="more than 3 bytes"):
        parse(b"a 12")


names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True)
labels = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,10}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    max_size=4,
)
numbers = st.floats()


@given(st.lists(st.tuples(names, labels, numbers, st.none() | st.integers(-(10**15), 10**15))))
def test_round_trip(rows: list[tuple[str, dict[str, str], float, int | None]]) -> None:
    written = {
        (name, tuple(sorted(inside.items()))): Sample(name, tuple(sorted(inside.items())), value, at)
        for name, inside, value, at in rows
    }
    text = "".join(
        f"{shown(one)} {one.value!r}{'' if one.at_ms is None else f' {one.at_ms}'}\n"
        for one in written.values()
    )
    read = parse(text.encode()).samples
    assert len(read) == len(written)
    for one, two in zip(read, written.values(), strict=True):
        assert (one.name, one.labels, one.at_ms) == (two.name, two.labels, two.at_ms)
        assert one.value == two.value or (math.isnan(one.value) and math.isnan(two.value))


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 10**9), max_size=10))
def test_what_the_usual_client_writes_is_read(accounts: dict[str, int]) -> None:
    registry = CollectorRegistry()
    counter = Counter("answers", "How many\nanswers \\ there were", ["account"], registry=registry)
    Gauge("up", "Whether it is there", registry=registry).set(1)
    for account, value in accounts.items():
        counter.labels(account).inc(value)
    page = parse(generate_latest(registry))
    found = {dict(one.labels)["account"]: one.value for one in page.samples if one.name == "answers_total"}
    assert found == accounts
    assert page.types["answers_total"] == "counter"


alphabet = 'ab:_{}="\\,# \t\n\r0129.+-eENnaIif\x00é\u2028'


@given(st.text(alphabet, max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_refused_and_never_breaks(text: str) -> None:
    for body in (text.encode(), text.encode("utf-16"), b'a{x="' + text.encode() + b'"} 1'):
        code = "RC8003"
        try:
            parse(body, openmetrics=len(text) % 2 == 0)
        except SourceUnavailable as refused:
            code = refused.code
        assert code == "RC8003"


@pytest.mark.parametrize(
    "evil",
    [
        'a{' + 'x="1",' * 50_000, 'a{x="' + '\\"' * 100_000, "a" * 200_000, "a" + " " * 100_000 + "x y z",
        "a{" + '"x"' * 100_000 + "} 1", 'a{x="' * 50_000, "a 1" + " " * 100_000 + "q q",
    ],
)  # fmt: skip
def test_no_line_takes_long(evil: str) -> None:
    began = time.process_time()
    with pytest.raises(SourceUnavailable):
        parse(evil.encode())
    assert time.process_time() - began < 1


def test_ten_thousand_series_are_read_in_a_blink() -> None:
    body = "".join(
        f'http_requests_total{{account="a{one}",code="200",instance="i{one % 7}"}} {one}\n'
        for one in range(10_000)
    ).encode()
    best = math.inf
    for _ in range(5):
        began = time.process_time()
        assert len(parse(body).samples) == 10_000
        best = min(best, time.process_time() - began)
    assert best < 0.2


def test_escapes_are_those_of_the_format() -> None:
    assert escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'
