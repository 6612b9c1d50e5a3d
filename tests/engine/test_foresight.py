"""What checks can see on a plan's waves: as the rollout will find them, at the level that it will give them."""

from dataclasses import replace

import pytest

from ringctl import bootstrap
from ringctl.cli.forecasts import sentence
from ringctl.core import spending
from ringctl.core.fleet import Account, Fleet
from ringctl.core.planning import Plan
from ringctl.core.policy import FailIf, Policy, Ratio
from ringctl.core.timing import DAY, HOUR, MINUTE
from ringctl.engine.foresight import LONE_SHOWN, foresee, planned, watched
from ringctl.engine.outlook import Forecast, Rate
from ringctl.settings import policy_from_text
from tests.gates.checks import CEILING, ERRORS
from tests.settings.support import POLICY

JUDGES = bootstrap.Judges()


def policy_of(text: str = POLICY) -> Policy:
    return policy_from_text(text.encode(), "policy.yaml")[0]


def fleet(sizes: list[float]) -> Fleet:
    accounts = [
        Account(id=f"a{number:04}", size=size, columns={"ring": "0" if number < 40 else "1", "region": "eu"})
        for number, size in enumerate(sizes)
    ]
    return Fleet(accounts=tuple(accounts), traits=("region",))


def plan_of(policy: Policy, sizes: list[float]) -> Plan:
    return planned(policy, fleet(sizes), bootstrap.choose)


def of(found: list[Forecast], check: str, ring: str, wave: str) -> Forecast:
    return next(one for one in found if (one.check, one.ring, one.wave) == (check, ring, wave))


def test_all_that_is_promised_for_the_first_revision_is_no_more_than_was_promised() -> None:
    policy = policy_of()
    for sizes in ([10.0] * 400, [10.0] * 60, [10.0] * 399 + [50_000.0]):
        spent = sum(share.alpha for _, _, share in watched(policy, plan_of(policy, sizes)))
        assert 0.4 * 0.01 < spent <= 0.01


def test_control_shrinks_until_accounts_are_compared_with_themselves() -> None:
    policy = policy_of()
    found = foresee(policy, plan_of(policy, [10.0] * 400), {"errors": Rate(events=1.0, past=20_000)}, JUDGES)
    beside = [one for one in found if one.check == "errors"]
    left = [one.control for one in beside if one.ring != "requalify"]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert beside[0].judged == "canary-vs-control"
    assert of(found, "errors", "customers", "reserve").judged == "before-vs-after"
    again = of(found, "errors", "requalify", "after a change")
    assert (again.accounts, again.most) == (4, DAY / MINUTE)
    assert again.alpha == pytest.approx(0.01 * 0.25 * spending.REQUALIFICATION / 2)
    assert {one.check for one in found} == {"errors", "answers", "slow"}, (
        "built-in checks have nothing to plan"
    )


def test_a_threshold_in_the_place_of_control_is_said() -> None:
    text = POLICY.replace(
        "compare: canary-vs-control\n    fail_if: {increase: 100%}",
        "without_control: threshold\n    fail_if: {increase: 100%, above: 5%}",
    )
    policy = policy_of(text)
    found = foresee(policy, plan_of(policy, [10.0] * 400), {}, JUDGES)
    assert of(found, "errors", "customers", "reserve").judged == "threshold"


def test_many_lone_waves_are_planned_at_both_ends() -> None:
    policy = policy_of()
    sizes = [10.0] * 400 + [10.0 * 4.1**power for power in range(1, 40)]
    plan = plan_of(policy, sizes)
    labels = [stand.wave for stand, check, _ in watched(policy, plan) if check.name == "errors"]
    lone = [label for label in labels if label.startswith("lone")]
    every = sum(str(wave.kind) == "lone" for ring in plan.rings for wave in ring.waves)
    assert len(lone) == LONE_SHOWN < every
    assert (lone[0], lone[-1]) == ("lone 1", f"lone {every}")


def test_one_account_needs_more_than_several_of_the_same_weight() -> None:
    policy = policy_of(POLICY.replace("canary: {accounts: 2}", "canary: {accounts: 1}"))
    plan = plan_of(policy, [10.0] * 400)
    first = plan.rings[0].waves[0].members[0].account
    rates = {"errors": Rate(events=1.0, past=20_000, weights={first: 2.0})}
    alone = of(foresee(policy, plan, rates, JUDGES), "errors", "internal", "canary")
    policy = policy_of()
    two = of(foresee(policy, plan_of(policy, [10.0] * 400), {"errors": Rate(events=1.0, past=20_000)}, JUDGES),
             "errors", "internal", "canary")  # fmt: skip
    assert alone.events == two.events == 2.0
    assert alone.sees is not None
    assert two.sees is not None
    assert alone.sees > two.sees


def test_unequal_accounts_are_worth_fewer() -> None:
    policy = policy_of()
    plan = plan_of(policy, [10.0] * 400)
    some = [member.account for member in plan.rings[0].waves[0].members]
    rates = {"errors": Rate(events=1.0, weights={some[0]: 9.0, some[1]: 1.0})}
    assert of(foresee(policy, plan, rates, JUDGES), "errors", "internal", "canary").equal == pytest.approx(
        1.22, abs=0.01
    )
    assert of(foresee(policy, plan, {}, JUDGES), "errors", "internal", "canary").equal == 2.0


def test_min_samples_and_looks_bound_how_soon_a_wave_passes() -> None:
    policy = policy_of(POLICY.replace("source: prom\n", "source: prom\n    min_samples: 6000\n"))
    plan = plan_of(policy, [10.0] * 400)
    rates = {"errors": Rate(events=50.0, samples=100.0, phi=1.0, past=20_000)}
    line = of(foresee(policy, plan, rates, JUDGES), "errors", "internal", "canary")
    assert line.passes == pytest.approx(30.0)
    assert line.sees == 1.0, "no sooner than a look"


