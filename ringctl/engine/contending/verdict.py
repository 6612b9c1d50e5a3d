"""What the trial came to: figures, and every promise that did not hold, in words. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ringctl.core.states import TaskState
from ringctl.core.timing import SECOND, Instant
from ringctl.engine.contending.material import Book
from ringctl.ports.records import Entry, TaskRow

SHOWN = 5
"""Accounts named in one sentence of evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What was done to the nodes."""

    kills: int = 0
    freezes: int = 0
    cuts: int = 0
    cut_connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything the verdict rests on. Tallies are those of the whole store, before and after."""

    books: Sequence[Book]
    tasks: Sequence[TaskRow]
    journal: Sequence[Entry]
    lease_ends: Mapping[str, Instant]
    before: Mapping[str, int]
    after: Mapping[str, int]
    state: str
    crashes: Sequence[str] = ()
    late: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The trial in numbers. Delays are seconds from a dead node's lease end to the rescue of its task."""

    tasks: int
    claims: int
    rescues: int
    refused_writes: int
    double_runs: int
    double_claims: int
    without_intent: int
    rescue_p50_s: float | None
    rescue_max_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Figures, and the evidence against the store: none is a pass."""

    figures: Figures
    evidence: tuple[str, ...] = ()
    faults: Faults = field(default_factory=Faults)

    @property
    def passed(self) -> bool:
        """Whether every promise held."""
        return not self.evidence


def judged(seen: Seen, faults: Faults) -> Verdict:
    """Judge a trial."""
    doubled = [book.account for book in seen.books if book.doubled]
    unknown = _without_intent(seen)
    delays = sorted(_delays(seen))
    figures = Figures(
        tasks=len(seen.books),
        claims=sum(task.attempt for task in seen.tasks),
        rescues=sum(len(tasks) for _, tasks in _rescued(seen.journal)),
        refused_writes=_grown(seen, "fenced_writes"),
        double_runs=len(doubled),
        double_claims=_grown(seen, "double_claims"),
        without_intent=len(unknown),
        rescue_p50_s=round(median(delays), 2) if delays else None,
        rescue_max_s=round(delays[-1], 2) if delays else None,
    )
    return Verdict(figures=figures, evidence=tuple(_evidence(seen, figures, doubled, unknown)), faults=faults)


def _evidence(seen: Seen, figures: Figures, doubled: Sequence[str], unknown: Sequence[str]) -> Iterable[str]:
    if doubled:
        yield f"{len(doubled)} tasks ran twice: {_named(doubled)}"
    if figures.double_claims:
        yield f"{figures.double_claims} runs were seen under two claims at once"
    if unknown:
        yield f"{len(unknown)} tasks were begun without an intent in the store: {_named(unknown)}"
    if doubled or figures.double_claims:
        return  # the trial ended there: what is still open says nothing
    done = {task.account for task in seen.tasks if task.state is TaskState.DONE}
    empty = [book.account for book in seen.books if book.account in done and not book.done]
    if empty:
        yield f"{len(empty)} tasks are done for the store and not for their book: {_named(empty)}"
    open_ = [task.account for task in seen.tasks if task.state is not TaskState.DONE]
    if open_:
        yield f"{len(open_)} tasks did not end as done: {_named(open_)}"
    if seen.late:
        yield seen.late
    elif seen.state != "succeeded":
        yield f"the rollout did not succeed: it is {seen.state}"
    for crash in seen.crashes:
        yield f"a node ended by itself: {crash}"


def _named(accounts: Sequence[str]) -> str:
    more = f" and {len(accounts) - SHOWN} more" if len(accounts) > SHOWN else ""
    return ", ".join(accounts[:SHOWN]) + more


def _grown(seen: Seen, name: str) -> int:
    return seen.after.get(name, 0) - seen.before.get(name, 0)


def _without_intent(seen: Seen) -> list[str]:
    """Accounts whose book knows a token above the fence of the last intent in the store."""
    fences = {task.account: max((step.fence for step in task.steps), default=0) for task in seen.tasks}
    return [
        book.account for book in seen.books if book.tokens and max(book.tokens) > fences.get(book.account, 0)
    ]


def _rescued(journal: Iterable[Entry]) -> Iterable[tuple[Entry, Sequence[Mapping[str, object]]]]:
    for entry in journal:
        tasks = entry.payload.get("tasks")
        if entry.kind == "rescued" and isinstance(tasks, list | tuple):
            yield entry, tasks


def _delays(seen: Seen) -> Iterable[float]:
    for entry, tasks in _rescued(seen.journal):
        for task in tasks:
            end = seen.lease_ends.get(str(task.get("session")))
            if end is not None and entry.at_us >= end:
                yield (entry.at_us - end) / SECOND
