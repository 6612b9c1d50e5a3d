"""`gate plan` as a user calls it, the lines of `plan`, and what `policy lint` refuses."""

import json

import pytest

from tests.cli.conftest import BUNDLE
from tests.cli.test_gate import POLICY

ACCOUNTS = "account_id,ring,size\n" + "".join(f"a{n},{0 if n < 20 else 1},10\n" for n in range(120))
RINGS = """\
  answers:
    source: svc
    value: {ratio: [{counter: items_total}, {counter: queries_total}]}
    fail_if: {becomes_empty: true}
rings:
  - {name: first, select: {ring: 0}, canary: {accounts: 5}, bake: {min: 1h, max: 1d}}
  - {name: rest, select: {ring: 1}, canary: {accounts: 10%}, waves: [50%, 100%], bake: {min: 4h, max: 1d}}
"""
MORE = """\
  limited:
    source: svc
    bad: {counter: requests_total, match: {code: "5.."}}
    all: {counter: requests_total}
    fail_if: {increase: 50%, ceiling: 5%}
    baseline: 1d
  traffic:
    source: svc
    count: {counter: requests_total}
    fail_if: {decrease: 50%}
    baseline: 1d
"""


@pytest.fixture
def policy(tmp_path):
    (tmp_path / "accounts.csv").write_text(ACCOUNTS)
    path = tmp_path / "policy.yaml"
    text = POLICY.replace("PORT", "9").replace("every: 200ms", "every: 1m\n    baseline: 1d")
    path.write_text(text.partition("rings:")[0] + RINGS)
    return path


def plan(ring, policy, *words):
    return ring("gate", "plan", "--policy", policy, "--offline", *words)


def lines(answer, check, **wanted):
    return [one for one in answer.json["checks"] if one["check"] == check and wanted.items() <= one.items()]


def test_it_says_how_long_and_by_what(ring, policy) -> None:
    answer = plan(ring, policy, "--rate", "errors=0.5", "-o", "json")
    assert answer.code == 0, answer.err
    assert answer.json["schema"] == "ringctl/gate-plan/v1"
    first = lines(answer, "errors")[0]
    assert (first["wave"], first["accounts"], first["control"]) == ("canary", 5, 115)
    assert (first["judged"], first["harm"]) == ("canary-vs-control", 2.0)
    assert 0 < first["seen_minutes"] == first["doubling_minutes"] < 120
    assert first["smallest_ratio_seen"] > 1
    last = lines(answer, "errors", ring="rest", wave="reserve")[0]
    assert (last["control"], last["judged"]) == (0, "before-vs-after"), "nobody is left to compare with"
    assert (first["caution"], "alike is taken for harm" in last["caution"]) == ("", True)
    assert "rest: reserve: compared with no control: what" in " ".join(plan(ring, policy).out.split())
    again = lines(answer, "errors", ring="requalify")[0]
    assert again["accounts"] == 2
    assert again["seen_minutes"] > first["seen_minutes"], "two accounts see less than five"
    assert lines(answer, "answers")[0]["judged"] == "becomes-empty"


def test_in_words_it_speaks_as_people_do(ring, policy) -> None:
    policy.write_text(policy.read_text().replace("rings:\n", MORE + "rings:\n"))
    rates = (
        "--rate",
        "errors=0.5",
        "--rate",
        "limited=0.5 of 50/min",
        "--rate",
        "traffic=50",
        "--rate",
        "answers=4",
    )
    answer = plan(ring, policy, *rates, "--phi", "3")
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "5 accounts, 2.5 events/min, phi 3.0" in said
    assert "a doubling is seen within" in said
    assert "a rise to 1.5 times is seen within" in said
    assert "twice the ceiling of 5 % is seen within" in said
    assert "a halving is seen within" in said
    assert "an account that answers with nothing is seen within" in said
    assert "PASS takes about" in said
    assert "a fixed threshold: no promise" in said


def test_what_is_not_known_is_said_with_what_it_takes_at_best(ring, policy) -> None:
    answer = plan(ring, policy)
    assert answer.code == 0
    said = " ".join(answer.out.split())
    assert "a doubling is seen after" in said
    assert "no rate is known (--rate errors=EVENTS)" in said
    assert "at best, with an answer in every look" in said


