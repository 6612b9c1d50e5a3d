"""The production node without its threads: a test says when it beats, claims and runs the next task."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

from ringctl.core.errors import ExternalError
from ringctl.core.model import Rollout
from ringctl.core.timing import SECOND
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts
from ringctl.ports.store import Store
from ringctl.testing.scripted_executor import ProcessDied


class _Queue(ThreadPoolExecutor):
    """Keeps what is submitted until it is asked for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def next(self) -> bool:
        """Run the oldest; whether there was one. A bug, or the end of the process, goes through."""
        if not self.waiting:
            return False
        future, call = self.waiting.popleft()
        if not future.set_running_or_notify_cancel():
            return True
        try:
            future.set_result(call())
        except ExternalError as error:
            future.set_exception(error)
        return True


class SteppedNode(Node):
    """`start` opens the session; nothing happens by itself after that."""

    def start(self) -> None:
        """Open the session, without a beat thread."""
        self._new_session()
        self._pool = _Queue()

    @property
    def queue(self) -> _Queue:
        """The claimed tasks that wait to be run."""
        assert isinstance(self._pool, _Queue), "start() comes first"
        return self._pool

    def work_one(self) -> bool:
        """Run the oldest claimed task to its end; whether there was one."""
        return self.queue.next()

    def work(self, rollout: Rollout) -> int:
        """Run what is claimed, claim again, until nothing more may be; how many tasks were run."""
        self.beat()
        count = 0
        while True:
            while self.work_one():
                count += 1
            if not self.claim(rollout):
                return count

    def drain(self) -> None:
        """Run what is claimed, end the session."""
        while self.work_one():
            pass
        super().drain()


def stepped_node(parts: Parts, name: str = "n1", *, parallel: int = 8, lease_s: float = 15.0) -> SteppedNode:
    """A started node."""
    node = SteppedNode(parts=parts, name=name, parallel=parallel, lease_us=round(lease_s * SECOND))
    node.start()
    return node


class CrashingStore:
    """A store whose process dies at a chosen call: just before it, or just after it has committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plan: dict[tuple[str, str], int] = {}

    @classmethod
    def around(cls, store: Store) -> tuple[Store, "CrashingStore"]:
        """The store to hand in, and the hand that makes it crash."""
        made = cls(store)
        return cast(Store, made), made

    def die(self, method: str, *, after: bool = False, calls: int = 1) -> None:
        """Die at the `calls`-th call of the method from now on."""
        self._plan[method, "after" if after else "before"] = calls

    def calm(self) -> None:
        """Do not die any more."""
        self._plan.clear()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._count(name, "before")
            answer = found(*args, **kwargs)
            self._count(name, "after")
            return answer

        return call

    def _count(self, method: str, when: str) -> None:
        left = self._plan.get((method, when))
        if left is None:
            return
        if left > 1:
            self._plan[method, when] = left - 1
            return
        del self._plan[method, when]
        raise ProcessDied(f"{when} {method}")
