"""The policy as values: how far, how fast, by what health. Built by `ringctl.settings.policy`."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ringctl.core.fleet import Selector
from ringctl.core.timing import DAY, HOUR, MINUTE, SECOND, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A count of accounts or a share of a set. Exactly one of the two is set."""

    count: int | None = None
    share: float | None = None

    def of(self, total: int) -> int:
        """Accounts out of `total`: shares are rounded up; at least 1, at most `total`."""
        wanted = self.count if self.count is not None else math.ceil(_exact(self.share, total))
        return min(total, max(1, wanted))

    def budget(self, total: int) -> int:
        """A failure budget out of `total`: shares are rounded down, 0 is allowed."""
        if self.count is not None:
            return min(total, self.count)
        return min(total, math.floor(_exact(self.share, total)))

    def __str__(self) -> str:
        return f"{self.count}" if self.count is not None else f"{100 * (self.share or 0):g}%"


def _exact(share: float | None, total: int) -> float:
    # 0.07 * 100 is 7.000000000000001: round away the float noise before ceil or floor
    return round((share or 0.0) * total, 9)


NONE_FAIL = Amount(count=0)
ALL = Amount(share=1.0)
CONTROL_MIN = 5
"""Untouched accounts that a comparison needs, unless `limits.control_min` says otherwise."""
BUILTIN = "builtin"
"""What a built-in check is compared with (`core.builtin`)."""
UNGATED_EVERY_US: Span = 10 * SECOND
"""How often a wave without any check is looked at: its bake is credited time all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bake:
    """Watched time after a wave: at least `min`, at least `activity` samples, at most `max` (then: hold)."""

    min_us: Span = 15 * MINUTE
    activity: int = 0
    max_us: Span = 24 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A cumulative counter, read per account. `match` maps label names to anchored regular expressions.

    `match` is compared but not hashed (a mapping has no hash), so that counters can be keys.
    """

    name: str
    account: str = "account"
    match: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """`y` out of `n` per account and interval.

    A ratio of counts: y = bad events, n = all events (each event is bad or not).
    A value (`of_counts` false): y = amount (items, bytes), n = number of answers.
    `good`: the counter y is that of the good events, as a histogram's bucket is of the fast ones; the others are bad.
    """

    y: Counter
    n: Counter
    of_counts: bool
    good: bool = False

    @property
    def subset(self) -> bool:
        """Whether the series of y are by name and matchers among those of n: absent ones have counted none."""
        y, n = self.y, self.n
        return (
            self.of_counts
            and not self.good  # no good one is no absence of bad ones
            and y.name == n.name
            and y.account == n.account
            and n.match.items() <= y.match.items()
        )

    def bad(self, n: float, y: float) -> float | None:
        """Bad events of a difference; None where there are more good ones than events: not all are counted yet."""
        if not self.good:
            return y
        return n - y if y <= n else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Events of one counter per account and minute (throughput): y = events, n = minutes."""

    of: Counter


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMeasure:
    """A measure of the built-in source `steps`, per account: `duration` (s), `failures`, `retries`, `overshoot`
    (times what its size class took) or `duplicates` (key violations)."""

    name: str


Measure = Ratio | Count | StepMeasure


@dataclass(frozen=True, slots=True, kw_only=True)
class FailIf:
    """What counts as harm; None = not asked. Shares are fractions: 100% is 1.0.

    increase: relative rise of the ratio against control or before (1.0 = doubled).
    decrease: relative fall of a count (0.5 = halved).   ceiling: limit of a ratio, judged anytime-validly.
    above: absolute ceiling of the ratio or value.   p95: ceiling of the 95th percentile over accounts.
    becomes_empty: an account that answered with items now answers without any.
    shift: relative change, either way, of an account's own value against before.
    """

    increase: float | None = None
    decrease: float | None = None
    ceiling: float | None = None
    above: float | None = None
    p95: float | None = None
    becomes_empty: bool = False
    shift: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One measurement and how it is judged.

    `compare`: canary-vs-control | before-vs-after | unchanged | threshold. `false_alarm`: of the whole rollout,
    of which the check takes its share by `weight`; `miss`: chance that the harm asked about passes. `alike`: the
    cohorts are known to have equal rates, nothing need be learnt. `history_us`: how much past is asked of the source.
    """

    name: str
    source: str
    measure: Measure
    compare: str
    fail_if: FailIf
    min_samples: int = 200
    every_us: Span = MINUTE
    baseline_us: Span = 10 * MINUTE
    false_alarm: float = 0.01
    without_control: str = "before-vs-after"
    silence: str = "hold"
    miss: float = 0.05
    weight: float = 1.0
    alike: bool = False
    history_us: Span = 14 * DAY
    line: int = 0


def looks_every(checks: Iterable[Check], bake: Bake) -> Span:
    """The time between two looks at a wave: the shortest that a check asks for, and at least two looks in a minimum
    bake (a bake of seconds is not stretched to a minute by `every: 1m`). Built-in checks look with the others."""
    asked = min((check.every_us for check in checks if check.compare != BUILTIN), default=UNGATED_EVERY_US)
    return min(asked, max(SECOND, bake.min_us // 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The canary subset of a ring: how many, whom it prefers, whom it never draws."""

    accounts: Amount = Amount(count=1)
    at_most: int | None = None
    prefer: Selector = field(default_factory=Selector)
    exempt: Selector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RingPolicy:
    """One ring. `waves` are cumulative amounts of the ring less its reserve, canary included."""

    name: str
    select: Selector
    canary: Canary = field(default_factory=Canary)
    waves: tuple[Amount, ...] = (ALL,)
    bake: Bake = field(default_factory=Bake)
    max_parallel: int = 8
    max_failures: Amount = NONE_FAIL
    gates: tuple[str, ...] = ()
    promote: str = "auto"
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Requalify:
    """Size, bake and reserve of requalification (DESIGN 12.5, 12.6)."""

    accounts: int = 5
    share: float = 0.01
    bake: Bake = Bake(min_us=45 * MINUTE)
    reserve: float = 0.2

    def cap(self, to_go: int) -> int:
        """The most accounts in one requalification wave with `to_go` accounts still to go."""
        return max(1, min(self.accounts, math.ceil(_exact(self.share, to_go))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of exposure. `size_factor`: how much larger than the largest done an account may be."""

    size_factor: float = 4.0
    control_min: int = CONTROL_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """A named metric source: its registered type and the options of that type."""

    name: str
    type: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InventorySpec:
    """Where accounts come from and what the columns mean."""

    source: str
    path: str = ""
    id: str = "account_id"
    size: str = "size"
    traits: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    unassigned: str = "error"
    options: Mapping[str, object] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole policy; `digest` is over its canonical settings (positions do not count)."""

    name: str
    owner: str
    inventory: InventorySpec
    sources: Mapping[str, SourceSpec]
    checks: Mapping[str, Check]
    rings: tuple[RingPolicy, ...]
    requalify: Requalify = Requalify()
    limits: Limits = Limits()
    digest: str
    document: Mapping[str, object]
    lease_us: Span = 15_000_000

    def ring(self, name: str) -> RingPolicy:
        """The ring of that name; KeyError when there is none."""
        for ring in self.rings:
            if ring.name == name:
                return ring
        raise KeyError(name)

    def checks_of(self, ring: RingPolicy) -> tuple[Check, ...]:
        """The checks that watch a ring's waves."""
        return tuple(self.checks[name] for name in ring.gates)
