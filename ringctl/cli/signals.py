"""What people say to a rollout: pause, resume, abort, retry."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import typer

from ringctl.cli.opening import Reason, RolloutName, serving
from ringctl.cli.render import Block, View, emit
from ringctl.cli.status import hold_blocks
from ringctl.cli.style import show
from ringctl.core import acts
from ringctl.core.decisions import Step
from ringctl.core.errors import NotFound, UsageError
from ringctl.core.model import Rollout
from ringctl.core.states import OPEN_ROLLOUT_STATES, TaskState
from ringctl.engine import commands, listing, queries
from ringctl.engine.parts import Parts

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]


def pause(rollout: RolloutName = "", reason: Reason = "", dry_run: DryRun = False) -> None:
    """Stop widening: no wave opens, nothing new is claimed; what runs finishes."""
    with serving() as parts:
        name = listing.find(parts, rollout).id
        now = parts.store.now_us()
        if dry_run:
            _emit(
                parts,
                "pause",
                _tried(parts, name, lambda r: acts.pause(r, actor=parts.actor, reason=reason, now_us=now)),
            )
            return
        commands.pause(parts, name, reason=reason)
        _emit(parts, "pause", parts.store.load(name), dry_run=False)


def resume(rollout: RolloutName = "", reason: Reason = "", dry_run: DryRun = False) -> None:
    """Lift holds that wait for a person; everything is looked at anew."""
    with serving() as parts:
        name = listing.find(parts, rollout).id
        if dry_run:
            _emit(
                parts,
                "resume",
                _tried(parts, name, lambda r: acts.resume(r, actor=parts.actor, reason=reason)),
            )
            return
        commands.resume(parts, name, reason=reason)
        _emit(parts, "resume", parts.store.load(name), dry_run=False)


def abort(
    rollout: RolloutName = "",
    reason: Reason = "",
    now: Annotated[
        bool, typer.Option("--now", help="Carry nothing on: stop, and list what stays open.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """End a rollout for good. What runs settles first; with --now it stops where it is."""
    if not reason:
        raise UsageError("abort needs --reason TEXT: it goes on record")
    with serving() as parts:
        name = listing.find(parts, rollout).id
        at = parts.store.now_us()

        def act(found: Rollout) -> Step:
            return acts.abort(found, actor=parts.actor, reason=reason, now=now, now_us=at)

        if dry_run:
            _emit(parts, "abort", _tried(parts, name, act))
            return
        commands.abort(parts, name, reason=reason, now=now)
        _emit(parts, "abort", parts.store.load(name), dry_run=False)


def _tried(parts: Parts, name: str, act: Callable[[Rollout], Step]) -> Rollout:
    """What the act would make of the rollout; raises what the act would raise."""
    return act(parts.store.load(name)).rollout


def _emit(parts: Parts, act: str, rollout: Rollout, *, dry_run: bool = True) -> None:
    counts = queries.counts(rollout, parts.store.facts(rollout))
    holds = [queries.hold_object(hold) for hold in rollout.holds]

    def blocks() -> list[Block]:
        would = "would be" if dry_run else "is"
        numbers = [f"{counts['done']:,} of {counts['accounts']:,} accounts done"]
        numbers += [f"{counts[name]:,} {name}" for name in ("running", "failed", "unknown")]
        return [f"{show(rollout.id)} {would} {rollout.state}: {', '.join(numbers)}", *hold_blocks(holds)]

    emit(
        View(
            document=lambda: {
                "schema": "ringctl/act/v1",
                "act": act,
                "id": rollout.id,
                "state": str(rollout.state),
                "holds": holds,
                "counts": counts,
                "dry_run": dry_run,
            },
            blocks=blocks,
        )
    )


def retry(
    rollout: RolloutName = "",
    account: Annotated[
        list[str] | None, typer.Option("--account", metavar="ID", help="An account; again for more.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All failed accounts; never unknown ones.")
    ] = False,
    outcome: Annotated[
        str, typer.Option("--as", metavar="done|not-done", help="What you found out yourself.")
    ] = "",
    reason: Reason = "",
    dry_run: DryRun = False,
) -> None:
    """Give failed or unknown accounts back at the same bytes, or say what became of them (--as)."""
    if bool(account) == failed:
        raise UsageError("give --account ID (one or more), or --failed")
    if outcome not in commands.WORDS:
        raise UsageError(f"--as {outcome}: known are done, not-done")
    if outcome and not reason:
        raise UsageError("--as needs --reason: it is a person's word that goes on record")
    with serving() as parts:
        name = listing.find(parts, rollout).id
        names = list(account or _failed(parts, name))
        before = states = {one: _state(parts, name, one) for one in names}
        if not dry_run:
            for one in names:
                commands.retry(parts, name, one, outcome=outcome, reason=reason)
            states = {one: _state(parts, name, one) for one in names}
        state = str(parts.store.load(name).state)
    document = {
        "schema": "ringctl/retry/v1",
        "id": name,
        "state": state,
        "accounts": [{"account": one, "state": states[one]} for one in names],
        "dry_run": dry_run,
    }

    def blocks() -> list[Block]:
        if not names:
            return ["no account is failed"]
        would = f"would {_BECOMES[outcome]}; now" if dry_run else "is"
        lines: list[Block] = [f"{show(one)} {would} {states[one]}" for one in names]
        return lines if dry_run else [*lines, *what_next(outcome, before.values(), state)]

    emit(View(document=lambda: document, blocks=blocks))


def what_next(outcome: str, before: Iterable[str], state: str) -> Iterator[Block]:
    """What a person should know next. `before`: the accounts' states; `state`: the rollout's."""
    if outcome == "not-done" and state in OPEN_ROLLOUT_STATES:
        yield "to have it done again: ringctl retry, without --as"
    if not outcome and TaskState.UNKNOWN in before:
        yield "nodes ask once more what became of an unknown one (ledger, probe) and never run it blindly; where"
        yield "nothing can say it stays unknown: ringctl retry --account ID --as done|not-done --reason TEXT"


_BECOMES = {"": "be given back", "done": "count as done", "not-done": "count as failed"}


def _failed(parts: Parts, name: str) -> list[str]:
    return [row.account for row in parts.store.tasks(name, states=[TaskState.FAILED])]


def _state(parts: Parts, name: str, account: str) -> str:
    """The state of the account's latest task. Raises NotFound."""
    rows = list(parts.store.tasks(name, account=account))
    if not rows:
        raise NotFound(f"account {account} is not in rollout {name}", code="RC2405")
    return str(rows[-1].state)


COMMANDS = {"pause": pause, "resume": resume, "abort": abort, "retry": retry}
