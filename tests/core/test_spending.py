"""The false alarms promised for a rollout are never spent twice."""

from dataclasses import replace

import pytest

from ringctl.core.spending import planned_share, share, weight
from ringctl.core.states import WaveKind
from tests.core.worlds import rollout, wave

KINDS = (WaveKind.CANARY, WaveKind.EXPANSION, WaveKind.LONE)


def test_everything_together_is_no_more_than_was_promised() -> None:
    for revision in (1, 2, 3):
        rings = [one.name for one in rollout().policy.rings]
        waves = [wave(place * 10 + n, ring, kind, revision=revision)
                 for place, ring in enumerate(rings) for n, kind in enumerate(KINDS)]  # fmt: skip
        waves += [
            wave(100 + place, ring, WaveKind.RESERVE, revision=revision) for place, ring in enumerate(rings)
        ]
        if revision > 1:
            waves += [wave(200 + n, rings[0], WaveKind.REQUALIFICATION, revision=revision) for n in range(3)]
        world = rollout(*waves)
        spent = sum(
            share(world, one, check).alpha
            for one in waves
            for check in world.policy.checks_of(world.policy.ring(one.ring))
        )
        promised = max(check.false_alarm for check in world.policy.checks.values())
        assert spent == pytest.approx(promised * 0.5**revision)


def test_it_says_how_it_was_spent() -> None:
    only = wave(1)
    world = rollout(only)
    check = next(iter(world.policy.checks.values()))
    said = str(share(world, only, check))
    assert said.startswith("1 % for the whole rollout")
    assert "revision 0.5" in said


def test_a_plan_spends_as_the_rollout_will() -> None:
    waves = [wave(1), wave(2, kind=WaveKind.EXPANSION)]
    world = rollout(*waves)
    check = next(iter(world.policy.checks.values()))
    planned = planned_share(world.policy, waves[0].ring, 2, check)
    assert planned == share(world, waves[0], check)


def test_weights_share_out_a_ring() -> None:
    world = rollout(wave(1))
    ring = world.policy.rings[0].name
    checks = {name: replace(one, weight=3.0) for name, one in world.policy.checks.items()}
    policy = replace(world.policy, checks=checks)
    assert sum(weight(policy, ring, one) for one in policy.checks_of(policy.ring(ring))) == pytest.approx(1)
    nothing = replace(policy, checks={name: replace(one, weight=0.0) for name, one in checks.items()})
    assert weight(nothing, ring, nothing.checks_of(nothing.ring(ring))[0]) == 1
