"""Nodes: `ringctl tick`, `run`, `work`, `nodes ls` and `nodes drain`."""

from collections.abc import Callable
from typing import Annotated

import typer

from ringctl.cli.driving import DRAINED, Follower, StopFile, node_of, serve
from ringctl.cli.opening import OnlyRollout, Workers, reading, serving, span
from ringctl.cli.render import Block, Grid, View, cell, columns, emit, note
from ringctl.cli.status import when
from ringctl.cli.style import show
from ringctl.core.errors import NotFound
from ringctl.core.timing import SECOND, Instant, rfc3339
from ringctl.engine import listing
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts
from ringctl.ports.records import Node as Row

IDLE_PASSES = 10
WAIT_S = 0.5

ExitWhenIdle = Annotated[
    bool, typer.Option("--exit-when-idle", help="End when there is nothing to do for 2 s.")
]


def _only(parts: Parts, rollout: str) -> str:
    return listing.find(parts, rollout).id if rollout else ""


def _node(parts: Parts, only: str, workers: int, stop: str) -> Node:
    """A node with the shortest lease that a policy of the rollouts open now asks for. A later rollout that asks for a
    shorter one gets it as soon as the node holds nothing."""
    names = [only] if only else [row.id for row in parts.store.rollouts(only_open=True)]
    leases = [parts.store.load(name).policy.lease_us for name in names]
    return node_of(parts, workers, min(leases, default=15 * SECOND), stop)


def _idle(driver: Driver) -> Callable[[], bool]:
    """True after ten passes in which this node had nothing in hand."""
    quiet = [0]

    def check() -> bool:
        busy = driver.node is not None and driver.node.busy
        quiet[0] = 0 if busy else quiet[0] + 1
        return quiet[0] > IDLE_PASSES

    return check


def run(rollout: OnlyRollout = "", workers: Workers = 8, stop_file: StopFile = "") -> int:
    """The loop: decide, observe and work, for all open rollouts, until SIGTERM, Ctrl-C or `nodes drain`."""
    with serving() as parts:
        only = _only(parts, rollout)
        node = _node(parts, only, workers, stop_file)
        driver = Driver(parts=parts, node=node, only=only, backs_off=True, say=note)
        note(f"node {show(node.name)} runs; Ctrl-C or SIGTERM lets it finish what it holds")
        follow = Follower(parts=parts, rollout=only) if only else None
        drained = serve(driver, lambda: False, follow or (lambda: None))
    return DRAINED if drained else 0


def work(
    rollout: OnlyRollout = "",
    workers: Workers = 8,
    exit_when_idle: ExitWhenIdle = False,
    stop_file: StopFile = "",
) -> int:
    """Only claim and run accounts; others decide. Ends at SIGTERM, Ctrl-C or `nodes drain`."""
    with serving() as parts:
        only = _only(parts, rollout)
        node = _node(parts, only, workers, stop_file)
        driver = Driver(
            parts=parts, node=node, only=only, decides=False, backs_off=not exit_when_idle, say=note
        )
        drained = serve(driver, _idle(driver) if exit_when_idle else lambda: False)
    return DRAINED if drained else 0


def tick(
    rollout: OnlyRollout = "",
    budget: Annotated[
        str, typer.Option("--budget", metavar="SPAN", help="Start nothing after this.")
    ] = "50s",
    workers: Workers = 8,
    stop_file: StopFile = "",
) -> int:
    """One idempotent pass, for cron, systemd or a CronJob: decide, observe, work while the budget lasts.

    Two at once do no harm: whoever comes second finds the claims and versions taken.
    """
    budget_us = span(budget, "--budget")
    with serving() as parts:
        only = _only(parts, rollout)
        driver = Driver(parts=parts, node=_node(parts, only, workers, stop_file), only=only)
        ends = parts.clock.monotonic() + budget_us / SECOND
        idle = _idle(driver)
        drained = serve(driver, lambda: idle() or parts.clock.monotonic() >= ends)
        found = [(row.id, str(row.state)) for row in parts.store.rollouts(only_open=True)]
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/tick/v1",
                "open": [{"id": name, "state": state} for name, state in found],
            },
            blocks=lambda: [f"{show(name)} {state}" for name, state in found] or ["no open rollouts"],
        )
    )
    return DRAINED if drained else 0


