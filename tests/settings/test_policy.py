"""What a policy means, its defaults, its digest, and that it survives the store."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core import builtin
from ringctl.core.builtin import is_builtin
from ringctl.core.digests import canonical
from ringctl.core.errors import InvalidInput
from ringctl.core.fleet import Account, Term
from ringctl.core.policy import ALL, Amount, Bake, Policy, Ratio, StepMeasure, looks_every
from ringctl.core.timing import DAY, HOUR, MINUTE, SECOND
from ringctl.settings import lint_policy, load_policy, policy_from_document, policy_from_text
from tests.settings.support import POLICY, policy_findings

SMALLEST = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: first}
inventory: {source: csv, path: accounts.csv}
gates: {slow: {source: steps, value: duration, compare: threshold, fail_if: {p95: 15m}}}
rings:
  - {name: first, select: {ring: 0}, canary: {accounts: 2}, waves: [100%], bake: {min: 1h}}
requalify: {accounts: 2, bake: {min: 15m}}
"""

BUILTIN = ("overshoot", "recreated")


def read(text: str) -> Policy:
    return policy_from_text(text.encode(), "policy.yaml")[0]


def test_the_smallest_policy_loads_and_its_defaults_hold() -> None:
    policy = read(SMALLEST)
    check = policy.checks["slow"]
    assert check.measure == StepMeasure(name="duration")
    assert check.fail_if.p95 == 900.0
    assert (check.every_us, check.baseline_us, check.min_samples) == (MINUTE, 10 * MINUTE, 1)
    assert check.silence == "hold"
    ring = policy.ring("first")
    assert ring.gates == ("slow", *BUILTIN), "without `defaults.gates` every gate watches every ring"
    assert ring.bake == Bake(min_us=HOUR, activity=0, max_us=DAY)
    assert ring.max_failures == Amount(count=0)
    assert ring.waves == (ALL,)
    assert policy.requalify.bake.min_us == 15 * MINUTE
    assert policy.requalify.reserve == 0.2
    assert policy.limits.size_factor == 4.0
    assert policy.lease_us == 15 * SECOND
    assert policy.inventory.unassigned == "error"


def test_built_in_checks_watch_every_ring_unless_they_are_switched_off() -> None:
    policy = read(POLICY.replace("gates: [errors, answers, slow]", "gates: []"))
    assert policy.ring("customers").gates == BUILTIN
    assert [check.name for check in policy.checks.values() if is_builtin(check)] == list(BUILTIN)
    assert policy.checks["overshoot"].every_us == MINUTE, "as often as the policy's own look"
    named = read(POLICY.replace("gates: [errors, answers, slow]", "gates: [recreated, errors]"))
    assert named.ring("customers").gates == ("recreated", "errors", "overshoot")
    some = read(POLICY.replace("defaults: {", "defaults: {builtin: [recreated], "))
    assert some.ring("internal").gates == ("errors", "answers", "recreated")
    none, warnings = policy_from_text(
        POLICY.replace("defaults: {", "defaults: {builtin: [], ").encode(), "policy.yaml"
    )
    assert none.ring("internal").gates == ("errors", "answers")
    assert "switched off: overshoot, recreated" in " ".join(one.message for one in warnings)
    assert none.digest != read(POLICY).digest


def test_a_gate_of_one_ring_does_not_make_others_look_more_often() -> None:
    fast = POLICY.replace(
        "    all: {counter: http_requests_total}\n",
        "    all: {counter: http_requests_total}\n    every: 5s\n",
    )
    policy = read(fast.replace("gates: [errors, answers, slow]", "gates: [answers]"))
    spans = {ring.name: looks_every(policy.checks_of(ring), ring.bake) for ring in policy.rings}
    assert {"errors" in ring.gates: spans[ring.name] for ring in policy.rings} == {
        True: 5 * SECOND,
        False: MINUTE,
    }
    alone = read(POLICY.replace("gates: [errors, answers, slow]", "gates: []")).rings
    assert looks_every([], alone[0].bake) == looks_every(builtin.checks().values(), alone[0].bake)


