"""Counters that no gate can be judged by: all of each other, no part of each other, all buckets at once."""

import re

import pytest

from ringctl.core.policy import Count, Counter, Policy, Ratio
from ringctl.settings import policy_from_text
from tests.settings.support import MARK, POLICY, expect_at, marked, policy_findings

BAD = 'bad: {counter: http_requests_total, match: {code: "5.."}}'
ALL = "all: {counter: http_requests_total}"
RATIO = "value: {ratio: [{counter: items_total}, {counter: queries_total}]}"
BUCKETS = "counter: seconds_bucket"


def accepted(text: str) -> Policy:
    return policy_from_text(text.encode(), "policy.yaml")[0]


def counts(part: str, whole: str) -> str:
    return f"{part}\n    {whole}"


CASES = [
    # the same
    ("RC3009", counts("bad: «{counter: n}", "all: {counter: n}"), '{code: "5.."}'),
    ("RC3009", counts("good: «{counter: n}", "all: {counter: n}"), '{code: "2.."}'),
    ("RC3009", counts('bad: «{counter: n, match: {a: "x"}}', 'all: {counter: n, match: {a: "x"}}'), "lacks"),
    ("RC3009", counts('bad: «{counter: n, match: {a: ".*"}}', "all: {counter: n}"), "the same as `all`"),
    ("RC3009", counts("bad: «{counter: n, account: t}", "all: {counter: n, account: t}"), "the same as `all`"),
    ("RC3009", counts(f'good: «{{{BUCKETS}, match: {{le: "+Inf"}}}}', f'all: {{{BUCKETS}, match: {{le: "+Inf"}}}}'),
     'le: "0.5"'),
    # more than all
    ("RC3009", counts("bad: «{counter: n}", 'all: {counter: n, match: {code: "5.."}}'), "the other way round"),
    ("RC3009", counts(f'good: «{{{BUCKETS}, match: {{le: "2"}}}}', f'all: {{{BUCKETS}, match: {{le: "0.5"}}}}'),
     "all that `all` does, and more"),
    # no part of it
    ("RC3017", counts('bad: «{counter: n, match: {code: "500"}}', 'all: {counter: n, match: {code: "200"}}'),
     "`code` is 500 here and 200 there"),
    ("RC3017", counts('bad: «{counter: n, match: {code: "5.."}}', 'all: {counter: n, match: {code: "200"}}'),
     "leave `code` out of `all`"),
    ("RC3017", counts('good: «{counter: n, match: {code: "200"}}', 'all: {counter: n, match: {code: "4..|5.."}}'),
     "`gates.errors.good` is no part of `all`"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "measure", "said"), CASES)
def test_counts_that_tell_nothing_are_refused(code: str, measure: str, said: str) -> None:
    place = marked(POLICY, counts(BAD, ALL), measure)
    expect_at(policy_findings(place.text), code, place, said)


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("bad: {counter: n}", "all: {counter: m}"),
        ("bad: {counter: n, account: t}", "all: {counter: n, account: u}"),
        ('bad: {counter: n, match: {code: "5.."}}', 'all: {counter: n, match: {code: ".*"}}'),
        ('bad: {counter: n, match: {code: "500"}}', 'all: {counter: n, match: {code: "5.."}}'),
        ('bad: {counter: n, match: {code: "500"}}', 'all: {counter: n, match: {code: "2..|5.."}}'),
        ('bad: {counter: n, match: {code: "500"}}', 'all: {counter: n, match: {code: "[2-4].."}}'),
        ('bad: {counter: n, match: {code: "5.."}}', 'all: {counter: n, match: {zone: "eu"}}'),
        ('bad: {counter: n, match: {code: "5..", zone: "eu"}}', 'all: {counter: n, match: {zone: "eu"}}'),
        (f'good: {{{BUCKETS}, match: {{le: "0.5"}}}}', f'all: {{{BUCKETS}, match: {{le: "+Inf"}}}}'),
        (f'good: {{{BUCKETS}, match: {{le: "0.5"}}}}', "all: {counter: seconds_count}"),
    ],
)
def test_counts_that_can_be_a_part_are_accepted(part: str, whole: str) -> None:
    assert "errors" in accepted(POLICY.replace(counts(BAD, ALL), counts(part, whole))).checks


@pytest.mark.parametrize(("pattern", "said"), [("5" * 501, "over 500 characters"), ("(", "not a regular")])
def test_expressions_that_are_none(pattern: str, said: str) -> None:
    place = marked(POLICY, '{code: "5.."}', f'{{code: «"{pattern}"}}')
    expect_at(policy_findings(place.text), "RC3016", place, said)