def state_of(row: Row, now_us: Instant) -> str:
    """`alive`, `draining` (told to end), `ended` (by itself), or `dead` (lost: its lease ran out)."""
    if row.dead or row.lease_until_us < now_us:
        return "ended" if row.ended else "dead"
    return "draining" if row.drained_by else "alive"


def _object(row: Row, now_us: Instant) -> dict[str, object]:
    state = state_of(row, now_us)
    return {
        "node": row.node,
        "session": row.session,
        "state": state,
        "alive": state in {"alive", "draining"},
        "held": row.held,
        "drained_by": row.drained_by,
        "started_at": rfc3339(row.started_us),
        "lease_until": rfc3339(row.lease_until_us),
    }


def ls() -> None:
    """List the nodes: alive, draining, and those that ended or were lost (dead) in the last hour."""
    with reading() as parts:
        nodes = parts.store.nodes()
        now = parts.store.now_us()

    def blocks() -> list[Block]:
        if not nodes:
            return ["no node is alive: ringctl run"]
        rows = []
        for one in nodes:
            state = state_of(one, now)
            left = f"{(one.lease_until_us - now) / SECOND:.0f} s" if state in {"alive", "draining"} else "-"
            by = show(one.drained_by, 40) or "-"
            started = when(rfc3339(one.started_us))
            rows.append(
                [show(one.node, 60), show(one.session[:12]), state, left, cell(one.held), started, by]
            )
        heads = columns("~NODE", "SESSION", "STATE", ">LEASE LEFT", ">HOLDS", "STARTED", "DRAINED BY")
        return [Grid(columns=heads, rows=rows, indent=0)]

    emit(
        View(
            document=lambda: {
                "schema": "ringctl/nodes/v1",
                "nodes": [_object(one, now) for one in nodes],
            },
            blocks=blocks,
        )
    )


NodeName = Annotated[
    str, typer.Argument(metavar="NODE", help="A node's name, or the beginning of its session.")
]


def drain(
    node: NodeName,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
) -> int:
    """Tell a node to claim nothing more, finish what it holds, and end. It hears it with its next beat.

    SIGTERM does the same. The node's exit code is 143.
    """
    with serving() as parts:
        told = parts.store.drain(node, actor=parts.actor)
        if not told:
            raise _no_node(parts, node)
        rows = _over(parts, {one.session for one in told}) if wait else told
        now = parts.store.now_us()
    lost = [one for one in rows if state_of(one, now) == "dead"]
    emit(
        View(
            document=lambda: {
                "schema": "ringctl/drain/v1",
                "nodes": [{**_object(one, now), "state": _said(one, now, wait=wait)} for one in rows],
            },
            blocks=lambda: [_drained(one, now, wait=wait) for one in rows],
        )
    )
    return 1 if lost else 0


def _no_node(parts: Parts, name: str) -> NotFound:
    now = parts.store.now_us()
    alive = [one.node for one in parts.store.nodes() if state_of(one, now) in {"alive", "draining"}]
    hint = f"alive: {', '.join(sorted(alive))}" if alive else "no node is alive"
    return NotFound(f"no node {name!r} is alive", hint=f"{hint}; ringctl nodes ls")


def _over(parts: Parts, sessions: set[str]) -> list[Row]:
    """The rows of these sessions when none of them is alive any more."""
    while True:
        now = parts.store.now_us()
        rows = [one for one in parts.store.nodes() if one.session in sessions]
        if all(state_of(one, now) in {"ended", "dead"} for one in rows):
            return rows
        parts.clock.sleep(WAIT_S)


def _said(row: Row, now_us: Instant, *, wait: bool) -> str:
    return state_of(row, now_us) if wait else "draining"


def _drained(row: Row, now_us: Instant, *, wait: bool) -> str:
    name, state = show(row.node, 60), _said(row, now_us, wait=wait)
    accounts = "1 account" if row.held == 1 else f"{row.held} accounts"
    match state:
        case "ended":
            return f"{name} has ended"
        case "dead":
            return (
                f"{name} was lost before it ended; it held {accounts}, which others take up: ringctl nodes ls"
            )
        case _:
            return f"{name} drains: it holds {accounts}, finishes them and ends"


COMMANDS = {"run": run, "work": work, "tick": tick, "nodes ls": ls, "nodes drain": drain}
