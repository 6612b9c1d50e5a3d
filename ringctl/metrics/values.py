"""Values as sources have them: what counts as one, and what is left out with a word."""

import math
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

MOST_WARNINGS: Final = 20
MOST_ID: Final = 10**30


def number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def account(value: object) -> str:
    """An account's id as text, from a text, a whole number or a UUID; "" where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        return ""
    # a number that is too long to be an id is too long to be written, too
    return str(value) if not isinstance(value, int) or abs(value) < MOST_ID else ""


def count(value: object) -> float | None:
    """What a cumulative counter may read: a finite number of at least 0, or None. Texts of digits are numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) and read >= 0 else None


def instant(value: object) -> float | None:
    """A moment in seconds since 1970: a number of them (or of milliseconds), a time with its zone, RFC 3339 text.

    None for anything else: a time without a zone could be hours off.
    """
    if isinstance(value, str):
        if (plain := number(value)) is not None:
            return instant(plain)
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    found = count(value)
    if found is None or found > 1e14:
        return None
    return found / 1000 if found > 1e11 else found


def unfit(age_s: float | None, most_s: float) -> str:
    """Why a value of that age is not to be used; "" when it is young enough.

    One from the future is not known to be of now: a clock or a time zone is wrong, and a value that is no longer
    written would stay fresh until the clock has caught up. Clocks may differ by as much as a value may be old.
    """
    if age_s is None:
        return "of unknown age: stale (RC8007)"
    if age_s > most_s:
        return f"{age_s:.0f} s old: stale (RC8007)"
    return f"{-age_s:.0f} s in the future: stale (RC8007)" if age_s < -most_s else ""


class Found:
    """Values per account while they are gathered: an account that cannot be used is named once and left out.

    Two values of one account that disagree are none: which of them is right is not known.
    """

    def __init__(self, what: str, warnings: list[str]) -> None:
        self._what = what
        self._warnings = warnings
        self._values: dict[str, float | None] = {}

    def add(self, account: str, value: float | None) -> None:
        """One more value; None is one that is no count."""
        if account in self._values:
            if self._values[account] == value:
                return
            self._warn(account, "is there twice")
            value = None
        elif value is None:
            self._warn(account, "is NaN, infinite, negative or nothing")
        self._values[account] = value

    def leave_out(self, account: str, why: str) -> None:
        """An account whose value is not to be used."""
        self._warn(account, why)
        self._values[account] = None

    def say(self, what: str) -> None:
        """A warning about no account in particular."""
        self._warnings.append(f"{self._what}: {what}")

    def age(self, account: str, age_s: float | None, most_s: float) -> bool:
        """Whether a value is young enough to be added; one that is not is left out."""
        why = unfit(age_s, most_s)
        if why:
            self.leave_out(account, f"is {why}")
        return not why

    def usable(self) -> dict[str, float]:
        """What is left."""
        return {account: value for account, value in self._values.items() if value is not None}

    def _warn(self, account: str, why: str) -> None:
        if account not in self._values or self._values[account] is not None:
            self._warnings.append(f"{self._what}: {account} {why}: left out")


def few(warnings: list[str]) -> tuple[str, ...]:
    """The first warnings, and how many more."""
    more = len(warnings) - MOST_WARNINGS
    return (*warnings[:MOST_WARNINGS], f"and {more} more") if more > 0 else tuple(warnings)
