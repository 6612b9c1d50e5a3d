"""ringctl's store as a queue, as its nodes use it: claims of a hundred, then task by task or all at once."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench import filling
from bench.crew import at_work
from ringctl.core.model import Session
from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import HOUR, MINUTE
from ringctl.ports.records import Claim, Ending, Intent, Result
from ringctl.ports.store import Store

BATCH = 100
STEP = "readers"
DONE = Result(step=STEP, state=EffectState.DONE)


def prepare(url: str, rows: int, jobs: int, releases: int) -> None:
    """The schema, and one open wave of `rows` accounts: `releases` times `jobs` of them wait, all over the table as
    ranks are; the others are done."""
    store = filling.open_store(url)
    store.migrate()
    filling.start(store)
    store.close()
    filling.fill(url, rows, waiting=f"n % {rows // jobs} < {releases}")


def release(url: str, jobs: int, number: int) -> None:
    """The next waiting accounts, `jobs` of them, become pending."""
    store = filling.open_store(url)
    rows = store.load(filling.ROLLOUT).accounts
    store.close()
    filling.release(url, f"n % {rows // jobs} = {number}")


def one_by_one(store: Store, claims: Sequence[Claim]) -> None:
    """The full protocol: an intent, then result, end and a log line, two durable transactions a task."""
    for claim in claims:
        store.intent(claim, STEP, "digest", claim.account, deadline_us=MINUTE)
        store.finish(claim, TaskState.DONE, last=DONE, lines=("done",))


def together(store: Store, claims: Sequence[Claim]) -> None:
    """Steps fenced by a ledger of their own: two transactions for all of them."""
    store.intend_all(
        [Intent(claim=one, step=STEP, digest="digest", key=one.account, deadline_us=MINUTE) for one in claims]
    )
    store.finish_all([Ending(claim=one, state=TaskState.DONE, lines=("done",), last=DONE) for one in claims])


@dataclass
class Worker:
    """A process: its threads share the claims of one session."""

    store: Store
    threads: int
    run: Callable[[Store, Sequence[Claim]], None]
    seconds: float
    session: Session = field(init=False)
    jobs: int = 0
    last: float = 0.0
    _claims: deque[Claim] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.session = self.store.open_session("bench", lease_us=HOUR)
        self._rollout = self.store.load(filling.ROLLOUT)

    def drain(self) -> tuple[int, float]:
        """Claim until nothing is left or the time is over."""
        self.last = time.monotonic()
        until = self.last + self.seconds
        with ThreadPoolExecutor(self.threads) as pool:
            for one in [pool.submit(self._thread, until) for _ in range(self.threads)]:
                one.result()
        return self.jobs, self.last

    def _thread(self, until: float) -> None:
        while time.monotonic() < until:
            taken = self._take()
            if not taken:
                return
            self.run(self.store, taken)
            with self._lock:
                self.jobs += len(taken)
                self.last = time.monotonic()

    def _take(self) -> Sequence[Claim]:
        """A whole batch for the only thread; for one of several its next claim of a shared batch."""
        with self._lock:
            if not self._claims:
                wave = self._rollout.wave(filling.WAVE)
                self._claims.extend(self.store.claim(self.session, self._rollout, wave, limit=BATCH))
            if self.threads > 1:
                return [self._claims.popleft()] if self._claims else ()
            taken = list(self._claims)
            self._claims.clear()
            return taken


def work() -> None:
    """A worker: `batch`, or the full protocol in so many threads."""
    option = os.environ["BENCH_OPTION"]
    store = filling.open_any(os.environ["BENCH_URL"])
    worker = Worker(
        store=store,
        threads=1 if option == "batch" else int(option),
        run=together if option == "batch" else one_by_one,
        seconds=float(os.environ["BENCH_SECONDS"]),
    )
    at_work(worker.drain)
    store.close()


if __name__ == "__main__":
    work()
