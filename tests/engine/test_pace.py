"""How often a node that stays looks: seldom while nothing happens, at once when somebody decides."""

import threading
import time
from dataclasses import replace

from ringctl.bootstrap import SystemClock
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.pace import IDLE_S, LIVE_S, SOON_S, Pace
from tests.engine.world import World


def test_pauses_grow_to_their_bound_and_begin_anew():
    pace = Pace(steady=False)
    pauses = [pace.pause(live=False) for _ in range(20)]
    assert (pauses[0], pauses[-1]) == (SOON_S, IDLE_S)
    assert pauses == sorted(pauses)
    assert pace.pause(live=True) == LIVE_S
    pace.hurry()
    assert pace.pause(live=False) == SOON_S
    steady = Pace()
    assert {steady.pause(live=False) for _ in range(20)} == {SOON_S}


def test_a_node_that_rests_hears_a_start(plain: World):
    """On real clocks: it has rested for long when the rollout is started, and takes it up within a second or two."""
    passes: list[float] = []
    parts = replace(plain.parts, clock=SystemClock())
    driver = Driver(parts=parts, node=Node(parts=parts, name="n"), backs_off=True)

    def passing() -> None:
        passes.append(time.monotonic())

    thread = threading.Thread(target=driver.run, args=(lambda: False,), kwargs={"on_pass": passing})
    thread.start()
    try:
        while len(passes) < 2 or passes[-1] - passes[-2] < 1.5:  # it pauses for seconds by now
            assert len(passes) < 60
            time.sleep(0.05)
        at = time.monotonic()
        plain.start()
        while not plain.executor.runs:
            assert time.monotonic() - at < 30
            time.sleep(0.02)
        waited = time.monotonic() - at
    finally:
        driver.stopping.set()
        driver.wake()
        thread.join(20)
    assert not thread.is_alive()
    assert waited < IDLE_S
