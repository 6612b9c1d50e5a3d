"""`ringctl demo`: a real upgrade over real databases behind a real service, stopped by health, amended, finished.

Everything is real but the users: the accounts' databases, the service and its metrics, the traffic, the
rollout's store and journal. The story is the one of 29 September 2017, in seconds instead of hours.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from ringctl.bootstrap import open_parts, open_store, public
from ringctl.core.audit import audit_chain
from ringctl.core.errors import UsageError
from ringctl.core.model import Rollout
from ringctl.core.states import OPEN_ROLLOUT_STATES, RolloutState, WaveKind
from ringctl.core.timing import SECOND, human
from ringctl.demo import inspect, material, postgres, prometheus, service, traffic
from ringctl.demo.narrator import Narrator, Say
from ringctl.demo.nodes import Crew, Inside, Workers
from ringctl.demo.world import World, make_world, write_inventory
from ringctl.engine import commands
from ringctl.engine.parts import Parts

TOO_LONG_S = 600.0
HAPPENED = "2017: up to 8,244 accounts exposed, 45 min until a customer found it, 8 h until it was over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `ringctl demo` takes. `directory` "" makes a new one; `state` "" keeps the store inside it."""

    accounts: int = 60
    directory: str = ""
    engine: str = "sqlite"
    fault: str = "window"
    metrics: str = "auto"
    state: str = ""
    rate: float = 0.0
    nodes: int = 0
    """Processes of their own that do the work; 0: this process does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the story ended. `failures` lists every promise that did not hold; empty is success."""

    directory: Path
    rollout: str
    state: str
    seconds: float
    exposed: tuple[str, ...]
    minutes: float
    failures: tuple[str, ...]


def run(options: Options, say: Say) -> Outcome:
    """Play the whole story. Raises UsageError for a directory that is in use."""
    directory = _directory(options)
    first, fix = material.STORIES[options.fault]
    with ExitStack() as stack:
        world = _world(options, directory, stack, say)
        metrics = _services(options, world, stack, say)
        policy = material.write_policy(directory, *metrics)
        bundles = [material.write_bundle(directory, name) for name in (first, fix) if name]
        state = options.state or f"sqlite:///{directory.resolve() / 'ringctl.db'}"
        with closing(open_store(state)) as store:
            store.migrate()
        parts = stack.enter_context(open_parts(state))
        story = _Story(
            parts=parts,
            world=world,
            policy=policy,
            bundles=bundles,
            say=say,
            state=state,
            nodes=options.nodes,
        )
        outcome = story.play()
    _farewell(outcome, state, say)
    return outcome


def _directory(options: Options) -> Path:
    if not options.directory:
        return Path(tempfile.mkdtemp(prefix="ringctl-demo-"))
    path = Path(options.directory)
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty", hint="name a new directory, or none")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _world(options: Options, directory: Path, stack: ExitStack, say: Say) -> World:
    say(f"Making {options.accounts} accounts with databases of their own ({options.engine}) in {directory}")
    prefix = ""
    if options.engine == "postgresql":
        if not postgres.available():
            raise UsageError(
                "no PostgreSQL can be started here", hint="install ringctl with the extra `demo`"
            )
        child, prefix = postgres.start(directory)
        stack.callback(child.stop)
    return make_world(directory, accounts=options.accounts, engine=options.engine, dsn_prefix=prefix)


def _services(options: Options, world: World, stack: ExitStack, say: Say) -> tuple[str, str]:
    """Start service, traffic and metrics; the metric source's type and address."""
    child, url = service.start(world.directory)
    stack.callback(child.stop)
    write_inventory(world, url)
    users = traffic.start(world.directory, url, rate=options.rate or None)
    stack.callback(users.stop)
    say(f"A builds service answers at {url}; its users send about {traffic.default_rate(options.accounts):.0f} "
        "queries a second")  # fmt: skip
    if options.metrics == "prometheus" or (options.metrics == "auto" and prometheus.available()):
        server = prometheus.start(world.directory, url)
        stack.callback(server.stop)
        say(f"Prometheus scrapes it every second: {server.url}")
        return "prometheus", server.url
    say("ringctl scrapes its metrics itself (no Prometheus needed)")
    return "scrape", url


