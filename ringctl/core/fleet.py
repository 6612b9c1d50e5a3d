"""Accounts, the frozen fleet, and selectors over their columns."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringctl.core.digests import canonical, digest_lines

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The unit of exposure. `columns` holds every column of the source except id and size, as read."""

    id: str
    size: float = 0.0
    columns: Mapping[str, str]

    @property
    def decade(self) -> int:
        """The size stratum: floor(log10(size)); -1 for sizes under 1 (and for an empty account)."""
        return size_decade(self.size)


def size_decade(size: float) -> int:
    """The size stratum of a size: floor(log10(size)), or -1 under 1."""
    if size < 1:
        return -1
    exponent = math.floor(math.log10(size))
    # log10 of 999.999... may round up to the next integer; the power itself decides
    return exponent - 1 if 10**exponent > size else exponent


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All accounts of one complete inventory read, in source order, and what their columns mean."""

    accounts: tuple[Account, ...]
    traits: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    source: str = ""

    @property
    def digest(self) -> str:
        """Digest over the accounts sorted by id: the same fleet has the same digest in any order."""
        rows = sorted(self.accounts, key=lambda account: account.id)
        return digest_lines(canonical([row.id, row.size, dict(row.columns.items())]) for row in rows)

    def trait_values(self, account: Account) -> Iterable[tuple[str, str]]:
        """(trait, value) pairs of one account; an absent value is the empty string."""
        return ((name, account.columns.get(name, "")) for name in self.traits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition on a column: `op` is eq, in, not, gte, gt, lte or lt; `not` negates its operand terms."""

    column: str
    op: str
    operand: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of terms. Columns: `id`, `size`, and every source column. Empty selects all."""

    terms: tuple[Term, ...] = ()

    def matches(self, account: Account) -> bool:
        """Whether every term holds for the account."""
        return all(_holds(term, _cell(account, term.column)) for term in self.terms)

    @property
    def columns(self) -> frozenset[str]:
        """The columns the selector names."""
        return frozenset(term.column for term in self.terms)


def _cell(account: Account, column: str) -> str | float | None:
    if column == "id":
        return account.id
    if column == "size":
        return account.size
    return account.columns.get(column)


def _equal(cell: str | float | None, operand: Scalar) -> bool:
    """Compare as the operand's kind: number, true/false, else exact string (DESIGN 12.24)."""
    if cell is None:
        return False
    if isinstance(operand, bool):
        return str(cell).lower() == ("true" if operand else "false")
    if isinstance(operand, int | float):
        number = _number(cell)
        return number is not None and number == operand
    return str(cell) == operand


def _number(cell: str | float | None) -> float | None:
    if cell is None:
        return None
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _holds(term: Term, cell: str | float | None) -> bool:
    operand = term.operand
    if term.op == "in":
        assert isinstance(operand, tuple)
        return any(_equal(cell, one) for one in operand)
    if term.op == "not":
        options = operand if isinstance(operand, tuple) else (operand,)
        return not any(_equal(cell, one) for one in options)
    assert not isinstance(operand, tuple)
    if term.op == "eq":
        return _equal(cell, operand)
    number = _number(cell)
    if number is None or isinstance(operand, bool | str):
        return False
    compare = {
        "gte": number >= operand, "gt": number > operand,
        "lte": number <= operand, "lt": number < operand,
    }  # fmt: skip
    return compare[term.op]
