"""A node: one session, a beat, and worker threads that claim tasks and run them.

The session's id is new at every process start. The lease deadline is counted from before each beat was asked for,
on the node's own monotonic clock; when it passes, everything stops here before anybody else may take over.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from ringctl.core.errors import ClaimLost, ExternalError, SessionLost
from ringctl.core.model import Rollout, Session
from ringctl.core.states import OPEN_ROLLOUT_STATES, Settle, TaskState, WaveState
from ringctl.core.timing import SECOND, Span
from ringctl.engine.copies import Copies
from ringctl.engine.guard import Guard, Lease
from ringctl.engine.parts import Parts
from ringctl.engine.running import TaskRun
from ringctl.ports.records import Claim

BATCH = 10
"""Most tasks claimed in one transaction."""

AHEAD_S = 0.5
"""In reserve a node holds at most what it finished in so long: quick tasks are claimed in batches, and a slow step
keeps no claimed account waiting."""
HAND_BACK_S = 5.0
"""A claimed task that no thread has begun for so long goes back: another node may be free."""

FRESH_S = 1.0
"""A beat not older than this is news enough between two steps."""


@dataclass(slots=True)
class Node:
    """Claims and runs tasks with `parallel` threads until it is drained."""

    parts: Parts
    name: str
    parallel: int = 8
    lease_us: Span = 15 * SECOND
    stop_now: Callable[[], bool] = lambda: False
    wake: threading.Event = field(default_factory=threading.Event)
    copies: Copies = field(init=False)
    session: Session | None = None
    lease: Lease = field(default_factory=Lease)
    _guards: dict[int, Guard] = field(default_factory=dict)
    _waiting: dict[int, tuple[Claim, Future[None], float]] = field(default_factory=dict)
    _finished: deque[float] = field(default_factory=deque)
    _stranded: list[Claim] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pool: ThreadPoolExecutor | None = None
    _beats: threading.Thread | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _asked: float = 0.0

    def __post_init__(self) -> None:
        self.copies = Copies(store=self.parts.store, root=self.parts.work_dir)
        self._finished = deque(maxlen=2 * self.parallel)

    # -- life -------------------------------------------------------------------------------------
    def start(self) -> None:
        """Open the session and begin to beat."""
        self._new_session()
        self._pool = ThreadPoolExecutor(self.parallel, thread_name_prefix="ringctl-work")
        self._beats = threading.Thread(target=self._beat_loop, name="ringctl-beat", daemon=True)
        self._beats.start()

    def drain(self) -> None:
        """Claim nothing more, give back what waits, finish what runs, end the session."""
        self._hand_back(0.0)
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self._ended.set()
        if self._beats is not None:
            self._beats.join(timeout=5)
        self._return_stranded()
        if self.session is not None and not self.lease.lost.is_set():
            self.parts.store.close_session(self.session)
        self.session = None

    @property
    def busy(self) -> int:
        """Tasks in hand."""
        with self._lock:
            return len(self._guards)

    def wants(self) -> int:
        """How many tasks it would take now. A reserve is refilled when half of it is used."""
        since = self.parts.clock.monotonic() - AHEAD_S
        with self._lock:
            ahead = sum(1 for at in self._finished if at > since)
            room = self.parallel + ahead - len(self._guards)
        return room if room >= max(1, min(ahead, self.parallel)) else 0

    def _new_session(self) -> None:
        asked = self.parts.clock.monotonic()
        self.session = self.parts.store.open_session(self.name, lease_us=self.lease_us)
        self.lease = Lease(until=asked + self.lease_us / SECOND)
        self._asked = asked

    # -- the beat ---------------------------------------------------------------------------------
    def _beat_loop(self) -> None:
        pause = max(0.05, self.lease_us / SECOND / 3)
        while not self._ended.wait(min(pause, 5.0)):
            try:
                self._hand_back(HAND_BACK_S)
                self.beat()
            except ExternalError:
                # the store does not answer: the lease runs out by itself, and with it the work
                continue

    def beat(self) -> None:
        """Renew the lease; tell every guard what its wave wants. A lost session loses every claim."""
        session, lease = self.session, self.lease
        if session is None or lease.lost.is_set():
            return
        asked = self.parts.clock.monotonic()
        try:
            beat = self.parts.store.beat(session)
        except SessionLost:
            lease.lost.set()
            with self._lock:
                guards = list(self._guards.values())
            for guard in guards:
                guard.lose()
            return
        lease.until = max(lease.until, asked + self.lease_us / SECOND)
        self._asked = asked
        held = {row.task: row for row in beat.held}
        self._return_stranded()
        with self._lock:
            guards = list(self._guards.values())
        for guard in guards:
            row = held.get(guard.claim.task)
            if row is not None and row.claim == guard.claim.id:
                guard.tell(row.settle, cancelled=row.cancelled)

    def refresh(self, guard: Guard) -> None:
        """A beat now, unless there was one a moment ago. An unknown task is claimed whatever its wave wants:
        what that is must be heard once before anything of it runs."""
        unheard = guard.claim.resolving and not guard.told
        if unheard or self.parts.clock.monotonic() - self._asked > FRESH_S:
            try:
                self.beat()
            except ExternalError:
                return

    def _return_stranded(self) -> None:
        """Give back tasks that a thread here had to leave (the store did not answer, a bug): this session lives
        on, so that no rescue would ever find them. An open step of theirs is settled before anything runs."""
        with self._lock:
            stranded, self._stranded = self._stranded, []
        while stranded:
            try:
                self.parts.store.finish(stranded[-1], TaskState.PENDING, "its node could not go on with it")
            except ClaimLost:
                pass  # somebody else has it: all is well
            except ExternalError:
                with self._lock:
                    self._stranded += stranded
                return
            stranded.pop()

    # -- claims -----------------------------------------------------------------------------------
    def claim(self, rollout: Rollout, *, unknown: bool = True) -> int:
        """Claim what the rollout has to do, as far as threads are free. Returns how many tasks were taken.

        The rollout may be a moment old: whether its wave still admits is read in the claiming transaction.
        """
        if self.lease.lost.is_set():
            if self.busy:
                return 0
            self._new_session()
        session = self.session
        free = self.wants()
        if session is None or free <= 0 or self.stop_now():
            return 0
        store = self.parts.store
        try:
            claims = store.claim_unknown(session, rollout, limit=free) if unknown else ()
            if rollout.state in OPEN_ROLLOUT_STATES:
                for wave in rollout.waves:
                    left = free - len(claims)
                    if left > 0 and wave.state is WaveState.OPEN and wave.settle is Settle.NONE:
                        claims += store.claim(session, rollout, wave, limit=min(left, BATCH))
        except SessionLost:
            self.lease.lost.set()
            return 0
        for claim in claims:
            self._submit(rollout, claim)
        return len(claims)

    def _submit(self, rollout: Rollout, claim: Claim) -> None:
        guard = Guard(
            claim=claim,
            lease=self.lease,
            clock=self.parts.clock,
            store=self.parts.store,
            stop=self.stop_now,
            settle=rollout.wave(claim.wave).settle,
        )
        with self._lock:
            self._guards[claim.task] = guard
        run = TaskRun(
            parts=self.parts,
            copies=self.copies,
            rollout=rollout,
            guard=guard,
            refresh=partial(self.refresh, guard),
        )
        assert self._pool is not None, "claim() before start()"
        future = self._pool.submit(self._work, run)
        with self._lock:
            if self._guards.get(claim.task) is guard and not future.running():
                self._waiting[claim.task] = (claim, future, self.parts.clock.monotonic())
        future.add_done_callback(_raise_bugs)

    def _hand_back(self, waited_s: float) -> None:
        """Take claimed tasks that have waited so long for a thread from the queue; the next beat gives them back."""
        now = self.parts.clock.monotonic()
        with self._lock:
            for claim, future, at in list(self._waiting.values()):
                if now - at >= waited_s and future.cancel():
                    del self._waiting[claim.task], self._guards[claim.task]
                    self._stranded.append(claim)

    def _work(self, run: TaskRun) -> None:
        left = True
        with self._lock:
            self._waiting.pop(run.claim.task, None)
        try:
            if self.lease.holds(self.parts.clock.monotonic()):
                run.run()
                left = False
        except ClaimLost:
            run.guard.lose()
            left = False
        finally:
            with self._lock:
                if self._guards.get(run.claim.task) is run.guard:
                    del self._guards[run.claim.task]
                self._finished.append(self.parts.clock.monotonic())
                if left:
                    self._stranded.append(run.claim)
            self.wake.set()


def _raise_bugs(future: "Future[None]") -> None:
    """An exception nobody expected must not die in the pool: say it; the lease rescues the task."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, ExternalError):
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