def test_a_check_that_cannot_decide_is_an_error_with_what_would_do(ring, policy) -> None:
    answer = plan(ring, policy, "--rate", "errors=0.01")
    assert answer.code == 3
    said = " ".join(answer.err.split())
    assert "error[RC1002]: gate `errors` (canary-vs-control) cannot decide within bake.max on" in said
    assert "accounts in the wave or bake: {max: " in said
    never = plan(ring, policy, "--rate", "errors=0.000001", "-o", "json")
    assert (never.code, never.json["decides"]) == (3, False)
    assert "would do" in never.err


def test_the_accounts_that_would_do_do(ring, policy) -> None:
    """What the finding promises is true: with so many accounts the wave decides in time."""
    cannot = lines(
        plan(ring, policy, "--rate", "errors=0.02", "-o", "json"), "errors", wave="canary", ring="first"
    )[0]
    assert not cannot["decides"]
    enough = cannot["accounts_that_would"]
    assert enough > 5

    def decides(accounts):
        policy.write_text(
            policy.read_text().replace(
                "{ring: 0}, canary: {accounts: 5}", f"{{ring: 0}}, canary: {{accounts: {accounts}}}"
            )
        )
        answer = plan(ring, policy, "--rate", "errors=0.02", "-o", "json")
        policy.write_text(
            policy.read_text().replace(
                f"canary: {{accounts: {accounts}}}, bake: {{min: 1h", "canary: {accounts: 5}, bake: {min: 1h"
            )
        )
        return lines(answer, "errors", wave="canary", ring="first")[0]["decides"]

    assert decides(enough)
    assert not decides(enough - 1)


def test_rates_come_back_from_what_was_printed(ring, policy, tmp_path) -> None:
    first = plan(ring, policy, "--rate", "errors=0.5 of 20", "-o", "json")
    (tmp_path / "rates.json").write_text(first.out)
    again = plan(ring, policy, "--rates", tmp_path / "rates.json", "-o", "json")
    assert again.json == first.json
    (tmp_path / "rates.json").write_text(json.dumps({"errors": 0.5, "answers": {"samples": 7, "said": ""}}))
    other = plan(ring, policy, "--rates", tmp_path / "rates.json", "-o", "json")
    assert other.json["rates"]["answers"]["samples"] == 7
    (tmp_path / "rates.json").write_text(json.dumps({"errors": {"events": None, "said": "nobody knows"}}))
    none = plan(ring, policy, "--rates", tmp_path / "rates.json", "-o", "json")
    assert none.json["rates"] == {}


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("erors=1", 5, "errors"),
        ("errors=x", 2, "is no number"),
        ("errors=-1", 2, "at least 0"),
        ("errors=1 of 0", 2, "more than 0"),
        ("errors=3 of 2", 2, "more bad ones"),
    ],
)
def test_wrong_rates(ring, policy, given, code, said) -> None:
    answer = plan(ring, policy, "--rate", given)
    assert answer.code == code
    assert said in answer.err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("{", 2, "no JSON"),
        ("[]", 2, "a mapping of gates"),
        ('{"rates": 5}', 2, "a mapping of gates"),
        ('{"erors": 1}', 5, "errors"),
        ('{"errors": true}', 2, "is no number"),
        ('{"errors": {"events": "many"}}', 2, "errors.events"),
        ('{"errors": {"events": 3, "samples": 2}}', 2, "errors: more bad ones"),
        ('{"errors": {"events": 1, "phi": 0.01}}', 2, "errors.phi: must be at least 1"),
        ('{"errors": {"events": 1, "drift": 0.5}}', 2, "errors.drift: must be at least 1"),
    ],
)
def test_wrong_files_of_rates(ring, policy, tmp_path, content, code, said) -> None:
    (tmp_path / "r").write_text(content)
    answer = plan(ring, policy, "--rates", tmp_path / "r")
    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert plan(ring, policy, "--rates", tmp_path / "none").code == 2


def test_a_count_comes_back_from_what_was_printed(ring, policy, tmp_path) -> None:
    """Its minutes are its samples: more events than minutes are no mistake."""
    policy.write_text(policy.read_text().replace("rings:\n", MORE + "rings:\n"))
    first = plan(ring, policy, "--rate", "traffic=50", "-o", "json")
    (tmp_path / "rates.json").write_text(first.out)
    again = plan(ring, policy, "--rates", tmp_path / "rates.json", "-o", "json")
    assert (again.code, again.json["rates"]) == (0, first.json["rates"])


def test_never_had_one_and_already_over_the_ceiling(ring, policy) -> None:
    policy.write_text(policy.read_text().replace("rings:\n", MORE + "rings:\n"))
    answer = plan(ring, policy, "--rate", "errors=0 of 20", "--rate", "limited=5 of 50")
    said = " ".join((answer.out + answer.err).split())
    assert answer.code == 3
    assert "never had one" in said
    assert "it can only fail" in said


