"""What a look rests on: a control that is kept, a past that may fail, accounts that fall silent, slow steps."""

import json
from dataclasses import replace

import pytest

from ringctl.core import acts, builtin, controls
from ringctl.core.facts import Lasted
from ringctl.core.states import Verdict, WaveState
from ringctl.core.timing import HOUR, MINUTE, SECOND
from ringctl.engine.observe import Observer
from tests.engine.hand import opened
from tests.engine.looked import control, numbers
from tests.engine.world import SIMPLE


# -- control ---------------------------------------------------------------------------------------
def test_a_wave_s_control_is_chosen_once_and_said(world):
    rollout = world.looks(world.start(), 2)
    chosen = control(world, rollout)
    wave = world.members(rollout.waves[0])
    assert chosen
    assert not set(chosen) & set(wave)
    world.observer = Observer(parts=world.parts)  # a node that starts again
    rollout = world.looks(rollout, 3)
    assert control(world, rollout) == chosen
    said = numbers(world, rollout)
    assert said["control_accounts"] == len(chosen)
    assert (
        said["control_note"]
        == f"{len(chosen)} accounts not touched yet: {len(chosen)} of the wave's traits and size"
    )
    assert said["accounts"] == [len(wave), len(wave)]


def folded(world, rollout) -> set[str]:
    """Accounts that the latest look of the first wave has counted."""
    now = world.load(rollout)
    return set(json.loads(world.parts.store.watched(now, now.waves[0]).states["errors"])["fold"]["a"])


def touch_a_control_account(world):
    """A rollout of which an account of the canary's control is touched by another wave; and that account."""
    rollout = world.looks(world.start(), 3)
    victim = control(world, rollout)[0]
    with world.parts.store.database.write() as tx:
        key = tx.one("rollout_key", id=rollout.id)[0]
        ((member,),) = [row[:1] for row in tx.rows("member_to_draw", rollout=key, account=victim)]
        tx.run("touch_member", id=member, now=1)
    return rollout, victim


def assert_touched_account_left(world):
    rollout, victim = touch_a_control_account(world)
    before = control(world, rollout)
    assert victim in folded(world, rollout)
    rollout = world.looks(rollout, 1)
    assert victim not in folded(world, rollout)
    assert numbers(world, rollout)["control_accounts"] == len(before) - 1
    assert control(world, rollout) == before, "the list itself stays, and none is added"


def test_an_account_that_is_touched_leaves_the_control(world):
    assert_touched_account_left(world)


def test_a_control_that_keeps_touched_accounts_is_seen(world, monkeypatch):
    monkeypatch.setattr(controls, "remaining", lambda chosen, _left, **_: (chosen.accounts, ""))
    with pytest.raises(AssertionError):
        assert_touched_account_left(world)


def test_without_control_the_reason_says_so(world):
    world.fleet(inner=3, outer=3)
    rollout = world.looks(world.start(), 3)
    state = world.facts(rollout).checks["errors"]
    assert "without control: 4 untouched accounts are left to compare with, 5 are needed" in state.reason
    assert state.numbers["control_accounts"] == 0


# -- accounts that fall silent ---------------------------------------------------------------------
def test_an_account_that_goes_silent_in_the_bake_holds_the_wave_by_name(world):
    rollout = opened(world)
    world.node().work(rollout)
    rollout = world.looks(rollout, 1)
    lost = world.members(rollout.waves[0])[0]
    world.source.absent(lost)
    rollout = world.looks(rollout, 70)
    state = world.facts(rollout).checks["errors"]
    assert state.verdict is Verdict.INCONCLUSIVE
    assert f"{lost} had data and has been absent for" in state.reason
    assert lost in state.numbers["missing"]
    assert rollout.hold("idle")


@pytest.mark.parametrize(("settled", "verdict"), [(1, Verdict.PASS), (2, Verdict.INCONCLUSIVE)])
def test_the_gate_of_steps_does_not_wait_for_what_a_person_settled(world, monkeypatch, settled, verdict):
    world.policy.write_text(SIMPLE)
    rollout = world.until(world.start(), lambda now: now.waves[0].state is WaveState.OPEN)
    canary = world.members(rollout.waves[0])
    store = type(world.parts.store)
    watched, measures = store.watched, store.step_measures
    by_hand = frozenset(canary[:settled])

    def without(*args):
        return {
            name: {a: v for a, v in rows.items() if a not in by_hand}
            for name, rows in measures(*args).items()
        }

    monkeypatch.setattr(store, "watched", lambda *args: replace(watched(*args), settled=by_hand))
    monkeypatch.setattr(store, "step_measures", without)
    world.node().work(rollout)
    rollout = world.looks(world.reconcile(rollout).rollout, 2)
    found = world.facts(rollout).checks["slow"]
    assert found.verdict is verdict
    assert ("a person settled every account" in found.reason) == (settled == len(canary))


def test_warnings_of_the_source_are_kept_with_the_verdict(world, monkeypatch):
    read = world.source.read
    monkeypatch.setattr(
        world.source, "read", lambda *a, **k: replace(read(*a, **k), warnings=("i1 is there twice",))
    )
    rollout = world.looks(world.start(), 2)
    assert numbers(world, rollout)["warnings"] == ["i1 is there twice"]


