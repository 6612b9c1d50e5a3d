"""`gate plan` as a user calls it."""

import pytest

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


@pytest.fixture
def policy(tmp_path):
    (tmp_path / "accounts.csv").write_text(ACCOUNTS)
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace("PORT", "9").partition("rings:")[0] + RINGS)
    return path


def test_it_says_how_long_and_by_what(ring, policy) -> None:
    answer = ring("gate", "plan", "--policy", policy, "--rate", "errors=0.5", "-o", "json")
    assert answer.code == 0, answer.err
    assert answer.json["schema"] == "ringctl/gate-plan/v1"
    first = next(one for one in answer.json["checks"] if one["check"] == "errors")
    assert (first["wave"], first["accounts"], first["control"]) == ("canary", 5, 115)
    assert first["judged"] == "canary-vs-control"
    assert 0 < first["seen_minutes"] < 120
    assert first["smallest_ratio_seen"] > 1
    last = [one for one in answer.json["checks"] if one["check"] == "errors"][-1]
    assert (last["control"], last["judged"], last["rate_known"]) == (0, "before-vs-after", False)
    answers = next(one for one in answer.json["checks"] if one["check"] == "answers")
    assert answers["judged"].startswith("becomes-empty")


def test_what_is_not_known_is_said(ring, policy) -> None:
    answer = ring("gate", "plan", "--policy", policy)
    assert answer.code == 0
    assert "no rate" in answer.out
    assert "errors" in answer.out


def test_a_check_that_can_never_decide_is_an_error_with_what_would_do(ring, policy) -> None:
    answer = ring("gate", "plan", "--policy", policy, "--rate", "errors=0.0001")
    assert answer.code == 3
    assert (
        "RC1002: errors cannot decide on wave canary of ring first within bake.max (1 d 00 h)" in answer.err
    )
    assert "would" in answer.err
    some = ring("gate", "plan", "--policy", policy, "--rate", "errors=0.003")
    assert some.code == 3
    assert "accounts would" in some.err


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [("erors=1", 5, "errors"), ("errors=x", 2, "is no number"), ("errors=0", 2, "more than 0")],
)
def test_wrong_rates(ring, policy, given, code, said) -> None:
    answer = ring("gate", "plan", "--policy", policy, "--rate", given)
    assert answer.code == code
    assert said in answer.err
