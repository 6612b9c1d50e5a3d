"""The stop that needs neither store nor controller."""

from pathlib import Path

import pytest

from ringctl.core.states import TaskState
from ringctl.engine.loop import Driver
from ringctl.engine.stopping import LOOK_EVERY_S, StopSwitch, stop_file
from ringctl.testing.clock import FakeClock
from ringctl.testing.stepped_node import SteppedNode
from tests.engine.hand import hand, opened
from tests.engine.world import World


def switch(path: Path, clock: FakeClock, **environ: str) -> StopSwitch:
    return StopSwitch(path=path, environ=environ, clock=clock)


def test_the_file_is_named_by_option_environment_or_the_work_directory(tmp_path: Path):
    work = tmp_path / "work" / "bundles"
    assert stop_file("", {}, work) == tmp_path / "work" / "STOP"
    assert stop_file("", {"RINGCTL_STOP_FILE": "/stop/here"}, work) == Path("/stop/here")
    assert stop_file("given", {"RINGCTL_STOP_FILE": "/stop/here"}, work) == Path("given").absolute()


def test_a_file_stops_and_what_was_seen_stays_seen(tmp_path: Path):
    clock = FakeClock()
    path = tmp_path / "none" / "STOP"
    stop = switch(path, clock)
    assert not stop()
    path.parent.mkdir()
    path.touch()
    assert not stop(), "it does not look each time"
    clock.advance(LOOK_EVERY_S)
    assert stop()
    assert str(path) in stop.why
    path.unlink()
    clock.advance(60)
    assert stop()


@pytest.mark.parametrize(("value", "stops"), [("", False), ("0", False), ("1", True), ("please", True)])
def test_the_environment_stops(tmp_path: Path, value: str, stops: bool):
    assert switch(tmp_path / "STOP", FakeClock(), RINGCTL_STOP=value)() is stops


def test_a_dangling_link_and_a_file_that_cannot_be_looked_for_stop(tmp_path: Path):
    link = tmp_path / "STOP"
    link.symlink_to(tmp_path / "gone")
    assert switch(link, FakeClock())()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    stop = switch(loop / "STOP", FakeClock())
    assert stop()
    assert "cannot be looked for" in stop.why


def test_a_sleeping_step_sees_the_file_within_a_second(
    plain: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one = hand(plain)
    path = tmp_path / "STOP"
    one.guard.stop = switch(path, plain.clock)
    one.guard.begin_step(600_000_000, stop_on_close=False)
    began = plain.clock.monotonic()
    looks: list[float] = []
    waited = plain.clock.wait

    def wait(event, seconds: float) -> bool:
        looks.append(seconds)
        if len(looks) == 20:
            path.touch()
        return waited(event, seconds)

    monkeypatch.setattr(plain.clock, "wait", wait)
    one.guard.sleep(300)
    assert plain.clock.monotonic() - began <= 20 * 0.5 + 1


def driver_of(world: World, stop: StopSwitch) -> tuple[Driver, SteppedNode]:
    node = SteppedNode(parts=world.parts, name="n", stop_now=stop)
    return Driver(parts=world.parts, node=node, decides=False), node


def test_a_driver_ends_when_its_node_is_called_off(plain: World, tmp_path: Path):
    rollout = opened(plain)
    driver, _ = driver_of(plain, switch(tmp_path / "STOP", plain.clock))
    (tmp_path / "STOP").touch()
    driver.run(lambda: False)
    assert {row.attempt for row in plain.tasks(rollout)} == {0}


def test_what_stands_half_way_is_known(plain: World, tmp_path: Path):
    """The file appears while a step runs: nothing begins after it."""
    rollout = opened(plain)
    path = tmp_path / "STOP"
    driver, node = driver_of(plain, switch(path, plain.clock))

    def on_run(_order: object, _control: object) -> None:
        path.touch()
        plain.clock.advance(1)

    plain.executor.on_run = on_run
    driver.run(lambda: node.busy > 0)
    assert [run.step for run in plain.executor.runs] == ["a"]
    assert [ending.state for ending in node.halfway] == [TaskState.UNKNOWN]
    assert plain.facts(rollout).running == 0
