"""Plans: everybody in one ring and one wave, sticky, covered, small first; and a plan that refuses."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.coverage import Exercised, carriers_to_split, decade_label, first_met
from ringctl.core.drawing import covered_ring_waves, ring_waves
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.fleet import Selector, Term, size_decade
from ringctl.core.planning import _SHARED_PAIRS, PlanRequest, make_plan, members_of
from ringctl.core.policy import Amount, Canary, InventorySpec
from ringctl.core.states import WaveKind
from ringctl.strategies.covering import GREEDY_SIGNATURES, Covering
from tests.core import worlds as w

CHOOSE = Covering().choose
CAREFUL = {WaveKind.CANARY, WaveKind.LONE}


def plan(fleet, policy=None, *, fix=False, seed="s"):
    request = PlanRequest(policy=policy or w.policy(), bundle_digest="sha256:b", seed=seed, fix=fix)
    return make_plan(request, fleet, CHOOSE)


def small_fleet(count=(10, 20, 40)):
    rows = [
        w.account(f"a{ring}-{n:03d}", ring, size=10 + n)
        for ring, many in enumerate(count)
        for n in range(many)
    ]
    return w.fleet(*rows)


def names(waves):
    return [member.account for wave in waves for member in wave.members]


def test_every_account_is_in_exactly_one_wave():
    made = plan(small_fleet())
    everybody = names(made.waves)
    assert len(everybody) == len(set(everybody)) == made.accounts == 70
    assert {member.account for member in made.members} == set(everybody)


def test_a_ring_begins_with_its_canary_and_the_reserve_goes_last():
    made = plan(small_fleet())
    for ring in made.rings:
        assert ring.waves[0].kind is WaveKind.CANARY
        assert len(ring.waves[0].members) == 2
    assert [ring.reserve for ring in made.rings] == [2, 4, 0]
    assert [wave.kind for wave in made.waves[-2:]] == [WaveKind.RESERVE, WaveKind.RESERVE]
    assert all(member.reserve for wave in made.reserve for member in wave.members)


def test_shares_are_cumulative_over_the_ring_less_its_reserve():
    third = plan(small_fleet()).rings[2]
    assert [len(wave.members) for wave in third.waves] == [2, 18, 20]


def test_the_same_seed_makes_the_same_plan_and_another_seed_another_one():
    assert plan(small_fleet()).digest == plan(small_fleet()).digest
    assert plan(small_fleet()).digest != plan(small_fleet(), seed="other").digest


def test_the_order_of_the_inventory_does_not_matter():
    fleet = small_fleet()
    turned = replace(fleet, accounts=tuple(reversed(fleet.accounts)))
    assert plan(fleet).digest == plan(turned).digest


def test_an_account_in_no_ring_is_an_error_with_the_full_list():
    lost = [w.account(f"lost{n}", 9) for n in range(12)]
    with pytest.raises(InvalidInput) as caught:
        plan(w.fleet(*small_fleet().accounts, *lost))
    finding = caught.value.findings[0]
    assert finding.code == "RC7020"
    assert finding.items == tuple(account.id for account in lost)


@pytest.mark.parametrize(("word", "accounts", "left"), [("last-ring", 71, 0), ("ignore", 70, 1)])
def test_an_account_in_no_ring_goes_where_the_policy_says(word, accounts, left):
    inventory = InventorySpec(source="csv", traits=("region",), unassigned=word)
    made = plan(w.fleet(*small_fleet().accounts, w.account("lost", 9)), w.policy(inventory=inventory))
    assert (made.accounts, made.unassigned) == (accounts, left)


def test_unassigned_accounts_may_fill_an_empty_last_ring():
    inventory = InventorySpec(source="csv", traits=("region",), unassigned="last-ring")
    made = plan(
        w.fleet(*small_fleet((5, 5, 0)).accounts, w.account("lost", 9)), w.policy(inventory=inventory)
    )
    assert made.rings[2].accounts == 1


def test_an_account_in_two_rings_is_an_error_whatever_the_policy_says():
    wide = w.ring("second", 1, select=Selector((Term(column="ring", op="lte", operand=1),)))
    with pytest.raises(InvalidInput) as caught:
        plan(small_fleet((2, 3, 0)), w.policy(rings=(w.ring("first", 0), wide)))
    assert caught.value.findings[0].code == "RC7021"


def test_an_empty_ring_is_an_error():
    with pytest.raises(InvalidInput) as caught:
        plan(small_fleet((5, 0, 5)))
    assert caught.value.findings[0].code == "RC7022"
    assert caught.value.findings[0].items == ("second",)


def test_a_small_early_ring_has_no_reserve_and_the_plan_warns():
    made = plan(small_fleet((4, 5, 6)))
    assert made.rings[0].reserve == 0
    assert [finding.code for finding in made.warnings] == ["RC2103"]


def test_a_trait_first_met_late_makes_the_plan_unsafe_and_fix_sends_one_carrier_ahead():
    late = [w.account(f"late{n}", 2, size=10 + n, region="ap") for n in range(30)]
    fleet = w.fleet(*small_fleet().accounts, *late)
    # a canary that only prefers the usual region cannot cover the other one
    shy = w.ring("third", 2, canary=Canary(accounts=Amount(count=1), exempt=_region("ap")))
    policy = w.policy(rings=(w.ring("first", 0), w.ring("second", 1), shy))
    made = plan(fleet, policy)
    assert [finding.code for finding in made.unsafe] == ["RC2101"]
    assert set(made.unsafe[0].items) <= {account.id for account in late}
    fixed = plan(fleet, policy, fix=True)
    assert not fixed.unsafe
    lone = [wave for wave in fixed.rings[2].waves if wave.kind is WaveKind.LONE]
    assert [wave.members[0].account for wave in lone] == ["late0"]


def _region(name):
    return Selector((Term(column="region", op="eq", operand=name),))


def test_a_canary_covers_what_is_new_in_its_ring():
    late = [w.account(f"late{n}", 2, region="ap") for n in range(3)]
    made = plan(w.fleet(*small_fleet().accounts, *late))
    canary = made.rings[2].waves[0]
    assert ("region", "ap") in canary.meets
    assert not made.unsafe


def test_a_giant_goes_alone_and_after_its_ring():
    made = plan(w.fleet(*small_fleet().accounts, w.account("giant", 2, size=50_000)))
    last = made.rings[2].waves[-1]
    assert (last.kind, [m.account for m in last.members]) == (WaveKind.LONE, ["giant"])


def test_after_a_lone_wave_its_neighbours_go_in_company():
    big = [w.account(f"big{n}", 2, size=50_000 + n) for n in range(4)]
    made = plan(w.fleet(*small_fleet().accounts, *big))
    assert [(wave.kind, len(wave.members)) for wave in made.rings[2].waves[-2:]] == [
        (WaveKind.LONE, 1),
        (WaveKind.EXPANSION, 3),
    ]


def test_a_ring_of_giants_only_begins_with_its_smallest_one():
    giants = [w.account(f"g{n}", 2, size=10**6 * (n + 1)) for n in range(3)]
    made = plan(w.fleet(*small_fleet((8, 8, 0)).accounts, *giants))
    assert [m.account for m in made.rings[2].waves[0].members] == ["g0"]


def test_the_canary_prefers_and_exempts():
    canary = Canary(accounts=Amount(share=0.5), at_most=3, prefer=_region("us"), exempt=_region("ap"))
    ring = w.ring("first", 0, canary=canary)
    rows = [w.account(f"{region}{n}", 0, region=region) for region in ("eu", "us", "ap") for n in range(6)]
    made = plan(
        w.fleet(*rows, *small_fleet((0, 9, 9)).accounts),
        w.policy(rings=(ring, w.ring("b", 1), w.ring("c", 2))),
    )
    regions = [dict(member.columns)["region"] for member in made.rings[0].waves[0].members]
    assert len(regions) == 3
    assert "ap" not in regions
    assert regions.count("us") >= 2


def test_a_later_revision_sends_late_carriers_ahead_by_itself():
    policy = w.policy()
    fleet = w.fleet(*[w.account(f"e{n}", 2) for n in range(20)], w.account("late", 2, region="ap"))
    members = members_of(w.policy(rings=(w.ring("third", 2),)), fleet, "s")[0]["third"]
    ring = replace(policy.rings[2], canary=Canary(accounts=Amount(count=1), exempt=_region("ap")))
    waves, after = covered_ring_waves(ring, members, Exercised(), factor=4, choose=CHOOSE)
    kinds = {wave.kind for wave in waves if ("region", "ap") in wave.meets}
    assert kinds == {WaveKind.LONE}
    assert ("region", "ap") in after.traits


def test_coverage_before_any_release_names_the_first_ring():
    by_ring, _ = members_of(w.policy(), w.fleet(*small_fleet().accounts, w.account("x", 2, region="ap")), "s")
    table = first_met(list(by_ring.items()))
    assert table["region", "ap"] == ("third", 1)
    assert table["region", "eu"] == ("first", 70)


@pytest.mark.parametrize(
    ("size", "decade", "label"),
    [(0, -1, "<1"), (0.5, -1, "<1"), (1, 0, "1-9"), (9.99, 0, "1-9"), (10, 1, "10-99"), (999, 2, "100-999"),
     (1000, 3, "1e3-1e4"), (10**15, 15, "1e15-1e16"), (10**15 - 1, 14, "1e14-1e15")],
)  # fmt: skip
def test_size_decades(size, decade, label):
    assert size_decade(size) == decade
    assert decade_label(decade) == label


sizes = st.one_of(st.integers(0, 200), st.integers(1, 10**7))
accounts = st.lists(
    st.tuples(st.integers(0, 2), sizes, st.sampled_from(["eu", "us", "ap"])), min_size=3, max_size=60
)


@given(accounts, st.booleans())
def test_no_wave_but_a_canary_or_lone_one_meets_anything_first(rows, fix):
    rows = [(0, 5, "eu"), (1, 5, "eu"), (2, 5, "eu"), *rows]
    made = plan(
        w.fleet(*[w.account(f"a{n}", r, size=s, region=t) for n, (r, s, t) in enumerate(rows)]), fix=fix
    )
    everybody = names(made.waves)
    assert sorted(everybody) == sorted(f"a{n}" for n in range(len(rows)))
    exercised = Exercised()
    late = 0
    for wave in made.waves:
        traits, decades = exercised.news(wave.members)
        if wave.kind not in CAREFUL:
            late += len(traits)
            assert wave.kind is WaveKind.RESERVE or not decades
            assert wave.kind is WaveKind.RESERVE or wave.largest <= exercised.largest * 4
        if wave.kind is WaveKind.LONE:
            assert len(wave.members) == 1
        exercised = exercised.plus(wave.members)
    assert bool(late) == bool(made.unsafe)
    if fix:
        assert not made.unsafe


@given(accounts, st.integers(1, 8))
def test_the_chooser_takes_at_most_what_is_asked_and_covers_what_it_can(rows, count):
    fleet = w.fleet(*[w.account(f"a{n}", 0, size=s, region=t) for n, (_, s, t) in enumerate(rows)])
    members = members_of(w.policy(rings=(w.ring("first", 0),)), fleet, "s")[0]["first"]
    chosen = CHOOSE(members, count, Exercised())
    assert len(chosen) == min(count, len(members))
    assert len(set(chosen)) == len(chosen)
    kinds = {value for m in members for value in (*m.traits, ("size", str(m.decade)))}
    shown = {value for m in chosen for value in (*m.traits, ("size", str(m.decade)))}
    assert shown == kinds or len(chosen) == count


def test_the_chooser_passes_once_where_kinds_are_many():
    rows = [w.account(f"a{n}", 0, region=f"r{n}") for n in range(GREEDY_SIGNATURES + 5)]
    members = members_of(w.policy(rings=(w.ring("first", 0),)), w.fleet(*rows), "s")[0]["first"]
    chosen = CHOOSE(members, 7, Exercised())
    assert chosen == tuple(members[:7])
    whole = CHOOSE(members, len(members), Exercised())
    assert len(whole) == len(members)
    # each again with a second size: nothing new but one decade
    again = [replace(member, account=f"b{member.account}", decade=5) for member in members]
    assert CHOOSE([*members, *again], GREEDY_SIGNATURES + 8, Exercised())[-1].decade == 5


def test_ring_waves_over_nobody_are_none():
    waves, after = ring_waves(w.ring("first", 0), [], Exercised(), factor=4, choose=CHOOSE)
    assert waves == ()
    assert after == Exercised()


def test_fix_takes_the_only_carriers_out_of_the_reserve():
    usual = [w.account(f"a{n}", 0) for n in range(12)]
    made = plan(w.fleet(*usual, *small_fleet((0, 9, 9)).accounts))
    held = {m.account for wave in made.reserve for m in wave.members}
    rare = [w.account(a.id, 0, region="ap") if a.id in held else a for a in usual]
    shy = w.ring("first", 0, canary=Canary(accounts=Amount(count=2), exempt=_region("ap")))
    policy = w.policy(rings=(shy, w.ring("second", 1), w.ring("third", 2)))
    fleet = w.fleet(*rare, *small_fleet((0, 9, 9)).accounts)
    assert plan(fleet, policy).unsafe
    fixed = plan(fleet, policy, fix=True)
    assert not fixed.unsafe
    assert fixed.accounts == len(names(fixed.waves)) == 30


def test_one_carrier_of_several_late_values_is_split_off_once():
    members = {member.account: member for member in plan(small_fleet()).members}
    items = tuple(sorted(members)[:3])
    late = [
        Finding(code="RC2101", message="x", items=items),
        Finding(code="RC2101", message="y", items=items),
    ]
    assert len(carriers_to_split(late, members)) == 1


def test_many_different_columns_are_kept_apart():
    rows = [w.account(f"a{n}", 0, region=f"r{n}") for n in range(_SHARED_PAIRS + 10)]
    by_ring, _ = members_of(w.policy(rings=(w.ring("first", 0),)), w.fleet(*rows), "s")
    found = {m.account: dict(m.traits)["region"] for m in by_ring["first"]}
    assert found == {f"a{n}": f"r{n}" for n in range(_SHARED_PAIRS + 10)}
