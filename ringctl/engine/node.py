"""A node: one session, a beat, and worker threads that claim tasks and run them.

The session's id is new at every process start. The lease deadline is counted from before each beat was asked for,
on the node's own monotonic clock; when it passes, everything stops here before anybody else may take over.

A session has one lease, the shortest that a rollout served so far asks for. When one asks for a shorter one the node
claims nothing more until it holds nothing, and opens a new session: shortened under a running step, the store's lease
would end before the deadline that the step's shim was told.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from ringctl.core.errors import ClaimLost, ExternalError, SessionLost
from ringctl.core.model import Rollout, Session
from ringctl.core.states import OPEN_ROLLOUT_STATES, Settle, WaveState
from ringctl.core.timing import SECOND, Span
from ringctl.engine.copies import Copies
from ringctl.engine.guard import Guard, Lease
from ringctl.engine.parts import Parts
from ringctl.engine.running import TaskRun, given_back
from ringctl.ports.records import Claim, Ending, Held

BATCH = 10
"""Most tasks claimed in one transaction."""

AHEAD_S = 0.5
"""In reserve a node holds at most what it finished in so long: quick tasks are claimed in batches, and a slow step
keeps no claimed account waiting."""
HAND_BACK_S = 5.0
"""A claimed task that no thread has begun for so long goes back: another node may be free."""

FRESH_S = 1.0
"""A beat not older than this (or than a quarter of the lease) is news enough between two steps."""

BEATS_PER_LEASE = 4
SLOWEST_BEAT_S = 5.0
AGAIN_S = 1.0
"""A beat that was not answered is tried again after this, or after a usual pause where that is shorter."""


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
    draining: bool = False
    halfway: list[Ending] = field(default_factory=list)
    _guards: dict[int, Guard] = field(default_factory=dict)
    _waiting: dict[int, tuple[Claim, Future[None], float]] = field(default_factory=dict)
    _finished: deque[float] = field(default_factory=deque)
    _stranded: list[Ending] = field(default_factory=list)
    _strange: frozenset[str] = frozenset()
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asking: threading.Lock = field(default_factory=threading.Lock)
    _returning: threading.Lock = field(default_factory=threading.Lock)
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
        """Claim nothing more, give back what waits, finish what runs, end the session. Where the store does not
        answer, what is known of the tasks is tried again until the lease is over; a stop does not wait for that."""
        self._hand_back(0.0)
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self._return_stranded()
        while self._stranded and not self.stop_now() and self.lease.holds(self.parts.clock.monotonic()):
            self.parts.clock.sleep(min(AGAIN_S, self.pause_s))
            self._return_stranded()
        self._ended.set()
        if self._beats is not None:
            self._beats.join(timeout=5)
        if self.session is not None and not self.lease.lost.is_set():
            with contextlib.suppress(ExternalError):  # then the lease runs out by itself
                self.parts.store.close_session(self.session)
        self.session = None

    @property
    def called_off(self) -> bool:
        """Whether it was told to end: by `nodes drain`, a stop file or `RINGCTL_STOP`."""
        return self.draining or self.stop_now()

    @property
    def in_hand(self) -> tuple[str, ...]:
        """Accounts in hand, and those whose end the store does not know yet."""
        with self._lock:
            claims = [guard.claim for guard in self._guards.values()]
            claims += [ending.claim for ending in self._stranded]
        return tuple(sorted({claim.account for claim in claims}))

    @property
    def unwritten(self) -> tuple[Ending, ...]:
        """How tasks ended that the store does not know yet."""
        with self._lock:
            return tuple(self._stranded)

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

    @property
    def pause_s(self) -> float:
        """Seconds from one beat to the next."""
        return min(SLOWEST_BEAT_S, self.lease_us / SECOND / BEATS_PER_LEASE)

    def _new_session(self) -> None:
        asked = self.parts.clock.monotonic()
        self.session = self.parts.store.open_session(self.name, lease_us=self.lease_us)
        span_s = self.lease_us / SECOND
        self.lease = Lease(until=asked + span_s, span_s=span_s)
        self._asked = asked

    def _shortened(self, rollout: Rollout) -> bool:
        """Whether the session's lease is short enough for the rollout; idle, the node opens one that has it."""
        session = self.session
        self.lease_us = min(self.lease_us, rollout.policy.lease_us)
        if session is None or session.lease_us <= self.lease_us:
            return True
        with self._lock:
            if self._guards or self._stranded:
                return False
        self.parts.store.close_session(session)
        self.lease.lost.set()
        self._new_session()
        return True

    # -- the beat ---------------------------------------------------------------------------------
    def _beat_loop(self) -> None:
        clock = self.parts.clock
        due = self._asked + self.pause_s
        while not self._ended.wait(max(0.01, due - clock.monotonic())):
            due = clock.monotonic() + self.pause_s
            try:
                self._hand_back(0.0 if self.called_off else HAND_BACK_S)
                self.beat()
            except ExternalError:
                # the store does not answer: the lease runs out by itself, and with it the work
                due = min(due, clock.monotonic() + AGAIN_S)

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
                guards = [guard for guard in self._guards.values() if guard.lease is lease]
            for guard in guards:
                guard.lose()
            return
        lease.until = max(lease.until, asked + session.lease_us / SECOND)
        self._asked = asked
        self.draining = self.draining or beat.draining
        held = {row.task: row for row in beat.held}
        with self._lock:
            guards = list(self._guards.values())
        for guard in guards:
            row = held.get(guard.claim.task)
            if row is not None and row.claim == guard.claim.id:
                guard.tell(row.settle, cancelled=row.cancelled)
        self._return_stranded()
        self._give_up_strange(session, beat.held)

    def _known(self) -> frozenset[str]:
        """Claims that this node knows it holds."""
        with self._lock:
            known = {guard.claim.id for guard in self._guards.values()}
            return frozenset(known | {ending.claim.id for ending in self._stranded})

    def _give_up_strange(self, session: Session, held: tuple[Held, ...]) -> None:
        """Give up claims that this session holds without our knowing: the answer to their commit was lost, and as
        long as the session lives no rescue would find them. Seen in two beats, and never while a claim is asked
        for: what that takes becomes known when it is answered."""
        before = self._strange
        self._strange = frozenset(row.claim for row in held) - self._known()
        if not before & self._strange or not self._asking.acquire(blocking=False):
            return
        try:
            known = self._known()
            if before & self._strange - known:
                self.parts.store.abandon(session, keep=sorted(known))
                self._strange = frozenset()
        finally:
            self._asking.release()

    def refresh(self, guard: Guard) -> None:
        """A beat now, unless there was one a moment ago. An unknown task is claimed whatever its wave wants:
        what that is must be heard once before anything of it runs."""
        unheard = guard.claim.resolving and not guard.told
        if unheard or self.parts.clock.monotonic() - self._asked > min(FRESH_S, self.pause_s):
            try:
                self.beat()
            except ExternalError:
                return

    def _return_stranded(self) -> None:
        """Write how tasks ended whose thread could not (the store did not answer, a bug): this session lives on, so
        that no rescue would ever find them. An open step of theirs is settled before anything runs."""
        if not self._returning.acquire(blocking=False):
            return  # another thread is at it
        try:
            for ending in self.unwritten:
                # without the claim all is well: somebody else has it, or it was written and only the answer was lost
                with contextlib.suppress(ClaimLost):
                    self.parts.store.finish(
                        ending.claim, ending.state, ending.reason, lines=ending.lines, last=ending.last
                    )
                with self._lock:
                    self._stranded = [one for one in self._stranded if one is not ending]
        except ExternalError:
            return  # the next beat tries again
        finally:
            self._returning.release()

    # -- claims -----------------------------------------------------------------------------------
    def claim(self, rollout: Rollout, *, unknown: bool = True) -> int:
        """Claim what the rollout has to do, as far as threads are free. Returns how many tasks were taken.

        The rollout may be a moment old: whether its wave still admits is read in the claiming transaction.
        """
        if self.called_off or not self._asking.acquire(blocking=False):
            return 0
        try:
            return self._claim(rollout, unknown=unknown)
        finally:
            self._asking.release()

    def _claim(self, rollout: Rollout, *, unknown: bool) -> int:
        if self.lease.lost.is_set():
            if self.busy:
                return 0
            self._new_session()
        free = self.wants()
        if self.session is None or free <= 0 or not self._shortened(rollout):
            return 0
        session, store, taken = self.session, self.parts.store, 0
        try:
            if unknown:
                taken += self._take(rollout, store.claim_unknown(session, rollout, limit=free))
            if rollout.state in OPEN_ROLLOUT_STATES:
                for wave in rollout.waves:
                    left = free - taken
                    if left > 0 and wave.state is WaveState.OPEN and wave.settle is Settle.NONE:
                        taken += self._take(
                            rollout, store.claim(session, rollout, wave, limit=min(left, BATCH))
                        )
        except SessionLost:
            self.lease.lost.set()
        return taken

    def _take(self, rollout: Rollout, claims: tuple[Claim, ...]) -> int:
        known = {wave.id for wave in rollout.waves}
        if any(claim.wave not in known for claim in claims):  # it was amended since it was read
            rollout = self.parts.store.load(rollout.id)
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
                    self._stranded.append(given_back(claim))

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
            left, run.ending = False, None
        finally:
            ending = run.left() if left else run.ending
            with self._lock:
                if self._guards.get(run.claim.task) is run.guard:
                    del self._guards[run.claim.task]
                self._finished.append(self.parts.clock.monotonic())
                if left and ending is not None:
                    self._stranded.append(ending)
                if ending is not None and run.halfway(ending) and self.stop_now():
                    self.halfway.append(ending)
            self.wake.set()


def _raise_bugs(future: "Future[None]") -> None:
    """An exception nobody expected must not die in the pool: say it; the lease rescues the task."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, ExternalError):
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