def test_the_longest_expression_is_accepted() -> None:
    text = POLICY.replace('{code: "5.."}', f'{{code: "{"5" * 500}"}}')
    assert "errors" in accepted(text).checks


def test_a_value_that_is_always_1_is_refused() -> None:
    place = marked(POLICY, RATIO, "value: {ratio: «[{counter: n}, {counter: n}]}")
    expect_at(policy_findings(place.text), "RC3009", place, "always 1")


@pytest.mark.parametrize(
    "key",
    [
        (counts(BAD, ALL), counts("bad: {%s}", ALL)),
        (counts(BAD, ALL), counts("good: {%s}", ALL)),
        (counts(BAD, ALL), counts(BAD, "all: {%s}")),
        (counts(BAD, ALL), "count: {%s}"),
        (RATIO, "value: {ratio: [{%s}, {counter: n}]}"),
        (RATIO, "value: {ratio: [{counter: n}, {%s}]}"),
    ],
)
def test_of_a_histogram_exactly_one_bucket_is_counted(key: tuple[str, str]) -> None:
    old, new = key
    for code, counter in (
        ("RC3017", "counter: «seconds_bucket"),
        ("RC3017", "counter: «seconds_bucket, match: {code: x}"),
        ("RC3016", BUCKETS + ', match: {le: «"0.5|1"}'),
        ("RC3016", BUCKETS + ', match: {le: «".*"}'),
        ("RC3016", BUCKETS + ", match: {le: «inf}"),
    ):
        place = marked(POLICY, old, new % counter)
        expect_at(policy_findings(place.text), code, place, 'such as match: {le: "0.5"}')
    for bound in ("0.5", "1", "-1.5", "1e-05", "1e+06", "+Inf"):
        text = POLICY.replace(old, new % f'{BUCKETS}, match: {{le: "{bound}"}}')
        if "count:" in new:
            text = text.replace("{increase: 100%}", "{decrease: 50%}")
        assert accepted(text).checks


def test_a_bound_matches_itself_and_nothing_else() -> None:
    for bound, other in (("1.5", "105"), ("+Inf", "Inf"), ("1e+06", "1e06")):
        text = POLICY.replace(counts(BAD, ALL), f'count: {{{BUCKETS}, match: {{le: "{bound}"}}}}')
        measure = accepted(text).checks["errors"].measure
        assert isinstance(measure, Count)
        pattern = measure.of.match["le"]
        assert re.fullmatch(pattern, bound)
        assert not re.fullmatch(pattern, other)


def test_counters_that_the_source_names_itself_have_no_buckets() -> None:
    source = 'edge: {type: http, url: "http://127.0.0.1/", counters: {a_bucket: %s, b_bucket: %s}}'
    place = "{items: /rows, account: /name, value: /n}"
    text = POLICY.replace(
        'edge: {type: scrape, url: "http://127.0.0.1:9100/metrics"}', source % (place, place)
    )
    text = text.replace(RATIO, "value: {ratio: [{counter: a_bucket}, {counter: b_bucket}]}")
    found = accepted(text).checks["answers"].measure
    assert found == Ratio(y=Counter(name="a_bucket"), n=Counter(name="b_bucket"), of_counts=False)
    same = text.replace("source: prom", "source: edge").replace(counts(BAD, ALL), counts("bad: {counter: a_bucket}",
        "all: {counter: a_bucket}"))  # fmt: skip
    (finding,) = policy_findings(same)
    assert finding.hint == "name another counter in `bad`: that of the bad events alone"


@pytest.mark.parametrize(
    ("key", "said"), [("bad", "`good` instead of `bad`, with `increase`"), ("good", "`increase`:")]
)
def test_a_fall_of_a_share_is_asked_for_as_the_rise_of_the_other_events(key: str, said: str) -> None:
    text = POLICY.replace("bad: {", f"{key}: {{")
    place = marked(text, "{increase: 100%}", "{" + MARK + "decrease: 50%}")
    expect_at(policy_findings(place.text), "RC3017", place, said)


def test_a_whole_bound_is_the_same_with_and_without_a_decimal() -> None:
    for bound in ("2", "2.0"):
        text = POLICY.replace(counts(BAD, ALL), f'count: {{{BUCKETS}, match: {{le: "{bound}"}}}}')
        text = text.replace("{increase: 100%}", "{decrease: 50%}")
        measure = accepted(text).checks["errors"].measure
        assert isinstance(measure, Count)
        pattern = measure.of.match["le"]
        assert [one for one in ("2", "2.0", "20", "2.5", "200") if re.fullmatch(pattern, one)] == ["2", "2.0"]
