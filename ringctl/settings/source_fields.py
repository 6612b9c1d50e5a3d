"""The keys of `metrics.NAME`; part of `ringctl.settings.policy_fields`, for one type of source or several."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from ringctl.settings import shown
from ringctl.settings.shown import Shape

SECRETS = "secrets only by reference: {file: PATH} or {env: NAME}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFields(Shape):
    """A secret by reference, never by value."""

    HINT: ClassVar[str] = SECRETS

    file: shown.Text | None = None
    """File that holds the secret, relative to the policy."""
    env: shown.Variable | None = None
    """Environment variable that holds the secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortFields(Shape):
    """The series by which `accounts: cohort` knows the accounts that are watched."""

    HINT: ClassVar[str] = "{match: {rollout: NAME}}"

    counter: shown.Metric = "ringctl_cohort_info"
    """Name of the series; ringctl exports this one, with `rollout`, `account` and `cohort` (canary or control)."""
    account: shown.Label = "account"
    """Its label that holds the account's id."""
    match: Mapping[str, shown.Text] = field(default_factory=dict)
    """Labels that must match: label -> regular expression over the whole value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceFields(Shape):
    """Where a counter stands in a JSON answer: JSON pointers (RFC 6901)."""

    HINT: ClassVar[str] = "{items: /tenants, account: /id, value: /requests}"

    items: shown.Pointer = ""
    """The list of accounts, or a mapping of them; default: the whole answer."""
    account: shown.Pointer | None = None
    """The account's id within an item; left out: the key of a mapping."""
    value: shown.Pointer
    """The raw cumulative value within an item."""
    time: shown.Pointer | None = None
    """When that value was taken, within an item: seconds or milliseconds since 1970, or RFC 3339 text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFields(Shape):
    """A place that measurements are read from."""

    type: shown.Name
    """`prometheus`, `scrape`, `sql` or `http`, or the name of an installed plug-in."""
    url: shown.Text | SecretFields | None = None
    """Address: the Prometheus server, the one endpoint to scrape, the JSON, or for `sql` the database
    (`sqlite:///PATH`, `postgresql://USER@HOST:PORT/DATABASE`, or a reference to one that holds a password)."""
    urls: tuple[shown.Text, ...] = ()
    """`scrape`: addresses of all endpoints to scrape."""
    token: SecretFields | None = None
    """`prometheus`, `http`: bearer token by reference, `{file: PATH}` or `{env: NAME}`."""
    headers: Mapping[str, shown.Text] = field(default_factory=dict)
    """`http`: more headers of the request, none of them secret."""
    timeout: shown.Duration = "10s"
    """How long one answer may take."""
    max_age: shown.Duration = "60s"
    """Samples older than this by the source's own clock, or as far in the future, count as missing; two scrape
    intervals is a good value."""
    accounts: shown.Accounts = "all"
    """`prometheus`: ask for all accounts, name those wanted in the queries (`matchers`), or join them with ringctl's
    own series (`cohort`), for fleets whose answer would be too large."""
    cohort: CohortFields | None = None
    """`prometheus`: the series for `accounts: cohort`."""
    queries: Mapping[str, shown.Text] = field(default_factory=dict)
    """`sql`: counter -> a query whose first column is the account, whose second the raw cumulative value, and whose
    third, where there is one, the time of that value."""
    counters: Mapping[str, PlaceFields] = field(default_factory=dict)
    """`http`: counter -> where it stands in the answer."""
