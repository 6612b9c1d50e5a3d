"""`ringctl doctor`: is this host and this store to be trusted, and what to do where not; `--contend` tries it."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ringctl import bootstrap
from ringctl.cli.health import host, state
from ringctl.cli.health.checks import Check, Mark, failed, passed
from ringctl.cli.invocation import current
from ringctl.cli.opening import reading
from ringctl.cli.render import Block, Grid, Line, View, columns, emit, note
from ringctl.cli.style import show
from ringctl.core.errors import ExternalError, UsageError
from ringctl.engine.contending.trial import Asked, Cut, Trial
from ringctl.engine.contending.verdict import Verdict
from ringctl.ports.store import Store

NODE: tuple[str, ...] = (sys.executable, "-m", "ringctl")
"""What starts a node of the trial. A test starts one with a seeded bug."""
UNREACHABLE = 69
STYLES = {Mark.WELL: "green", Mark.WARN: "yellow", Mark.FAIL: "red"}


def doctor(
    contend: Annotated[
        int, typer.Option("--contend", metavar="N", min=0, help="Try the store: N nodes that contend.")
    ] = 0,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=4, max=3600, help="How long, about.")
    ] = 20.0,
    tasks: Annotated[int, typer.Option("--tasks", metavar="T", min=10, help="Synthetic tasks.")] = 120,
    seed: Annotated[int, typer.Option("--seed", metavar="K", help="The same faults again.")] = 1,
) -> int:
    """Check this host and the state store, each with its remedy; changes nothing.

    With --contend: N real nodes on tasks of their own in the configured store, killed, frozen and cut off. No other
    rollout is touched; the trial's own stays in the list, ended. Exit 0 when all is well, 1 when not.
    """
    if contend == 1:
        raise UsageError("--contend needs at least 2 nodes: one alone contends with nobody")
    return _contended(contend, seconds, tasks, seed) if contend else _checked()


# -- checks ---------------------------------------------------------------------------------------
def _checked() -> int:
    url = current().state
    clock = bootstrap.SystemClock()
    work = bootstrap.work_dir(url, os.environ)
    checks = list(_of_host(work, clock))
    reached = True
    store = bootstrap.open_store(url)
    try:
        checks += _of_store(url, store, clock)
    except ExternalError as error:
        reached = False
        where = bootstrap.public(url)
        remedy = error.hint or f"ringctl explain {error.code}"
        checks.append(failed("state", f"{where}: {error.message} ({error.code})", remedy))
    finally:
        store.close()
    _say(checks)
    if not reached:
        return UNREACHABLE
    return int(any(check.mark is Mark.FAIL for check in checks))


def _of_host(work: Path, clock: bootstrap.SystemClock) -> Iterator[Check]:
    made = list(host.work_dir(work))
    yield from made
    if made[0].mark is Mark.WELL:
        yield host.shim(work, clock)


def _of_store(url: str, store: Store, clock: bootstrap.SystemClock) -> list[Check]:
    """Raises ExternalError where the store does not answer, or its schema does not fit."""
    checks = [state.schema(store), passed("state", f"{bootstrap.public(url)} answers")]
    checks.append(state.clock_offset(store, clock))
    checks += state.tallies(store.tallies())
    nodes, now = store.nodes(), store.now_us()
    checks += state.sessions(nodes, now)
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from ringctl.cli.health import sqlite

        path = bootstrap.state_path(rest)
        checks += sqlite.checks(path)
        checks.append(host.disk("disk-state", path.absolute().parent))
    else:
        from ringctl.cli.health import postgres

        checks += postgres.checks(url, sum(not node.dead for node in nodes))
        checks.append(postgres.dead_rows(postgres.database(url).tables))
    return checks


def _say(checks: Sequence[Check]) -> None:
    bad = sum(check.mark is Mark.FAIL for check in checks)
    warnings = sum(check.mark is Mark.WARN for check in checks)

    def blocks() -> Iterator[Block]:
        for check in checks:
            yield Line(
                text=f"{check.mark:4}  {check.name:15} {show(check.text, 400)}", style=STYLES[check.mark]
            )
            if check.remedy:
                yield f"{'':22}-> {show(check.remedy, 400)}"
        yield ""
        yield f"{len(checks)} checks: {bad} failed, {warnings} warnings"

    def document() -> dict[str, object]:
        rows = [
            {"name": one.name, "mark": str(one.mark), "text": one.text, "remedy": one.remedy}
            for one in checks
        ]
        return {"schema": "ringctl/doctor/v1", "ok": not bad, "checks": rows}

    emit(View(document=document, blocks=blocks))


# -- the trial ------------------------------------------------------------------------------------
def _contended(nodes: int, seconds: float, tasks: int, seed: int) -> int:
    url = current().state
    with reading() as parts, tempfile.TemporaryDirectory(prefix="ringctl-contend-") as directory:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGCTL_")}
        asked = Asked(
            nodes=nodes,
            tasks=tasks,
            seconds=seconds,
            seed=seed,
            command=NODE,
            environ={**kept, "RINGCTL_STATE": url, "RINGCTL_ACTOR": parts.actor},
            directory=Path(directory),
            cut=_cut(url),
        )
        where = show(bootstrap.public(url), 200)
        note(f"{nodes} nodes contend in {where} for about {seconds:.0f} s: kills, freezes, cut connections")
        trial = Trial(parts=parts, asked=asked, say=lambda text: note(show(text, 400)))
        verdict = trial.run()
        rollout = trial.rollout
    _say_verdict(verdict, rollout, seed)
    return 0 if verdict.passed else 1


def _cut(url: str) -> Cut | None:
    """How to cut a process's connections to the store; a file has none."""
    if url.startswith("sqlite:"):
        return None
    from ringctl.cli.health import postgres

    return partial(postgres.cut, url)


