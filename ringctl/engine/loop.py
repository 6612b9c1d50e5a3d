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
from ringctl.engine.pace import Pace
from ringctl.engine.parts import Parts
from ringctl.engine.reconcile import Reconciler

FOR_GOOD = frozenset({"RC5105"})
"""What no waiting mends: another ringctl has changed the schema under this one."""
RESCUE_EVERY_S = 1.0
SLICE_S = 0.5
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
    "overshoot": 11,
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
    backs_off: bool = False
    """Look less and less often while nothing happens, and listen for what does: for a process that stays."""
    say: Callable[[str], None] = lambda _: None
    """Told when the store no longer answers, and when it does again."""
    reconciler: Reconciler = field(init=False)
    observer: Observer = field(init=False)
    stopping: threading.Event = field(default_factory=threading.Event)
    _observing: threading.Thread | None = None
    _pace: Pace = field(default_factory=Pace)
    _heard: threading.Event = field(default_factory=threading.Event)
    _rescued: float = float("-inf")
    _known: list[Rollout] = field(default_factory=list)
    _looked: float = float("-inf")
    _bug: Exception | None = None
    _silent: str = ""

    def __post_init__(self) -> None:
        self.reconciler = Reconciler(parts=self.parts)
        self.observer = Observer(parts=self.parts)

    # -- one pass ---------------------------------------------------------------------------------
    def ids(self) -> list[str]:
        """Ids of the rollouts to serve: open ones, and ended ones whose tasks still settle."""
        if self.only:
            return [self.only]
        return list(self.parts.store.served())

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
        if [(one.id, one.version) for one in known] != [(one.id, one.version) for one in self._known]:
            self._pace.hurry()
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
        self._pace = Pace(steady=not self.backs_off)
        deaf = self.parts.store.on_change(self.wake) if self.backs_off else lambda: None
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
                    self._rest(until)
        finally:
            self.stopping.set()
            self._heard.set()
            if self._observing is not None:
                self._observing.join(timeout=10)
            if self.node is not None:
                self.node.drain()
            deaf()
        if self._bug is not None:
            raise self._bug

    def _safe_step(self) -> bool:
        """A pass that survives a store that does not answer and a race lost: both are tried again."""
        try:
            moved = self.step()
        except ConflictError:
            self.parts.clock.wait(self.stopping, 1.0)
            return False
        except ExternalError as error:
            if error.code in FOR_GOOD:
                raise
            if error.code != self._silent:
                self.say(f"{error.code}: {error.message}; tried again until it answers")
            self._silent = error.code
            self.parts.clock.wait(self.stopping, 1.0)
            return False
        if self._silent:
            self._silent = ""
            self.say("the store answers again")
        return moved

    def wake(self) -> None:
        """Look now: a decision was saved somewhere, or this process shall end."""
        self._pace.hurry()
        self._heard.set()
        if self.node is not None:
            self.node.wake.set()

    @property
    def live(self) -> bool:
        """Whether a rollout goes on, or may go on, without a person."""
        return any(
            rollout.state in OPEN_ROLLOUT_STATES and all(hold.ends_itself for hold in rollout.holds)
            for rollout in self._known
        )

    def _observe_loop(self) -> None:
        pace = Pace(steady=not self.backs_off)
        while not self.stopping.is_set():
            try:
                self.observe()
            except (ExternalError, ConflictError):
                self.parts.clock.wait(self.stopping, 1.0)
            except Exception as error:  # noqa: BLE001 - a node that no longer observes must end, and say why
                self._bug = error
                self.stopping.set()
                self.wake()
            if self.live or self._heard.is_set():
                pace.hurry()
            self._heard.clear()
            if not self.stopping.is_set():
                self.parts.clock.wait(self._heard, pace.pause(live=self.live))

    def _rest(self, until: Callable[[], bool]) -> None:
        """Wait a little, or until a task has ended here or somebody decided something. A signal is only noted: a long
        rest looks for it now and then."""
        left = self._pace.pause(live=self.live)
        woken = self.stopping if self.node is None else self.node.wake
        while not self.parts.clock.wait(woken, min(left, SLICE_S)):
            left -= SLICE_S
            if left <= 0 or self.called_off or until():
                break
        else:
            self._pace.hurry()
        if self.node is not None:
            self.node.wake.clear()


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
