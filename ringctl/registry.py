"""Plug-ins by name, through entry points: built-in ones and those of others come through the same door.

Entry points are read when a group is asked for, never at start-up; a plug-in's module is imported when it
is named. An unknown name is an error that lists what is known: nothing is ever taken instead.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ringctl.core.closest import did_you_mean
from ringctl.core.errors import UsageError

GROUPS = (
    "ringctl.executors",
    "ringctl.inventories",
    "ringctl.judges",
    "ringctl.metrics",
    "ringctl.notifiers",
    "ringctl.strategies",
)
_KINDS = {
    "ringctl.inventories": "inventory",
    "ringctl.metrics": "metric source",
    "ringctl.strategies": "strategy",
}


class EntryPoint(Protocol):
    """The part of `importlib.metadata.EntryPoint` that is used."""

    @property
    def name(self) -> str:
        """The plug-in's name."""
        ...

    @property
    def value(self) -> str:
        """`module:attribute`."""
        ...

    def load(self) -> Any:
        """Import it."""
        ...


Reader = Callable[[str], Iterable[EntryPoint]]


class UnknownPlugin(UsageError):
    """No plug-in of that name, or it cannot be loaded; `known` lists those there are."""

    default_code = "RC0003"

    def __init__(self, message: str, *, known: Iterable[str] = (), hint: str = "") -> None:
        self.known = tuple(known)
        listed = f" (known: {', '.join(self.known)})" if self.known else ""
        super().__init__(f"{message}{listed}", hint=hint)


class Registry:
    """One view on the installed plug-ins; each group is read once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._groups: dict[str, dict[str, EntryPoint]] = {}

    def known(self, group: str) -> tuple[str, ...]:
        """Names of all plug-ins of a group, sorted."""
        return tuple(sorted(self._group(group)))

    def load(self, group: str, name: str) -> Any:
        """The class of that name. Raises UnknownPlugin."""
        found = self._group(group).get(name)
        kind = _KINDS.get(group, group.removeprefix("ringctl.").removesuffix("s"))
        if found is None:
            known = self.known(group)
            raise UnknownPlugin(f"there is no {kind} `{name}`", known=known, hint=did_you_mean(name, known))
        try:
            return found.load()
        except (ImportError, AttributeError) as error:
            message = f"the {kind} `{name}` ({found.value}) cannot be loaded: {error}"
            raise UnknownPlugin(message, hint="is its extra installed?") from error

    def _group(self, group: str) -> dict[str, EntryPoint]:
        if group not in GROUPS:
            raise UnknownPlugin(
                f"there is no plug-in group `{group}`", known=GROUPS, hint=did_you_mean(group, GROUPS)
            )
        if group not in self._groups:
            found: dict[str, EntryPoint] = {}
            for entry in self._reader(group):
                other = found.setdefault(entry.name, entry)
                if other.value != entry.value:
                    message = f"two plug-ins are called `{entry.name}`: {other.value} and {entry.value}"
                    raise UnknownPlugin(message, hint="uninstall one of them")
            self._groups[group] = found
        return self._groups[group]


def _installed(group: str) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # 60 ms: only when a plug-in is named

    return entry_points(group=group)


_INSTALLED = Registry(_installed)


def known(group: str) -> tuple[str, ...]:
    """Names of all installed plug-ins of a group (`ringctl.executors`, ...), sorted."""
    return _INSTALLED.known(group)


def load(group: str, name: str) -> Any:
    """The installed class of that name. Raises UnknownPlugin, which lists those there are."""
    return _INSTALLED.load(group, name)
