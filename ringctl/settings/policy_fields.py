"""The keys of a policy file: what they mean, their defaults, and the keys refused for now.

These dataclasses are the single list of keys: the reader (`ringctl.settings.policy`) takes known names
and defaults from here, the JSON Schema and the reference take their descriptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ringctl.settings import shown
from ringctl.settings.shown import Shape
from ringctl.settings.source_fields import SourceFields

BARE_BAKE = "write bake: {min: 1h}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMetadata(Shape):
    """What the policy is called and whose it is."""

    name: shown.Name
    """Name of the policy, shown in plans and reports."""
    owner: shown.Text | None = None
    """The team to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryFields(Shape):
    """Where accounts come from and what the columns mean."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "shares": "every account must have its own database",
        "window": "",
        "on_drift": "",
    }

    source: shown.Name
    """`csv` or `ndjson`, or the name of an installed plug-in."""
    path: shown.Text
    """The file, relative to the policy."""
    id: shown.Text = "account_id"
    """Column with the account's id."""
    size: shown.Size = "size"
    """Column with the account's size, a number of at least 0; `false` when accounts have none."""
    traits: tuple[shown.Text, ...] = ()
    """Columns whose every value should be met early (region, edition, ...)."""
    target: tuple[shown.Text, ...] = ()
    """Columns that say where the account lives, for `{account.target.X}`."""
    unassigned: shown.Unassigned = "error"
    """What to do with accounts in no ring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterFields(Shape):
    """A counter that only rises, read per account."""

    HINT: ClassVar[str] = "{counter: NAME, account: LABEL}"

    counter: shown.Metric
    """Name of the counter."""
    account: shown.Label = "account"
    """Label that holds the account's id."""
    match: Mapping[str, shown.Text] = field(default_factory=dict)
    """Labels that must match: label -> regular expression over the whole value. A histogram's `..._bucket` needs the
    bound of one bucket, `le: "0.5"` or `le: "+Inf"`, and no expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFields(Shape):
    """A value per account: one counter divided by another."""

    HINT: ClassVar[str] = "{ratio: [{counter: ITEMS}, {counter: QUERIES}]}"

    ratio: tuple[CounterFields, ...]
    """Two counters: amount, and number of answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailIfFields(Shape):
    """What counts as harm; at least one."""

    HINT: ClassVar[str] = "such as {increase: 100%}"

    increase: shown.Share | None = None
    """Relative rise of a ratio of counts, or of a count, against control or before, 5% to 10000%; 100% is doubled.
    With `compare: unchanged` a change by that factor either way."""
    decrease: shown.Share | None = None
    """Relative fall of a `count` against control or before, 5% to less than 100%; 50% is halved."""
    ceiling: shown.Share | None = None
    """Limit of a ratio of counts, such as a service level: judged so that it may be looked at at any time."""
    above: shown.Ceiling | None = None
    """Ceiling: a share for a ratio of counts, a duration for `duration`, else a number. A fixed threshold in the
    style people know: simple, and with no promise about false alarms."""
    p95: shown.P95 | None = None
    """Ceiling of the 95th percentile over accounts (source `steps`)."""
    becomes_empty: bool = False
    """An account that answered with items now answers without any."""
    shift: shown.Share | None = None
    """Relative change, either way, of an account's own value against before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFields(Shape):
    """One measurement and how it is judged. No data never passes."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "promql": "name counters: `bad` and `all`, or `value: {ratio: [...]}`",
        "query": "name counters: `bad` and `all`, or `value: {ratio: [...]}`",
        "on_no_data": "no data always holds",
    }

    source: shown.Name
    """A source named under `metrics`, or the built-in `steps`."""
    bad: CounterFields | None = None
    """Counter of bad events; with `all` a ratio of counts."""
    good: CounterFields | None = None
    """Counter of good events, instead of `bad`: all others are bad. A histogram's bucket counts the fast ones."""
    all: CounterFields | None = None
    """Counter of all events."""
    count: CounterFields | None = None
    """Counter of events per account and minute, such as requests served; instead of `bad` and `all`."""
    value: ValueFields | shown.Text | None = None
    """A value per account; for source `steps`: `duration`, `failures` or `retries`."""
    compare: shown.Compare | None = None
    """With what: untouched accounts, the same accounts before, or a limit. `unchanged`: the accounts must stay as
    they were, either way, beside untouched ones (a release behind a flag that is off)."""
    cohorts: shown.Cohorts = "learnt"
    """`alike`: touched and untouched accounts are known to have equal rates; else that is learnt from their past."""
    history: shown.Duration | None = None
    """How much past to ask the source for, where it has any; default 14d, `0s` for none."""
    fail_if: FailIfFields
    """What counts as harm."""
    min_samples: shown.Count | None = None
    """Fewest samples before the gate may pass; default 200, for source `steps` 1."""
    every: shown.Duration | None = None
    """How often to look; default `defaults.every`."""
    baseline: shown.Duration | None = None
    """How long to watch before a wave opens; default 10 x `every`."""
    false_alarm: shown.Share | None = None
    """Chance of a false alarm over the whole rollout; default `defaults.false_alarm`."""
    miss: shown.Share = "5%"
    """Chance that a harm of the size asked about passes."""
    weight: float = 1
    """This gate's share of the false alarms promised, beside the others' 1."""
    without_control: shown.WithoutControl = "before-vs-after"
    """How to judge once too few untouched accounts are left."""
    silence: shown.Silence = "hold"
    """When touched accounts that had traffic fall silent while others answer: `fail` says that it is harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultFields(Shape):
    """Defaults for gates and rings."""

    REFUSED: ClassVar[Mapping[str, str]] = {"on_fail": "a failed gate always holds"}

    every: shown.Duration = "1m"
    """How often gates look."""
    false_alarm: shown.Share = "1%"
    """Chance of a false alarm over the whole rollout."""
    gates: tuple[shown.Name, ...] | None = None
    """Gates of every ring that names none itself; default: all."""
    builtin: tuple[shown.Builtin, ...] = ("overshoot", "recreated")
    """Checks that watch every ring without being asked. `overshoot` holds before the next account when a step takes
    over 3 times as long as its size class took; `recreated` fails on a key that existed already. `[]`: neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryFields(Shape):
    """The first accounts of a ring."""

    HINT: ClassVar[str] = "write canary: {accounts: 2}"

    accounts: shown.Amount = 1
    """How many: a number or a share of the ring."""
    at_most: shown.Count | None = None
    """Upper bound where `accounts` is a share."""
    prefer: shown.Selection = field(default_factory=dict)
    """Accounts to draw first."""
    exempt: shown.Selection | None = None
    """Accounts never to draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeFields(Shape):
    """Watched time after a wave."""

    HINT: ClassVar[str] = BARE_BAKE

    min: shown.Duration = "15m"
    """Shortest watched time."""
    activity: shown.Count = 0
    """Fewest samples seen meanwhile."""
    max: shown.Duration | None = None
    """Then the rollout holds and asks; default 1d, or twice `min` where that is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequalifyBake(Shape):
    """Watched time after a requalification wave."""

    HINT: ClassVar[str] = BARE_BAKE

    min: shown.Duration = "45m"
    """Shortest watched time."""
    activity: shown.Count = 0
    """Fewest samples seen meanwhile."""
    max: shown.Duration | None = None
    """Then the rollout holds and asks; default 1d, or twice `min` where that is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingFields(Shape):
    """One ring; it starts when the one before has baked clean."""

    REFUSED: ClassVar[Mapping[str, str]] = {"watcher": "", "sign_offs": "", "windows": ""}

    name: shown.Name
    """Name of the ring."""
    select: shown.Selection
    """Accounts of the ring, by column: a value, {in: [...]}, {not: ...}, {gte:, gt:, lte:, lt:}; {} is all."""
    canary: CanaryFields = field(default_factory=CanaryFields)
    """The first accounts."""
    waves: tuple[shown.Amount, ...] = ("100%",)
    """Cumulative amounts of the ring, canary included; the last is 100%."""
    bake: BakeFields | None = None
    """Watched time after each wave; default {min: 15m}."""
    soak: BakeFields | None = None
    """The same as `bake`."""
    max_parallel: shown.Count = 8
    """Most accounts worked on at once."""
    max_failures: shown.Amount = 0
    """Failed accounts that are borne: a number or a share of the ring."""
    gates: tuple[shown.Name, ...] | None = None
    """Gates that watch the ring; default `defaults.gates`."""
    promote: shown.Promote = "auto"
    """How the ring is opened; only `auto` in this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFields(Shape):
    """Bounds of exposure."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "newly_exposed_per_hour": "bound a wave with `waves` and `max_parallel`"
    }

    size_factor: float = 4.0
    """How much larger than the largest account done an account may be; more than 1."""
    control_min: shown.Count = 5
    """Fewest untouched accounts that serve as control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequalifyFields(Shape):
    """The small watched subset that every changed bundle begins with."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "watcher": "name one with `amend --watcher`; it is recorded",
        "on": "every changed byte requalifies",
        "evidence": "",
    }

    accounts: shown.Count = 5
    """Most accounts in one requalification wave."""
    share: shown.Share = "1%"
    """Most accounts in one requalification wave, as a share of those to go (at least 1)."""
    bake: RequalifyBake = field(default_factory=RequalifyBake)
    """Watched time of the subset."""
    reserve: shown.Share = "20%"
    """Share of the first two rings that is held back for later revisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFields(Shape):
    """How far, how fast, by what health a change moves."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "sign_offs": "",
        "sign_offs_proof": "",
        "windows": "",
        "freezes": "",
        "overlap": "a second rollout of the same accounts is refused while the first is open",
        "notify": "",
        "offline": "",
        "evidence": "",
        "executor": "steps stand in the bundle",
        "extends": "",
    }

    api_version: shown.ApiVersion
    """Always `ringctl/v1`."""
    kind: shown.PolicyKind
    """Always `Policy`."""
    metadata: PolicyMetadata
    """What the policy is called and whose it is."""
    inventory: InventoryFields
    """Where accounts come from."""
    metrics: Mapping[str, SourceFields] = field(default_factory=dict)
    """Sources of measurements by name; `steps` is built in."""
    gates: Mapping[str, GateFields] = field(default_factory=dict)
    """Checks of health by name."""
    defaults: DefaultFields = field(default_factory=DefaultFields)
    """Defaults for gates and rings."""
    rings: tuple[RingFields, ...]
    """The rings, in order."""
    requalify: RequalifyFields = field(default_factory=RequalifyFields)
    """What a changed bundle begins with."""
    limits: LimitFields = field(default_factory=LimitFields)
    """Bounds of exposure."""
    lease: shown.Duration = "15s"
    """How long a node keeps its work without a sign of life. For experts."""
