"""What must hold after any faults, as pure functions over records that ringctl did not write.

A target's *book* is kept by the steps themselves, one line a start or a stop, appended by the body's own process; the
*watch* is what was seen in the process table. Each function returns what is wrong, in words; nothing is well.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

START, STOP, OVERLAP = "start", "stop", "overlap"
TICK_S: Final = 0.02
"""/proc/uptime counts in hundredths: two times may each be off by one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a book. `at`: seconds on the machine's monotonic clock. `body`: which process."""

    kind: str
    token: int
    rollout: str
    step: str
    body: str
    at: float


def book_lines(text: str) -> list[Line]:
    """A book as its bodies wrote it. A line without an end was cut off by a kill and is none."""
    found = []
    for row in text.split("\n")[:-1]:
        kind, token, rollout, step, pid, born, at = row.split()
        found.append(Line(kind, int(token), rollout, step, f"{pid}.{born}", float(at)))
    return found


def doubled(book: Sequence[Line]) -> list[str]:
    """Steps that took effect (a body came to its end) more than once."""
    ends = Counter((line.rollout, line.step) for line in book if line.kind == STOP)
    return [f"{step} of {rollout} took effect {n} times" for (rollout, step), n in ends.items() if n > 1]


def overlapping(book: Sequence[Line]) -> list[str]:
    """Two bodies alive at once: a body saw another one, or their times overlap."""
    wrong = [f"{line.step} ({line.token}) met a living body" for line in book if line.kind == OVERLAP]
    stops = {(line.body, line.step): line.at for line in book if line.kind == STOP}
    starts = [line for line in book if line.kind == START and (line.body, line.step) in stops]
    for one in starts:
        end = stops[one.body, one.step]
        wrong += [
            f"{other.step} ({other.token}) began while {one.step} ({one.token}) ran"
            for other in book
            if other.kind == START and other.body != one.body and one.at + TICK_S < other.at < end - TICK_S
        ]
    return wrong


def backwards(book: Sequence[Line]) -> list[str]:
    """A body began under an older token after one under a newer token had begun."""
    starts = [line for line in book if line.kind == START]
    return [
        f"{after.step} began under {after.token} after {before.token} had begun"
        for before, after in pairwise(starts)
        if before.rollout == after.rollout and after.token < before.token
    ]


def unlike_states(
    book: Sequence[Line], rollout: str, state: str, steps: Collection[str], effects: Mapping[str, str]
) -> list[str]:
    """What ringctl says of an account against its book: done = once, unknown = at most once and said so."""
    ends = Counter(line.step for line in book if line.kind == STOP and line.rollout == rollout)
    wrong = []
    for step in steps:
        said = effects.get(step, "none")
        if state == "done" and ends[step] != 1:
            wrong.append(f"is done, and {step} took effect {ends[step]} times")
        if said == "done" and ends[step] == 0:
            wrong.append(f"{step} is said to be done and did not take effect")
        if said in {"failed", "none"} and ends[step]:
            wrong.append(f"{step} is said to be {said} and took effect")
    return wrong


def disordered(log: Sequence[tuple[int, str]]) -> list[str]:
    """A task's log with a gap, or in which an older claim speaks after a newer one (lines `body TOKEN ...`)."""
    wrong = []
    numbers = [seq for seq, _ in log]
    if numbers != list(range(1, len(numbers) + 1)):
        wrong.append(f"log numbers {numbers}")
    tokens = [int(line.split()[1]) for _, line in log if line.startswith("body ")]
    wrong += [f"log: {after} speaks after {before}" for before, after in pairwise(tokens) if after < before]
    return wrong


@dataclass(frozen=True, slots=True)
class Acted:
    """A decision that the harness sent; `acknowledged` when the answer said that it was taken."""

    mark: str
    acknowledged: bool


def lost_decisions(acted: Iterable[Acted], journal: Iterable[str]) -> list[str]:
    """Acknowledged decisions are in the journal once; others at most once; no decision comes from nowhere."""
    there = Counter(journal)
    wrong = []
    for one in acted:
        count = there.pop(one.mark, 0)
        if count > 1 or (one.acknowledged and count == 0):
            said = "acknowledged" if one.acknowledged else "not acknowledged"
            wrong.append(f"decision {one.mark} ({said}) is there {count} times")
    return wrong + [f"decision {mark} was never sent" for mark in there]


NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Sighting:
    """A body in the process table: of which node (NOBODY: that was gone already), seen from when to when (monotonic
    seconds)."""

    body: str
    node: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Loss:
    """A node that could not renew: killed, stopped or cut off at `since`, until it could again."""

    node: int
    since: float
    until: float = float("inf")


def orphans(seen: Sequence[Sighting], losses: Iterable[Loss], *, within_s: float) -> list[str]:
    """Bodies that lived on for longer than `within_s` after their node could not renew any more."""
    strays = [
        f"body {one.body}, whose node was gone, lived {one.last - one.first:.1f} s"
        for one in seen
        if one.node == NOBODY and one.last - one.first > within_s
    ]
    return strays + [
        f"body {one.body} of node {one.node} lived {min(one.last, loss.until) - loss.since:.1f} s after its loss"
        for one in seen
        for loss in losses
        if one.node == loss.node and one.first < loss.until
        and one.first <= loss.since + within_s < min(one.last, loss.until)
    ]  # fmt: skip


def open_bodies(book: Sequence[Line]) -> Iterator[str]:
    """Bodies that began and did not come to their end: killed, or still at work."""
    ended = {line.body for line in book if line.kind == STOP}
    return (line.body for line in book if line.kind == START and line.body not in ended)
