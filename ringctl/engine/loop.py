"""The three ways to drive rollouts: one pass (`tick`), a node's loop (`run`, `work`), and waiting for an end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ringctl.core.errors import ConflictError, ExternalError
from ringctl.core.model import Rollout
from ringctl.core.states import OPEN_ROLLOUT_STATES, RolloutState
from ringctl.core.timing import SECOND, Instant
from ringctl.engine.node import Node
from ringctl.engine.observe import Observer
from ringctl.engine.parts import Parts
from ringctl.engine.reconcile import Reconciler

RESCUE_EVERY_S = 1.0
IDLE_S = 0.2
DECIDE_EVERY_S = 0.1
"""While a node finds work in the waves it knows, the whole picture is looked at this often. What a claim may take
is decided by the store, in the claim's own transaction: a hold takes effect at once all the same."""
GRACE_US = 7 * SECOND
"""After a dead session's lease: the kill grace of its shims and a margin, before anybody takes over."""

EXIT_OF_HOLD = {
    "drift": 18,
    "gate-failed": 10,
    "accounts": 17,
    "unproven": 14,
    "revisions-exhausted": 12,
    "gate-silent": 11,
    "idle": 11,
    "pause": 12,
}
"""Exit codes of holds, by the precedence of DESIGN 12.25 (18, 10, 17, 12, 14, 13, 11, 69)."""

PRECEDENCE = (18, 10, 17, 12, 14, 13, 11, 69)

EXIT_OF_STATE = {
    RolloutState.SUCCEEDED: 0,
    RolloutState.PARTIAL: 21,
    RolloutState.ABORTED: 15,
    RolloutState.ROLLED_BACK: 15,
    RolloutState.SUPERSEDED: 15,
}


