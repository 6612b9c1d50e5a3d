"""`metrics`: what each type of source is given, and what it refuses."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from ringctl import registry
from ringctl.core.timing import SECOND
from ringctl.settings import policy_from_text, policy_schema
from tests.settings.support import MARK, POLICY, expect_at, marked, policy_findings

EDGE = '  edge: {type: scrape, url: "http://127.0.0.1:9100/metrics"}\n'
SQL = '  edge: {type: sql, url: {env: REPORTS_URL}, queries: {items_total: "SELECT account, total FROM items"}}\n'
HTTP = (
    '  edge: {type: http, url: "http://127.0.0.1/s", counters: '
    "{items_total: {items: /tenants, account: /id, value: /items}}}\n"
)
SHARED = {"timeout_us": 10 * SECOND, "max_age_us": 60 * SECOND}


def options(line: str) -> dict[str, object]:
    text = POLICY.replace(EDGE, line)
    jsonschema.Draft7Validator(dict(policy_schema())).validate(yaml.safe_load(text))
    spec = policy_from_text(text.encode(), "policy.yaml")[0].sources["edge"]
    registry.load("ringctl.metrics", spec.type)(spec.name, spec.options, folder=Path())  # they are understood
    return dict(spec.options)


def test_a_database_by_reference_and_its_queries() -> None:
    assert options(SQL) == {
        **SHARED,
        "url": {"env": "REPORTS_URL"},
        "queries": {"items_total": "SELECT account, total FROM items"},
    }
    block = (
        "  edge:\n    type: sql\n    url: sqlite:///reports.db\n    max_age: 5m\n    queries:\n"
        "      items_total: |\n        SELECT account, total\n        FROM items\n"
    )
    assert options(block) == {
        **SHARED,
        "max_age_us": 300 * SECOND,
        "url": "sqlite:///reports.db",
        "queries": {"items_total": "SELECT account, total\nFROM items\n"},
    }
    assert options(SQL.replace("{env: REPORTS_URL}", '"postgresql://gate@db:5432/reports"'))["url"] == (
        "postgresql://gate@db:5432/reports"
    )


def test_counters_in_json() -> None:
    assert options(HTTP) == {
        **SHARED,
        "url": "http://127.0.0.1/s",
        "counters": {"items_total": {"items": "/tenants", "account": "/id", "value": "/items"}},
    }
    found = options(
        HTTP.replace(
            "{items: /tenants, account: /id, value: /items}", '{value: "/n", time: "/a~1b"}'
        ).replace("counters", "headers: {X-Tenant: all}, token: {env: T}, counters")
    )
    assert found["counters"] == {"items_total": {"items": "", "value": "/n", "time": "/a~1b"}}
    assert (found["headers"], found["token"]) == ({"X-Tenant": "all"}, {"env": "T"})


def test_how_prometheus_is_kept_to_some_accounts() -> None:
    line = '  edge: {type: prometheus, url: "http://127.0.0.1:9090", max_age: 2m, accounts: %s}\n'
    assert options(line % "matchers") == {
        "timeout_us": 10 * SECOND,
        "max_age_us": 120 * SECOND,
        "url": "http://127.0.0.1:9090",
        "accounts": "matchers",
    }
    found = options(line % 'cohort, cohort: {match: {rollout: "r1"}}')
    assert found["cohort"] == {
        "counter": "ringctl_cohort_info",
        "account": "account",
        "match": {"rollout": "r1"},
    }


MISTAKES = [
    ("RC3017", SQL, "type: sql", "type: sql, «urls: [a]", "is not for `sql`"),
    ("RC3017", SQL, "type: sql", "type: sql, «accounts: all", "is not for `sql`"),
    ("RC3017", HTTP, "type: http", "type: http, «queries: {a: b}", "it has url, token, headers, counters"),
    ("RC3017", EDGE, "type: scrape", "type: scrape, «counters: {}", "is not for `scrape`"),
    ("RC3017", EDGE, 'scrape, url: "http://127.0.0.1:9100/metrics"',
     'prometheus, url: "http://a", «cohort: {}', "`accounts: cohort`"),
    ("RC3006", SQL, ", queries: {items_total: \"SELECT account, total FROM items\"}", "", "`queries` is missing"),
    ("RC3006", SQL, "url: {env: REPORTS_URL}, ", "", "`url` is missing"),
    ("RC3006", HTTP, ", counters: {items_total: {items: /tenants, account: /id, value: /items}}", "",
     "`counters` is missing"),
    ("RC3006", HTTP, ", value: /items", "", "`value` is missing"),
    ("RC3001", HTTP, "items: /tenants", "«item: /tenants", "did you mean `items`"),
    ("RC3003", HTTP, "items: /tenants", "items: «[/tenants]", "JSON pointer"),
    ("RC3016", HTTP, "items: /tenants", "items: «tenants", "begins with a slash"),
    ("RC3016", HTTP, "items: /tenants", "items: «/ten~ants", "~0"),
    ("RC3016", HTTP, "type: http", "type: http, headers: {«Authorization: x}", "use `token`"),
    ("RC3016", HTTP, "type: http", "type: http, headers: {«cookie: x}", "use `token`"),
    ("RC3016", HTTP, "type: http", "type: http, headers: {«Proxy-Authorization: x}", "use `token`"),
    ("RC3016", HTTP, "type: http", "type: http, headers: {«\"X Y\": x}", "name of a header"),
    ("RC3016", HTTP, "{items_total: {", "{«items-total: {", "metric name"),
    ("RC3016", SQL, "{env: REPORTS_URL}", "«mysql://a/b", "postgresql://"),
    ("RC3016", SQL, "{env: REPORTS_URL}", "«sqlite:///", "sqlite:///PATH"),
    ("RC3016", SQL, "{env: REPORTS_URL}", "«postgresql://me:hunter2@db/x", "{env: NAME}"),
    ("RC3016", SQL, "{env: REPORTS_URL}", "«postgresql://me@db/x?password=hunter2", "{env: NAME}"),
    ("RC3016", SQL, '"SELECT account, total FROM items"', '«" "', "must not be empty"),
    ("RC3016", SQL, '"SELECT account, total FROM items"', r'«"SELECT account,\e total FROM items"',
     "a control character"),
    ("RC3003", SQL, '"SELECT account, total FROM items"', "«7", "a query is wanted"),
    ("RC3016", EDGE, "type: scrape", "type: scrape, max_age: «10ms", "1s to 1h"),
    ("RC3007", EDGE, 'scrape, url: "http://127.0.0.1:9100/metrics"',
     'prometheus, url: "http://a", accounts: «some', "all or matchers or cohort"),
    ("RC3016", EDGE, 'scrape, url: "http://127.0.0.1:9100/metrics"',
     'prometheus, url: "http://a", accounts: cohort, cohort: {match: {rollout: «"("}}', "regular expression"),
    ("RC3016", EDGE, 'scrape, url: "http://127.0.0.1:9100/metrics"',
     f'prometheus, url: "http://a", accounts: cohort, cohort: {{match: {{rollout: «{"r" * 501}}}}}',
     "over 500 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "line", "old", "new", "said"), MISTAKES)
def test_mistakes_in_sources_have_their_place(code: str, line: str, old: str, new: str, said: str) -> None:
    assert old in line
    text = POLICY.replace(EDGE, line)
    if MARK in new:
        place = marked(text, old, new)
        findings = policy_findings(place.text)
        expect_at(findings, code, place, said)
    else:
        findings = policy_findings(text.replace(old, new, 1))
        assert any(one.code == code and said in f"{one.message} {one.hint}" for one in findings), findings
    assert "hunter2" not in "".join(f"{one.message}{one.text}{one.hint}{one.source_line}" for one in findings)