def _say_verdict(verdict: Verdict, rollout: str, seed: int) -> None:
    figures, faults = verdict.figures, verdict.faults

    def blocks() -> Iterator[Block]:
        rows = [[name, value] for name, value in _rows(verdict)]
        yield Grid(columns=columns("FIGURE", ">VALUE"), rows=rows, indent=0)
        yield ""
        for one in verdict.evidence:
            yield Line(text=f"fail  {show(one, 600)}", style="red")
        word = "PASS" if verdict.passed else "FAIL"
        yield Line(text=f"{word}: seed {seed}", style="bold green" if verdict.passed else "bold red")

    emit(
        View(
            document=lambda: {
                "schema": "ringctl/contend/v1", "ok": verdict.passed, "rollout": rollout, "seed": seed,
                "figures": {name: getattr(figures, name) for name in type(figures).__slots__},
                "faults": {name: getattr(faults, name) for name in type(faults).__slots__},
                "evidence": list(verdict.evidence),
            },
            blocks=blocks,
        )
    )  # fmt: skip


def _rows(verdict: Verdict) -> list[tuple[str, str]]:
    figures, faults = verdict.figures, verdict.faults
    delay = "-"
    if figures.rescue_p50_s is not None:
        delay = f"{figures.rescue_p50_s:.1f} / {figures.rescue_max_s:.1f} s"
    return [
        ("tasks", f"{figures.tasks:,}"),
        ("claims", f"{figures.claims:,}"),
        ("kills / freezes / cuts", f"{faults.kills} / {faults.freezes} / {faults.cuts}"),
        ("rescues", f"{figures.rescues:,}"),
        ("rescue after lease end, p50 / max", delay),
        ("refused stale writes", f"{figures.refused_writes:,}"),
        ("double runs (must be 0)", f"{figures.double_runs:,}"),
        ("double claims seen by targets (must be 0)", f"{figures.double_claims:,}"),
        ("effects without intent (must be 0)", f"{figures.without_intent:,}"),
    ]


COMMANDS = {"doctor": doctor}