@dataclass(slots=True)
class _Story:
    """The rollout's part of it."""

    parts: Parts
    world: World
    policy: Path
    bundles: list[Path]
    say: Say
    state: str
    nodes: int

    def play(self) -> Outcome:
        """Plan, start, watch, amend when the gate fails, and account for everything at the end."""
        request = commands.Request(policy=self.policy, bundle=self.bundles[0], release="sprint-upgrade")
        self._show_plan(commands.plan(self.parts, request))
        rollout = commands.start(self.parts, request).rollout
        began = rollout.created_us
        narrator = Narrator(store=self.parts.store, rollout=rollout.id, began_us=began, say=self.say)
        self.say(f"\nRollout {rollout.id} starts with r1")
        workers = self._workers(rollout.id)
        try:
            self._follow(rollout.id, narrator, workers)
        finally:
            workers.stop()
        narrator.catch_up()
        return self._account(self.parts.store.load(rollout.id))

    def _workers(self, rollout_id: str) -> Workers:
        if not self.nodes:
            return Inside(self.parts, rollout_id)
        return Crew(
            parts=self.parts,
            world=self.world,
            state=self.state,
            rollout=rollout_id,
            count=self.nodes,
            say=self.say,
        )

    def _show_plan(self, planned: commands.Planned) -> None:
        self.say(f"\nThe plan ({planned.plan.digest[:15]}): {planned.plan.accounts} accounts")
        for ring in planned.plan.rings:
            waves = ", ".join(f"{wave.kind} {len(wave.members)}" for wave in ring.waves)
            held = f"; {ring.reserve} in reserve" if ring.reserve else ""
            self.say(f"  ring {ring.name:9} {ring.accounts:3} accounts: {waves}{held}")

    def _follow(self, rollout_id: str, narrator: Narrator, workers: Workers) -> None:
        """Until the rollout has ended; the amendment is made once, when the gate has failed and all is settled."""
        amendments = self.bundles[1:]
        deadline = self.parts.clock.monotonic() + TOO_LONG_S
        while workers.look() and self.parts.clock.monotonic() < deadline:
            narrator.catch_up()
            rollout = self.parts.store.load(rollout_id)
            if rollout.state not in OPEN_ROLLOUT_STATES:
                return
            if rollout.hold("gate-failed") and self._settled(rollout):
                if not amendments:
                    return
                self._amend(rollout, amendments.pop(0))
            self.parts.clock.sleep(0.2)

    def _settled(self, rollout: Rollout) -> bool:
        facts = self.parts.store.facts(rollout)
        return not any(facts.wave(wave.id).running for wave in rollout.waves)

    def _amend(self, rollout: Rollout, bundle: Path) -> None:
        accounts, minutes = self._exposure(rollout, 1)
        self.say(f"\nExposed to r1: {len(accounts)} of {rollout.accounts} accounts ({', '.join(accounts)}), "
                 f"{minutes:.1f} account-minutes; their windows are closed")  # fmt: skip
        self.say(
            "The author changes the script: readers that know both forms. It does not go on where it stopped:"
        )
        request = commands.AmendRequest(
            rollout=rollout.id,
            bundle=bundle,
            author="build-oncall",
            reason="readers of both forms",
            watcher="build-oncall",
        )
        commands.amend(self.parts, request)

    def _exposure(self, rollout: Rollout, revision: int) -> tuple[tuple[str, ...], float]:
        """Accounts that the revision ran on, and account-minutes between its first step and its end or close."""
        now = self.parts.store.now_us()
        accounts: dict[str, None] = {}
        spent = 0
        for row in self.parts.store.exposure(rollout.id, revision=revision):
            accounts[row.account] = None
            if row.phase != "done" and not row.phase.startswith(("between:close_window", "undone")):
                spent += (row.to_us or now) - row.from_us
        return tuple(accounts), spent / SECOND / 60

    def _account(self, rollout: Rollout) -> Outcome:
        """Hold the promises against what is there."""
        total = inspect.total(inspect.look_at_all(self.world))
        broken = audit_chain(self.parts.store.journal(rollout.id))
        amended = len(rollout.revisions) > 1
        exposed, minutes = self._exposure(rollout, 1) if amended else ((), 0.0)
        checks = [
            (rollout.state is RolloutState.SUCCEEDED, f"the rollout is {rollout.state}"),
            (not self.parts.store.tallies().get("double_claims"), "a step ran under two claims at once"),
            (broken is None, f"the journal's chain breaks at entry {broken}"),
            (total.whole == total.accounts, f"{total.accounts - total.whole} account(s) miss data: {total}"),
            (total.upgraded == total.accounts, f"{total.accounts - total.upgraded} account(s) not upgraded"),
            (set(exposed) <= self._canary_members(rollout), "r1 left its canary subset"),
            (self._subset_first(rollout), "r2 left its subset before it had passed"),
        ]
        failures = tuple(text for held, text in checks if not held)
        seconds = ((rollout.ended_us or self.parts.store.now_us()) - rollout.created_us) / SECOND
        self._summary(rollout, exposed, minutes, seconds, failures)
        return Outcome(
            directory=self.world.directory,
            rollout=rollout.id,
            state=str(rollout.state),
            seconds=seconds,
            exposed=exposed,
            minutes=minutes,
            failures=failures,
        )

    def _canary_members(self, rollout: Rollout) -> set[str]:
        canaries = {wave.id for wave in rollout.waves if wave.kind is WaveKind.CANARY and wave.revision == 1}
        rows = self.parts.store.tasks(rollout.id)
        return {row.account for row in rows if row.revision == 1 and row.wave in canaries}

    def _subset_first(self, rollout: Rollout) -> bool:
        """Whether no later wave of the last revision opened before its subset passed."""
        waves = list(rollout.current_waves())
        subset = [wave for wave in waves if wave.kind is WaveKind.REQUALIFICATION]
        if rollout.revision.number == 1:
            return True
        passed = max((wave.ended_us or 0 for wave in subset), default=None)
        later = [w.opened_us for w in waves if w.kind is not WaveKind.REQUALIFICATION and w.opened_us]
        small = all(wave.accounts <= 5 for wave in subset)
        return passed is not None and small and all(opened >= passed for opened in later)

    def _summary(
        self,
        rollout: Rollout,
        exposed: Iterable[str],
        minutes: float,
        seconds: float,
        failures: Iterable[str],
    ) -> None:
        names = tuple(exposed)
        self.say(f"\n{rollout.id}: {rollout.state} after {human(int(seconds * SECOND))}")
        if len(rollout.revisions) > 1:
            self.say(
                f"  here: {len(names)} account(s) exposed, {minutes:.1f} account-minutes, 0 outside the canary"
            )
            self.say(f"  {HAPPENED}")
        self.say("  journal: chain verified (unanchored)")
        for failure in failures:
            self.say(f"  NOT HELD: {failure}")


def _farewell(outcome: Outcome, state: str, say: Callable[[str], None]) -> None:
    program = _program()
    say(f"\nEverything stays in {outcome.directory}. Look around:")
    say(f"  export RINGCTL_STATE={public(state)}")
    for command in (
        "status last",
        "events last -o ndjson",
        "exposure last --revision r1",
        "why last",
        "audit verify last",
    ):
        say(f"  {program} {command}")


def _program() -> str:
    """How the reader can call this very program: by the path it was started with, seen from here."""
    started = Path(sys.argv[0]).absolute()
    if started.name != "ringctl" or not started.is_file():
        return f"{sys.executable} -m ringctl"
    here = Path.cwd()
    return str(started.relative_to(here)) if started.is_relative_to(here) else str(started)
