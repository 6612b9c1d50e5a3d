"""The keys of a bundle file: what they mean, their defaults, and the keys refused for now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ringctl.settings import shown
from ringctl.settings.shown import Shape

BUILT_IN = ("batched_sql", "command", "http", "noop", "sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleMetadata(Shape):
    """What the bundle is and whose it is."""

    REFUSED: ClassVar[Mapping[str, str]] = {"flags": ""}

    name: shown.Name
    """Name of the bundle."""
    version: shown.Version
    """Version of the change, as text (quote it)."""
    component: shown.Name
    """What is upgraded; the ledger in each account is kept by component."""
    author: shown.Text | None = None
    """Who wrote it; not part of the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFields(Shape):
    """Size and pace of the batches."""

    target: shown.Duration = "50ms"
    """Time that one batch should take; its size adapts to it."""
    max_rows: shown.Count = 5000
    """Most key values in one batch."""
    pause: shown.Duration = "20ms"
    """Pause between two batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFields(Shape):
    """One request. Redirects are not followed."""

    HINT: ClassVar[str] = '{url: "https://..."}'

    url: shown.Text
    """Address (http or https)."""
    method: shown.Method = "POST"
    """Method."""
    headers: Mapping[str, shown.Text] = field(default_factory=dict)
    """Headers beside the idempotency key and the token, which are always sent."""
    body: shown.Body | None = None
    """Text, or a value that is sent as JSON."""
    expect: shown.Expect | None = None
    """Status codes that mean done; default every 2xx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbeFields(Shape):
    """One request that finds out whether the step took effect."""

    HINT: ClassVar[str] = '{url: "https://..."}'

    url: shown.Text
    """Address (http or https)."""
    headers: Mapping[str, shown.Text] = field(default_factory=dict)
    """Headers."""
    expect: shown.Expect = (200,)
    """Status codes that mean: took effect."""
    absent: shown.Expect = (404,)
    """Status codes that mean: did not. Any other: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFields(Shape):
    """Finds out whether an interrupted step took effect."""

    HINT: ClassVar[str] = '{command: [./is-done.sh, "{account.id}"]}'
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        **Shape.__pydantic_config__,
        "json_schema_extra": shown.exactly_one("command", "http"),
    }

    command: tuple[shown.Text, ...] = ()
    """Program and arguments; exit 0: took effect, 1: did not, any other: unknown."""
    env: tuple[shown.Variable, ...] = ()
    """Environment variables that are passed on."""
    http: HttpProbeFields | None = None
    """A GET request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoFields(Shape):
    """Takes a step back. Recorded and part of the digest."""

    HINT: ClassVar[str] = "{sql: undo.sql}"
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        **Shape.__pydantic_config__,
        "json_schema_extra": shown.exactly_one("command", "http", "sql"),
    }

    sql: shown.Text | None = None
    """SQL file of the bundle."""
    database: shown.Text | None = None
    """Database of the account; default the step's."""
    command: tuple[shown.Text, ...] = ()
    """Program and arguments."""
    env: tuple[shown.Variable, ...] = ()
    """Environment variables that are passed on."""
    http: HttpFields | None = None
    """One request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseFields(Shape):
    """Brings an account out of an unsafe stretch when the rollout stops there."""

    HINT: ClassVar[str] = "{sql: close.sql}"
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        **Shape.__pydantic_config__,
        "json_schema_extra": shown.exactly_one("command", "http", "sql"),
    }

    sql: shown.Text | None = None
    """SQL file of the bundle."""
    database: shown.Text | None = None
    """Database of the account; default: that of the steps, where they share one."""
    command: tuple[shown.Text, ...] = ()
    """Program and arguments."""
    env: tuple[shown.Variable, ...] = ()
    """Environment variables that are passed on."""
    http: HttpFields | None = None
    """One request."""
    timeout: shown.Duration = "60s"
    """Longest run time."""
    files: tuple[shown.Text, ...] = ()
    """Further files of the bundle that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFields(Shape):
    """One step. The key `sql`, `batched_sql`, `command`, `http` or `noop` names what runs it."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        **Shape.__pydantic_config__,
        "json_schema_extra": shown.exactly_one(*BUILT_IN),
    }

    id: shown.Name
    """Name of the step; keep it over revisions, the ledger knows steps by it."""
    sql: shown.Text | None = None
    """SQL file of the bundle, run in one transaction with its ledger row."""
    batched_sql: shown.Text | None = None
    """File with one statement over :lo..:hi of `key`, run batch by batch."""
    command: tuple[shown.Text, ...] = ()
    """Program and arguments, never a shell; `./name` is a file of the bundle."""
    http: HttpFields | None = None
    """One request with idempotency key and token."""
    noop: shown.Empty = None
    """Does nothing; for trials."""
    database: shown.Text | None = None
    """Database of the account, for `sql` and `batched_sql`."""
    params: Mapping[str, shown.Text] = field(default_factory=dict)
    """Bound parameters of the SQL (`:name`), such as {account: "{account.id}"}."""
    table: shown.Identifier | None = None
    """Table that the batches walk."""
    key: shown.Identifier | None = None
    """Integer column that the batches walk."""
    batch: BatchFields = field(default_factory=BatchFields)
    """Size and pace of the batches."""
    env: tuple[shown.Variable, ...] = ()
    """Environment variables that a command gets."""
    timeout: shown.Duration = "60s"
    """Longest run time."""
    idempotent: bool = False
    """Running it twice does no harm (for `command` and `http`)."""
    probe: ProbeFields | None = None
    """Finds out whether it took effect (for `command` and `http`)."""
    undo: UndoFields | None = None
    """Takes it back."""
    forward_only: bool = False
    """It cannot be taken back."""
    scope: shown.Scope = "account"
    """What it touches; only `account` in this version."""
    files: tuple[shown.Text, ...] = ()
    """Further files of the bundle that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFields(Shape):
    """Which application versions serve while steps run."""

    old_until: shown.Name | None = None
    """The old version serves up to the end of this step."""
    new_from: shown.Name | None = None
    """The new version serves from the end of this step on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFields(Shape):
    """Bounds on what an account may feel."""

    REFUSED: ClassVar[Mapping[str, str]] = {"stall": "", "statement": ""}

    window: shown.Duration | None = None
    """Longest time that an account may be in an unsafe stretch when it has to settle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFields(Shape):
    """What is done to one account."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "probes": "there is no rehearsal yet",
        "fixtures": "there is no rehearsal yet",
        "allow": "",
        "previous_revisions": "",
        "evidence": "",
    }

    api_version: shown.ApiVersion
    """Always `ringctl/v1`."""
    kind: shown.BundleKind
    """Always `Bundle`."""
    metadata: BundleMetadata
    """What the bundle is and whose it is."""
    steps: tuple[StepFields, ...]
    """The steps, in order."""
    live: LiveFields = field(default_factory=LiveFields)
    """Which application versions serve while steps run."""
    close_window: CloseFields | None = None
    """Brings an account out of an unsafe stretch when the rollout stops there."""
    budget: BudgetFields = field(default_factory=BudgetFields)
    """Bounds on what an account may feel."""
    reapply: shown.Reapply = "never"
    """Whether finished steps run again; only `never` in this version."""
    from_step: Mapping[str, shown.Name] = field(default_factory=dict)
    """For half-done accounts: last step begun under an old revision -> first step to run under this one."""
