"""A metrics endpoint that goes away during a bake (promise I5): held, never a pass; back: it goes on."""

import contextlib
import time
import urllib.parse

from ringctl.core.states import WaveState
from ringctl.demo import material, service, traffic
from ringctl.demo.world import make_world, write_inventory
from ringctl.engine.parts import Parts
from tests.support.command_line import CommandLine, eventually

QUIET_S = 4.0


def baking(parts: Parts, rollout: str) -> int:
    """The wave that bakes now; 0 for none."""
    waves = parts.store.load(rollout).waves
    return next((wave.id for wave in waves if wave.state is WaveState.BAKING), 0)


def test_a_silent_source_holds_the_bake_and_lets_go_by_itself(ringctl: CommandLine) -> None:
    directory = ringctl.directory
    world = make_world(directory, accounts=14)
    with contextlib.ExitStack() as stack:
        child, url = service.start(directory)
        stack.callback(child.stop)
        write_inventory(world, url)
        stack.callback(traffic.start(directory, url).stop)
        material.write_policy(directory, "scrape", url)
        material.write_bundle(directory, "r1-none")
        rollout = ringctl.start("bundles/r1-none")
        ringctl.node()
        with ringctl.looking() as parts:
            wave = eventually(lambda: baking(parts, rollout), 40, "a wave bakes")
            child.stop()
            hold = eventually(
                lambda: parts.store.load(rollout).hold("gate-silent"), 20, "the hold for want of data"
            )
            assert hold.error.startswith("RC8"), hold
            assert hold.ends_itself
            # it waits on, as long as it may take: looks go by, and no credit, no pass
            seen = parts.store.facts(parts.store.load(rollout)).wave(wave)
            time.sleep(QUIET_S)
            now = parts.store.load(rollout)
            assert now.wave(wave).state is WaveState.BAKING
            assert parts.store.facts(now).wave(wave).bake_us == seen.bake_us
            assert ringctl("wait", rollout, "--timeout", "10ms").code == 124
            assert "RC8" in ringctl("why", rollout).out
            again, there = service.start(directory, port=urllib.parse.urlsplit(url).port or 0)
            stack.callback(again.stop)
            assert there == url
            eventually(
                lambda: parts.store.load(rollout).wave(wave).state is WaveState.PASSED,
                40,
                "it passes by itself",
            )
            assert parts.store.load(rollout).hold("gate-silent") is None
        kinds = [event["kind"] for event in ringctl.events(rollout)]
        assert not {"resumed", "gate-failed"} & set(kinds)
        assert ringctl("abort", rollout, "--reason", "seen enough").code == 0
