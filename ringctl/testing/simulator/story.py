"""What people do while everything goes wrong, and how a person ends a rollout when it is calm again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.core.errors import BugError, RingctlError
from ringctl.core.model import Rollout
from ringctl.core.states import OPEN_ROLLOUT_STATES, EffectState, RolloutState
from ringctl.core.timing import SECOND
from ringctl.engine import commands, queries
from ringctl.engine.commands import AmendRequest, Request
from ringctl.engine.parts import Parts
from ringctl.testing.simulator.audit import Audit
from ringctl.testing.simulator.fleet import Files
from ringctl.testing.simulator.nodes import Site

REVISIONS = 5
AGES_S = 20_000.0
PATIENCE_S = 400.0
"""Without faults a rollout moves, ends, or says what it waits for, within that."""


@dataclass(slots=True)
class Plot:
    """What a seed has in store. Times in seconds."""

    troubled_s: float
    every_s: float
    wild: bool
    abort_now: bool


@dataclass(slots=True)
class Story:
    """One person, who starts, amends, pauses, aborts and repairs. Each act may be lost, and may be refused."""

    site: Site
    files: Files
    parts: Parts
    audit: Audit
    plot: Plot
    acts: dict[str, int] = field(default_factory=dict)
    rollouts: list[str] = field(default_factory=list)
    over: bool = False
    _edited: str = ""
    _jumped_us: int = -60 * SECOND

    # -- tools -------------------------------------------------------------------------------------
    def attempt(self, name: str, act: Callable[[], object], tries: int = 1) -> bool:
        """Refused is an answer, and so is no answer; a broken invariant is not."""
        self.site.world.note(name)
        for _ in range(tries):
            try:
                act()
            except BugError as error:
                self.site.world.fail(f"bug: {error.message}")
            except RingctlError:
                self.site.world.sleep(1.0)
                continue
            self.acts[name] = self.acts.get(name, 0) + 1
            return True
        return False

    @property
    def rollout(self) -> Rollout:
        """The latest rollout, as it truly stands."""
        return self.audit.store.load(self.rollouts[-1])

    @property
    def is_open(self) -> bool:
        """Whether there is one that is open."""
        return bool(self.rollouts) and self.rollout.state in OPEN_ROLLOUT_STATES

    # -- acts --------------------------------------------------------------------------------------
    def start(self) -> None:
        """A new rollout; after an unanswered start the same again, which attaches."""
        random = self.site.world.random
        if self.rollouts and self.rollout.state is RolloutState.SUCCEEDED:
            self.site.target.book.applied.clear()  # what a release after it has in common with it is run again
        bundle = self.files.bundle(harmful=random.random() < 0.15, half=random.random() < 0.6)
        self.attempt("start", lambda: self._start(bundle), tries=8)
        known = [row.id for row in reversed(self.audit.store.rollouts())]
        self.rollouts += [one for one in known if one not in self.rollouts]

    def _start(self, bundle: Path) -> None:
        commands.start(self.parts, Request(policy=self.files.policy, bundle=bundle, fix=True))

    def amend(self, *, good: bool = False) -> None:
        """Changed bytes in mid rollout."""
        random = self.site.world.random
        bundle = self.files.bundle(
            harmful=not good and random.random() < 0.15, half=good or random.random() < 0.6
        )
        asked = AmendRequest(rollout=self.rollouts[-1], bundle=bundle, author="ben", reason="fix")
        self.attempt("amend", lambda: commands.amend(self.parts, asked), tries=2)

    def pause(self) -> None:
        """Stop widening."""
        self.attempt("pause", lambda: commands.pause(self.parts, self.rollouts[-1], reason="lunch"))

    def resume(self) -> None:
        """Lift holds."""
        self._put_back()
        self.attempt("resume", lambda: commands.resume(self.parts, self.rollouts[-1], reason="back"))

    def abort(self, *, now: bool = False) -> None:
        """End it."""
        name = "abort --now" if now else "abort"
        self.attempt(
            name, lambda: commands.abort(self.parts, self.rollouts[-1], reason="no", now=now), tries=4
        )

    def retry(self, account: str) -> None:
        """Give an account back, or say the truth about it where nothing else can find it out."""
        rollout_id = self.rollouts[-1]
        row = list(self.audit.store.tasks(rollout_id, account=account))[-1]
        doubtful = [s for s in row.steps if s.state in {EffectState.INTENT, EffectState.UNKNOWN}]
        steps = [step for step in doubtful if not step.step.startswith("close_window")]
        took = [s for s in steps if self.site.target.book.applied.get((account, s.step, s.digest))]
        word = "done" if took else "not-done" if steps else ""
        if steps and all(step.step in self.files.probed for step in steps):
            word = ""  # ringctl asks the target itself
        if self.site.target.book.live.get(account):
            return

        def act() -> None:
            commands.retry(self.parts, rollout_id, account, outcome=word, reason="looked")

        if word:
            self.site.target.settle(account)
        self.attempt(f"retry {word}".strip(), act)

    def retry_any(self) -> None:
        """One of those that are failed or unknown."""
        troubled = self.audit.troubled(self.rollouts[-1])
        if troubled:
            self.retry(self.site.world.random.choice(troubled))

    def edit(self) -> None:
        """A script is edited where it lies."""
        origin = Path(self.rollout.origin).name
        if origin in self.files.contents and not self._edited:
            self.files.edit(origin)
            self._edited = origin
            self.acts["edit"] = self.acts.get("edit", 0) + 1

    def _put_back(self) -> None:
        if self._edited:
            self.files.restore(self._edited)
            self._edited = ""

    def jump(self) -> None:
        """The wall clock jumps, forward by less than the grace between two leases and back by more."""
        world = self.site.world
        if world.now_us - self._jumped_us < 45 * SECOND:
            return
        self._jumped_us = world.now_us
        seconds = world.random.choice([1.5, 1.0, -1.0, -5.0, -20.0])
        world.offset_us += round(seconds * SECOND)
        self.acts["jump"] = self.acts.get("jump", 0) + 1

    def outage(self) -> None:
        """The metric source is down for a while, or answers without series."""
        source, world = self.site.source, self.site.world
        word = world.random.choice(["out", "gone", "gone"])
        setattr(source, word, True)
        world.after(world.random.uniform(20.0, 120.0), lambda: setattr(source, word, False))

    def node(self, act: Callable[[str], None]) -> None:
        """Something happens to one of the nodes."""
        names = sorted(self.site.processes)
        if names:
            act(self.site.world.random.choice(names))

    # -- the story ---------------------------------------------------------------------------------
    def tell(self) -> None:
        """Trouble first, then calm."""
        world, plot = self.site.world, self.plot
        begun = world.now_us
        self.start()
        if plot.abort_now:
            world.spawn("hasty", self._hasty, self.site.person)
        while world.now_us - begun < plot.troubled_s * SECOND:
            world.sleep(world.random.exponential(plot.every_s))
            self._trouble()
        self.site.go_calm()
        self._put_back()
        self._mend()
        self._wait_until_nothing_runs()
        self.over = True

    def _trouble(self) -> None:
        world = self.site.world
        seconds = self.site.faults.stop_s
        anytime: list[Callable[[], None]] = [
            self.jump,
            self.outage,
            self.outage,
            lambda: self.node(self.site.crash),
            lambda: self.node(lambda name: self.site.stop(name, seconds())),
            lambda: self.node(self.site.drain),
        ]
        with_rollout: list[Callable[[], None]] = [
            self.amend,
            self.amend,
            self.pause,
            self.resume,
            self.resume,
            self.retry_any,
            self.retry_any,
            self.edit,
            lambda: self.abort(now=False),
        ]
        if not self.is_open:
            self.start()
            return
        act = world.random.choice(anytime * self.plot.wild + with_rollout)
        if act == self.amend and len(self.rollout.revisions) >= REVISIONS:
            return
        act()

    def _hasty(self) -> None:
        """Somebody who loses patience with a step that takes long, and stops it all at once."""
        world, target = self.site.world, self.site.target
        world.sleep(world.random.uniform(5.0, 50.0))
        for _ in range(600):
            bodies = [body for one in target.book.live.values() for body in one if not body.killed]
            long = any(min(body.end_us, body.step_us) - world.now_us > 35 * SECOND for body in bodies)
            if long and self.is_open:
                self.abort(now=True)
                return
            if self.over or self.site.calm:
                return
            world.sleep(2.0)

    # -- calm --------------------------------------------------------------------------------------
    def _mend(self) -> None:
        """Do what `why` asks for until the rollout has ended; it must say so, or move by itself."""
        world = self.site.world
        begun_us = moved_us = world.now_us
        before: object = None
        rounds = 0
        while self.is_open:
            rollout = self.rollout
            if world.now_us - begun_us > AGES_S * SECOND:
                world.fail(f"I12: {rollout.id} does not come to an end, whatever is done")
            seen = ([(w.id, w.state) for w in rollout.waves], rollout.holds, self.site.target.begun)
            if seen != before:
                moved_us, before = world.now_us, seen
            if any(not hold.ends_itself for hold in rollout.holds):
                rounds += 1
                self._as_asked(rollout, rounds)
            elif world.now_us - moved_us > PATIENCE_S * SECOND:
                self._why_not(rollout)
                self.abort()
            world.sleep(10.0)

    def _why_not(self, rollout: Rollout) -> None:
        """It does not move and waits for no person: it must at least say for what it waits."""
        said = queries.next_object(rollout, self.audit.store.facts(rollout))
        if not rollout.holds:
            self.site.world.fail(f"I12: {rollout.id} is {rollout.state} and does not move: {said}")

    def _as_asked(self, rollout: Rollout, rounds: int) -> None:
        said = queries.next_object(rollout, self.audit.store.facts(rollout))
        if not said["way"] or not said["whom"]:
            self.site.world.fail(f"I12: {rollout.id} holds, and `why` does not say what to do: {said}")
        codes = {hold.code for hold in rollout.holds}
        if rounds > 12 or codes & {"revisions-exhausted", "unproven"}:
            self.abort()
        elif "gate-failed" in codes:
            if len(rollout.revisions) < REVISIONS + 2:
                self.amend(good=True)
            else:
                self.abort()
        elif codes & {"accounts"}:
            for account in self.audit.troubled(rollout.id):
                self.retry(account)
            self.site.world.sleep(30.0)
        else:
            self.resume()

    def _wait_until_nothing_runs(self) -> None:
        """Nothing stays in cancelling: what ran when the rollout ended ends, too."""
        world = self.site.world
        until_us = world.now_us + 400 * SECOND
        while self.audit.running() and world.now_us < until_us:
            world.sleep(5.0)
        if self.audit.running():
            world.fail(f"I10: still running long after the end: {', '.join(self.audit.running())}")
