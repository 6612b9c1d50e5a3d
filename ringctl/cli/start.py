"""`ringctl start` and `ringctl wait`."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli.driving import DRAINED, Follower, StopFile, node_of, serve
from ringctl.cli.opening import Reason, RolloutName, Workers, reading, span, writing
from ringctl.cli.plan import Fix, Release, plan
from ringctl.cli.render import Block, Busy, Line, View, emit, note
from ringctl.cli.status import status_blocks, suites
from ringctl.cli.style import show
from ringctl.core.errors import Finding, InvalidInput, NotFound, UsageError
from ringctl.core.model import Rollout
from ringctl.engine import commands, listing, queries
from ringctl.engine.commands import Request, Started
from ringctl.engine.loop import Driver, Goal, reached
from ringctl.engine.parts import Parts

PolicyFile = Annotated[
    str, typer.Option("--policy", metavar="FILE", help="How far, how fast, by what health.")
]
BundleDir = Annotated[str, typer.Option("--bundle", metavar="DIR", help="What is done to one account.")]
Until = Annotated[str, typer.Option("--until", metavar="RING", help="Be content when this ring has passed.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="SPAN", help="Exit 124 after this; it goes on.")]
Detached = Annotated[
    bool,
    typer.Option("--detach-source", help="Do not watch the bundle's directory for edits (default in CI)."),
]


def start(
    policy: PolicyFile = "",
    bundle: BundleDir = "",
    release: Release = "",
    plan_file: Annotated[
        str, typer.Option("--plan", metavar="FILE", help="Exactly this reviewed plan.")
    ] = "",
    fix: Fix = False,
    reason: Reason = "",
    detach_source: Detached = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Run a node here until done or a person is needed.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --wait: only wait; other nodes work.")
    ] = False,
    until: Until = "",
    timeout: Timeout = "",
    workers: Workers = 8,
    stop_file: StopFile = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
) -> int:
    """Start a rollout. At the bundle and policy of one that runs, attach to it.

    The bundle is copied into the store; from then on only those bytes run.
    """
    if not wait and (detach or until or timeout):
        raise UsageError("--detach, --until and --timeout need --wait")
    request = _request(plan_file, policy, bundle, release, fix=fix)
    if dry_run:
        return plan(str(request.policy), str(request.bundle), release=request.release, fix=request.fix)
    request = _with(request, reason, detach=detach_source or bool(os.environ.get("CI")))
    wait_us = span(timeout, "--timeout") if timeout else None
    with writing() as parts:
        with Busy("reading accounts, planning"):
            begun = commands.start(parts, request)
        _check_ring(begun.rollout, until)
        emit(
            View(
                document=lambda: queries.started(begun.rollout, attached=begun.attached),
                blocks=lambda: _blocks(begun),
            )
        )
        if not wait:
            note("Next: ringctl run (a node), ringctl status, ringctl wait")
            return 0
        goal = Goal(
            rollout=begun.rollout.id, ring=until, until_us=parts.store.now_us() + wait_us if wait_us else None
        )
        return (
            _wait_here(parts, goal) if detach else _run_here(parts, goal, begun.rollout, workers, stop_file)
        )


def _request(plan_file: str, policy: str, bundle: str, release: str, *, fix: bool) -> Request:
    if plan_file:
        if policy or bundle or release:
            raise UsageError("--plan stands for --policy, --bundle and --release: give one or the others")
        return _planned_request(plan_file)
    if not policy or not bundle:
        raise UsageError("give --policy and --bundle, or --plan", hint="ringctl start --help")
    return Request(policy=Path(policy), bundle=Path(bundle), release=release, fix=fix)


def _planned_request(path: str) -> Request:
    """What a saved plan was made from, and its digest, which `start` compares."""
    try:
        document = json.loads(Path(path).read_bytes())
        inputs = document["inputs"]
        return Request(
            policy=Path(inputs["policy"]),
            bundle=Path(inputs["bundle"]),
            release=str(inputs["release"]),
            fix=bool(inputs["fix"]),
            seed=str(document["seed"]),
            expect=str(document["digest"]),
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInput(
            [Finding(code="RC3012", message=f"the plan cannot be read: {reason}", path=path)]
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        message = "this is no plan of `ringctl plan --out`"
        raise InvalidInput([Finding(code="RC3011", message=message, path=path)]) from error


def _with(request: Request, reason: str, *, detach: bool) -> Request:
    from dataclasses import replace

    return replace(request, reason=reason, detach_source=detach)


def _check_ring(rollout: Rollout, ring: str) -> None:
    names = [one.name for one in rollout.policy.rings]
    if ring and ring not in names:
        raise NotFound(f"no ring {ring!r} in the policy", hint=f"rings: {', '.join(names)}")


def _blocks(begun: Started) -> list[Block]:
    rollout = begun.rollout
    said = "Attached to" if begun.attached else "Started"
    first = next((wave for wave in rollout.current_waves() if not wave.over), None)
    blocks: list[Block] = [
        Line(
            text=f"{said} {show(rollout.release)}: {rollout.accounts:,} accounts, {rollout.state}",
            style="bold",
        )
    ]
    if first:
        when = "now" if begun.attached else "first"
        blocks.append(f"  {when}: {first.kind} wave of ring {show(first.ring)}, accounts: {first.accounts:,}")
    return [*blocks, show(rollout.id)]


def _run_here(parts: Parts, goal: Goal, rollout: Rollout, workers: int, stop: str) -> int:
    """A node in this process until the goal is reached."""
    node = node_of(parts, workers, rollout.policy.lease_us, stop)
    driver = Driver(parts=parts, node=node, only=rollout.id)
    ended: list[int] = []

    def until() -> bool:
        code = reached(parts, goal)
        if code is not None:
            ended.append(code)
        return code is not None

    follow = Follower(parts=parts, rollout=rollout.id)
    drained = serve(driver, until, follow)
    follow()
    if not ended:
        return DRAINED if drained else 0
    _say_end(parts, goal, ended[0])
    return ended[0]


def _wait_here(parts: Parts, goal: Goal) -> int:
    """Only look, until the goal is reached."""
    follow = Follower(parts=parts, rollout=goal.rollout)
    while (code := reached(parts, goal)) is None:
        follow()
        parts.clock.sleep(0.5)
    follow()
    _say_end(parts, goal, code)
    return code


def _say_end(parts: Parts, goal: Goal, code: int) -> None:
    rollout = parts.store.load(goal.rollout)
    if code == 124:
        note(f"--timeout ran out; the rollout goes on ({rollout.state}): ringctl wait {show(rollout.id)}")
    elif rollout.holds:
        note(f"{show(rollout.id)} is {rollout.state}: ringctl why {show(rollout.id)}")
    else:
        note(f"{show(rollout.id)} is {rollout.state}")


def wait(rollout: RolloutName = "", until: Until = "", timeout: Timeout = "") -> int:
    """Wait until a rollout is over, a ring has passed, or a person is needed; the exit code says which.

    A hold that ends by itself is waited out, one that needs a person answers at once.
    """
    wait_us = span(timeout, "--timeout") if timeout else None
    with reading() as parts:
        found = parts.store.load(listing.find(parts, rollout).id)
        _check_ring(found, until)
        until_us = parts.store.now_us() + wait_us if wait_us else None
        code = _wait_here(parts, Goal(rollout=found.id, ring=until, until_us=until_us))
        document = queries.status(parts, found.id)
    emit(
        View(
            document=lambda: document, blocks=lambda: status_blocks(document), suites=lambda: suites(document)
        )
    )
    return code


COMMANDS = {"start": start, "wait": wait}
