"""The subset that a changed script is forced back to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.model import Member
from ringctl.core.requalifying import Candidate, drawable, requalification_waves, resume_at, seen_share
from ringctl.core.states import TaskState, WaveKind
from tests.core import worlds as w

RINGS = ("first", "second", "third")


def member(name, ring="first", size=10.0, region="eu", **changes):
    decade = w.account(name, 0, size=size).decade
    base = Member(account=name, ring=ring, size=size, decade=decade, reserve=False, rank=1,
                  traits=(("region", region),))  # fmt: skip
    return replace(base, **changes)


def waiting(*args, **kwargs):
    return Candidate(member=member(*args, **kwargs), state=TaskState.WAITING)


def half(name, step="encode", **kwargs):
    return Candidate(member=member(name, **kwargs), state=TaskState.UNKNOWN, last_step=step)


def drawn(candidates, *, from_step=None, largest=0.0, policy=None):
    policy = policy or w.policy()
    return requalification_waves(policy, candidates, from_step or {}, largest=largest)


def names(waves):
    return [m.account for wave in waves for m in wave.members]


def test_each_stratum_is_represented_by_its_smallest_account_in_the_lowest_ring():
    waves = drawn([waiting("a", size=10), waiting("b", size=20), waiting("c", "second", size=15)])
    assert names(waves) == ["a"]
    assert waves[0].kind is WaveKind.REQUALIFICATION


def test_traits_and_sizes_still_ahead_are_all_represented():
    ahead = [waiting("a"), waiting("b", "second", size=30), waiting("c", "third", size=200, region="ap")]
    assert set(names(drawn(ahead, largest=100))) == {"a", "c"}


def test_no_account_above_the_watermark_is_drawn():
    ahead = [waiting("a"), waiting("giant", "third", size=10**6)]
    assert names(drawn(ahead, largest=50)) == ["a"]
    assert names(drawn(ahead)) == ["a"]


def test_half_done_accounts_are_a_stratum_where_from_step_takes_them_up():
    ahead = [half("h"), waiting("a")]
    assert names(drawn(ahead)) == ["a"]
    assert set(names(drawn(ahead, from_step={"encode": "encode"}))) == {"h"}
    assert resume_at([half("h"), waiting("a")], {"encode": "readers"}) == {"h": "readers"}


def test_a_failed_account_that_never_began_a_step_is_not_half_done():
    fresh = Candidate(member=member("f"), state=TaskState.FAILED)
    assert drawable(fresh, {})
    assert not drawable(half("h", step="other"), {"encode": "encode"})


def test_strata_that_do_not_fit_go_in_further_waves():
    ahead = [waiting(f"a{n}", region=f"r{n}") for n in range(12)]
    waves = drawn(ahead, policy=w.policy(requalify=replace(w.policy().requalify, accounts=5, share=1.0)))
    assert [len(wave.members) for wave in waves] == [5, 5, 2]


def test_from_the_third_revision_on_the_lowest_rings_reserve_stands_first():
    ahead = [waiting("a"), waiting("held", size=11, reserve=True), waiting("late", "second", reserve=True)]
    assert names(drawn(ahead)) == ["a"]
    waves = requalification_waves(w.policy(), ahead, {}, largest=0, reserve_first=True)
    assert names(waves) == ["held"]


def test_nobody_left_is_no_wave():
    assert drawn([]) == ()
    assert drawn([half("h")]) == ()


@pytest.mark.parametrize(("to_go", "cap"), [(0, 1), (1, 1), (60, 1), (100, 1), (101, 2), (10_000, 5)])
def test_the_cap_is_five_accounts_and_one_percent(to_go, cap):
    assert w.policy().requalify.cap(to_go) == cap


@pytest.mark.parametrize(("accounts", "share"), [(0, 1.0), (1, 0.95), (5, 0.451), (59, 0.0495)])
def test_what_a_clean_subset_shows(accounts, share):
    assert seen_share(accounts) == pytest.approx(share, abs=1e-3)


rows = st.lists(
    st.tuples(st.sampled_from(RINGS), st.integers(1, 5000), st.sampled_from(["eu", "us"]), st.booleans()),
    max_size=50,
)


@given(rows, st.integers(0, 5000), st.booleans())
def test_every_wave_is_within_the_cap_and_every_reachable_stratum_is_there(items, largest, resumes):
    items.sort(key=lambda row: (RINGS.index(row[0]), row[1]))
    candidates = [
        half(f"h{n}", ring=ring, size=size, region=region) if half_done
        else waiting(f"a{n}", ring, size=size, region=region)
        for n, (ring, size, region, half_done) in enumerate(items)
    ]  # fmt: skip
    from_step = {"encode": "encode"} if resumes else {}
    policy = w.policy()
    waves = requalification_waves(policy, candidates, from_step, largest=largest)
    usable = [c for c in candidates if drawable(c, from_step)]
    cap = policy.requalify.cap(len(usable))
    assert all(1 <= len(wave.members) <= cap for wave in waves)
    chosen = names(waves)
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= {c.member.account for c in usable}
    if largest:
        assert all(m.size <= largest * 4 for wave in waves for m in wave.members)
        reachable = {(("size"), c.member.decade) for c in usable if c.member.size <= largest * 4}
        shown = {("size", m.decade) for wave in waves for m in wave.members}
        assert reachable <= shown
