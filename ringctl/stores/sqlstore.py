"""A store over any SQL engine: all its methods, by noun. An engine adds its connection (`database`)."""

from collections.abc import Callable

from ringctl.core.timing import Instant
from ringctl.stores.claims import Claims
from ringctl.stores.comparing import Comparing
from ringctl.stores.effects import Effects
from ringctl.stores.looks import Looks
from ringctl.stores.news import News
from ringctl.stores.resolving import Resolving
from ringctl.stores.rollouts import Rollouts
from ringctl.stores.sessions import Sessions
from ringctl.stores.statements import Statements
from ringctl.stores.verifying import Verifying


class SqlStore(Rollouts, Sessions, Claims, Effects, Resolving, Looks, Comparing, Verifying):
    """The `Store` port over a `Database`."""

    @property
    def statements(self) -> Statements:
        """The statements this store runs (tests swap one to show that its guard is needed)."""
        return self.database.statements

    def migrate(self, *, dry_run: bool = False) -> tuple[str, ...]:
        """See `Store.migrate`."""
        return self.database.migrate(dry_run=dry_run)

    def check(self) -> tuple[int, int]:
        """See `Store.check`."""
        return self.database.check()

    def now_us(self) -> Instant:
        """See `Store.now_us`."""
        with self.database.read() as tx:
            return tx.now_us()

    def on_change(self, told: Callable[[], None]) -> Callable[[], None]:
        """See `Store.on_change`."""
        return News(self.database.watch, told, every_s=self.database.watch_every_s).stop

    def close(self) -> None:
        """See `Store.close`."""
        self.database.close()
