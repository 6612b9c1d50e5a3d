"""Threads, pools and events of the production engine as fibers: its code runs as it is, on virtual time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from ringctl.core.errors import RingctlError
from ringctl.core.timing import SECOND
from ringctl.engine import loop, node
from ringctl.testing.clock import FakeClock
from ringctl.testing.simulator.patching import patched
from ringctl.testing.simulator.world import NEVER, Fiber, World

SLICE_S = 0.5
"""How often a fiber looks at an event of the standard library, which cannot wake it."""


class SimEvent(threading.Event):
    """An event on virtual time."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._parked: list[Fiber] = []

    def set(self) -> None:
        """Set it, and wake who waits."""
        super().set()
        for fiber in self._parked:
            self._world.wake(fiber)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds; whether it is set."""
        world = self._world
        world.check()
        if not self.is_set():
            fiber = world.current
            assert fiber is not None
            self._parked.append(fiber)
            try:
                world.park(NEVER if timeout is None else world.now_us + round(timeout * SECOND))
            finally:
                self._parked.remove(fiber)
        return self.is_set()


class SimClock(FakeClock):
    """The clocks of a process. `lazy_s`: how late, on average, an idle loop is scheduled again: a machine under
    load does that, and every promise has to hold there."""

    def __init__(self, world: World, lazy_s: float = 0.0) -> None:
        super().__init__()
        self._world = world
        self._lazy_s = lazy_s

    def now_us(self) -> int:
        """Wall time: the world's, with its jumps."""
        return self._world.wall_us()

    __call__ = now_us

    def monotonic(self) -> float:
        """Seconds; never jumps."""
        return self._world.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let others go on for so long."""
        self._world.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event at most so long, or a little longer where the machine is busy."""
        world = self._world
        late = world.random.exponential(self._lazy_s) if self._lazy_s else 0.0
        if isinstance(event, SimEvent):
            return event.wait(seconds + late)
        end = world.now_us + round(seconds * SECOND)
        end += round(late * SECOND)
        while not event.is_set() and world.now_us < end:
            world.park(min(end, world.now_us + round(SLICE_S * SECOND)))
        return event.is_set()


class FiberThread:
    """What the engine uses of `threading.Thread`."""

    def __init__(self, world: World, call: Callable[[], None], name: str) -> None:
        self._world = world
        self._call = call
        self._name = name
        self._fiber: Fiber | None = None

    def start(self) -> None:
        """Begin, in the process of whoever starts it."""
        starter = self._world.current
        assert starter is not None
        name = f"{starter.owner.name}.{self._name}"
        self._fiber = self._world.spawn(name, self._call, starter.owner)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        world = self._world
        world.check()
        if self._fiber is not None and not self._fiber.over and world.current is not None:
            self._fiber.waiting.append(world.current)
            world.park(NEVER if timeout is None else world.now_us + round(timeout * SECOND))


class FiberPool(ThreadPoolExecutor):
    """What the engine uses of a thread pool."""

    def __init__(self, world: World, workers: int, name: str) -> None:
        super().__init__(1)
        self._world = world
        self._most = workers
        self._name = name
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._workers: list[FiberThread] = []
        self._idle = 0
        self._more = SimEvent(world)
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call; a worker that is free, or a new one, takes it."""
        future: Future[Any] = Future()
        self._queue.append((future, lambda: fn(*args, **kwargs)))
        if len(self._queue) > self._idle and len(self._workers) < self._most:
            worker = FiberThread(self._world, self._serve, f"{self._name}{len(self._workers)}")
            self._workers.append(worker)
            worker.start()
        self._more.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish what is queued, and end."""
        del cancel_futures
        self._closed = True
        self._more.set()
        for worker in self._workers if wait else ():
            worker.join()

    def _serve(self) -> None:
        while True:
            if self._queue:
                future, call = self._queue.popleft()
                if future.set_running_or_notify_cancel():
                    self._answer(future, call)
                continue
            if self._closed:
                return
            self._more.clear()
            self._idle += 1
            self._more.wait()
            self._idle -= 1

    @staticmethod
    def _answer(future: Future[Any], call: Callable[[], Any]) -> None:
        try:
            answer = call()
        except RingctlError as error:
            future.set_exception(error)
        else:
            future.set_result(answer)


@contextmanager
def fibers_for_threads(world: World) -> Iterator[None]:
    """Within the block the engine's loops and nodes make fibers where they ask for threads."""

    def thread(*, target: Callable[[], None], name: str, daemon: bool) -> FiberThread:
        del daemon
        return FiberThread(world, target, name.removeprefix("ringctl-"))

    def pool(workers: int, *, thread_name_prefix: str) -> FiberPool:
        return FiberPool(world, workers, thread_name_prefix.removeprefix("ringctl-"))

    def unexpected(args: Any) -> None:
        world.fail(f"a worker died of {args.exc_type.__name__}: {args.exc_value}")

    stand_in = SimpleNamespace(
        Thread=thread,
        Event=lambda: SimEvent(world),
        Lock=threading.Lock,
        excepthook=unexpected,
        ExceptHookArgs=threading.ExceptHookArgs,
    )
    with (
        patched(loop, "threading", stand_in),
        patched(node, "threading", stand_in),
        patched(node, "ThreadPoolExecutor", pool),
    ):
        yield
