"""JSON pointers: the examples of RFC 6901, sections 5 and 7, and what they leave open."""

import pytest

from ringctl.metrics.pointer import NOTHING, get, parse

DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_examples_of_the_rfc(text: str, found: object) -> None:
    assert get(DOCUMENT, parse(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "/foo/2", "/foo/-", "/foo/-1", "/foo/01", "/foo/1e0", "/foo/ 1", "/foo/", "/foo/x", "/foo/0/0", "/bar",
        "/foo/" + "9" * 5000, "/foo/٣", "/a~1b/c",
    ],
)  # fmt: skip
def test_what_is_not_there(text: str) -> None:
    assert get(DOCUMENT, parse(text)) is NOTHING


def test_null_is_there() -> None:
    assert get({"a": None}, parse("/a")) is None


def test_tildes_are_read_once() -> None:
    assert parse("/~01") == ("~1",)


@pytest.mark.parametrize("text", ["foo", "foo/bar", "/a~b", "/a~", "/~2", "#/foo"])
def test_what_is_no_pointer(text: str) -> None:
    with pytest.raises(ValueError, match="JSON pointer"):
        parse(text)
