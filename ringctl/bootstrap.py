"""The composition root: the only module that names concrete parts, the clock and randomness."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ringctl import registry
from ringctl.core.errors import UsageError
from ringctl.core.timing import Instant
from ringctl.engine.parts import Parts

if TYPE_CHECKING:  # what a command does not use it does not import: see tests/cli/test_start_up.py
    from ringctl.core.bundle import Bundle
    from ringctl.core.coverage import Exercised
    from ringctl.core.drawing import Chooser
    from ringctl.core.fleet import Fleet
    from ringctl.core.judging import Judge
    from ringctl.core.model import Member
    from ringctl.core.policy import InventorySpec, Policy, SourceSpec
    from ringctl.ports.executor import Executor
    from ringctl.ports.metrics import MetricSource
    from ringctl.ports.store import Store

DEFAULT_STATE = "sqlite:///ringctl.db"


class SystemClock:
    """The machine's clocks. `monotonic` is CLOCK_MONOTONIC: one clock for all processes of the host."""

    def now_us(self) -> Instant:
        """Wall time in microseconds."""
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event, at most so long."""
        return event.wait(seconds)


def new_id() -> str:
    """Random text: 64 bits in hex."""
    return os.urandom(8).hex()


def open_store(url: str) -> Store:
    """The store behind a state URL. Raises UsageError for a scheme that no store has."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        from ringctl.stores.sqlite import SQLiteStore

        return SQLiteStore(
            state_path(rest),
            decode_policy=_policy,
            decode_bundle=_bundle,
        )
    if scheme in {"postgresql", "postgres"}:
        try:
            from ringctl.stores.postgres import PostgresStore
        except ImportError as error:
            msg = f"a PostgreSQL state needs psycopg, which is not installed ({error})"
            raise UsageError(msg, hint="pip install 'ringctl[postgres]'") from error
        return PostgresStore(url, decode_policy=_policy, decode_bundle=_bundle)
    msg = f"no store for the state URL {public(url)!r}: known are sqlite:///PATH and postgresql://USER@HOST/DATABASE"
    raise UsageError(msg, hint="ringctl --state sqlite:///ringctl.db ...")


def public(url: str) -> str:
    """A state URL as it may be shown: of a server only where it is."""
    scheme, colon, _ = url.partition("://")
    if scheme == "sqlite":
        return url
    if scheme not in {"postgresql", "postgres"}:
        return f"{scheme}{colon}..." if colon else "..."
    from ringctl.core.errors import RingctlError
    from ringctl.stores.postgres_connections import Connections

    try:
        return Connections(url).where
    except RingctlError:
        return f"{scheme}://..."


def _policy(document: Mapping[str, object]) -> Policy:
    from ringctl import settings

    return settings.policy_from_document(document)


def _bundle(manifest: str) -> Bundle:
    from ringctl import settings

    return settings.bundle_from_manifest(manifest)


def state_path(rest: str) -> Path:
    """The path of `sqlite:///PATH`: three slashes are relative to here, four are absolute."""
    return Path(rest.removeprefix("/") if not rest.startswith("//") else rest[1:])


def work_dir(url: str, environ: Mapping[str, str]) -> Path:
    """Where verified bundle copies lie: `RINGCTL_WORK`, else beside the state file."""
    if "RINGCTL_WORK" in environ:
        return Path(environ["RINGCTL_WORK"]) / "bundles"
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path = state_path(rest).absolute()
        return path.parent / f".{path.stem}-work" / "bundles"
    return Path.home() / ".cache" / "ringctl" / "bundles"


@lru_cache(maxsize=64)
def executor(name: str) -> Executor:
    """The registered executor of that name. Raises UsageError listing the known ones."""
    made: Executor = registry.load("ringctl.executors", name)()
    return made


def executor_names() -> tuple[str, ...]:
    """Names of all registered executors. Reads entry points: only where a bundle is checked."""
    return tuple(registry.known("ringctl.executors"))


class Judges(Mapping[str, "Judge"]):
    """All registered judges by name; looked for when the first one is asked for."""

    @cached_property
    def _all(self) -> dict[str, Judge]:
        group = "ringctl.judges"
        return {name: registry.load(group, name)() for name in registry.known(group)}

    def __getitem__(self, name: str) -> Judge:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def choose(candidates: Sequence[Member], count: int, exercised: Exercised) -> tuple[Member, ...]:
    """The default strategy's choice."""
    chosen: tuple[Member, ...] = _strategy("covering")(candidates, count, exercised)
    return chosen


@lru_cache(maxsize=8)
def _strategy(name: str) -> Chooser:
    chooser: Chooser = registry.load("ringctl.strategies", name)().choose
    return chooser


def read_fleet(spec: InventorySpec, base: Path) -> Fleet:
    """Read the policy's inventory, complete or error."""
    fleet: Fleet = registry.load("ringctl.inventories", spec.source)().read(spec, base)
    return fleet


def metric_source(base: Path, made: dict[str, MetricSource], spec: SourceSpec) -> MetricSource:
    """The metric source of a policy, made once per process."""
    key = f"{spec.name}:{spec.type}:{sorted(spec.options.items())}"
    if key not in made:
        made[key] = registry.load("ringctl.metrics", spec.type)(spec.name, spec.options, folder=base)
    return made[key]


def default_actor(environ: Mapping[str, str]) -> str:
    """Who acts when nobody says: RINGCTL_ACTOR, else the login name."""
    if environ.get("RINGCTL_ACTOR"):
        return environ["RINGCTL_ACTOR"]
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def open_parts(
    state: str = "", *, migrate: bool = True, actor: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[Parts]:
    """Compose the process's parts over one state URL; closes them at the end.

    `migrate` brings an older or empty SQLite file up to date first; without it the schema is only checked. The schema
    of a server, which others share, is changed by `db migrate` alone.
    """
    env = os.environ if environ is None else environ
    url = state or env.get("RINGCTL_STATE", "") or DEFAULT_STATE
    store = open_store(url)
    try:
        if migrate and url.startswith("sqlite"):
            store.migrate()
        else:
            store.check()
        yield Parts(
            store=store,
            clock=SystemClock(),
            executor=executor,
            source=partial(metric_source, Path.cwd(), {}),
            judges=Judges(),
            choose=choose,
            read_fleet=read_fleet,
            new_id=new_id,
            work_dir=work_dir(url, env),
            host=os.uname().nodename,
            actor=actor or default_actor(env),
            environ=env,
            executors=executor_names,
        )
    finally:
        store.close()
