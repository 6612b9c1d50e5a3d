"""`ringctl amend`: a changed bundle in mid rollout."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ringctl.cli.opening import Reason, RolloutName, writing
from ringctl.cli.render import Block, Line, View, emit, note
from ringctl.cli.start import Detached
from ringctl.cli.style import show
from ringctl.core.changes import compare
from ringctl.core.model import Rollout
from ringctl.engine import commands, listing, queries
from ringctl.engine.checking import load_checked
from ringctl.engine.parts import Parts


def amend(
    bundle: Annotated[str, typer.Option("--bundle", metavar="DIR", help="The changed bundle.")],
    author: Annotated[str, typer.Option("--author", metavar="NAME", help="Who wrote the change.")],
    reason: Reason,
    rollout: RolloutName = "",
    watcher: Annotated[
        str, typer.Option("--watcher", metavar="NAME", help="Who watches the subset; recorded.")
    ] = "",
    detach_source: Detached = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what class of change it is.")] = False,
) -> None:
    """Give a rollout a changed bundle: a new revision, which starts again in a small watched subset.

    The open wave is withdrawn; accounts done under the old revision stay listed. No option skips the subset.
    """
    with writing() as parts:
        name = listing.find(parts, rollout).id
        document = _compared(parts, parts.store.load(name), Path(bundle))
        document["dry_run"] = dry_run
        if not dry_run:
            amended = commands.amend(
                parts,
                commands.AmendRequest(
                    rollout=name,
                    bundle=Path(bundle),
                    author=author,
                    reason=reason,
                    watcher=watcher,
                    detach_source=detach_source or bool(os.environ.get("CI")),
                ),
            )
            document |= {"state": str(amended.state), "revision": amended.revision.name}
            document["counts"] = queries.counts(amended, parts.store.facts(amended))
    emit(View(document=lambda: document, blocks=lambda: _blocks(document)))
    if not dry_run:
        note("Next: ringctl run (a node), ringctl status, ringctl wait")


def _compared(parts: Parts, rollout: Rollout, directory: Path) -> dict[str, Any]:
    loaded = load_checked(parts, directory, rollout.policy.inventory)
    earlier = parts.store.bundle_files(rollout.bundle.digest)
    found = compare(rollout.bundle, loaded.bundle, earlier, loaded.contents)
    return {
        "schema": "ringctl/amend/v1",
        "id": rollout.id,
        "state": str(rollout.state),
        "revision": rollout.revision.name,
        "digest": loaded.bundle.digest,
        "class": found.change,
        "steps": [
            {"step": one.step, "kind": one.kind, "class": one.change, "parts": list(one.parts)}
            for one in found.steps
        ],
        "counts": queries.counts(rollout, parts.store.facts(rollout)),
    }


def _blocks(document: dict[str, Any]) -> list[Block]:
    counts = document["counts"]
    said = "would be amended" if document["dry_run"] else f"amended: {document['revision']}"
    changed = [f"{one['step']} ({', '.join(one['parts'])})" for one in document["steps"] if one["parts"]]
    return [
        Line(text=f"{show(document['id'])} {said}, bundle {document['digest'][7:14]}", style="bold"),
        f"  class {document['class']}: {show('; '.join(changed) or 'nothing in the steps', 400)}",
        f"  done so far {counts['done']:,} of {counts['accounts']:,}, running {counts['running']:,}",
        "  nobody gets it before a small watched subset has passed",
    ]


COMMANDS = {"amend": amend}