def test_requalification_bakes_45_minutes_unless_told_otherwise() -> None:
    assert read(SMALLEST.replace(", bake: {min: 15m}}", "}")).requalify.bake.min_us == 45 * MINUTE
    only_max = SMALLEST.replace("bake: {min: 15m}}", "bake: {max: 2d}}")
    assert read(only_max).requalify.bake.min_us == 45 * MINUTE


def test_a_whole_policy_means_what_it_says() -> None:
    policy = read(POLICY)
    errors, answers = policy.checks["errors"], policy.checks["answers"]
    assert errors.fail_if.increase == 1.0
    assert (answers.compare, answers.fail_if.shift) == ("before-vs-after", 0.5)
    assert (errors.min_samples, errors.every_us, errors.false_alarm) == (200, MINUTE, 0.01)
    customers = policy.ring("customers")
    assert customers.select.terms == (Term(column="ring", op="gte", operand=1),)
    assert customers.waves == (Amount(share=0.05), Amount(share=0.25), ALL)
    assert customers.max_failures == Amount(share=0.005)
    assert customers.canary.prefer.matches(Account(id="a", columns={"optin": "True"}))
    assert customers.gates == ("errors", "answers", "slow", *BUILTIN)
    assert policy.sources["prom"].options == {
        "url": "http://127.0.0.1:9090",
        "token": {"file": "prom.token"},
        "timeout_us": 10 * SECOND,
        "max_age_us": 60 * SECOND,
    }
    assert policy.sources["edge"].options["urls"] == ["http://127.0.0.1:9100/metrics"]
    assert (errors.line, policy.ring("internal").line, policy.inventory.line) == (10, 22, 4)


@pytest.mark.parametrize(
    ("select", "terms"),
    [
        ("{}", ()),
        ("{on: yes}", (Term(column="on", op="eq", operand="yes"),)),
        ("{ring: {in: [0, a]}}", (Term(column="ring", op="in", operand=(0, "a")),)),
        ("{ring: {not: 3}}", (Term(column="ring", op="not", operand=3),)),
        ("{ring: {not: [3, 4]}}", (Term(column="ring", op="not", operand=(3, 4)),)),
        ("{ring: {not: {in: [3]}}}", (Term(column="ring", op="not", operand=(3,)),)),
        (
            "{size: {lt: 5, gte: 1.5}}",
            (Term(column="size", op="gte", operand=1.5), Term(column="size", op="lt", operand=5)),
        ),
        ('{contract: ""}', (Term(column="contract", op="eq", operand=""),)),
        ("{ha: false}", (Term(column="ha", op="eq", operand=False),)),
    ],
)
def test_selectors_are_data(select: str, terms: tuple[Term, ...]) -> None:
    policy = read(POLICY.replace("{ring: 0}", select))
    assert policy.ring("internal").select.terms == terms


def test_good_events_may_be_counted_instead_of_bad_ones() -> None:
    measure = read(POLICY.replace("    bad: {", "    good: {")).checks["errors"].measure
    assert isinstance(measure, Ratio)
    assert (measure.good, measure.y.match, measure.n.match) == (True, {"code": "5.."}, {})


def test_many_endpoints_are_scraped() -> None:
    text = POLICY.replace(
        'scrape, url: "http://127.0.0.1:9100/metrics"', "scrape, urls: [http://a/m, http://b/m]"
    )
    assert read(text).sources["edge"].options["urls"] == ["http://a/m", "http://b/m"]


def test_sources_and_inventories_of_others_get_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringctl.registry.known", lambda group: ("cmdb", "datadog"))
    text = POLICY.replace("{type: scrape, url", "{type: datadog, site").replace("source: csv", "source: cmdb")
    policy = read(text)
    assert policy.sources["edge"].type == "datadog"
    assert policy.sources["edge"].options == {"site": "http://127.0.0.1:9100/metrics"}
    assert policy.inventory.source == "cmdb"