@pytest.mark.parametrize(
    ("given", "increase", "said"),
    [
        (
            "errors=1 of 1",
            "100%",
            "a rate of 100 % cannot double: count the other events (`good` instead of `bad`)",
        ),
        (
            "errors=6 of 10",
            "100%",
            "a rate of 60 % cannot double: ask for a smaller `increase`, or count the other",
        ),
        (
            "errors=4 of 10",
            "200%",
            "a rate of 40 % cannot rise to 3 times: ask for a smaller `increase`, or a `ceiling`",
        ),
    ],
)
def test_a_share_never_rises_over_all(ring, policy, given, increase, said) -> None:
    policy.write_text(policy.read_text().replace("increase: 100%", f"increase: {increase}"))
    answer = plan(ring, policy, "--rate", given)
    assert answer.code == 3
    assert "doubling is seen" not in answer.out
    assert said in " ".join(answer.out.split())
    assert "error[RC1002]: gate `errors` (canary-vs-control) cannot decide" in answer.err
    assert said.partition(":")[0] in " ".join(answer.err.split())
    assert "larger harm" not in answer.err
    assert "longer `baseline`" not in answer.err
    machine = plan(ring, policy, "--rate", given, "-o", "json")
    found = lines(machine, "errors")
    assert {(one["decides"], one["seen_minutes"], one["pass_minutes"]) for one in found} == {
        (False, None, None)
    }


def test_a_share_that_has_room_for_the_harm_but_not_for_twice_itself(ring, policy) -> None:
    policy.write_text(policy.read_text().replace("increase: 100%", "increase: 50%"))
    answer = plan(ring, policy, "--rate", "errors=6 of 10")
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "a doubling is never seen" in said
    assert "a rate of 60 % cannot double" in said
    first = lines(plan(ring, policy, "--rate", "errors=6 of 10", "-o", "json"), "errors")[0]
    assert first["doubling_minutes"] is None
    assert first["smallest_ratio_seen"] <= 10 / 6
    half = plan(ring, policy, "--rate", "errors=5 of 10", "-o", "json")
    assert lines(half, "errors")[0]["doubling_minutes"] > 0, "all of them is twice a half"


def test_a_source_that_is_not_there_leaves_the_rate_unknown(ring, policy) -> None:
    answer = ring("gate", "plan", "--policy", policy, "--watch", "100ms")
    assert answer.code == 0
    assert "RC8001" in answer.out
    scraped = ring("gate", "plan", "--policy", policy)
    assert "--watch 2m" in scraped.out


def test_the_waves_are_those_of_a_bundle(ring, policy, tmp_path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.yaml").write_text(BUNDLE)
    answer = plan(ring, policy, "--bundle", tmp_path / "b", "--rate", "errors=0.5", "-o", "json")
    assert answer.code == 0
    assert lines(answer, "errors")[0]["accounts"] == 5


def test_plan_says_how_gates_judge_and_what_that_takes(ring, policy, tmp_path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.yaml").write_text(BUNDLE)
    answer = ring("plan", "--policy", policy, "--bundle", tmp_path / "b")
    assert answer.code == 0
    said = " ".join(answer.out.split())
    assert "GATE BY WAVES SEEN AFTER PASSES AFTER" in said
    assert "rest: reserve" in said
    assert "ACTIVITY" not in said
    text = policy.read_text().replace("bake: {min: 1h,", "bake: {min: 1h, activity: 500,")
    policy.write_text(text.replace("rings:\n", "defaults: {builtin: [recreated]}\nrings:\n"))
    answer = ring("plan", "--policy", policy, "--bundle", tmp_path / "b")
    assert "ACTIVITY SHOWS IT" in answer.out
    assert "% bad" in answer.out
    assert "switched off: overshoot" in answer.out


def test_lint_refuses_a_gate_that_cannot_decide_on_this_fleet(ring, policy) -> None:
    assert ring("policy", "lint", policy).code == 0
    policy.write_text(
        policy.read_text().replace("becomes_empty: true}", "becomes_empty: true}\n    miss: 0.01%")
    )
    policy.write_text(policy.read_text().replace("bake: {min: 4h, max: 1d}", "bake: {min: 2m, max: 4m}"))
    answer = ring("policy", "lint", policy)
    assert answer.code == 3
    assert "RC1002" in answer.out
    assert "bake: {max: " in answer.out
