"""What accounts do when all is well, asked of the policy's sources: for `gate plan`.

A source that knows the past is asked for it as a rollout does (`pasts`): the same that will be learnt. One that does
not is looked at twice, as far apart as the caller waits. What is not known stays unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ringctl.core import learning
from ringctl.core.errors import RingctlError
from ringctl.core.learning import Past
from ringctl.core.observing import Watch, counters_of, fold
from ringctl.core.policy import Check, Count, SourceSpec
from ringctl.core.timing import MINUTE, SECOND, Span, human
from ringctl.core.tracks import from_tracks
from ringctl.engine import pasts
from ringctl.engine.hearing import whole
from ringctl.engine.outlook import Rate
from ringctl.gates.asked import counts_events
from ringctl.ports.clock import Clock
from ringctl.ports.metrics import MetricSource, RangeSource, Reading

READ_S: Final = 10.0
LEAST_MINUTES: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom to ask about: accounts of the first wave and others, and how far apart to look (0: not twice)."""

    canary: Sequence[str]
    others: Sequence[str]
    source: Callable[[SourceSpec], MetricSource]
    clock: Clock
    apart_us: Span = 0

    @property
    def names(self) -> list[str]:
        """Everybody that is asked about, the first wave first."""
        return pasts.names(self.canary, self.others)


def measured(
    checks: Mapping[str, Check], sources: Mapping[str, SourceSpec], asking: Asking
) -> dict[str, Rate]:
    """The rates of the checks that read counters; why one is not known stands in `said`."""
    by_source: dict[str, list[Check]] = {}
    for check in checks.values():
        if counters_of(check):
            by_source.setdefault(check.source, []).append(check)
    found: dict[str, Rate] = {}
    for name, of_source in by_source.items():
        try:
            found |= _asked(asking.source(sources[name]), of_source, asking)
        except RingctlError as error:
            said = f"{error.code}: {error.message}"
            found |= {check.name: Rate(said=said) for check in of_source}
    return found


def _asked(source: MetricSource, checks: Sequence[Check], asking: Asking) -> dict[str, Rate]:
    """The rates of checks of one source: of those that learn from its past out of that, of the others as they are."""
    remembered = isinstance(source, RangeSource)
    found: dict[str, Rate] = {}
    short: set[str] = set()
    for like in pasts.alike(check for check in checks if remembered and check.history_us > 0).values():
        past = pasts.ask(source, like, asking.names, asking.clock.now_us(), asking.clock)
        assert past is not None
        for check in like:
            if past.error:
                found[check.name] = Rate(said=past.error)
                continue
            known = of_cells(check, from_tracks(check, past.tracks, past.step_us), asking, source.name)
            if known.samples is None:
                short.add(check.name)
            else:
                found[check.name] = known
    left = [check for check in checks if check.name not in found]
    if left and asking.apart_us > 0:
        return found | _looked_at_twice(source, left, asking)
    for check in left:
        lacks = f"knows no past that {check.name} would learn from" if remembered else "knows no past"
        if check.name in short:
            lacks = "has nothing of these accounts, or not long enough"
        found[check.name] = Rate(said=f"the source {source.name} {lacks}: --watch 2m looks at it twice")
    return found


def _looked_at_twice(source: MetricSource, checks: Sequence[Check], asking: Asking) -> dict[str, Rate]:
    first = _read(source, checks, asking)
    asking.clock.sleep(asking.apart_us / SECOND)
    second = _read(source, checks, asking)
    watch = Watch(touched={}, control=tuple(asking.names))
    now = asking.clock.now_us()
    found = {}
    for check in checks:
        state, _ = fold(check, {}, first, watch, now - asking.apart_us)
        _, evidence = fold(check, state, second, watch, now)
        minutes = asking.apart_us / MINUTE
        cells = [
            Past(now, cell.account, cell.n, cell.y, minutes)
            for cell in evidence.control
            if cell.n is not None and cell.y is not None
        ]
        rate = of_cells(check, cells, asking, source.name)
        found[check.name] = Rate(said=evidence.reason) if evidence.error else rate
    return found


def _read(source: MetricSource, checks: Sequence[Check], asking: Asking) -> Reading:
    return whole(source.read(pasts.counters(checks), READ_S, accounts=asking.names))


def of_cells(check: Check, cells: Sequence[Past], asking: Asking, source: str) -> Rate:
    """The rate that cells of the past show. Minutes in which an account had no samples count as well: it was idle."""
    spans = {cell.at_us: cell.minutes for cell in cells}
    accounts = {cell.account for cell in cells}
    minutes = sum(spans.values()) * len(accounts)
    if not minutes > LEAST_MINUTES:
        return Rate(said=f"the source {source} has nothing of these accounts")
    counting = isinstance(check.measure, Count)
    weighed = dict.fromkeys(accounts, 0.0)  # by what they do, not by what fails: a few events weigh nothing
    for cell in cells:
        weighed[cell.account] += cell.y if counting else cell.n
    mean = sum(weighed.values()) / len(weighed)
    events, samples = sum(cell.y for cell in cells), sum(cell.n for cell in cells)
    known = learning.learnt(learning.fold({}, cells, dict.fromkeys(asking.canary)))
    span = round(sum(spans.values()) * MINUTE)
    return Rate(
        events=events / minutes if counts_events(check) else None,
        samples=1.0 if counting else samples / minutes,
        phi=known.phi,
        drift=known.drift,
        past=sum(spans.values()),
        weights={name: one / mean for name, one in weighed.items()} if mean > 0 else {},
        said=f"{len(accounts)} accounts over {human(span)} of {source}",
    )
