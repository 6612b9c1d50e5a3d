"""policy, bundle, accounts, plan, db, explain: the commands that need no rollout."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.conftest import ACCOUNTS, BUNDLE, POLICY, Ring


def test_lint_passes_a_sound_policy(fleet: Path, ring: Ring) -> None:
    answer = ring("policy", "lint", "-o", "json")
    assert answer.code == 0
    [file] = answer.json["files"]
    assert (answer.json["schema"], file["path"], file["ok"]) == ("ringctl/lint/v1", "policy.yaml", True)
    assert file["digest"].startswith("sha256:")


def test_lint_shows_every_mistake_with_its_place(fleet: Path, ring: Ring) -> None:
    text = POLICY.replace("canary", "x").replace("min: 1s", "min: 1").replace("p95", "p96", 1)
    Path("policy.yaml").write_text(text)
    answer = ring("policy", "lint")
    assert answer.code == 3
    assert answer.out.count("error[RC3004]") == 2
    assert "  --> policy.yaml:5:" in answer.out
    assert "did you mean `p95`?" in answer.out
    assert answer.err == ""
    assert ring("policy", "lint", "-o", "json").json["errors"] >= 3
    assert "<failure" in ring("policy", "lint", "-o", "junit").out
    assert "policy.yaml:5:" in ring("policy", "lint", "-o", "markdown").out


def test_lint_looks_at_the_accounts_too(fleet: Path, ring: Ring) -> None:
    Path("policy.yaml").write_text(POLICY.replace("gte: 1", "gte: 7"))
    answer = ring("policy", "lint", "-o", "json")
    assert answer.code == 3
    found = {finding["code"]: finding for finding in answer.json["files"][0]["findings"]}
    assert found["RC7020"]["items"] == ["b1", "b2"]
    assert found["RC7020"]["path"] == "policy.yaml"


def test_lint_without_a_policy_says_so(ring: Ring) -> None:
    assert ring("policy", "lint").code == 2
    answer = ring("policy", "lint", "a.yaml", "b.yaml")
    assert answer.code == 3
    assert answer.out.endswith("2 errors in 2 files\n")


@pytest.mark.parametrize("kind", ["policy", "bundle"])
def test_schemas_are_json_schemas(kind: str, ring: Ring) -> None:
    answer = ring(kind, "schema")
    jsonschema.Draft7Validator.check_schema(answer.json)
    assert "\n" not in ring(kind, "schema", "-o", "ndjson").out.rstrip("\n")
    assert "$schema" in ring(kind, "schema", "-o", "yaml").out
    assert ring(kind, "schema", "-o", "junit").code == 2


def test_show_fills_defaults_in(fleet: Path, ring: Ring) -> None:
    shown = ring("policy", "show", "-o", "json").json
    assert shown["rings"][0]["canary"]["accounts"] == "1"
    assert shown["gates"][0]["fail_if"] == {"p95": 30.0}
    text = ring("policy", "show").out
    assert "ring >= 1" in text
    assert "steps" in text


def test_show_of_ratios_and_lists(fleet: Path, ring: Ring) -> None:
    text = POLICY.replace(
        "gates: {slow", "metrics: {m: {type: scrape, url: 'http://127.0.0.1:9'}}\ngates: {slow"
    )
    errors = "source: m, bad: {counter: e_total}, all: {counter: q_total}, compare: canary-vs-control"
    more = f"errors: {{{errors}, fail_if: {{increase: 100%}}, every: 1s}}"
    text = text.replace("every: 1s}}", "every: 1s}, " + more + "}").replace(
        "ring: {gte: 1}", "ring: {in: [1, 2]}"
    )
    Path("policy.yaml").write_text(text)
    shown = ring("policy", "show").out
    assert "e_total / q_total" in shown
    assert "ring in 1, 2" in shown
    assert "increase 100%" in shown


def test_bundle_lint_and_digest(fleet: Path, ring: Ring) -> None:
    assert ring("bundle", "lint", "b1", "b2").code == 0
    digest = ring("bundle", "digest", "b1", "-o", "json").json
    assert digest["steps"][0]["id"] == "one"
    assert ring("bundle", "digest", "b1").out.splitlines()[0] == digest["digest"]
    Path("b1/bundle.yaml").write_text(BUNDLE.replace("noop", "nop"))
    answer = ring("bundle", "lint", "b1")
    assert answer.code == 3
    assert "b1/bundle.yaml:" in answer.out


def test_bundle_diff_names_the_class(fleet: Path, ring: Ring) -> None:
    same = ring("bundle", "diff", "b1", "b1")
    assert same.out.endswith("The same bundle.\n")
    other = ring("bundle", "diff", "b1", "b2", "-o", "json").json
    assert (other["class"], other["steps"]) == (
        "timing", [{"step": "one", "kind": "changed", "class": "timing", "parts": ["timeout"]}],
    )  # fmt: skip
    assert "of class timing" in ring("bundle", "diff", "b1", "b2").out
    Path("b2/bundle.yaml").write_text(BUNDLE.replace('"1"', '"2"'))
    assert "beside the steps: metadata" in ring("bundle", "diff", "b1", "b2").out


def test_accounts_ls_lists_rings(fleet: Path, ring: Ring) -> None:
    answer = ring("accounts", "ls", "-o", "json").json
    assert answer["rings"] == {"inner": 2, "outer": 2}
    assert [one["account"] for one in answer["accounts"]] == ["a1", "a2", "b1", "b2"]
    assert [one["ring"] for one in ring("accounts", "ls", "--ring", "outer", "-o", "ndjson").lines] == [
        "outer"
    ] * 2
    assert ring("accounts", "ls", "--limit", "1").out.endswith("4 accounts, 1 shown (--limit 0 shows all)\n")
    assert ring("accounts", "ls", "--limit", "0").out.endswith("\n4 accounts\n")
    missing = ring("accounts", "ls", "--ring", "iner")
    assert missing.code == 5
    assert "did you mean `inner`?" in missing.err


def test_accounts_in_no_ring_are_listed_when_ignored(fleet: Path, ring: Ring) -> None:
    ignored = POLICY.replace("traits: [region]}", "unassigned: ignore}").replace("gte: 1", "gte: 1, lt: 2")
    Path("policy.yaml").write_text(ignored)
    Path("accounts.csv").write_text(ACCOUNTS + "c1,5,1,eu\n")
    answer = ring("accounts", "ls", "-o", "json").json
    assert answer["unassigned"] == 1
    assert answer["accounts"][-1]["ring"] is None
    assert "In no ring and left out: 1" in ring("plan", "--policy", "policy.yaml", "--bundle", "b1").out
    assert "names no traits" in ring("accounts", "coverage").out


def test_coverage_shows_what_is_met_late(fleet: Path, ring: Ring) -> None:
    Path("accounts.csv").write_text(ACCOUNTS + "b3,1,5000,ap\n")
    values = ring("accounts", "coverage", "-o", "json").json["values"]
    assert {"trait": "region", "value": "ap", "first_ring": "outer", "accounts": 1} in values
    assert "2 of 4 first met after ring inner." in ring("accounts", "coverage").out


PLAN = ("plan", "--policy", "policy.yaml", "--bundle", "b1")


def test_plan_changes_nothing_and_says_what_would_be(fleet: Path, ring: Ring) -> None:
    before = sorted(path.name for path in fleet.iterdir())
    answer = ring(*PLAN)
    assert answer.code == 0
    assert "Nothing was changed. Next: ringctl start --policy policy.yaml --bundle b1\n" in answer.err
    assert answer.out.startswith("Plan for release up-1     4 accounts\n")
    assert "touched before a gate can stop it:  1, then 1 (50.0 % of all)" in answer.out
    assert sorted(path.name for path in fleet.iterdir()) == before
    assert max(map(len, answer.out.splitlines())) <= 100
    assert "--release r1" in ring(*PLAN, "--release", "r1").err


def test_plan_is_an_object_and_tells_whether_there_is_something_to_do(fleet: Path, ring: Ring) -> None:
    answer = ring(*PLAN, "-o", "json", "--exit-code")
    assert answer.code == 20
    assert answer.json["schema"] == "ringctl/plan/v1"
    assert sum(one["accounts"] for one in answer.json["rings"]) == 4
    ring("start", "--policy", "policy.yaml", "--bundle", "b1")
    assert ring(*PLAN, "--exit-code").code == 20  # started, not done


def test_an_unsafe_plan_is_shown_and_refused(fleet: Path, ring: Ring) -> None:
    Path("accounts.csv").write_text(ACCOUNTS.replace("30,eu", "30,us").replace("40,eu", "40,ap"))
    answer = ring(*PLAN, "-o", "json", "--out", "p.json")
    assert answer.code == 19
    assert answer.json["unsafe"][0]["code"] == "RC2101"
    assert not Path("p.json").exists()
    assert "error[RC2101]" in ring(*PLAN).out
    assert ring("start", *PLAN[1:]).code == 19
    assert ring(*PLAN, "--fix").code == 0


def test_a_saved_plan_is_started_exactly_or_not_at_all(fleet: Path, ring: Ring) -> None:
    assert ring(*PLAN, "--out", "p.json").err.startswith("Saved p.json (sha256:")
    assert ring("start", "--plan", "p.json", "--policy", "x").code == 2
    Path("accounts.csv").write_text(ACCOUNTS + "b3,1,35,eu\n")
    stale = ring("start", "--plan", "p.json")
    assert (stale.code, "RC2014" in stale.err) == (18, True)
    Path("accounts.csv").write_text(ACCOUNTS)
    assert ring("start", "--plan", "p.json").code == 0
    Path("p.json").write_text(json.dumps({"inputs": 1}))
    assert ring("start", "--plan", "p.json").code == 3
    assert ring("start", "--plan", "absent.json").code == 3
    assert ring(*PLAN, "--out", "b1").code == 2


def test_db_migrates_and_checks(ring: Ring) -> None:
    assert ring("db", "check").code == 69
    assert ring("db", "migrate", "--dry-run").out.startswith("would apply ")
    assert not Path("ringctl.db").exists()
    assert ring("db", "migrate").out.startswith("applied ")
    assert ring("db", "migrate").out == "nothing to do: the schema is up to date\n"
    assert ring("db", "check", "-o", "json").json["ok"] is True
    assert ring("db", "check").out.startswith("state sqlite:///ringctl.db: schema ")


def test_explain_prints_pages_and_lists(ring: Ring) -> None:
    page = ring("explain", "RC3001")
    assert page.out.startswith("RC3001: unknown key\n")
    assert page.out == ring("explain", "3001").out == ring("explain", "rc3001").out
    assert set(ring("explain", "RC3001", "-o", "json").json["sections"]) == {
        "Cause", "What ringctl did", "What to do", "Example",
    }  # fmt: skip
    listing = ring("explain")
    assert "RC3xxx policy and bundle" in listing.out
    codes = ring("explain", "-o", "json").json["codes"]
    assert all(one["code"] in listing.out for one in codes)
    unknown = ring("explain", "RC3999")
    assert (unknown.code, "did you mean" in unknown.err) == (5, True)
