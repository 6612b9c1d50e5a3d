"""Mistakes put between the store and what acknowledges it: each has to be seen by the oracle."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

from ringctl.core.errors import StoreUnavailable
from ringctl.ports.store import Store
from ringctl.stores import sqlite_database
from ringctl.stores.journal import Journal


class Mistaken:
    """A store that passes everything on; `acknowledge` is what the process outside does when it was answered."""

    def __init__(self, store: Store, acknowledge: Callable[..., None]) -> None:
        self.store: Any = store
        self.acknowledge = acknowledge

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class AcknowledgedFirst(Mistaken):
    """An intent is answered for before it is committed."""

    def intent(self, *args: Any, **kwargs: Any) -> None:
        self.acknowledge("intent", args, kwargs, None)
        self.store.intent(*args, **kwargs)


class JournalLater(Mistaken):
    """The state is committed first, its journal entries in a transaction of their own."""

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        later: list[tuple[Journal, str, Any]] = []

        def put_off(journal: Journal, kind: str, payload: Any) -> None:
            later.append((journal, kind, payload))

        with mock.patch.object(Journal, "add", put_off):
            answer = self.store.apply(*args, **kwargs)
        with self.store.database.write() as tx:
            for journal, kind, payload in later:
                replace(journal, tx=tx).add(kind, payload)
        return answer


class IntentLater(Mistaken):
    """The step is sent, then its intent is written together with its result."""

    def __init__(self, store: Store, acknowledge: Callable[..., None]) -> None:
        super().__init__(store, acknowledge)
        self.held: list[tuple[Any, Any]] = []

    def intent(self, *args: Any, **kwargs: Any) -> None:
        self.held.append((args, kwargs))

    def result(self, *args: Any, **kwargs: Any) -> None:
        self._write()
        self.store.result(*args, **kwargs)

    def finish(self, *args: Any, **kwargs: Any) -> None:
        self._write()
        self.store.finish(*args, **kwargs)

    def _write(self) -> None:
        while self.held:
            args, kwargs = self.held.pop(0)
            self.store.intent(*args, **kwargs)


class NotSynchronous(Mistaken):
    """A commit does not wait for the disk."""

    def __init__(self, store: Store, acknowledge: Callable[..., None]) -> None:
        super().__init__(store, acknowledge)
        self.store.database.ready().execute("pragma synchronous = normal")


class FailurePassedOver(Mistaken):
    """A transaction that could not be committed counts as one that was."""

    def __init__(self, store: Store, acknowledge: Callable[..., None]) -> None:
        super().__init__(store, acknowledge)
        scope: Any = sqlite_database._Scope
        leave = scope.__exit__

        def leave_all_the_same(this: Any, *error: Any) -> None:
            try:
                leave(this, *error)
            except StoreUnavailable:
                if error[0] is not None:
                    raise

        mock.patch.object(scope, "__exit__", leave_all_the_same).start()  # for the rest of this process


# bug: what is put in, the kind of crash that shows it, and as what
BUGS: dict[str, tuple[type[Mistaken], str, str]] = {
    "acknowledged-before-commit": (AcknowledgedFirst, "kill", "acknowledged, not stored: ['intent'"),
    "journal-in-another-transaction": (JournalLater, "kill", "entries, not"),
    "intent-with-the-result": (IntentLater, "kill", "took effect 2 times"),
    "not-synchronous": (NotSynchronous, "power", "acknowledged, not stored"),
    "failed-commit-passed-over": (FailurePassedOver, "EIO", "acknowledged, not stored"),
}


def around(bug: str, store: Store, acknowledge: Callable[..., None]) -> Any:
    """The store with the mistake in front of it; the store itself when there is none."""
    return BUGS[bug][0](store, acknowledge) if bug else store