@dataclass(slots=True)
class Driver:
    """Drives all open rollouts (or one) in this process: decides, observes, and works if it has a node."""

    parts: Parts
    node: Node | None = None
    only: str = ""
    decides: bool = True
    reconciler: Reconciler = field(init=False)
    observer: Observer = field(init=False)
    stopping: threading.Event = field(default_factory=threading.Event)
    _observing: threading.Thread | None = None
    _rescued: float = float("-inf")
    _known: list[Rollout] = field(default_factory=list)
    _looked: float = float("-inf")
    _bug: Exception | None = None

    def __post_init__(self) -> None:
        self.reconciler = Reconciler(parts=self.parts)
        self.observer = Observer(parts=self.parts)

    # -- one pass ---------------------------------------------------------------------------------
    def ids(self) -> list[str]:
        """Ids of the rollouts to serve: open ones, and ended ones whose tasks still settle."""
        if self.only:
            return [self.only]
        return [row.id for row in self.parts.store.rollouts(only_open=True)]

    def rescue(self) -> None:
        """Rescue tasks of dead nodes, at most once a second."""
        now = self.parts.clock.monotonic()
        if now - self._rescued >= RESCUE_EVERY_S:
            self._rescued = now
            self.parts.store.rescue(grace_us=GRACE_US)

    def step(self) -> bool:
        """One pass over all rollouts: rescue, decide, claim. Returns whether anything moved."""
        self.rescue()
        if self.node is not None and self.parts.clock.monotonic() - self._looked < DECIDE_EVERY_S:
            if not self.node.wants():
                return False
            if sum(self.node.claim(rollout, unknown=False) for rollout in self._known):
                return True
        moved = False
        known = []
        for rollout_id in self.ids():
            rollout = self._decided(rollout_id)
            known.append(rollout)
            if self.node is not None:
                moved = bool(self.node.claim(rollout)) or moved
        self._known, self._looked = known, self.parts.clock.monotonic()
        return moved

    def _decided(self, rollout_id: str) -> Rollout:
        if not self.decides:
            return self.parts.store.load(rollout_id)
        return self.reconciler.reconcile(rollout_id).rollout

    def observe(self) -> bool:
        """One round of looks. Returns whether any was taken."""
        looked = False
        for rollout_id in self.ids():
            looked = self.observer.observe(self.parts.store.load(rollout_id)) or looked
        return looked

    # -- the loop ---------------------------------------------------------------------------------
    @property
    def called_off(self) -> bool:
        """Whether the node of this process was told to drain, or to stop."""
        return self.node is not None and self.node.called_off

    def run(self, until: Callable[[], bool], *, on_pass: Callable[[], None] = lambda: None) -> None:
        """Serve until `until()` is true, the node is called off or `stopping` is set; then drain what it holds."""
        if self.node is not None:
            self.node.start()
        if self.decides:
            self._observing = threading.Thread(target=self._observe_loop, name="ringctl-observe", daemon=True)
            self._observing.start()
        try:
            moved, checked = False, float("-inf")
            while not self.stopping.is_set():
                if not moved or self.parts.clock.monotonic() - checked >= DECIDE_EVERY_S:
                    checked = self.parts.clock.monotonic()
                    if self.called_off or until():
                        break
                    on_pass()
                moved = self._safe_step()
                if not moved:
                    self._rest()
        finally:
            self.stopping.set()
            if self._observing is not None:
                self._observing.join(timeout=10)
            if self.node is not None:
                self.node.drain()
        if self._bug is not None:
            raise self._bug

    def _safe_step(self) -> bool:
        """A pass that survives a store that does not answer and a race lost: both are tried again."""
        try:
            return self.step()
        except (ExternalError, ConflictError):
            self.parts.clock.wait(self.stopping, 1.0)
            return False

    def _observe_loop(self) -> None:
        while not self.stopping.is_set():
            try:
                self.observe()
            except (ExternalError, ConflictError):
                self.parts.clock.wait(self.stopping, 1.0)
            except Exception as error:  # noqa: BLE001 - a node that no longer observes must end, and say why
                self._bug = error
                self.stopping.set()
            self.parts.clock.wait(self.stopping, IDLE_S)

    def _rest(self) -> None:
        """Wait a little, or until a task has ended here."""
        if self.node is not None:
            self.parts.clock.wait(self.node.wake, IDLE_S)
            self.node.wake.clear()
        else:
            self.parts.clock.wait(self.stopping, IDLE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What `wait` waits for: the end, or a ring passed; `until_us` is the time-out by the store's clock."""

    rollout: str
    ring: str = ""
    until_us: Instant | None = None


def reached(parts: Parts, goal: Goal) -> int | None:
    """The exit code with which waiting ends now, or None to wait on (DESIGN 12.25).

    A hold that only a person can end answers at once; one that ends by itself is waited out.
    """
    rollout = parts.store.load(goal.rollout)
    if rollout.state not in OPEN_ROLLOUT_STATES:
        return EXIT_OF_STATE[rollout.state]
    if goal.ring and ring_passed(rollout, goal.ring):
        return 0
    codes = [EXIT_OF_HOLD.get(hold.code, 12) for hold in rollout.holds if not hold.ends_itself]
    for code in PRECEDENCE:
        if code in codes:
            return code
    if goal.until_us is not None and parts.store.now_us() >= goal.until_us:
        return 124
    return None


def ring_passed(rollout: Rollout, ring: str) -> bool:
    """Whether every wave of the ring (its reserve apart) has passed under the current revision."""
    if not rollout.qualified or ring not in rollout.drawn:
        return False
    waves = [w for w in rollout.current_waves() if w.ring == ring and w.kind != "reserve"]
    return all(wave.over for wave in waves)


def state_exit(rollout: Rollout) -> int:
    """The exit code that describes where a rollout stands now (`status`, `tick`)."""
    if rollout.state not in OPEN_ROLLOUT_STATES:
        return EXIT_OF_STATE[rollout.state]
    codes = [EXIT_OF_HOLD.get(hold.code, 0) for hold in rollout.holds]
    return next((code for code in PRECEDENCE if code in codes), 0)
