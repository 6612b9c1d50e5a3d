"""Nodes: `ringctl tick`, `run`, `work` and `nodes ls`."""

from collections.abc import Callable
from typing import Annotated

import typer

from ringctl.cli.driving import DRAINED, Follower, node_of, serve
from ringctl.cli.opening import OnlyRollout, Workers, reading, span, writing
from ringctl.cli.render import Block, Grid, View, cell, columns, emit, note
from ringctl.cli.status import when
from ringctl.cli.style import show
from ringctl.core.timing import SECOND, rfc3339
from ringctl.engine import listing
from ringctl.engine.loop import Driver
from ringctl.engine.node import Node
from ringctl.engine.parts import Parts

IDLE_PASSES = 10

ExitWhenIdle = Annotated[
    bool, typer.Option("--exit-when-idle", help="End when there is nothing to do for 2 s.")
]


def _only(parts: Parts, rollout: str) -> str:
    return listing.find(parts, rollout).id if rollout else ""


def _node(parts: Parts, only: str, workers: int) -> Node:
    """A node with the shortest lease that a policy of the rollouts open now asks for."""
    names = [only] if only else [row.id for row in parts.store.rollouts(only_open=True)]
    leases = [parts.store.load(name).policy.lease_us for name in names]
    return node_of(parts, workers, min(leases)) if leases else node_of(parts, workers)


def _idle(driver: Driver) -> Callable[[], bool]:
    """True after ten passes in which this node had nothing in hand."""
    quiet = [0]

    def check() -> bool:
        busy = driver.node is not None and driver.node.busy
        quiet[0] = 0 if busy else quiet[0] + 1
        return quiet[0] > IDLE_PASSES

    return check


def run(rollout: OnlyRollout = "", workers: Workers = 8) -> int:
    """The loop: decide, observe and work, for all open rollouts, until SIGTERM or Ctrl-C."""
    with writing() as parts:
        only = _only(parts, rollout)
        driver = Driver(parts=parts, node=_node(parts, only, workers), only=only)
        note(f"node {show(parts.host)} runs; Ctrl-C or SIGTERM lets it finish what it holds")
        follow = Follower(parts=parts, rollout=only) if only else None
        drained = serve(driver, lambda: False, follow or (lambda: None))
    return DRAINED if drained else 0


def work(rollout: OnlyRollout = "", workers: Workers = 8, exit_when_idle: ExitWhenIdle = False) -> int:
    """Only claim and run accounts; others decide."""
    with writing() as parts:
        only = _only(parts, rollout)
        driver = Driver(parts=parts, node=_node(parts, only, workers), only=only, decides=False)
        drained = serve(driver, _idle(driver) if exit_when_idle else lambda: False)
    return DRAINED if drained else 0


def tick(
    rollout: OnlyRollout = "",
    budget: Annotated[
        str, typer.Option("--budget", metavar="SPAN", help="Start nothing after this.")
    ] = "50s",
    workers: Workers = 8,
) -> int:
    """One idempotent pass, for cron, systemd or a CronJob: decide, observe, work while the budget lasts.

    Two at once do no harm: whoever comes second finds the claims and versions taken.
    """
    budget_us = span(budget, "--budget")
    with writing() as parts:
        only = _only(parts, rollout)
        driver = Driver(parts=parts, node=_node(parts, only, workers), only=only)
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


def ls() -> None:
    """List the nodes that are alive, and those that died in the last hour."""
    with reading() as parts:
        nodes = parts.store.nodes()
        now = parts.store.now_us()

    def blocks() -> list[Block]:
        if not nodes:
            return ["no node is alive: ringctl run"]
        rows = [
            [
                show(one.node, 60), show(one.session[:12]), "dead" if one.dead else "alive",
                "-" if one.dead else f"{(one.lease_until_us - now) / SECOND:.0f} s", cell(one.held),
                when(rfc3339(one.started_us)),
            ]
            for one in nodes
        ]  # fmt: skip
        heads = columns("~NODE", "SESSION", "STATE", ">LEASE LEFT", ">HOLDS", "STARTED")
        return [Grid(columns=heads, rows=rows, indent=0)]

    emit(
        View(
            document=lambda: {
                "schema": "ringctl/nodes/v1",
                "nodes": [
                    {
                        "node": one.node, "session": one.session, "alive": not one.dead, "held": one.held,
                        "started_at": rfc3339(one.started_us), "lease_until": rfc3339(one.lease_until_us),
                    }
                    for one in nodes
                ],
            },
            blocks=blocks,
        )
    )  # fmt: skip


COMMANDS = {"run": run, "work": work, "tick": tick, "nodes ls": ls}
