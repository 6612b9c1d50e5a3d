"""Conformance suite for executors: what every kind must keep, whoever writes it.

Subclass `ExecutorSuite` in a test module under a name that pytest collects, implement `workbench`, and
every `test_` method runs against your executor:

    class TestMine(ExecutorSuite):
        def workbench(self, tmp_path):
            return Workbench(executor=Mine(), order=..., effects=lambda: ...)

Nothing here needs pytest itself.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ringctl.core.digests import canonical
from ringctl.ports.executor import Executor, Fencing, Order, Outcome, Probed, Ran


class ScriptedControl:
    """A `Control` for tests: deadlines from now, a stop that a test requests, lines and sleeps kept."""

    def __init__(self, *, lease_s: float = 60.0, step_s: float = 60.0, stop: bool = False) -> None:
        now = time.monotonic()
        self.lease_at = now + lease_s
        self.step_at = now + step_s
        self.stop = threading.Event()
        self.lines: list[str] = []
        self.slept: list[float] = []
        if stop:
            self.stop.set()

    def deadline(self) -> float:
        """End of the lease."""
        return self.lease_at

    def step_deadline(self) -> float:
        """End of the step's own time."""
        return self.step_at

    def stop_requested(self) -> bool:
        """Whether the test asked for a stop."""
        return self.stop.is_set()

    def log(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def sleep(self, seconds: float) -> None:
        """Wait, but never long."""
        self.slept.append(seconds)
        self.stop.wait(min(seconds, 0.05))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """One executor with a fresh target. `effects` counts how often the step took effect there.

    `failing` is an order whose step fails for certain, `unreachable` one whose target is not there;
    leave them out where the kind knows no such thing. `at_once` is how many runners may start together.
    """

    executor: Executor
    order: Order
    effects: Callable[[], int]
    failing: Order | None = None
    unreachable: Order | None = None
    at_once: int = 4
    hostile: tuple[str, ...] = field(
        default=("a'; DROP TABLE x; --", "-rf", "a\nb", "a\0b", "../..", "{task.key}", "é")
    )


class ExecutorSuite:
    """The promises of `ringctl.ports.executor`, each as one test."""

    def workbench(self, tmp_path: Path) -> Workbench:
        """A fresh workbench; every test asks for one."""
        raise NotImplementedError

    def test_check_is_quiet_for_a_good_step_and_pure(self, tmp_path: Path) -> None:
        """A valid step has no finding of severity error, however often it is asked."""
        bench = self.workbench(tmp_path)
        found = bench.executor.check(bench.order.step)
        assert [one for one in found if one.severity == "error"] == []
        assert bench.executor.check(bench.order.step) == found
        assert bench.effects() == 0

    def test_check_names_an_unknown_option(self, tmp_path: Path) -> None:
        """An option that the executor does not have is refused, never ignored (DESIGN 12.18)."""
        bench = self.workbench(tmp_path)
        options = {**bench.order.step.options, "no_such_option": 1}
        found = bench.executor.check(replace(bench.order.step, options=options))
        assert [one.text for one in found if one.severity == "error"] == ["no_such_option"]
        assert found[0].code.startswith("RC6")

    def test_done_took_effect_exactly_once(self, tmp_path: Path) -> None:
        """DONE, and the numbers are plain JSON."""
        bench = self.workbench(tmp_path)
        ran = bench.executor.run(bench.order, ScriptedControl())
        assert ran.outcome is Outcome.DONE, ran
        assert bench.effects() == 1
        canonical(dict(ran.numbers))

    def test_failed_left_nothing(self, tmp_path: Path) -> None:
        """FAILED means: did not take effect, for certain; the reason says why."""
        bench = self.workbench(tmp_path)
        if bench.failing is not None:
            ran = bench.executor.run(bench.failing, ScriptedControl())
            assert ran.outcome is Outcome.FAILED, ran
            assert ran.reason
            assert bench.effects() == 0

    def test_unreachable_sent_nothing(self, tmp_path: Path) -> None:
        """A target that is not there is no failure of the account."""
        bench = self.workbench(tmp_path)
        if bench.unreachable is not None:
            ran = bench.executor.run(bench.unreachable, ScriptedControl(lease_s=10))
            assert ran.outcome is Outcome.UNREACHABLE, ran
            assert ran.reason
            assert bench.executor.probe(bench.unreachable, ScriptedControl()) is Probed.UNKNOWN

    def test_stop_or_deadline_before_the_start_sends_nothing(self, tmp_path: Path) -> None:
        """Nothing is begun without the right to run: STOPPED, no effect."""
        bench = self.workbench(tmp_path)
        for control in (
            ScriptedControl(stop=True), ScriptedControl(lease_s=-1.0), ScriptedControl(step_s=-1.0),
        ):  # fmt: skip
            ran = bench.executor.run(bench.order, control)
            assert ran.outcome is Outcome.STOPPED, ran
        assert bench.effects() == 0

    def test_probe_never_claims_what_did_not_happen(self, tmp_path: Path) -> None:
        """Before a run no probe says that it took effect, after one none says that it did not."""
        bench = self.workbench(tmp_path)
        assert bench.executor.probe(bench.order, ScriptedControl()) is not Probed.TOOK_EFFECT
        assert bench.executor.run(bench.order, ScriptedControl()).outcome is Outcome.DONE
        if bench.executor.fencing is not Fencing.NONE:
            assert bench.executor.probe(bench.order, ScriptedControl()) is not Probed.DID_NOT
        assert bench.effects() == 1

    def test_hostile_values_never_raise(self, tmp_path: Path) -> None:
        """Account ids are hostile text: at worst the step fails, and the bundle's copy stays as it was."""
        bench = self.workbench(tmp_path)
        for value in bench.hostile:
            values = {**bench.order.placeholders, "account.id": value}
            ran = bench.executor.run(replace(bench.order, placeholders=values), ScriptedControl())
            assert ran.outcome in set(Outcome)
        assert bench.effects() <= len(bench.hostile)

    def test_ledger_runs_a_step_once_whoever_asks(self, tmp_path: Path) -> None:
        """`Fencing.LEDGER` only: again, from several runners at once, and from a stale one."""
        bench = self.workbench(tmp_path)
        if bench.executor.fencing is not Fencing.LEDGER:
            return
        outcomes = {ran.outcome for ran in _at_once(bench)}
        assert outcomes <= {Outcome.DONE, Outcome.UNKNOWN, Outcome.UNREACHABLE}
        newest = replace(bench.order, fence=bench.order.fence + 100, claim="newest")
        assert bench.executor.run(newest, ScriptedControl()).outcome is Outcome.DONE
        again = bench.executor.run(newest, ScriptedControl())
        assert (again.outcome, again.numbers.get("already")) == (Outcome.DONE, True)
        assert again.numbers.get("incarnation")
        stale = bench.executor.run(bench.order, ScriptedControl())
        assert stale.outcome is Outcome.UNKNOWN, stale
        assert bench.effects() == 1

    def test_ledger_refuses_another_digest_unless_accepted(self, tmp_path: Path) -> None:
        """`Fencing.LEDGER` only: the row of another digest is nobody's to guess about (DESIGN 12.19)."""
        bench = self.workbench(tmp_path)
        if bench.executor.fencing is not Fencing.LEDGER:
            return
        assert bench.executor.run(bench.order, ScriptedControl()).outcome is Outcome.DONE
        other = replace(bench.order, step=replace(bench.order.step, digest="sha256:other"))
        assert bench.executor.run(other, ScriptedControl()).outcome is Outcome.UNKNOWN
        assert bench.executor.probe(other, ScriptedControl()) is Probed.UNKNOWN
        assert bench.effects() == 1


def _at_once(bench: Workbench) -> list[Ran]:
    """Several runners of the same order, without any claim between them."""
    barrier = threading.Barrier(bench.at_once)
    found: list[Ran] = []

    def one() -> None:
        barrier.wait()
        found.append(bench.executor.run(bench.order, ScriptedControl()))

    threads = [threading.Thread(target=one) for _ in range(bench.at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == bench.at_once, "a runner raised"
    return found
