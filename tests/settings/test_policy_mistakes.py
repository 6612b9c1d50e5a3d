"""Every mistake in a policy is answered with its place, its code and the way out."""

import pytest

from ringctl.settings import policy_from_text
from tests.settings.support import MARK, POLICY, expect_at, marked, policy_findings

CASES = [
    # unknown and duplicate keys
    ("RC3001", "limits: {size_factor: 4}", "limits: {«size_facter: 4}", "did you mean `size_factor`"),
    ("RC3001", "metadata: {name", "«inventry: {}\nmetadata: {name", "did you mean `inventory`"),
    ("RC3001", "{p95: 15m}", "{«p96: 15m}", "unknown key `p96` in gates.slow.fail_if"),
    ("RC3001", "canary: {accounts: 2}", "canary: {accounts: 2, «watch: 15m}", "rings[0].canary"),
    ("RC3001", "{gte: 1}", "{«gth: 1}", "unknown condition"),
    ("RC3001", "match: {code", "«matching: {code", "gates.errors.bad"),
    ("RC3002", "kind: Policy", "kind: Policy\n«kind: Policy", "`kind` is given twice, first in line 2"),
    ("RC3002", "{p95: 15m}", "{p95: 15m, «p95: 16m}", "given twice"),
    ("RC3002", "  edge: {type", "  «prom: {type", "`prom` is given twice"),
    # types
    ("RC3003", "metadata: {name: sprint-upgrade, owner: build-team}", "metadata: «sprint", "a mapping"),
    ("RC3003", "name: internal", "name: «7", 'write "7"'),
    ("RC3003", "bake: {min: 15m, activity: 200, max: 4h}", "bake: «1h", "write bake: {min: 1h}"),
    ("RC3003", "waves: [5%, 25%, 100%]", "waves: «100%", "[100%]?"),
    ("RC3003", "becomes_empty: true", "becomes_empty: «yes", "true?"),
    ("RC3003", "select: {ring: 0}", "select: {ring: «[0, 1]}", "ring: {in: [...]}"),
    ("RC3003", "select: {ring: 0}", "select: «internal", "a mapping from column to value"),
    ("RC3003", "{gte: 1}", "{gte: «one}", "must be a number"),
    ("RC3003", "select: {ring: 0}", "select: {ring: «~}", 'an empty cell is ""'),
    ("RC3003", "accounts: 5, share", "accounts: «many, share", "whole number"),
    ("RC3003", "token: {file: prom.token}", "token: «abc123", "only by reference"),
    ("RC3003", "canary: {accounts: 2}", "canary: «2", "write canary: {accounts: 2}"),
    ("RC3003", "min: 45m", "min: «", "leave the key out"),
    ("RC3003", "all: {counter: http_requests_total}", "all: «http_requests_total", "a mapping"),
    ("RC3003", "metadata: {name", "«5: x\nmetadata: {name", "a key must be text"),
    # units
    ("RC3004", "min: 15m", "min: «15", "15s? 15m?"),
    ("RC3004", "min: 15m", "min: «15min", "15m?"),
    ("RC3004", "min: 15m", "min: «1.5h", "1h30m"),
    ("RC3004", "min: 45m", "min: «1w", "7d?"),
    ("RC3004", "every: 1m", "every: «30m1h", "largest unit first"),
    ("RC3004", "increase: 100%", "increase: «1", "1%?"),
    ("RC3004", "shift: 50%", "shift: «0.5", "written with %"),
    ("RC3004", "accounts: 1%", "accounts: «0.01", "0.01%?"),
    ("RC3004", "p95: 15m", "p95: «900", "900s?"),
    ("RC3004", "accounts: 5, share", "accounts: «5%, share", "whole number"),
    # numbers that are none
    ("RC3005", "size_factor: 4", "size_factor: «.nan", "not a usable number"),
    ("RC3005", "size_factor: 4", "size_factor: «.inf", "not a usable number"),
    ("RC3005", "size_factor: 4", "size_factor: «1e999", "larger than any number"),
    # missing keys
    ("RC3006", "apiVersion: ringctl/v1\n", "«", "`apiVersion` is missing"),
    ("RC3006", "name: sprint-upgrade, owner", "owner", "`name` is missing in metadata"),
    ("RC3006", "path: accounts.csv, ", "", "`path` is missing in inventory"),
    ("RC3006", "type: prometheus, ", "", "`type` is missing in metrics.prom"),
    ("RC3006", 'url: "http://127.0.0.1:9090", ', "", "`url` is missing in metrics.prom"),
    ("RC3006", "    all: {counter: http_requests_total}\n", "", "needs `bad` (or `good`) and `all`"),
    ("RC3006", "    fail_if: {increase: 100%}\n", "", "`fail_if` is missing in gates.errors"),
    ("RC3006", "value: duration, ", "", "does not say what it measures"),
    ("RC3006", "{counter: items_total}", "{}", "`counter` is missing"),
    # names
    ("RC3007", "source: prom", "source: «prim", "did you mean `prom`"),
    ("RC3007", "gates: [errors, answers, slow]", "gates: [errors, «anwsers, slow]", "`answers`"),
    ("RC3007", "gates: [errors, answers]}", "gates: [«error, answers]}", "did you mean `errors`"),
    ("RC3007", "compare: canary-vs-control", "compare: «canary-vs-contol", "canary-vs-control"),
    ("RC3007", "type: scrape", "type: «scraper", "did you mean `scrape`"),
    ("RC3007", "source: csv", "source: «cvs", "did you mean `csv`"),
    ("RC3007", "value: duration", "value: «durations", "did you mean `duration`"),
    ("RC3007", "kind: Policy", "kind: «Bundle", "must be Policy"),
    ("RC3007", "ringctl/v1", "«ringctl/v2", "must be ringctl/v1"),
    ("RC3007", "traits: [region]", "traits: [region], unassigned: «last", "last-ring"),
    # rings
    ("RC3008", "    select: {ring: 0}\n", "", "selects no accounts"),
    ("RC3008", "select: {ring: 0}", "select:«", "selects no accounts"),
    ("RC3008", "select: {ring: 0}", "select: {ring: {in: «[]}}", "empty list"),
    ("RC3008", "select: {ring: 0}", "select: {ring: «{}}", "says nothing"),
    ("RC3008", "prefer: {optin: true}", "exempt: «{}", "exempts every account"),
    # gates that cannot fail
    ("RC3009", "fail_if: {p95: 15m}", "fail_if: «{}", "names no limit"),
    ("RC3009", "{becomes_empty: true, shift: 50%}", "«{becomes_empty: false}", "names no limit"),
    ("RC3009", "shift: 50%", "shift: «100%", "nothing falls by more than 100%"),
    (
        "RC3009",
        "compare: canary-vs-control\n    fail_if: {increase: 100%}",
        "compare: threshold\n    fail_if: {above: «100%}",
        "never exceeds 100%",
    ),
    (
        "RC3009",
        "compare: canary-vs-control",
        "compare: canary-vs-control\n    without_control: «threshold",
        "no `fail_if.above`",
    ),
    # duplicate names
    ("RC3010", "name: customers", "name: «internal", "two rings are called `internal`"),
    ("RC3010", "gates: [errors, answers, slow]", "gates: [errors, «errors]", "stands twice"),
    # gates that never get enough looks
    ("RC1002", "min: 15m, activity: 200, max: 4h", "min: 2m, max: 4m", "it needs 6 looks, 1m apart"),
    ("RC3010", "  slow: {source", "  «overshoot: {source", "is a built-in check"),
    ("RC3007", "defaults: {", "defaults: {builtin: [«recreate], ", "did you mean `recreated`"),
    ("RC3007", "gates: [errors, answers, slow]", "gates: [errors, «overshot]", "did you mean `overshoot`"),
    ("RC3016", "source: prom\n", "source: prom\n    weight: «0\n", "0.001 to 1000"),
    ("RC3010", "traits: [region]", "traits: [region, «region]", "stands twice"),
    ("RC3010", "  edge: {type", "  steps: «{type", "built in"),
    ("RC3010", "size: builds", "size: «account_id", "both id and size"),
    # YAML
    ("RC3011", "kind: Policy", "kind: Policy«: x", "mapping values are not allowed"),
    ("RC3011", "    source: prom\n", "«\tsource: prom\n", "spaces"),
    ("RC3011", "owner: build-team", 'owner: "build«\x07"', "U+0007"),
    ("RC3011", "name: internal", "name: «*nobody", "names no complete value"),
    # ranges
    ("RC3016", "size_factor: 4", "size_factor: «1", "more than 1"),
    ("RC3016", "size_factor: 4", "size_factor: «-4", "negative"),
    ("RC3016", "name: internal", 'name: «""', "must not be empty"),
    ("RC3016", "name: internal", "name: «a ring", "a name"),
    ("RC3016", "canary: {accounts: 2}", "canary: {accounts: «0}", "more than 0"),
    ("RC3016", "increase: 100%", "increase: «1%", "must be 5% to 10000%"),
    ("RC3016", "increase: 100%", "increase: «4.999%", "100% twice as much"),
    ("RC3016", "increase: 100%", "increase: «100000%", "is a `ceiling`, or `above`"),
    ("RC3016", "increase: 100%", "decrease: «1%", "50% is half as much"),
    ("RC3016", "increase: 100%", "decrease: «100%", "nothing falls by more than 100%"),
    ("RC3016", "waves: [5%, 25%, 100%]", "waves: [5%, 25%, «101%]", "more than 100%"),
    ("RC3016", "waves: [5%, 25%, 100%]", "waves: «[]", "is empty"),
    ("RC3016", "false_alarm: 1%", "false_alarm: «60%", "to 50%"),
    ("RC3016", "reserve: 20%", "reserve: «100%", "to 90%"),
    ("RC3016", "every: 1m", "every: «2d", "100ms to 1d"),
    ("RC3016", 'match: {code: "5.."}', 'match: {code: «"5("}', "not a regular expression"),
    ("RC3016", "counter: items_total", "counter: «items-total", "a metric name"),
    ("RC3016", '"http://127.0.0.1:9090"', "«ftp://127.0.0.1", "http or https"),
    ("RC3016", '"http://127.0.0.1:9090"', '«"http://me:pw@127.0.0.1"', "use `token`"),
    ("RC3016", "[{counter: items_total}, {counter: queries_total}]", "«[{counter: a}]", "two counters"),
    ("RC3016", "kind: Policy", "kind: Policy\nlease: «500ms", "1s to 10m"),
    ("RC3016", "name: internal", "name: «" + "9" * 4 + "x" * 70, "a name"),
    # contradictions
    ("RC3017", "min: 15m, activity: 200, max: 4h", "min: 5h, max: «4h", "longer than `max`"),
    ("RC3017", "waves: [5%, 25%, 100%]", "waves: [25%, «5%, 100%]", "must rise"),
    ("RC3017", "waves: [5%, 25%, 100%]", "waves: [5%, «25%]", "add 100%"),
    ("RC3017", "waves: [5%, 25%, 100%]", "waves: [5%, «10, 100%]", "numbers stand before shares"),
    ("RC3017", "canary: {accounts: 2}", "canary: {accounts: 2, at_most: «3}", "bounds a share"),
    ("RC3017", "    bake: {min: 15m", "    «soak: {min: 1m}\n    bake: {min: 15m", "the same"),
    ("RC3017", "{increase: 100%}", "{«shift: 50%}", "cannot judge `shift`"),
    ("RC3017", "{p95: 15m}", "{«increase: 50%}", "cannot judge `increase`"),
    ("RC3017", "{becomes_empty: true,", "{«increase: 10%,", "cannot judge `increase`"),
    ("RC3017", "value: duration,", "value: duration, compare: «before-vs-after,", "cannot be compared"),
    ("RC3017", "{source: steps, value: duration", "{source: edge, value: «duration", "source: steps"),
    ("RC3017", "    source: edge\n", "    source: edge\n    «bad: {counter: x}\n", "either `value`"),
    ("RC3017", "token: {file: prom.token}", "token: «{file: a, env: B}", "one of them"),
    ("RC3017", "    all: {", "    «good: {counter: x}\n    all: {", "either `bad` or `good`"),
    ("RC3017", 'match: {code: "5.."}', 'match: {«account: "5.."}', "label of the account"),
    ("RC3017", "type: prometheus, ", "type: prometheus, «urls: [], ", "is not for `prometheus`"),
    ("RC3017", "type: scrape, ", 'type: scrape, «urls: ["http://a/"], ', "both `url` and `urls`"),
    ("RC3016", 'scrape, url: "http://127.0.0.1:9100/metrics"', "scrape, urls: «[]", "is empty"),
    ("RC3016", '"http://127.0.0.1:9090"', '«"http://[::1"', "not an address"),
    ("RC3003", "{gte: 1}", "{in: «7}", "must be a list"),
    ("RC3003", "{gte: 1}", "{not: «{a: 1}}", "must be a list"),
    (
        "RC3003",
        "value: {ratio: [{counter: items_total}, {counter: queries_total}]}",
        "value: «items",
        "ratio",
    ),
    # not supported yet
    ("RC3018", "type: scrape, ", "type: scrape, «token: {env: T}, ", "for `scrape`"),
    ("RC3018", "limits: {size_factor: 4}", "limits: {«newly_exposed_per_hour: 5}", "not supported"),
    ("RC3018", "reserve: 20%", "«watcher: required", "not supported in this version"),
    ("RC3018", "name: internal", "name: internal\n    promote: «manual", "not supported"),
    ("RC3018", "traits: [region]", "traits: [region], «shares: [database]", "not supported"),
    ("RC3018", "traits: [region]", "traits: [region], «window: zone", "not supported"),
    ("RC3018", "source: csv", "source: «sql", "not supported"),
    ("RC3018", "source: prom", "source: prom\n    «promql: up", "name counters"),
    ("RC3018", "owner: build-team", "owner: «!!str x", "tags"),
    ("RC3018", "name: internal", "«<<: {}\n    name: internal", "merge keys"),
    ("RC3018", "requalify:", "«---\nrequalify:", "second document"),
    *(
        ("RC3018", "requalify:", f"«{key}: []\nrequalify:", f"`{key}` is not supported")
        for key in ("sign_offs", "windows", "freezes", "overlap", "notify", "evidence", "executor")
    ),
]


