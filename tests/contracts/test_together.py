"""Group commit: threads that come together are served together, each with its own answer or its own error."""

import threading
from collections.abc import Sequence

import pytest

from ringctl.core.errors import BugError, StoreUnavailable
from ringctl.stores.together import MOST, Together


class Disk:
    """Serves one batch at a time, when it is let: what comes meanwhile waits for the next one."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.entered = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.together = Together(self.serve)

    def serve(self, items: Sequence[int]) -> list[str]:
        self.batches.append(tuple(items))
        self.entered.release()
        self.let.acquire()
        if -1 in items:
            raise StoreUnavailable("gone")
        if -2 in items:
            raise BugError("mine")
        return [f"answer {item}" for item in items]


class Callers:
    """Threads that each ask for one thing, and keep what they got."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.got: dict[int, object] = {}
        self.threads: list[threading.Thread] = []

    def call(self, *items: int) -> None:
        for item in items:
            before = len(self.disk.together._waiting)
            thread = threading.Thread(target=self._call, args=(item,))
            self.threads.append(thread)
            thread.start()
            while thread.is_alive() and len(self.disk.together._waiting) <= before and item != items[0]:
                thread.join(0.001)

    def _call(self, item: int) -> None:
        try:
            self.got[item] = self.disk.together(item)
        except (StoreUnavailable, BugError) as error:
            self.got[item] = error

    def end(self, batches: int) -> None:
        for _ in range(batches):
            self.disk.let.release()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def callers() -> Callers:
    made = Callers(Disk())
    made.call(0)
    assert made.disk.entered.acquire(timeout=10)  # the first is under way: the others will wait
    return made


def queued(callers: Callers, *items: int) -> None:
    callers.call(*items)
    while len(callers.disk.together._waiting) < len(items):
        threading.Event().wait(0.001)


def test_who_waits_is_served_in_one_go(callers: Callers):
    queued(callers, 1, 2, 3, 4)
    callers.end(2)
    assert [sorted(batch) for batch in callers.disk.batches] == [[0], [1, 2, 3, 4]]
    assert callers.got == {item: f"answer {item}" for item in range(5)}
    assert callers.disk.together._led is False


def test_a_store_that_is_gone_is_gone_for_all(callers: Callers):
    queued(callers, 1, -1)
    callers.end(2)
    assert isinstance(callers.got[1], StoreUnavailable)
    assert isinstance(callers.got[-1], StoreUnavailable)
    assert callers.got[0] == "answer 0"


def test_one_threads_mistake_is_not_the_others(callers: Callers):
    queued(callers, 1, -2, 3)
    callers.end(5)
    assert isinstance(callers.got[-2], BugError)
    assert (callers.got[1], callers.got[3]) == ("answer 1", "answer 3")


def test_a_batch_has_an_end_and_the_lead_is_handed_on(callers: Callers):
    queued(callers, *range(1, MOST + 11))
    callers.end(3)
    assert [len(batch) for batch in callers.disk.batches] == [1, MOST, 10]
    assert len(callers.got) == MOST + 11


def test_an_interrupted_leader_leaves_nobody_waiting():
    def interrupted(_: Sequence[int]) -> list[str]:
        raise KeyboardInterrupt

    together = Together(interrupted)
    with pytest.raises(KeyboardInterrupt):
        together(1)
    with pytest.raises(KeyboardInterrupt):
        together(2)
    assert together._led is False
