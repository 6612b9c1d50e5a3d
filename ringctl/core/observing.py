"""From raw cumulative readings to evidence: a fold over looks, so that any node can go on with it.

Source of the rules: DESIGN 12.20 and 12.21. Counters are read raw and differenced here over disjoint
intervals; nothing is extrapolated. Missing is never zero: see `fold`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from ringctl.core.judging import Cell, Evidence, Judgement, JudgeState
from ringctl.core.magnitudes import countable, measurable
from ringctl.core.policy import CONTROL_MIN, Check, Count, Counter, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE, SECOND, Instant, Span

PARTIAL: Final = "RC8006"
STALE: Final = "RC8007"
CLOCK_OFFSET: Final = "RC8008"
MOST_OFFSET_US: Final[Span] = 30 * SECOND  # between host, store and source (DESIGN 12.11)
LEAST_GAP_US: Final[Span] = 15 * MINUTE
GONE_LOOKS: Final = 3
"""Looks in a row without an account's series, after which that is evidence of its own."""
GONE_SHARE: Final = 0.01
"""Of an expansion wave: accounts that may be gone without keeping the check from passing."""
GONE_SHOWN: Final = 3
COVERED_SHARE: Final = 0.8

Values = Mapping[Counter, Mapping[str, float]]


class RawReading(Protocol):
    """What `fold` needs of a reading (`ringctl.ports.metrics.Reading` has it)."""

    @property
    def at_us(self) -> Instant | None:
        """The source's time of the values."""
        ...

    @property
    def oldest_us(self) -> Instant | None:
        """Time of the oldest sample behind the values."""
        ...

    @property
    def values(self) -> Values:
        """Raw cumulative values per counter and account."""
        ...

    @property
    def partial(self) -> bool:
        """Whether the source said that it answered in part."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Whom a look is about: the wave's accounts with the time of their first step intent (None: not
    begun), accounts not touched yet, and whether all of the wave's accounts are done, and since when.
    `settled`: accounts whose steps are not measured, because a person settled them. `strict`: see `Evidence`."""

    touched: Mapping[str, Instant | None]
    control: Collection[str] = ()
    all_done: bool = False
    last_done_us: Instant | None = None
    settled: frozenset[str] = frozenset()
    strict: bool = True
    control_min: int = CONTROL_MIN


class _Base(NamedTuple):
    """An account's last raw values, and the time from which on they may miss events."""

    y: float
    n: float
    since_us: Instant


class _Delta(NamedTuple):
    """What an account did since its base: None is missing. `base` is the next base (None: nothing known)."""

    n: float | None
    y: float | None
    since_us: Instant
    base: _Base | None


def longest_gap(every_us: Span) -> Span:
    """The longest interval that is still differenced: 3 x `every`, at least 15 minutes.

    A counter that was reset and grew past its old value hides the reset; the longer the interval, the
    likelier. Fifteen minutes let a scheduled `ringctl tick` observe as well as a running node.
    """
    return max(3 * every_us, LEAST_GAP_US)


