"""Which rollouts there are, and which one a name means. Reads rows of the list only, and imports little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringctl.core.errors import NotFound, UsageError
from ringctl.core.states import OPEN_ROLLOUT_STATES
from ringctl.core.timing import Instant, rfc3339

if TYPE_CHECKING:
    from ringctl.engine.parts import Parts
    from ringctl.ports.records import Summary

JSONObject = dict[str, Any]


def at(moment: Instant | None) -> str | None:
    """RFC 3339, or null."""
    return None if moment is None else rfc3339(moment)


def rollout_list(parts: Parts) -> JSONObject:
    """`status` without a rollout."""
    rows = [
        {"id": row.id, "release": row.release, "state": row.state, "created_at": at(row.created_us)}
        for row in parts.store.rollouts()
    ]
    return {"schema": "ringctl/rollouts/v1", "rollouts": rows}


def find(parts: Parts, name: str) -> Summary:
    """The rollout that a name means: id, unique prefix, release with one open rollout, `last`; empty: the only
    open one. Raises UsageError with the list, or NotFound."""
    rows = parts.store.rollouts()
    opened = [row for row in rows if row.state in {str(state) for state in OPEN_ROLLOUT_STATES}]
    if not name:
        if len(opened) == 1:
            return opened[0]
        names = ", ".join(f"{row.id} ({row.state})" for row in (opened or rows[:10])) or "none"
        raise UsageError(f"{len(opened)} rollouts are open: say which one", hint=f"rollouts: {names}")
    if name == "last" and rows:
        return rows[0]
    for chosen in (
        [row for row in rows if row.id == name],
        [row for row in opened if row.release == name],
        [row for row in rows if row.id.startswith(name)],
        [row for row in rows if row.release == name],
    ):
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            raise UsageError(f"{name!r} fits {len(chosen)}: {', '.join(row.id for row in chosen[:20])}")
    known = ", ".join(row.id for row in rows[:10]) or "none"
    raise NotFound(f"no rollout {name!r}", hint=f"rollouts: {known}")


def reruns_of(rollout_id: str) -> str:
    """The tally of steps that were run again on their bundle's word alone (`idempotent: true`)."""
    return f"reruns/{rollout_id}"
