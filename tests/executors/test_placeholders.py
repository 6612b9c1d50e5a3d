"""The closed set of placeholders: expanded once, and fitted to the place or refused."""

import pytest

from ringctl.core.errors import InvalidInput
from ringctl.core.placeholders import (
    expand_argv,
    expand_database,
    expand_header,
    expand_line,
    expand_url,
    findings,
    used,
)

VALUES = {
    "account.id": "a 1/é", "account.size": "7", "rollout.id": "ro", "revision": "r2", "task.key": "k",
    "task.token": "t", "account.traits.region": "eu", "account.target.url": "https://h:1/base",
    "account.target.database": "/data/x y.db", "account.target.host": "h.example:8080",
}  # fmt: skip


def test_one_pass_never_recursive() -> None:
    values = {**VALUES, "account.id": "{task.token}"}
    assert expand_line("<{account.id}>", values) == "<{task.token}>"


def test_unknown_is_a_finding_with_the_way_out() -> None:
    (found,) = findings("x {acount.id} {account.traits.any thing} {revision}", "argv")
    assert found.code == "RC6001"
    assert "{acount.id} in argv" in found.message
    assert found.hint == "did you mean {account.id}?"
    with pytest.raises(InvalidInput, match="unknown placeholder"):
        expand_line("{nope}", VALUES)
    with pytest.raises(InvalidInput, match="has no value"):
        expand_line("{account.traits.edition}", VALUES)
    assert findings("{account.traits.}")[0].code == "RC6001"


def test_braces_that_are_no_names_are_text() -> None:
    text = '{"a": 1, "b": {}} {1,2} {print $1} {{ }}'
    assert used(text) == ()
    assert expand_line(text, VALUES) == text


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "a\rb", "\x1b[0m", "a\x7f"])
def test_control_characters_are_refused_everywhere(value: str) -> None:
    values = {**VALUES, "account.id": value}
    with pytest.raises(InvalidInput, match="control character"):
        expand_line("{account.id}", values)
    with pytest.raises(InvalidInput, match="control character"):
        expand_argv(("x", "{account.id}"), values)
    with pytest.raises(InvalidInput, match="control character"):
        expand_url("http://h/{account.id}", values)
    with pytest.raises(InvalidInput, match="control character"):
        expand_database("{account.id}", values)


def test_one_element_stays_one_and_is_no_option() -> None:
    values = {**VALUES, "account.id": "-rf x; $(y)"}
    assert expand_argv(("run", "--", "{account.id}"), values) == ("run", "--", "-rf x; $(y)")
    assert expand_argv(("run", "--id={account.id}"), values) == ("run", "--id=-rf x; $(y)")
    with pytest.raises(InvalidInput, match="read as an option"):
        expand_argv(("run", "{account.id}"), values)
    with pytest.raises(InvalidInput, match="NUL"):
        expand_argv(("run", "a\0"), values)
    assert expand_argv(("python", "-c", "a\nb"), values) == ("python", "-c", "a\nb")


def test_headers_are_plain_ascii() -> None:
    assert expand_header("Bearer {task.token}", VALUES) == "Bearer t"
    for text in ("a\r\nb", "{account.id}"):
        with pytest.raises(InvalidInput):
            expand_header(text, VALUES)


def test_urls_are_quoted_where_they_must_be() -> None:
    assert expand_url("http://h/x/{account.id}?r={account.traits.region}", VALUES) == (
        "http://h/x/a%201%2F%C3%A9?r=eu"
    )
    assert expand_url("{account.target.url}/do/{revision}", VALUES) == "https://h:1/base/do/r2"
    assert expand_url("http://{account.target.host}/x", VALUES) == "http://h.example:8080/x"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http://{account.target.host}/", "good@evil"),
        ("http://{account.target.host}", "evil/x"),
        ("http://h/{account.target.host}/x", ".."),
        ("{account.target.host}/x", "file:///etc"),
        ("{account.target.host}/x", "http://u:p@h"),
        ("{account.id}", "http://h"),
    ],
)
def test_urls_that_would_lead_elsewhere_are_refused(text: str, value: str) -> None:
    with pytest.raises(InvalidInput):
        expand_url(text, {**VALUES, "account.target.host": value})


def test_databases() -> None:
    assert expand_database("{account.target.database}", VALUES) == "/data/x y.db"
    assert expand_database("sqlite:///{account.target.database}", VALUES) == "sqlite:////data/x y.db"
    assert expand_database("d/{account.traits.region}.db", VALUES) == "d/eu.db"
    assert expand_database("postgresql://h/{account.id}", VALUES) == "postgresql://h/a%201%2F%C3%A9"
    for value in ("../x", "a/b", "..", "a\\b"):
        with pytest.raises(InvalidInput, match="leave its folder"):
            expand_database("d/{account.id}", {**VALUES, "account.id": value})


def test_refusals_name_the_placeholder_never_its_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        expand_url("http://{account.target.host}/", {**VALUES, "account.target.host": "secret@h"})
    assert "secret" not in str(caught.value)
    assert "{account.target.host}" in str(caught.value)