def test_a_bake_longer_than_looks_and_an_unsized_wave_are_warned_about() -> None:
    text = POLICY.replace("every: 1m", "every: 5h").replace("[5%, 25%, 100%]", "[1, 20, 100%]")
    said = " ".join(one.message for one in policy_from_text(text.encode(), "p")[1])
    assert "shorter than gate" in said
    assert "from 1 to 20: over 10 times" in said


def test_a_long_bake_raises_its_usual_end() -> None:
    assert read(SMALLEST.replace("min: 1h", "min: 2d")).rings[0].bake.max_us == 4 * DAY


def test_soak_is_bake() -> None:
    renamed = read(SMALLEST.replace("bake: {min: 1h}", "soak: {min: 1h}"))
    assert renamed.digest == read(SMALLEST).digest


def test_accounts_without_a_size_are_said_so() -> None:
    assert read(SMALLEST.replace("path:", "size: false, path:")).inventory.size == ""


def test_a_threshold_for_want_of_control_needs_both_limits() -> None:
    text = POLICY.replace(
        "compare: canary-vs-control\n    fail_if: {increase: 100%}",
        "without_control: threshold\n    fail_if: {increase: 100%, above: 5%}",
    )
    assert read(text).checks["errors"].fail_if.above == 0.05


@pytest.mark.parametrize("text", [POLICY, SMALLEST])
def test_a_policy_survives_the_store(text: str) -> None:
    policy = read(text)
    again = policy_from_document(json.loads(canonical(policy.document)))
    assert again == policy
    assert again.digest == policy.digest


def test_a_stored_policy_of_an_older_version_keeps_its_digest() -> None:
    """A field added later takes its default and does not change what was pinned."""
    document = json.loads(canonical(read(POLICY).document))
    del document["limits"]["control_min"]
    older = policy_from_document(document)
    assert older.limits.control_min == 5
    assert policy_from_document(document).digest == older.digest


@pytest.mark.parametrize(
    "document",
    [{}, {"name": 5}, {"name": "x", "strange": 1}, {"rings": [1]}, {"inventory": {"size": float("nan")}}],
)
def test_a_document_that_is_no_policy_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        policy_from_document(document)
    assert caught.value.code == "RC3019"


def test_comments_and_order_do_not_change_the_digest() -> None:
    digest = read(POLICY).digest
    assert read("# hello\n\n" + POLICY.replace("# ", "")).digest == digest
    swapped = POLICY.replace(
        "{name: sprint-upgrade, owner: build-team}", "{owner: build-team, name: sprint-upgrade}"
    )
    assert read(swapped).digest == digest
    start, middle, end = (POLICY.index(key) for key in ("  errors:", "  answers:", "  slow:"))
    moved = POLICY[:start] + POLICY[middle:end] + POLICY[start:middle] + POLICY[end:]
    assert read(moved).digest == digest
    assert read(POLICY.replace("min: 15m", "min: 900s")).digest == digest
    assert read(POLICY.replace("{ring: {gte: 1}}", "{ring: {'gte': 0x1}}")).digest == digest


