"""What a wave is compared with: accounts not touched yet, and what steps took elsewhere."""

from collections.abc import Iterator, Mapping, Sequence

from ringctl.core.digests import canonical
from ringctl.core.facts import Lasted, StepClasses, Stratum
from ringctl.core.model import Member, Rollout, Wave
from ringctl.core.timing import SECOND
from ringctl.stores import rows
from ringctl.stores.journal import rollout_key
from ringctl.stores.part import Part

_PAGE = 1000
_LOWEST = -(1 << 63)
_NO_COLUMNS = "[]"


class Comparing(Part):
    """The store's methods about control accounts and steps' measures."""

    # -- control -----------------------------------------------------------------------------------
    def untouched(self, rollout: Rollout, wave: Wave) -> Iterator[Member]:
        """See `Store.untouched`. Pages by rank: no read stays open between them."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            rings: dict[int, str] = dict(tx.rows("rings_of", rollout=key))
        rank = _LOWEST
        while True:
            with self.database.read() as tx:
                page = tx.rows("untouched_page", rollout=key, wave=wave.id, rank=rank, limit=_PAGE)
            for account, ring, size, decade, reserve, place, traits in page:
                row = (account, size, decade, reserve, place, traits, _NO_COLUMNS)
                yield rows.member_out(row, rings[ring])
            if len(page) < _PAGE:
                return
            rank = page[-1][5] + 1

    def untouched_among(self, rollout: Rollout, accounts: Sequence[str]) -> tuple[str, ...]:
        """See `Store.untouched_among`."""
        if not accounts:
            return ()
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            found = tx.rows("untouched_among", rollout=key, accounts=canonical(list(accounts)))
        return tuple(account for (account,) in found)

    def strata(self, wave: Wave) -> Mapping[Stratum, int]:
        """See `Store.strata`."""
        with self.database.read() as tx:
            found = tx.rows("strata_of_wave", wave=wave.id)
        return {(rows.pairs_out(traits), decade): count for traits, decade, count in found}

    # -- steps -------------------------------------------------------------------------------------
    def step_measures(self, rollout_id: str, wave: int) -> Mapping[str, Mapping[str, float]]:
        """See `Store.step_measures`."""
        with self.database.read() as tx:
            rollout_key(tx, rollout_id)
            found = tx.rows("step_measures", wave=wave)
        return {
            "duration": {row[0]: float(row[1]) / SECOND for row in found},
            "failures": {row[0]: float(row[2]) for row in found},
            "retries": {row[0]: float(row[3]) for row in found},
            "duplicates": {row[0]: float(row[4]) for row in found},
        }

    def step_times(self, rollout_id: str, wave: int) -> tuple[Lasted, ...]:
        """See `Store.step_times`."""
        with self.database.read() as tx:
            rollout_key(tx, rollout_id)
            return tuple(Lasted(*row) for row in tx.rows("step_times", wave=wave, now=tx.now_us()))

    def step_classes(self, rollout: Rollout, wave: Wave) -> StepClasses:
        """See `Store.step_classes`."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            found = tx.rows("step_classes", rollout=key, revision=wave.revision, wave=wave.id)
        classes: dict[str, dict[int, tuple[int, float, float]]] = {}
        for step, decade, count, lasted, sizes in found:
            classes.setdefault(step, {})[decade] = (count, float(lasted) / SECOND, float(sizes))
        return classes
