"""Small values: look-ups, selectors, spans, stretches, and how several judges make one verdict."""

from dataclasses import replace

import pytest

from ringctl.core.bundle import Live
from ringctl.core.errors import Finding, UnsafePlan
from ringctl.core.fleet import Account, Selector, Term
from ringctl.core.judging import Judgement, combine, credit, gate
from ringctl.core.timing import DAY, HOUR, MINUTE, SECOND, human, parsed, rfc3339
from tests.core import worlds as w
from tests.core.worlds import Verdict


def test_an_unknown_name_is_a_key_error():
    missing = [
        lambda: w.bundle().step("nobody"),
        lambda: w.bundle().index("nobody"),
        lambda: w.rollout().wave(9),
        lambda: w.policy().ring("nowhere"),
    ]
    for look_up in missing:
        with pytest.raises(KeyError):
            look_up()


def test_known_names_are_found():
    assert w.bundle().step("b").id == "b"


@pytest.mark.parametrize(
    ("span", "text"),
    [(SECOND // 2, "0.5 s"), (59 * SECOND, "59 s"), (70 * SECOND, "1 m 10 s"), (2 * HOUR + 5 * MINUTE, "2 h 05 m"),
     (3 * DAY + 4 * HOUR, "3 d 04 h")],
)  # fmt: skip
def test_spans_read_as_people_write_them(span, text):
    assert human(span) == text


def test_instants_are_rfc_3339_in_utc():
    assert rfc3339(1_506_643_200_000_001) == "2017-09-29T00:00:00.000001Z"


def test_without_a_declaration_the_stretch_is_red_from_the_first_step_on():
    plain = w.bundle()
    assert [plain.red_after(done) for done in range(4)] == [False, True, True, False]
    assert [plain.red_inside(at) for at in range(3)] == [True, True, True]
    late = replace(plain, live=Live(new_from="b"))
    assert [late.red_after(done) for done in range(4)] == [False, False, True, False]
    assert [late.red_inside(at) for at in range(3)] == [False, True, True]


ACCOUNT = Account(id="a1", size=20, columns={"ring": "2", "ha": "TRUE", "plan": "gold", "odd": "x1"})


@pytest.mark.parametrize(
    ("column", "op", "operand", "holds"),
    [
        ("id", "eq", "a1", True), ("size", "eq", 20, True), ("ring", "eq", 2, True), ("ring", "eq", "2", True),
        ("ring", "eq", 3, False), ("ha", "eq", True, True), ("ha", "eq", False, False), ("none", "eq", "x", False),
        ("plan", "in", ("gold", "iron"), True), ("plan", "in", ("iron",), False), ("plan", "not", "gold", False),
        ("plan", "not", ("iron", "tin"), True), ("ring", "gte", 2, True), ("ring", "gt", 2, False),
        ("ring", "lte", 2, True), ("ring", "lt", 2, False), ("odd", "gte", 1, False), ("none", "gte", 1, False),
        ("odd", "eq", 1, False), ("ring", "gte", "2", False),
    ],
    ids=[f"case{number}" for number in range(20)],
)  # fmt: skip
def test_selectors_compare_as_the_operand_is(column, op, operand, holds):
    selector = Selector((Term(column=column, op=op, operand=operand),))
    assert selector.matches(ACCOUNT) is holds
    assert selector.columns == {column}


@pytest.mark.parametrize("text", ["inf", "nan"])
def test_no_infinity_is_a_number(text):
    account = replace(ACCOUNT, columns={"ring": text})
    assert not Selector((Term(column="ring", op="gte", operand=0),)).matches(account)


def judgement(verdict, **changes):
    return replace(Judgement(verdict=verdict, reason=f"r-{verdict}", numbers={str(verdict): 1}), **changes)


def test_no_judge_is_no_pass():
    assert combine([]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((Verdict.PASS, Verdict.PASS), Verdict.PASS),
        ((Verdict.PASS, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE),
        ((Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL), Verdict.FAIL),
    ],
)
def test_one_fail_fails_and_only_all_pass(given, wanted):
    total = combine(judgement(verdict) for verdict in given)
    assert (total.verdict, total.reason) == (wanted, f"r-{wanted}")
    assert set(total.numbers) == {str(verdict) for verdict in given}


def test_what_any_judge_lacks_is_lacking():
    both = [judgement(Verdict.PASS), judgement(Verdict.INCONCLUSIVE, needs_before=True, worst=("a",))]
    assert combine(both).needs_before
    assert combine(both).worst == ("a",)


def test_a_gate_says_which_checks_are_silent():
    silent = w.verdict(Verdict.INCONCLUSIVE, error="RC8001")
    state = gate(w.policy().checks.values(), w.seen(checks={"errors": silent}))
    assert [check.error for check in state.silent] == ["RC8001"]


@pytest.mark.parametrize(
    ("last", "now", "credited"), [(None, 10, 0), (5, 5, 0), (9, 5, 0), (5, 9, 4), (0, 90, 20)]
)
def test_credit_is_the_span_since_the_last_look_up_to_twice_the_interval(last, now, credited):
    assert credit(last, now, 10) == credited


def test_an_unsafe_plan_carries_its_findings():
    finding = Finding(code="RC2101", message="late")
    error = UnsafePlan([finding, finding])
    assert (error.code, error.findings, error.exit_code) == ("RC2101", (finding, finding), 19)
    assert "2 findings" in str(error)


def test_unaccounted_members_are_not_counted_before_everything_is_drawn():
    from ringctl.core.decide import decide
    from ringctl.core.model import Revision

    revisions = (
        Revision(number=1, digest="sha256:one", author="ann", at_us=1),
        Revision(number=2, digest="sha256:two", author="ann", at_us=2),
    )
    rollout = w.rollout(revisions=revisions, drawn=())
    assert decide(rollout, w.facts({}, unfinished_accounts=5), w.NOW).draw.what == "requalification"


def test_a_time_is_read_with_its_zone_only() -> None:
    assert parsed("1970-01-01T00:00:01Z") == parsed("1970-01-01T01:00:01+01:00") == 1_000_000
    for wrong in ("1970-01-01T00:00:01", "yesterday", ""):
        with pytest.raises(ValueError, match=r"zone|Invalid isoformat"):
            parsed(wrong)