def fold(
    check: Check, state: JudgeState, reading: RawReading, watch: Watch, now_us: Instant
) -> tuple[JudgeState, Evidence]:
    """One reading folded in: the next state (plain JSON values) and the look's evidence.

    Missing (None) are: an account's first reading, an absent series, NaN, infinities and what is beyond the bounds
    of `magnitudes` (the evidence's reason names the accounts), a value that dropped (reset), an interval longer
    than `longest_gap`, bad events without any event. An account whose series are there and did not move has n = 0,
    y = 0: idle, not silent. One absence is a true zero: where the bad events are a subset of all events (same
    counter name and account label, the matchers of `all` among those of `bad`), an account that has `all` but no
    `bad` has had none.

    An account missing in between is differenced from its last reading. `after` and `complete` are
    judged on the whole interval, from the oldest sample of the earlier reading on: what was scraped late is in the
    next look's difference. A partial reading (RC8006), a source more than 30 s off (RC8008), one whose time stands
    still or whose samples are older than `longest_gap` (RC8007) is no answer: the state stays as it is.

    Looks in a row without an account's series are counted once it had any: see `gone`.
    """
    error, reason = _refused(state, reading, now_us, longest_gap(check.every_us))
    if error:
        return silent(state, watch, now_us, error=error, reason=reason)
    at_us = now_us if reading.at_us is None else reading.at_us
    last_us = _instant(state.get("t"))
    gap_us = longest_gap(check.every_us)
    bases = _bases(state, at_us - gap_us, at_us)
    oldest_us = at_us if reading.oldest_us is None else min(at_us, reading.oldest_us)
    raw = _raw(check, reading.values, at_us)
    deltas = {
        account: _delta(check, bases.get(account), raw.get(account), oldest_us)
        for account in (*watch.touched, *watch.control)
    }
    usable = last_us is not None and at_us - gap_us <= last_us
    interval_us = at_us - last_us if usable and last_us is not None else 0
    evidence = Evidence(
        at_us=now_us,
        interval_us=interval_us,
        touched=_touched(watch, deltas, at_us),
        control=tuple(Cell(one, deltas[one].n, deltas[one].y, after=False) for one in watch.control),
        expected=len(watch.touched),
        strict=watch.strict,
        complete=_complete(watch, deltas) and usable,
        reason=_unusable(check, reading.values, [account for account in deltas if account not in raw]),
        intents=watch.touched,
        control_min=watch.control_min,
    )
    return {**_state(at_us, deltas), **_absences(state, watch, raw)}, evidence


def silent(
    state: JudgeState, watch: Watch, now_us: Instant, *, error: str, reason: str
) -> tuple[JudgeState, Evidence]:
    """A look without an answer: no cells, the RC8xxx code, the state as it was."""
    evidence = Evidence(
        at_us=now_us,
        interval_us=0,
        expected=len(watch.touched),
        strict=watch.strict,
        error=error,
        reason=reason,
        intents=watch.touched,
    )
    return state, evidence


def step_evidence(values: Mapping[str, float], watch: Watch, now_us: Instant) -> Evidence:
    """Evidence of a measure of the built-in source `steps`: n = 1, y = the account's value as it stands.

    A snapshot, not an increment: each look has all values again. Accounts without a finite value are
    missing; those that a person settled are not expected to have one. Only touched accounts have any: there is no
    control.
    """
    cells = []
    for account in watch.touched:
        if account in watch.settled:
            continue
        value = values.get(account)
        there = value is not None and math.isfinite(value)
        cells.append(Cell(account=account, n=1.0 if there else None, y=value if there else None, after=True))
    return Evidence(
        at_us=now_us,
        interval_us=0,
        touched=tuple(cells),
        expected=len(cells),
        strict=watch.strict,
        complete=watch.all_done,
        intents=watch.touched,
    )


def activity(evidence: Evidence) -> int:
    """Samples of a look for the bake: the sum of n over touched accounts after their intent."""
    return int(sum(cell.n for cell in evidence.touched if cell.after and cell.n is not None))


def covered(evidence: Evidence) -> Span:
    """How much of the time before a look its samples cover: the whole interval, where enough of the wave's accounts
    have a difference over it (DESIGN 12.11); else nothing."""
    there = sum(cell.n is not None for cell in evidence.touched)
    return evidence.interval_us if there >= max(1.0, COVERED_SHARE * evidence.expected) else 0


def gone(state: JudgeState) -> dict[str, int]:
    """Accounts of the wave that had series and have had none for at least three looks: account -> looks."""
    counted = state.get("gone")
    rows = counted if isinstance(counted, Mapping) else {}
    return {account: looks for account, looks in rows.items() if looks >= GONE_LOOKS}


