"""The production store, each call of which is a switch point and may be lost, before it is executed or after."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ringctl.ports.store import Store
from ringctl.testing.simulator.faults import HOT, Faults
from ringctl.testing.simulator.oracle import Oracle
from ringctl.testing.simulator.wanted import Wanted
from ringctl.testing.simulator.world import Owner

HURTS = frozenset({"beat", "intent", "result", "finish", "open_session"})
"""Around these calls a stopped or killed process does the most harm."""


class SimStore:
    """Stands between one process and the store. Whatever the port has is passed on by its name."""

    def __init__(
        self, store: Store, owner: Owner, faults: Faults, oracle: Oracle, wanted: Wanted | None = None
    ) -> None:
        self._wanted = wanted
        self._store = store
        self._owner = owner
        self._faults = faults
        self._oracle = oracle

    def on_change(self, told: Callable[[], None]) -> Callable[[], None]:
        """See `Store.on_change`; told on virtual time, and not always."""
        listener = (self._owner, told)
        self._faults.listeners.append(listener)
        return lambda: self._faults.listeners.remove(listener)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found
        call = partial(self._call, name, found)
        self.__dict__[name] = call
        return call

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        faults, oracle = self._faults, self._oracle
        heat = HOT if name in HURTS else 1.0
        faults.point()
        faults.lose(name)
        if self._wanted is not None:
            self._wanted.before(name, args)
        seen = oracle.before(name, args)
        answer = method(*args, **kwargs)
        if self._wanted is not None:
            self._wanted.after(name, args)
        oracle.after(name, self._owner, (args, kwargs), answer, seen)
        if name == "apply":
            faults.tell()
        faults.point(heat)
        faults.keep_answer(name)
        return answer