CHANGES = [
    ("sprint-upgrade", "other"),
    ("build-team", "other-team"),
    ("source: csv", "source: ndjson"),
    ("accounts.csv", "others.csv"),
    ("size: builds", "size: rows"),
    ("traits: [region]", "traits: [zone]"),
    ("target: [database]", "target: [url]"),
    ("9090", "9091"),
    ("prom.token", "other.token"),
    ('"5.."', '"4.."'),
    ("http_requests_total, match", "requests_total, match"),
    ("increase: 100%", "increase: 99%"),
    ("shift: 50%", "shift: 49%"),
    ("becomes_empty: true", "becomes_empty: false"),
    ("p95: 15m", "p95: 16m"),
    ("value: duration, fail_if: {p95: 15m}", "value: failures, fail_if: {p95: 900}"),
    ("every: 1m", "every: 2m"),
    ("false_alarm: 1%", "false_alarm: 2%"),
    ("gates: [errors, answers]}", "gates: [errors]}"),
    ("name: internal", "name: inner"),
    ("{ring: 0}", "{ring: '0'}"),
    ("{ring: {gte: 1}}", "{ring: {gt: 1}}"),
    ("canary: {accounts: 2}", "canary: {accounts: 3}"),
    ("at_most: 20", "at_most: 21"),
    ("optin: true", "optin: false"),
    ("activity: 200", "activity: 201"),
    ("max: 4h", "max: 5h"),
    ("[5%, 25%, 100%]", "[5%, 26%, 100%]"),
    ("max_failures: 0.5%", "max_failures: 5"),
    ("size_factor: 4", "size_factor: 5"),
    ("accounts: 5, share", "accounts: 6, share"),
    ("share: 1%", "share: 2%"),
    ("min: 45m", "min: 46m"),
    ("reserve: 20%", "reserve: 21%"),
    ("limits:", "lease: 16s\nlimits:"),
    ("name: internal", "name: internal\n    max_parallel: 9"),
    ("source: prom", "source: prom\n    min_samples: 199"),
    ("source: prom", "source: prom\n    baseline: 5m"),
    ("source: csv", "source: csv, unassigned: ignore"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES, ids=[new for _, new in CHANGES])
def test_every_setting_changes_the_digest(old: str, new: str) -> None:
    assert old in POLICY
    assert read(POLICY.replace(old, new, 1)).digest != read(POLICY).digest


def test_silence_may_hold_or_fail() -> None:
    policy = read(POLICY.replace("source: prom", "source: prom\n    silence: fail", 1))
    assert next(iter(policy.checks.values())).silence == "fail"
    with pytest.raises(InvalidInput):
        read(POLICY.replace("source: prom", "source: prom\n    silence: pass", 1))


def test_warnings_name_what_deserves_a_second_look(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    assert lint_policy(path)[1] == ()
    path.write_text(
        POLICY.replace("becomes_empty: true, ", "")
        .replace("gates: [errors, answers, slow]", "gates: []")
        .replace("[5%, 25%, 100%]", "[1%, 100%]")
        .replace("size: builds", "size: false")
    )
    policy, warnings = lint_policy(path)
    assert load_policy(path) == policy
    said = " ".join(one.message for one in warnings)
    for words in ("no gate watches", "over 10 times", "become empty", "watches no ring", "no size"):
        assert words in said
    assert {one.severity for one in warnings} == {"warning"}


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, Path("nul\0byte")):
        with pytest.raises(InvalidInput) as caught:
            load_policy(path)
        assert caught.value.code == "RC3012"


PIECES = st.sampled_from(
    [
        *POLICY.splitlines(),
        *SMALLEST.splitlines(),
        "- ",
        "  ",
        "{",
        "}",
        "[",
        "]",
        "*a",
        "&a ",
        "? ",
        "|",
        ">",
        "#",
        '"',
        "'",
        ":",
        "\t",
        "!x ",
        "%YAML 1.1",
        "---",
        "...",
        "{in: []}",
        "~",
        "1e9",
    ]
)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_arbitrary_bytes_raise_nothing_but_invalid_input(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        policy_from_text(content, "p.yaml")


@given(st.lists(PIECES, max_size=40).map("\n".join), st.data())
def test_mangled_policies_raise_nothing_but_invalid_input(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(POLICY)))
    end = data.draw(st.integers(start, min(len(POLICY), start + 40)))
    for mangled in (text, POLICY[:start] + POLICY[end:], POLICY[:start] + text[:20] + POLICY[end:]):
        try:
            policy, _ = policy_from_text(mangled.encode(), "p.yaml")
        except InvalidInput:
            continue
        assert policy_from_document(json.loads(canonical(policy.document))) == policy


def test_mistakes_count_from_one() -> None:
    (finding,) = policy_findings(POLICY.replace("apiVersion: ringctl/v1", "apiVersion: v1"))
    assert finding.position == "policy.yaml:1:13"
    assert finding.source_line == "apiVersion: v1"