def test_a_gate_s_queries_are_those_of_its_own_counters(world, monkeypatch):
    read = world.source.read
    others = ("sum(a)", "sum(b)", "min(a)", "min(b)")
    mine = ("sum by (account) (bad)", "sum by (account) (all)")
    monkeypatch.setattr(
        world.source, "read", lambda *a, **k: replace(read(*a, **k), queries=(*others, *mine))
    )
    rollout = world.looks(world.start(), 2)
    assert numbers(world, rollout)["queries"] == list(mine)


@pytest.mark.parametrize("words", [(), ("store-7 did not answer", "store-8 did not answer")])
def test_an_answer_in_part_is_told_in_the_source_s_own_words(world, monkeypatch, words):
    read = world.source.read
    monkeypatch.setattr(
        world.source, "read", lambda *a, **k: replace(read(*a, **k), partial=True, warnings=words)
    )
    rollout = world.looks(world.start(), 2)
    state = world.facts(rollout).checks["errors"]
    assert (state.error, state.verdict) == ("RC8006", Verdict.INCONCLUSIVE)
    assert state.reason == ": ".join(["the source answered in part", *filter(None, ["; ".join(words)])])


# -- time that samples cover -----------------------------------------------------------------------
def test_a_long_gap_is_credited_where_the_samples_cover_it(world):
    rollout = opened(world)
    world.node().work(rollout)
    rollout = world.looks(rollout, 1)
    before = world.facts(rollout).bake_us
    world.look(rollout, seconds=40)
    assert world.facts(rollout).bake_us - before == pytest.approx(40 * SECOND, abs=SECOND)


def test_a_long_gap_without_the_accounts_samples_is_credited_as_a_look(world):
    rollout = opened(world)
    world.node().work(rollout)
    rollout = world.looks(rollout, 1)
    before = world.facts(rollout).bake_us
    world.source.absent(*world.members(rollout.waves[0]))
    world.look(rollout, seconds=40)
    assert world.facts(rollout).bake_us - before <= 2 * SECOND


# -- built-in checks -------------------------------------------------------------------------------
def with_builtin(rollout):
    """The rollout's policy with the built-in checks, as settings add them."""
    policy = rollout.policy
    checks = builtin.checks()
    rings = tuple(replace(ring, gates=tuple(dict.fromkeys((*ring.gates, *checks)))) for ring in policy.rings)
    return replace(rollout, policy=replace(policy, checks={**policy.checks, **checks}, rings=rings))


def test_builtin_checks_pass_with_the_wave_and_take_no_part_in_baseline_and_control(world):
    rollout = world.start()
    for _ in range(12):
        world.clock.advance(1)
        world.observer.observe(with_builtin(world.load(rollout)))
    facts = world.facts(rollout)
    assert facts.baseline_us >= 10 * SECOND
    assert facts.checks["overshoot"].verdict is Verdict.INCONCLUSIVE
    rollout = world.reconcile(rollout).rollout
    world.node().work(rollout)
    rollout = world.looks(rollout, 1)
    world.clock.advance(1)
    world.observer.observe(with_builtin(world.load(rollout)))
    found = world.facts(rollout).checks
    assert {found["overshoot"].verdict, found["recreated"].verdict} == {Verdict.PASS}


def test_a_key_that_existed_fails_the_gate(world, monkeypatch):
    rollout = opened(world)
    store = type(world.parts.store)
    account = world.members(rollout.waves[0])[0]
    real = store.step_measures
    monkeypatch.setattr(store, "step_measures", lambda *args: {**real(*args), "duplicates": {account: 1.0}})
    world.clock.advance(1)
    world.observer.observe(with_builtin(rollout))
    assert world.facts(rollout).checks["recreated"].failed


def test_a_step_beyond_its_size_class_holds_before_the_next_account_until_it_is_resumed(world, monkeypatch):
    rollout = opened(world)
    now = world.parts.store.now_us()
    lasted = [Lasted(f"a{n}", "encode", 1, 10.0, now - 10 * SECOND, now) for n in range(3)]
    lasted.append(Lasted("slow", "encode", 1, 10.0, now - MINUTE, None))
    store = type(world.parts.store)
    monkeypatch.setattr(store, "step_times", lambda *_: tuple(lasted))

    def look():
        world.clock.advance(1)
        world.observer.observe(with_builtin(world.load(rollout)))
        return world.reconcile(rollout).rollout

    held = look().hold("overshoot")
    assert (held.error, held.ends_itself) == ("RC1020", False)
    assert "slow: step encode has taken 1 m 0" in held.reason
    world.node().work(world.load(rollout))
    assert world.facts(rollout).done == 0, "no account is claimed"
    assert look().hold("overshoot").since_us == held.since_us, "told once"
    current = world.load(rollout)
    step = acts.resume(current, actor="ann", reason="it is a large one")
    world.parts.store.apply(step, expected=current.version, actor="ann")
    assert world.reconcile(rollout).rollout.hold("overshoot") is None
    assert look().hold("overshoot") is None
    lasted.append(Lasted("slower", "encode", 1, 10.0, now - HOUR, None))
    assert "slower" in look().hold("overshoot").reason
