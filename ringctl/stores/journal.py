"""Writing the journal: one chain per rollout, its head in the rollout's row, an outbox row per entry."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ringctl.core.audit import entry_hash
from ringctl.core.digests import canonical
from ringctl.core.errors import BugError, NotFound
from ringctl.core.timing import Instant
from ringctl.ports.records import Entry
from ringctl.stores.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The journal of one rollout inside one transaction: everything written has the same time and actor."""

    tx: Transaction
    key: int
    rollout: str
    at_us: Instant
    actor: str

    def by(self, actor: str) -> "Journal":
        """The same journal in another actor's name."""
        return replace(self, actor=actor)

    def add(self, kind: str, payload: Mapping[str, object]) -> None:
        """Append an entry and its outbox row."""
        head = self.tx.one("journal_head", rollout=self.key)
        assert head is not None
        seq, prev = head[0] + 1, head[1]
        bare = Entry(
            rollout=self.rollout,
            seq=seq,
            at_us=self.at_us,
            kind=kind,
            actor=self.actor,
            payload=payload,
            prev=prev,
            hash="",
        )
        new_hash = entry_hash(prev, bare)
        if self.tx.run("set_journal_head", rollout=self.key, seq=seq, hash=new_hash) != 1:
            raise BugError(f"the journal of {self.rollout} moved inside a transaction")
        self.tx.run(
            "add_entry",
            rollout=self.key,
            seq=seq,
            at_us=self.at_us,
            kind=kind,
            actor=self.actor,
            payload=canonical(payload),
            prev=prev,
            hash=new_hash,
        )
        self.tx.run("add_outbox", rollout=self.key, seq=seq)


def rollout_key(tx: Transaction, rollout_id: str) -> int:
    """The rollout's key. Raises NotFound."""
    row = tx.one("rollout_key", id=rollout_id)
    if row is None:
        raise NotFound(f"there is no rollout {rollout_id}")
    return int(row[0])
