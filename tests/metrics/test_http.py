"""Source `http`: where counters stand in JSON, how old they are, and what is wrong with options and answers."""

import json
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND
from ringctl.metrics.http import Http
from ringctl.ports.metrics import Reading
from tests.metrics.faulty import Answer, FaultServer

X = Counter(name="x")
LIST = {"account": "/id", "value": "/n"}
NOW = 1_700_000_000
DATED = {"Date": formatdate(NOW, usegmt=True)}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(lambda _: Answer()) as running:
        yield running


def read(server: FaultServer, document: object, place: dict[str, str], **options: object) -> Reading:
    body = document if isinstance(document, str | bytes) else json.dumps(document)
    server.handler = lambda _: Answer(body=body, headers=DATED)
    return Http("h", {"url": f"{server.url}/s/?q=1", "counters": {"x": place}, **options}).read([X], 5)


def refused(server: FaultServer, document: object, place: dict[str, str]) -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as caught:
        read(server, document, place)
    return caught.value


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"data": {"t": [{"id": "a", "n": 5}, {"id": 7, "n": "6.5"}]}}, {"items": "/data/t", **LIST}),
        ([{"id": "a", "n": 5}, {"id": "7", "n": 6.5}], LIST),
        ({"a": 5, "7": 6.5}, {"value": ""}),
        ({"t": {"a": {"n": [0, 5]}, "7": {"n": [0, 6.5]}}}, {"items": "/t", "value": "/n/1"}),
        ({"t": {"x": {"id": "a", "n": 5}, "y": {"id": "7", "n": 6.5}}}, {"items": "/t", **LIST}),
        ({"a/b~c": [["a", 5], ["7", 6.5]]}, {"items": "/a~1b~0c", "account": "/0", "value": "/1"}),
    ],
)  # fmt: skip
def test_counters_stand_where_the_pointers_say(
    server: FaultServer, document: object, place: dict[str, str]
) -> None:
    reading = read(server, document, place)
    assert reading.values == {X: {"a": 5.0, "7": 6.5}}
    assert (reading.warnings, reading.partial, reading.at_us, reading.oldest_us) == ((), False, None, None)
    assert reading.queries == (f"GET {server.url}/s/?q=1",)
    assert server.asked[-1].path == "/s/?q=1"


@pytest.mark.parametrize(
    ("document", "place", "said"),
    [
        ({"t": []}, {"items": "/tenants", **LIST}, "`items` is not a list or a mapping"),
        ({"t": 5}, {"items": "/t", **LIST}, "`items` is not a list or a mapping"),
        ([{"id": "a", "n": 1}], {"value": "/n"}, "`items` is not a mapping of accounts"),
        ([{"id": "a", "m": 1}, {"id": "b"}], LIST, "not one item has its `value`"),
        ("{", LIST, "not JSON"),
        ("", LIST, "not JSON"),
        ("<html>", LIST, "a web page"),
        (b"\xff\xfe{", LIST, "not JSON"),
        ("[" * 100_000, LIST, "not JSON"),
        ('[{"id": "a", "n": ' + "9" * 5000 + "}]", LIST, "not JSON"),
        (5, LIST, "`items` is not"),
        (None, LIST, "`items` is not"),
    ],
)
def test_answers_that_cannot_be_read(
    server: FaultServer, document: object, place: dict[str, str], said: str
) -> None:
    error = refused(server, "null" if document is None else document, place)
    assert (error.code, said in error.message) == ("RC8003", True), error.message
    assert error.hint


def test_items_that_cannot_be_used_are_left_out(server: FaultServer) -> None:
    document = [
        {"id": "a", "n": 1}, {"id": "null", "n": None}, {"id": "absent"}, {"id": "bool", "n": True},
        {"id": "list", "n": [1]}, {"id": "big", "n": 10**400}, {"n": 5}, {"id": None, "n": 5}, {"id": True, "n": 5},
        {"id": "", "n": 5}, "x", None, {"id": 10**40, "n": 5},
    ]  # fmt: skip
    reading = read(server, document, LIST)
    assert reading.values == {X: {"a": 1.0}}
    assert [one for one in reading.warnings if "no account" in one] == [
        "x: an item has no account: left out"
    ] * 7
    for name in ("null", "absent", "bool", "list", "big"):
        assert any(f"x: {name} is" in one for one in reading.warnings)


