"""Exposure from effects: which account lived in which phase of which revision, from when to when. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import Instant
from ringctl.ports.records import Exposed
from ringctl.stores.database import Row


def exposed(account: str, effects: Sequence[Row], steps: Mapping[int, Sequence[str]]) -> Iterator[Exposed]:
    """The phases of one account, by time. A phase ends at the latest where the next step begins, under whatever
    revision that is.

    `effects`: (task, revision, task state, task end, step, effect state, first intent, end) by first intent.
    `steps`: revision -> its step ids in order. A step that failed for certain did not take effect: after it
    the account stands where it stood before. A step whose outcome is unknown goes on running.
    """
    done: list[str] = []
    for place, row in enumerate(effects):
        revision, step, state, begun = row[1], row[4], row[5], row[6]
        if place and effects[place - 1][1] != revision:
            done = []
        following = effects[place + 1] if place + 1 < len(effects) else None
        until = following[6] if following else None
        running = Exposed(
            account=account,
            revision=f"r{revision}",
            from_us=begun,
            to_us=until,
            phase=f"running:{step}",
        )
        if state in {EffectState.INTENT, EffectState.UNKNOWN}:
            yield running
            continue
        ended = _earlier(row[7], until)
        yield replace(running, to_us=ended)
        if state == EffectState.DONE:
            done.append(step)
        if until is not None and until <= ended:
            continue
        after = following[4] if following and following[1] == revision else ""
        phase = _phase_after(row, done, after, steps.get(revision, ()))
        if phase:
            yield replace(running, from_us=ended, to_us=until, phase=phase)


def _earlier(ended: Instant, until: Instant | None) -> Instant:
    return ended if until is None else min(ended, until)


def _phase_after(row: Row, done: Sequence[str], following: str, steps: Sequence[str]) -> str:
    """The phase after a step that ended: done, between two steps, or none (nothing took effect)."""
    if not done:
        return "done" if row[2] == TaskState.DONE else ""
    if following:
        return f"between:{done[-1]},{following}"
    if row[2] == TaskState.DONE or (steps and done[-1] == steps[-1]):
        return "done"
    ahead = next((step for step in steps if step not in done), "")
    return f"between:{done[-1]},{ahead}"