@pytest.mark.parametrize(
    ("code", "old", "new", "said"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)]
)
def test_mistake_is_answered_in_its_place(code: str, old: str, new: str, said: str) -> None:
    if MARK in new:
        place = marked(POLICY, old, new)
        expect_at(policy_findings(place.text), code, place, said)
    else:
        findings = policy_findings(POLICY.replace(old, new, 1))
        assert any(one.code == code and said in one.message and one.line for one in findings), findings


def test_every_mistake_is_said_at_once() -> None:
    text = POLICY.replace("min: 15m", "min: 15").replace("[errors, answers, slow]", "[eror]")
    text = text.replace("size_factor: 4", "size_facter: 4").replace("source: csv", "source: http")
    findings = policy_findings(text)
    assert [one.code for one in findings] == ["RC3018", "RC3004", "RC3007", "RC3001"]
    assert [one.line for one in findings] == sorted(one.line for one in findings)


@pytest.mark.parametrize(
    "text",
    [
        POLICY.replace("{file: prom.token}", "hunter2-hunter2"),
        POLICY.replace("{file: prom.token}", "{value: hunter2-hunter2}"),
        POLICY.replace("http://127.0.0.1:9090", "http://me:hunter2@127.0.0.1:9090"),
    ],
)
def test_a_secret_in_the_file_is_not_repeated(text: str) -> None:
    assert "hunter2" not in repr(policy_findings(text))