def test_old_values_are_left_out_by_the_answers_own_clock(server: FaultServer) -> None:
    document = [
        {"id": "a", "n": 1, "at": NOW - 5}, {"id": "ms", "n": 2, "at": 1000 * (NOW - 6)},
        {"id": "rfc", "n": 3, "at": "2023-11-14T23:12:50+01:00"}, {"id": "old", "n": 4, "at": NOW - 61},
        {"id": "ahead", "n": 7, "at": NOW + 5}, {"id": "future", "n": 8, "at": NOW + 3600},
        {"id": "no", "n": 5}, {"id": "zoneless", "n": 6, "at": "2023-11-14T22:13:20"},
    ]  # fmt: skip
    timed = {**LIST, "time": "/at"}
    reading = read(server, document, timed)
    assert reading.values == {X: {"a": 1.0, "ms": 2.0, "rfc": 3.0, "ahead": 7.0}}
    assert reading.oldest_us == (NOW - 30) * SECOND
    assert sum("RC8007" in one for one in reading.warnings) == 4
    assert "x: future is 3600 s in the future: stale (RC8007): left out" in reading.warnings
    longer = read(server, document, timed, max_age_us=90 * SECOND)
    assert longer.values[X].keys() == {"a", "ms", "rfc", "ahead", "old"}
    server.handler = lambda _: Answer(body=json.dumps(document))
    with pytest.raises(SourceUnavailable) as caught:
        Http("h", {"url": server.url, "counters": {"x": timed}}).read([X], 5)
    assert (caught.value.code, "no Date" in caught.value.message) == ("RC8003", True)


@pytest.mark.parametrize(
    ("age", "said"), [("0", ""), (" 60 ", ""), ("61", "61 s old"), *((one, "of unknown age") for one in
        ("abc", "", "3600, 1", "0, 0", "nan", "inf", "-5"))]
)  # fmt: skip
def test_an_age_that_cannot_be_read_is_not_that_of_a_fresh_answer(
    server: FaultServer, age: str, said: str
) -> None:
    server.handler = lambda _: Answer(body='{"a": 1}', headers={"Age": age})
    source = Http("h", {"url": server.url, "counters": {"x": {"value": ""}}})
    if not said:
        assert source.read([X], 5).values == {X: {"a": 1.0}}
        return
    with pytest.raises(SourceUnavailable) as caught:
        source.read([X], 5)
    assert (caught.value.code, said in caught.value.message) == ("RC8007", True), caught.value.message


def test_what_a_cache_kept_is_older_by_that(server: FaultServer) -> None:
    rows = [{"id": "a", "n": 1, "at": NOW - 15}, {"id": "old", "n": 2, "at": NOW - 25}]
    server.handler = lambda _: Answer(body=json.dumps(rows), headers={**DATED, "Age": "40"})
    reading = Http("h", {"url": server.url, "counters": {"x": {**LIST, "time": "/at"}}}).read([X], 5)
    assert reading.values == {X: {"a": 1.0}}
    assert "old is 65 s old" in reading.warnings[0]


def test_headers_and_token_are_sent(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    server.handler = lambda _: Answer(body="{}")
    options = {
        "url": server.url,
        "counters": {"x": {"value": ""}},
        "headers": {"X-Tenant": "all"},
        "token": {"file": "token"},
    }
    source = Http("h", options, folder=tmp_path)
    assert source.read([X], 5).values == {X: {}}
    sent = server.asked[-1].headers
    assert (sent["x-tenant"], sent["authorization"], sent["cache-control"]) == (
        "all",
        "Bearer s3cret",
        "no-cache",
    )
    (tmp_path / "token").unlink()
    with pytest.raises(SourceUnavailable) as caught:
        source.read([X], 5)
    assert caught.value.code == "RC8002"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "`url` is missing"),
        ({"url": "http://a"}, "`counters` is missing"),
        ({"url": "http://a", "counters": {}}, "`counters` is missing"),
        ({"url": "http://a", "counters": {"x": "/n"}}, "`counters.x` must be"),
        ({"url": "http://a", "counters": {"x": {"item": "/n", "value": "/n"}}}, "`counters.x` must be"),
        ({"url": "http://a", "counters": {"x": {"account": "/n"}}}, "`counters.x.value` is missing"),
        ({"url": "http://a", "counters": {"x": {"value": "n"}}}, "begins with a slash"),
        ({"url": "http://a", "counters": {"x": {"value": 5}}}, "must be a JSON pointer"),
        ({"url": "http://a", "counters": {"x": {"value": "/n"}}, "headers": ["a"]}, "`headers` must be"),
        *(
            (
                {"url": "http://a", "counters": {"x": {"value": "/n"}}, "headers": {name: "s3cret"}},
                "no secrets",
            )
            for name in ("authorization", "Cookie", "Proxy-Authorization")
        ),
        ({"url": "http://a", "counters": {"x": {"value": "/n"}}, "urls": []}, "no option `urls`"),
    ],
)
def test_options_that_are_wrong(options: dict[str, object], said: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        Http("h", options)
    assert (caught.value.code, said in caught.value.message) == ("RC8010", True), caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    "counter", [Counter(name="y"), Counter(name="x", match={"a": "b"}), Counter(name="x", account="tenant")]
)
def test_counters_that_have_no_place(server: FaultServer, counter: Counter) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        Http("h", {"url": server.url, "counters": {"x": {"value": ""}}}).read([counter], 5)
    assert caught.value.code == "RC8010"
    assert server.asked == []


def test_a_header_that_would_split_the_request(server: FaultServer) -> None:
    source = Http("h", {"url": server.url, "counters": {"x": {"value": ""}}, "headers": {"X": "a\r\nY: b"}})
    with pytest.raises(SourceUnavailable) as caught:
        source.read([X], 5)
    assert (caught.value.code, server.asked) == ("RC8010", [])