def withheld(judgement: Judgement, evidence: Evidence, away: Mapping[str, int]) -> Judgement:
    """The judgement, given who is gone: they are named, and without them it does not pass.

    Missing is neither zero nor harm by itself (`silence: fail` says that it is); but a wave of which an account
    has fallen silent is not known to be well. Of a wave that a quorum can pass, one in a hundred may be gone.
    Accounts whose values cannot be used are named as well.
    """
    if evidence.reason and not evidence.error:
        judgement = replace(judgement, reason=f"{judgement.reason} ({evidence.reason})")
    if not away or judgement.verdict is Verdict.FAIL or evidence.error:
        return judgement
    worst = sorted(away, key=lambda one: (-away[one], one))
    named = [f"{one} had data and has been absent for {away[one]} looks" for one in worst[:GONE_SHOWN]]
    more = f"; and {len(worst) - GONE_SHOWN} more accounts" if len(worst) > GONE_SHOWN else ""
    reason = f"{'; '.join(named)}{more}"
    allowed = 0 if evidence.strict else int(GONE_SHARE * evidence.expected)
    if len(worst) > allowed:
        said = reason if judgement.verdict is Verdict.PASS else f"{judgement.reason}; {reason}"
        verdict = Verdict.INCONCLUSIVE
    else:
        said, verdict = f"{judgement.reason} ({reason})", judgement.verdict
    return replace(judgement, verdict=verdict, reason=said)


def counters_of(check: Check) -> tuple[Counter, ...]:
    """The counters that a check is made of; none for the built-in source."""
    measure = check.measure
    if isinstance(measure, Count):
        return (measure.of,)
    return (measure.y, measure.n) if isinstance(measure, Ratio) else ()


def series(check: Check, reading: RawReading, watch: Watch) -> tuple[int, int]:
    """(series found, series expected) of the wave's accounts. Bad events that are by name a part of all events may
    have none yet: those are not expected."""
    measure = check.measure
    found = wanted = 0
    for counter in counters_of(check):
        there = sum(account in reading.values.get(counter, {}) for account in watch.touched)
        optional = isinstance(measure, Ratio) and counter == measure.y and measure.subset
        found, wanted = found + there, wanted + (there if optional else len(watch.touched))
    return found, wanted


def _refused(state: JudgeState, reading: RawReading, now_us: Instant, gap_us: Span) -> tuple[str, str]:
    """Why the reading is no answer, or two empty strings."""
    if reading.partial:
        return PARTIAL, "the source said that its answer is partial"
    at_us = now_us if reading.at_us is None else reading.at_us
    if abs(at_us - now_us) > MOST_OFFSET_US:
        off = (at_us - now_us) / SECOND
        return CLOCK_OFFSET, f"the source's clock is off by {off:+.0f} s (at most 30 s)"
    last_us = _instant(state.get("t"))
    if last_us is not None and last_us - gap_us <= at_us <= last_us:
        return STALE, "the source's time has not moved on since the last look"
    if reading.oldest_us is not None and reading.oldest_us < at_us - gap_us:
        age = (at_us - reading.oldest_us) / MINUTE
        return STALE, f"the source's oldest sample is {age:.0f} min old (at most {gap_us / MINUTE:.0f})"
    return "", ""


def _raw(check: Check, values: Values, at_us: Instant) -> dict[str, tuple[float, float]]:
    """Account -> (y, n), where both are known and within bounds. A plain count has minutes for n."""
    measure = check.measure
    if isinstance(measure, Count):
        minutes = at_us / MINUTE
        counted = values.get(measure.of, {})
        return {account: (y, minutes) for account, y in counted.items() if countable(y)}
    if not isinstance(measure, Ratio):
        return {}
    bad, every = values.get(measure.y, {}), values.get(measure.n, {})
    subset = measure.subset
    sound = countable if measure.of_counts else measurable
    pairs = {}
    for account, n in every.items():
        y = bad.get(account, 0.0 if subset else math.nan)
        if countable(n) and sound(y):
            pairs[account] = (y, n)
    return pairs