def test_values_need_looks_with_answers() -> None:
    policy = policy_of()
    plan = plan_of(policy, [10.0] * 400)
    often = of(
        foresee(policy, plan, {"answers": Rate(samples=50.0)}, JUDGES), "answers", "internal", "canary"
    )
    seldom = of(
        foresee(policy, plan, {"answers": Rate(samples=0.05)}, JUDGES), "answers", "internal", "canary"
    )
    assert often.known
    assert often.sees == pytest.approx(3.0)
    assert seldom.sees is not None
    assert seldom.sees > 50


def test_where_nobody_shows_that_all_moved_alike_it_is_said() -> None:
    policy = policy_of()
    found = foresee(policy, plan_of(policy, [10.0] * 400), {"errors": Rate(events=1.0)}, JUDGES)
    warned = {(one.check, one.judged, one.control >= 40) for one in found if one.caution}
    assert warned == {("errors", "before-vs-after", False), ("answers", "shift", False)}
    own = replace(policy.checks["errors"], compare="before-vs-after")
    asked = foresee(
        replace(policy, checks={**policy.checks, "errors": own}), plan_of(policy, [10.0] * 400), {}, JUDGES
    )
    assert all("no control" in one.caution for one in asked if one.check == "errors")


def test_what_no_judge_that_is_installed_sees_is_unknown() -> None:
    policy = policy_of()
    plan = plan_of(policy, [10.0] * 400)
    judges = {name: judge for name, judge in JUDGES.items() if name not in {"becomes-empty", "shift"}}
    found = [
        one for one in foresee(policy, plan, {"answers": Rate(samples=5.0)}, judges) if one.check == "answers"
    ]
    assert {one.judged for one in found} == {"becomes-empty", "shift"}
    assert {(one.known, one.sees, one.passes) for one in found} == {(False, None, None)}
    assert sentence(found[0]).endswith("no judge is installed that sees an account that answers with nothing")
    whole = foresee(policy, plan, {"answers": Rate(samples=5.0)}, JUDGES)
    assert all(one.known for one in whole if one.check == "answers")


def test_a_ceiling_of_its_own_and_one_beside_a_comparison() -> None:
    policy = policy_of()
    check = replace(CEILING, name="errors", source="prom", fail_if=FailIf(ceiling=0.05))
    both = replace(ERRORS, name="answers", source="prom", fail_if=FailIf(increase=1.0, ceiling=0.05))
    policy = replace(policy, checks={**policy.checks, "errors": check, "answers": both})
    plan = plan_of(policy, [10.0] * 400)
    rate = Rate(events=0.5, samples=50.0, past=20_000)
    found = foresee(policy, plan, {"errors": rate, "answers": rate}, JUDGES)
    lone = of(found, "errors", "internal", "canary")
    assert (lone.judged, lone.asked, lone.known) == ("ceiling", "twice the ceiling of 5 %", True)
    kinds = [
        one.judged for one in found if (one.check, one.ring, one.wave) == ("answers", "internal", "canary")
    ]
    assert kinds == ["canary-vs-control", "ceiling"]
    beside = next(one for one in found if one.check == "answers" and one.judged == "ceiling")
    assert beside.sees is not None
    assert lone.sees is not None
    assert beside.sees > lone.sees, "two judges share the level"
    assert (
        of(foresee(policy, plan, {"errors": Rate(events=0.5)}, JUDGES), "errors", "internal", "canary").known
        is False
    )
    slow = foresee(policy, plan, {"errors": Rate(events=0.0001, samples=0.01)}, JUDGES)
    cannot = of(slow, "errors", "internal", "canary")
    assert not cannot.decides
    assert cannot.larger is None or cannot.larger > 2


def test_what_is_seen_in_a_bake_never_is_more_than_all() -> None:
    policy = policy_of(POLICY.replace("increase: 100%", "increase: 10%"))
    plan = plan_of(policy, [10.0] * 400)
    some, few = (
        of(foresee(policy, plan, {"errors": rate}, JUDGES), "errors", "internal", "canary")
        for rate in (Rate(events=0.5, samples=5.0, past=20_000), Rate(events=0.5, samples=0.6, past=20_000))
    )
    assert some.smallest is not None
    assert some.smallest > 1.2
    assert (few.smallest, few.doubles) == (None, None)
    assert few.harm == pytest.approx(1.1), "which is no more than all"


def test_how_far_a_share_can_rise_is_not_asked_without_the_number_of_all() -> None:
    policy = policy_of()
    plan = plan_of(policy, [10.0] * 400)
    line = of(
        foresee(policy, plan, {"errors": Rate(events=90.0, past=20_000)}, JUDGES),
        "errors",
        "internal",
        "canary",
    )
    assert line.decides
    measure = policy.checks["errors"].measure
    assert isinstance(measure, Ratio)
    good = replace(measure, good=True)
    policy = replace(
        policy, checks={**policy.checks, "errors": replace(policy.checks["errors"], measure=good)}
    )
    full = foresee(policy, plan, {"errors": Rate(events=9.0, samples=9.0, past=20_000)}, JUDGES)
    assert "`bad` instead of `good`" in of(full, "errors", "internal", "canary").note


def test_the_bake_of_a_wave_is_its_rings() -> None:
    policy = policy_of()
    line = of(foresee(policy, plan_of(policy, [10.0] * 400), {}, JUDGES), "errors", "internal", "canary")
    assert (line.bake, line.most) == (15.0, 4 * HOUR / MINUTE)
