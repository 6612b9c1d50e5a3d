"""Control: like the wave, the same everywhere, and never an account that is touched."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core import controls
from ringctl.core.controls import LEAST_LIKE, MOST, Control, choose, enough, remaining, strata_of
from ringctl.core.model import Member

_NUMBERS = count()


def member(region: str = "eu", decade: int = 1) -> Member:
    number = next(_NUMBERS)
    return Member(account=f"a{number}", ring="r", size=10.0**decade, decade=decade, reserve=False, rank=number,
                  traits=(("region", region),))  # fmt: skip


def fleet(*kinds: tuple[str, int, int]) -> list[Member]:
    return [member(region, decade) for region, decade, accounts in kinds for _ in range(accounts)]


def picked(wave: list[Member], others: list[Member], *, accounts: int = 0, control_min: int = 5) -> Control:
    whole = accounts or len(wave) + len(others)
    return choose(strata_of(wave), others, fleet=whole, control_min=control_min)


def test_control_has_the_wave_s_traits_and_sizes_in_its_proportions() -> None:
    wave = fleet(("eu", 1, 30), ("us", 3, 10))
    others = fleet(("eu", 1, 5_000), ("us", 3, 5_000), ("us", 1, 5_000), ("ap", 1, 5_000))
    found = picked(wave, others)
    kinds = Counter((one.traits[0][1], one.decade) for one in others if one.account in set(found.accounts))
    assert kinds == {("eu", 1): 300, ("us", 3): 100}
    assert (found.like, found.kin) == (400, 0)


def test_too_few_of_a_size_are_made_up_by_the_nearest_size_and_other_traits_come_last() -> None:
    wave = fleet(("eu", 3, 2))
    others = fleet(("eu", 3, 50), ("eu", 2, 30), ("eu", 0, 500), ("us", 3, 500))
    found = picked(wave, others)
    kinds = Counter((one.traits[0][1], one.decade) for one in others if one.account in set(found.accounts))
    assert kinds == {("eu", 3): 50, ("eu", 2): 30, ("eu", 0): 120}
    assert str(found) == (
        "200 accounts not touched yet: 50 of the wave's traits and size, 150 of its traits and another size"
    )
    alien = picked(fleet(("ap", 1, 2)), others)
    assert (len(alien.accounts), alien.like, alien.kin) == (LEAST_LIKE, 0, 0)
    assert "20 of other traits" in str(alien)


def test_it_is_bounded_and_reads_no_more_than_it_needs() -> None:
    wave = fleet(("eu", 1, 900))
    read = []

    def stream():
        for _ in range(1_000_000):
            read.append(None)
            yield member()

    found = choose(strata_of(wave), stream(), fleet=1_000_000, control_min=5)
    assert len(found.accounts) == MOST
    assert len(read) < 5_000


def test_a_kind_of_account_that_nobody_is_does_not_read_the_whole_fleet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controls, "MOST_READ", 50)
    read = []

    def stream():
        for _ in range(10_000):
            read.append(None)
            yield member()

    choose(strata_of(fleet(("us", 7, 9))), stream(), fleet=10_000, control_min=5)
    assert len(read) == 50


def test_too_few_untouched_are_no_control_and_the_reason_says_so() -> None:
    wave = fleet(("eu", 1, 2))
    assert enough(200, 5) == 20
    assert picked(wave, fleet(("eu", 1, 20)), accounts=200).accounts
    none = picked(wave, fleet(("eu", 1, 19)), accounts=200)
    assert none.accounts == ()
    assert str(none) == "no control: 19 untouched accounts are left to compare with, 20 are needed"
    assert remaining(none, (), fleet=200, control_min=5) == ((), none.reason)
    assert picked(wave, fleet(("eu", 1, 4))).accounts == ()


def test_touched_accounts_leave_and_none_comes_in() -> None:
    found = picked(fleet(("eu", 1, 2)), fleet(("eu", 1, 400)))
    left = found.accounts[10:]
    assert remaining(found, (*left, "stranger"), fleet=400, control_min=5) == (left, "")
    serving, reason = remaining(found, found.accounts[:4], fleet=400, control_min=5)
    assert (serving, reason) == ((), "4 untouched accounts are left to compare with, 40 are needed")


def test_what_is_left_of_it_tells_how_much_of_the_fleet_is() -> None:
    found = picked(fleet(("eu", 1, 2)), fleet(("eu", 1, 400)), accounts=1_000)
    half = found.accounts[::2]
    assert remaining(found, half, fleet=1_000, control_min=5)[0] == half  # about 200 of 1,000
    fifth = found.accounts[::5]
    assert remaining(found, fifth, fleet=1_000, control_min=5)[0] == ()  # about 80 of 1,000: under a tenth


def test_it_survives_being_saved() -> None:
    found = picked(fleet(("eu", 1, 2)), fleet(("eu", 1, 40)))
    assert Control.of(found.row()) == found


@given(
    st.lists(
        st.tuples(st.sampled_from(["eu", "us", "ap"]), st.integers(0, 4), st.integers(1, 40)), max_size=8
    )
)
def test_every_node_chooses_the_same_and_nobody_twice(kinds: list[tuple[str, int, int]]) -> None:
    wave, others = fleet(("eu", 1, 3), ("us", 2, 1)), fleet(*kinds)
    found = picked(wave, others)
    assert found == picked(wave, others)
    assert len(set(found.accounts)) == len(found.accounts)
    assert set(found.accounts) <= {one.account for one in others}
    assert found.like + found.kin <= len(found.accounts)
    assert bool(found.accounts) == (len(others) >= enough(len(others) + 4, 5))