def _unusable(check: Check, values: Values, missing: Sequence[str]) -> str:
    """Which counter has no series at all, or who of the missing accounts has numbers that cannot be used; or ""."""
    counters = list(counters_of(check))
    if isinstance(check.measure, Ratio) and check.measure.subset:
        del counters[0]
    nowhere = [one for one in counters if missing and not values.get(one)]
    if nowhere:
        matched = ", ".join(f'{label}=~"{pattern}"' for label, pattern in nowhere[0].match.items())
        return f"no series of {nowhere[0].name}{f'{{{matched}}}' if matched else ''}"
    odd = [account for account in missing if counters and all(account in values[one] for one in counters)]
    if not odd:
        return ""
    more = f" and {len(odd) - GONE_SHOWN} more" if len(odd) > GONE_SHOWN else ""
    return f"NaN, negative or too large a number of {', '.join(odd[:GONE_SHOWN])}{more}: missing"


def _delta(check: Check, base: _Base | None, raw: tuple[float, float] | None, oldest_us: Instant) -> _Delta:
    """The difference of one account, and its next base."""
    since_us = oldest_us if base is None else base.since_us
    if raw is None:
        return _Delta(None, None, since_us, base)
    fresh = _Base(raw[0], raw[1], oldest_us)
    if base is None or fresh.y < base.y or fresh.n < base.n:
        return _Delta(None, None, since_us, fresh)
    n, y = fresh.n - base.n, fresh.y - base.y
    if n <= 0 < y:  # counted as bad, not yet as an event: the next look has both
        return _Delta(None, None, since_us, base)
    bad = check.measure.bad(n, y) if isinstance(check.measure, Ratio) else y
    return _Delta(n, bad, since_us, fresh) if bad is not None else _Delta(None, None, since_us, base)


def _touched(watch: Watch, deltas: Mapping[str, _Delta], at_us: Instant) -> tuple[Cell, ...]:
    """Cells of the wave's accounts that lie wholly before or wholly after the first intent."""
    cells = []
    for account, intent_us in watch.touched.items():
        delta = deltas[account]
        if intent_us is None or at_us <= intent_us:
            cells.append(Cell(account, delta.n, delta.y, after=False))
        elif delta.since_us >= intent_us:
            cells.append(Cell(account, delta.n, delta.y, after=True))
    return tuple(cells)


def _complete(watch: Watch, deltas: Mapping[str, _Delta]) -> bool:
    """All done, and every measured interval of the wave's accounts begins at or after that."""
    if not watch.all_done or watch.last_done_us is None:
        return False
    done_us = watch.last_done_us
    return all(
        deltas[account].since_us >= done_us for account in watch.touched if deltas[account].n is not None
    )


def _bases(state: JudgeState, from_us: Instant, to_us: Instant) -> dict[str, _Base]:
    """The accounts' bases that are not older than the gap, nor in the future."""
    last_us, rows = _instant(state.get("t")), state.get("a")
    if last_us is None or last_us >= to_us or not isinstance(rows, Mapping):
        return {}
    return {
        account: _Base(row[0], row[1], last_us - row[2])
        for account, row in rows.items()
        if last_us - row[2] >= from_us
    }


def _state(at_us: Instant, deltas: Mapping[str, _Delta]) -> JudgeState:
    """`t`: time of the reading; `a`: account -> [y, n, how long before `t` the values may begin]."""
    return {
        "t": at_us,
        "a": {
            account: [_short(delta.base.y), _short(delta.base.n), at_us - delta.base.since_us]
            for account, delta in deltas.items()
            if delta.base is not None
        },
    }


def _absences(
    state: JudgeState, watch: Watch, raw: Mapping[str, tuple[float, float]]
) -> dict[str, dict[str, int]]:
    """`gone`: accounts of the wave that had series and have none now -> looks in a row. Left out when nobody is."""
    had, counted = state.get("a"), state.get("gone")
    rows = had if isinstance(had, Mapping) else {}
    looks = counted if isinstance(counted, Mapping) else {}
    away = {
        account: looks.get(account, 0) + 1
        for account in watch.touched
        if account not in raw and (account in rows or account in looks)
    }
    return {"gone": away} if away else {}


def _short(value: float) -> float:
    """An integer where that is the same number: shorter as JSON."""
    whole = int(value)
    return whole if whole == value else value


def _instant(value: object) -> Instant | None:
    return value if isinstance(value, int) else None
