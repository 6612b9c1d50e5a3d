"""Threads that come at the same time are served in one go: one transaction, one wait for the disk.

Group commit as databases do it, one level up: while a transaction of this process is on its way, what other threads
want written waits and makes up the next one. Nobody waits for company: alone, a thread is served at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from ringctl.core.errors import BugError, ExternalError, RingctlError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST: Final = 100
"""Items in one go."""


class _Place(Generic[Item, Answer]):
    """One thread's item, until it is answered. `turn` is released when it is, or when the thread has to lead."""

    __slots__ = ("answer", "error", "item", "served", "turn")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.served = False
        self.turn = threading.Lock()
        self.turn.acquire()


class Together(Generic[Item, Answer]):
    """Calls `serve` with the items of all threads that wait; each gets the answer to its own, or its error.

    `serve` is one transaction: it answers every item or raises. After an error that is nobody's in particular the
    items are served one by one, so that one thread's mistake is not the others'.
    """

    def __init__(self, serve: Callable[[Sequence[Item]], Sequence[Answer]]) -> None:
        self._serve = serve
        self._lock = threading.Lock()
        self._waiting: deque[_Place[Item, Answer]] = deque()
        self._led = False

    def __call__(self, item: Item) -> Answer:
        """Serve the item, with others or for others. Raises what serving it raises."""
        place: _Place[Item, Answer] = _Place(item)
        with self._lock:
            self._waiting.append(place)
            lead = not self._led
            self._led = True
        if not lead:
            place.turn.acquire()
        if not place.served:
            self._lead()
        if place.error is not None:
            raise place.error
        assert place.answer is not None
        return place.answer

    def _lead(self) -> None:
        """Serve the first ones that wait (the leader is among them), then hand the lead to the next."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        try:
            self._answer(batch)
        finally:
            with self._lock:
                follower = self._waiting[0] if self._waiting else None
                self._led = follower is not None
            if follower is not None:
                follower.turn.release()
            for place in batch:
                place.served = True
                place.turn.release()

    def _answer(self, batch: Sequence[_Place[Item, Answer]]) -> None:
        try:
            answers = self._serve([place.item for place in batch])
            for place, answer in zip(batch, answers, strict=True):
                place.answer = answer
        except ExternalError as error:  # the store does not answer: nor would it to each of them
            for place in batch:
                place.error = error
        except RingctlError as error:
            if len(batch) == 1:
                batch[0].error = error
            else:
                for place in batch:
                    self._answer([place])
        except (
            BaseException
        ):  # Ctrl-C in the leading thread, a bug: the others are told, nobody waits for ever
            for place in batch:
                place.error = BugError("the thread that wrote for this one was interrupted")
            raise
