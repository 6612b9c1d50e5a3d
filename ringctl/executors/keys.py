"""The key column of a batched step: which keys come next, by rows, so that gaps cost nothing."""

from dataclasses import dataclass

from ringctl.executors.databases import Database, Refused, Value
from ringctl.executors.ledger import Place, loaded, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The keys of one batch, both ends included; `keys` is how many there are at most."""

    lo: Value
    hi: Value
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyColumn:
    """A checked table and key name. All comparisons are the database's own, whatever its collation."""

    table: str
    key: str

    def last(self, database: Database) -> str:
        """The greatest key, as the ledger stores it; '' for an empty table."""
        return stored(self._one(database, "", "DESC", 0, {}))

    def next_span(self, database: Database, place: Place, rows: int) -> Span | None:
        """The next `rows` keys after the cursor up to the bound; None when there is none."""
        upper = loaded(place.upper)
        if upper is None:
            return None
        cursor = loaded(place.cursor)
        values: dict[str, Value] = {"upper": upper}
        where = f"WHERE {self.key} <= :upper"
        if cursor is not None:
            where += f" AND {self.key} > :cursor"
            values["cursor"] = cursor
        keys = rows
        hi = self._one(database, where, "ASC", rows - 1, values)
        if hi is None:
            hi = self._one(database, where, "DESC", 0, values)
            if hi is None:
                return None
        if isinstance(cursor, int):
            # from the cursor itself, not from the next key: a key put into the gap is not passed over
            return Span(lo=cursor + 1, hi=hi, keys=keys)
        return Span(lo=self._one(database, where, "ASC", 0, values), hi=hi, keys=keys)

    def _one(
        self, database: Database, where: str, order: str, offset: int, values: dict[str, Value]
    ) -> Value:
        query = " ".join(
            ("SELECT", self.key, "FROM", self.table, where or f"WHERE {self.key} IS NOT NULL",
             "ORDER BY", self.key, order, "LIMIT 1 OFFSET", str(offset))
        )  # fmt: skip
        rows = database.run(query, values).rows
        return _key(rows[0][0]) if rows else None


def _key(value: object) -> Value:
    """A key as a value that both the ledger and the statement take."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if value is None or isinstance(value, bool | float | bytes | memoryview):
        raise Refused(f"the key column holds {type(value).__name__}: it must be whole numbers or texts")
    return str(value)  # UUID, date, Decimal: the server reads its own text form back
