"""One seed: a world is drawn, played to its end, and judged."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ringctl.core.timing import HOUR
from ringctl.testing.simulator.audit import Audit
from ringctl.testing.simulator.bugs import BUGS
from ringctl.testing.simulator.faults import Faults, drawn
from ringctl.testing.simulator.fleet import Files
from ringctl.testing.simulator.nodes import Site, directory, template
from ringctl.testing.simulator.oracle import Oracle
from ringctl.testing.simulator.source import SimSource
from ringctl.testing.simulator.story import Plot, Story
from ringctl.testing.simulator.target import Manners, Target
from ringctl.testing.simulator.threads import fibers_for_threads
from ringctl.testing.simulator.wanted import Wanted, statements, stop_reaches_withdrawn
from ringctl.testing.simulator.world import World
from ringctl.testing.values import NOON

NEWS = 24
"""After so much news the whole picture is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a seed went. `failure` is the first broken promise, empty when all held; `trace` sums up everything
    that was scheduled: the same seed has the same one everywhere."""

    seed: int
    failure: str
    trace: int
    switches: int
    points: int
    hours: float
    begun: int
    stops: int
    crashes: int
    refused: int
    acts: dict[str, int] = field(default_factory=dict)
    ends: tuple[str, ...] = ()


def play(seed: int, bug: str = "", *, as_is: bool = False) -> Played:
    """Play one seed, with a seeded bug of the product or without. `as_is`: without what `wanted` does for it."""
    world = World(seed)
    with directory() as place, ExitStack() as stack:
        stack.enter_context(fibers_for_threads(world))
        site = drawn_site(world, place)
        stack.callback(site.open.close)
        if not as_is:
            site.wanted = Wanted(site.database)
            site.overrides |= statements()
            stack.callback(site.wanted.close)
            stack.enter_context(stop_reaches_withdrawn())
        if bug:
            stack.enter_context(BUGS[bug](site))
        story = drawn_story(site)
        audit = story.audit
        stack.callback(audit.close)
        stack.callback(site.oracle.close)
        world.run(lambda: over(site, story))
        if not world.failure:
            world.failure = "\n".join(audit.broken(whole=True))
        ends = tuple(str(row.state) for row in audit.store.rollouts())
    faults = site.faults
    return Played(
        seed=seed,
        failure=world.failure,
        trace=world.trace,
        switches=world.switches,
        points=faults.points,
        hours=(world.now_us - NOON) / HOUR,
        begun=site.target.begun,
        stops=faults.stops,
        crashes=faults.crashes,
        refused=faults.refused,
        acts=story.acts,
        ends=ends,
    )


def drawn_site(world: World, place: Path) -> Site:
    """The machines and accounts of a seed."""
    random = world.random
    database = place / "ringctl.db"
    database.write_bytes(template()[1])
    oracle = Oracle(world=world, database=database)
    faults = Faults(world, drawn(random))
    manners = Manners(
        median_s=random.choice([1.5, 4.0, 10.0]),
        slow=random.choice([0.0, 0.1, 0.3]),
        fails=random.choice([0.0, 0.02, 0.08]),
        signals=random.choice([0.0, 0.02, 0.05]),
        unreachable=random.choice([0.0, 0.02]),
        deaf=random.choice([0.0, 0.3]),
    )
    target = Target(world=world, manners=manners, oracle=oracle)
    return Site(
        world=world,
        directory=place,
        faults=faults,
        oracle=oracle,
        target=target,
        source=SimSource(faults, oracle),
        lazy_s=random.choice([2.0, 4.0, 6.0]),
        workers=random.choice([1, 2, 3]),
    )


def drawn_story(site: Site) -> Story:
    """The people and the fleet of a seed; its nodes start."""
    random = site.world.random
    files = Files.drawn(site.directory, random, site.oracle)
    hasty = random.random() < 0.35
    if hasty:
        site.target.manners = replace(site.target.manners, slow=0.5)
        files.timeout_s = 90
    names = files.fleet()
    site.source.accounts = set(names)
    site.source.harms = lambda account: site.target.now_on.get(account, "") in files.harmful
    plot = Plot(
        troubled_s=random.choice([60.0, 120.0, 240.0]),
        every_s=random.choice([15.0, 30.0, 60.0]),
        wild=random.random() < 0.8,
        abort_now=hasty,
    )
    audit = Audit(store=site.bare_store("audit", spoilt=False), database=site.database)
    story = Story(site=site, files=files, parts=site.parts(site.person), audit=audit, plot=plot)
    site.world.spawn("ana", story.tell, site.person)
    for number in range(random.choice([2, 2, 3])):
        site.start(f"n{number}", decides=number < 2)
    return story


def over(site: Site, story: Story) -> bool:
    """Whether the story has ended; and the housekeeping between two switches."""
    site.bury()
    if site.oracle.news >= NEWS:
        site.oracle.news = 0
        site.world.failure = site.world.failure or "\n".join(story.audit.broken())
    return story.over or bool(site.world.failure)
