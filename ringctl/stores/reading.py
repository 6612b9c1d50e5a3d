"""Reading for people, and the streams that draws are made from. Pages by key: no read stays open between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ringctl.core.model import Member, Rollout
from ringctl.core.states import TaskState
from ringctl.ports.records import Effect, Entry, Exposed, TaskRow
from ringctl.stores import rows
from ringctl.stores.database import Row
from ringctl.stores.exposing import exposed
from ringctl.stores.journal import rollout_key
from ringctl.stores.part import Part

_PAGE = 1000
_LOWEST = -(1 << 63)
_NOTABLE = frozenset({TaskState.RUNNING, TaskState.FAILED, TaskState.UNKNOWN})


class Reading(Part):
    """The store's reading methods."""

    # -- for draws ---------------------------------------------------------------------------------
    def candidates(
        self, rollout: Rollout, *, ring: str = "", reserve: bool | None = None
    ) -> Iterator[tuple[Member, TaskState | None, str]]:
        """See `Store.candidates`. A half-done account that a later revision took over without beginning
        is `unknown`: its state is that of its last task that began."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout.id)
            rings = [(position, name) for position, name in tx.rows("rings_of", rollout=key)]
        for position, name in rings:
            if ring in {"", name}:
                for row in self._open_members(key, position, rollout.revision.number):
                    found = _candidate(row, name)
                    if found is not None and reserve in {None, found[0].reserve}:
                        yield found

    def _open_members(self, key: int, ring: int, revision: int) -> Iterator[Row]:
        size, rank, last = float("-inf"), _LOWEST, -1
        while True:
            with self.database.read() as tx:
                page = tx.rows(
                    "candidate_page",
                    rollout=key,
                    ring=ring,
                    revision=revision,
                    size=size,
                    rank=rank,
                    id=last,
                    limit=_PAGE,
                )
            yield from page
            if len(page) < _PAGE:
                return
            size, rank, last = page[-1][3], page[-1][6], page[-1][0]

    def largest_done(self, rollout_id: str, revision: int | None = None) -> float:
        """See `Store.largest_done`. Accounts done by a person's word do not count (I4)."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout_id)
            numbers = [row[0] for row in tx.rows("revision_steps", rollout=key)]
            wanted = numbers if revision is None else [revision]
            found = [tx.one("largest_done", rollout=key, revision=number) for number in wanted]
        return max((row[0] for row in found if row and row[0] is not None), default=0.0)

    def largest_touched(self, rollout_id: str) -> float:
        """See `Store.largest_touched`."""
        with self.database.read() as tx:
            row = tx.one("largest_touched", rollout=rollout_key(tx, rollout_id))
        return float(row[0]) if row and row[0] is not None else 0.0

    def touched(self, rollout_id: str) -> Mapping[int, int]:
        """See `Store.touched`."""
        with self.database.read() as tx:
            return dict(tx.rows("touched_accounts", rollout=rollout_key(tx, rollout_id)))

    def done_traits(
        self, rollout_id: str, revision: int
    ) -> tuple[frozenset[tuple[str, str]], Mapping[int, int]]:
        """See `Store.done_traits`. Accounts done by a person's word do not count (I4)."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout_id)
            traits = tx.rows("done_traits", rollout=key, revision=revision)
            decades = tx.rows("done_decades", rollout=key, revision=revision)
        return frozenset((trait, value) for trait, value in traits), dict(decades)

    # -- for people --------------------------------------------------------------------------------
    def journal(self, rollout_id: str, *, after: int = 0) -> Iterator[Entry]:
        """See `Store.journal`."""
        key = self._key(rollout_id)

        def page(last: Row | None) -> list[Row]:
            with self.database.read() as tx:
                seq = last[0] if last else after
                return tx.rows("journal_page", rollout=key, after=seq, limit=_PAGE)

        for seq, at_us, kind, actor, payload, prev, hashed in _paged(page):
            yield Entry(
                rollout=rollout_id,
                seq=seq,
                at_us=at_us,
                kind=kind,
                actor=actor,
                payload=rows.mapping_out(payload),
                prev=prev,
                hash=hashed,
            )

    def tasks(
        self, rollout_id: str, *, states: Sequence[TaskState] = (), account: str = ""
    ) -> Iterator[TaskRow]:
        """See `Store.tasks`. Running, failed and unknown ones are found without reading the others."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout_id)
            rings: dict[int, str] = dict(tx.rows("rings_of", rollout=key))
        wanted = frozenset(states)
        for page in self._task_pages(key, wanted, account):
            for row in page:
                if not wanted or row[6] in wanted:
                    yield self._task_row(row, rings)

    def _task_pages(self, key: int, wanted: frozenset[TaskState], account: str) -> Iterator[list[Row]]:
        if account or (wanted and wanted <= _NOTABLE):
            with self.database.read() as tx:
                if account:
                    yield tx.rows("tasks_of_account", rollout=key, account=account)
                else:
                    yield tx.rows("notable_tasks", rollout=key)
            return
        after = ""
        while True:
            with self.database.read() as tx:
                page = tx.rows("task_page", rollout=key, after=after, limit=_PAGE)
            if not page:
                return
            yield page
            after = page[-1][1]

    def _task_row(self, row: Row, rings: Mapping[int, str]) -> TaskRow:
        _, account, ring, task, revision, wave, state, attempt, reason, begun = row
        steps: tuple[Effect, ...] = ()
        if begun is not None:
            with self.database.read() as tx:
                steps = tuple(rows.effect_out(found) for found in tx.rows("effects_of_task", task=task))
        return TaskRow(
            account=account,
            ring=rings[ring],
            revision=revision,
            wave=wave,
            state=TaskState(state),
            attempt=attempt,
            reason=reason,
            steps=steps,
        )

    def exposure(self, rollout_id: str, *, revision: int | None = None) -> Iterator[Exposed]:
        """See `Store.exposure`."""
        with self.database.read() as tx:
            key = rollout_key(tx, rollout_id)
            steps = {n: rows.list_out(ids) for n, ids in tx.rows("revision_steps", rollout=key)}

        def page(last: Row | None) -> list[Row]:
            with self.database.read() as tx:
                after = last[1] if last else ""
                return tx.rows("touched_page", rollout=key, after=after, limit=_PAGE)

        for member, account in _paged(page):
            with self.database.read() as tx:
                effects = tx.rows("exposure_of_member", member=member)
            for row in exposed(account, effects, steps):
                if revision is None or row.revision == f"r{revision}":
                    yield row

    def task_log(self, rollout_id: str, account: str) -> Iterator[tuple[int, str]]:
        """See `Store.task_log`."""
        key = self._key(rollout_id)

        def page(last: Row | None) -> list[Row]:
            revision, seq = last[:2] if last else (0, 0)
            with self.database.read() as tx:
                return tx.rows(
                    "log_page", rollout=key, account=account, revision=revision, seq=seq, limit=_PAGE
                )

        for _, seq, line in _paged(page):
            yield seq, line

    def _key(self, rollout_id: str) -> int:
        with self.database.read() as tx:
            return rollout_key(tx, rollout_id)


def _paged(page: Callable[[Row | None], list[Row]]) -> Iterator[Row]:
    """All rows of a query that is asked for again with its last row, until a page is not full."""
    last: Row | None = None
    while True:
        found = page(last)
        yield from found
        if len(found) < _PAGE:
            return
        last = found[-1]


def _candidate(row: Row, ring: str) -> tuple[Member, TaskState | None, str] | None:
    """The member of a row with its latest state and last step begun; None while it is at work."""
    latest, begun, step = row[9:12]
    if latest in {TaskState.RUNNING, TaskState.PENDING}:
        return None
    member = rows.member_out((row[1], *row[3:9]), ring)
    state = rows.task_state(latest)
    if begun is not None:
        state = rows.task_state(begun)
        if state is TaskState.CANCELLED:
            state = TaskState.UNKNOWN
    return member, state, step or ""