def test_a_policy_without_rings_is_refused() -> None:
    text = POLICY[: POLICY.index("rings:")]
    assert [one.code for one in policy_findings(text)] == ["RC3006"]
    assert [one.code for one in policy_findings(text + "rings: []\n")] == ["RC3008"]
    assert [one.code for one in policy_findings(text + "rings:\n")] == ["RC3008"]


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"[]", b"5", b"- a\n- b\n", b"text"])
def test_a_file_that_is_no_mapping_is_refused(content: bytes) -> None:
    assert [one.code for one in policy_findings(content)] == ["RC3003"]


def test_bytes_that_are_not_utf_8_are_refused_in_their_place() -> None:
    (finding,) = policy_findings("kind: Policy\nname: ä".encode("latin-1"))
    assert (finding.code, finding.line, finding.column, finding.text) == ("RC3011", 2, 7, "0xe4")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#" * 1024 * 1025, "at most"),
        (b"[" * 40, "deep"),
        (b"[" + b"1," * 60_000 + b"1]", "more than 50000 values"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(
                f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n".encode()
                for before, name in ("ab", "bc", "cd", "de", "ef", "fg")
            ),
            "aliases counted in full",
        ),
    ],
)
def test_files_without_a_bound_are_refused(content: bytes, said: str) -> None:
    (finding,) = policy_findings(content)
    assert finding.code == "RC3014"
    assert said in finding.message


@pytest.mark.parametrize(
    ("limit", "change"), [("increase: 5%", 0.05), ("increase: 10000%", 100.0), ("decrease: 5%", 0.05)]
)
def test_changes_that_can_be_meant_are_accepted(limit: str, change: float) -> None:
    start, end = POLICY.index("    bad: "), POLICY.index("    fail_if: {increase")
    text = POLICY[:start] + "    count: {counter: requests_total}\n" + POLICY[end:]
    policy, _ = policy_from_text(text.replace("increase: 100%", limit).encode(), "policy.yaml")
    fail_if = policy.checks["errors"].fail_if
    assert change in {fail_if.increase, fail_if.decrease}
