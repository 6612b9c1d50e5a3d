"""The looks of a rollout's gates, told per wave and check: evidence against its boundary, and what it rests on."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ringctl.core import spending
from ringctl.core.model import Rollout
from ringctl.core.observing import counters_of
from ringctl.core.policy import Check, Counter
from ringctl.core.timing import Instant, rfc3339

MOST_POINTS: Final = 2000

Row = Mapping[str, Any]


class Point(NamedTuple):
    """The evidence at a look: `e` against `level` (FAIL from there on); None: there was none."""

    at_us: Instant
    e: float | None
    level: float | None

    @property
    def nearness(self) -> float:
        """How far `e` is on its way to `level`, on a log scale: 1 is there; -1 where nothing can be said."""
        if self.e is None or self.level is None or not (self.e >= 0 and self.level > 1):
            return -1.0
        return math.log(self.e) / math.log(self.level) if self.e > 1 else 0.0

    def record(self) -> dict[str, object]:
        """As in JSON."""
        return {"at": rfc3339(self.at_us), "e": self.e, "level": self.level}


@dataclass(slots=True)
class Line:
    """One check on one wave: its newest look and the evidence of all of them.

    Of very many looks the strongest of each few is kept: a peak is never lost.
    """

    newest: Row
    looks: int = 0
    points: list[Point] = field(default_factory=list)
    each: int = 1  # looks that a point stands for

    def add(self, row: Row) -> None:
        """One more look; they come in the order of time."""
        self.newest = row
        point = _point(row)
        if self.looks % self.each == 0:
            self.points.append(point)
        else:
            self.points[-1] = _stronger(self.points[-1], point)
        self.looks += 1
        if len(self.points) > MOST_POINTS:
            self.points = strongest(self.points, 2)
            self.each *= 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is shown of a rollout's gates: the last looks one by one, and every check on every wave."""

    looks: tuple[Row, ...]
    lines: tuple[Line, ...]


def strongest(points: list[Point], few: int) -> list[Point]:
    """Of each `few` points the one nearest to its boundary."""
    return [max(points[at : at + few], key=lambda one: one.nearness) for at in range(0, len(points), few)]


def tell(rows: Iterable[Row], *, last: int, check: str = "", look: int | None = None) -> Told:
    """The rows of one check (or of all), which come in the order of waves and looks; only look number `look`."""
    kept: deque[Row] = deque(maxlen=last)
    lines: dict[tuple[int, str], Line] = {}
    for row in rows:
        if (check and row["check"] != check) or (look is not None and row["look"] != look):
            continue
        kept.append(row)
        key = (int(row["wave"]), str(row["check"]))
        if key not in lines:
            lines[key] = Line(newest=row)
        lines[key].add(row)
    return Told(looks=tuple(kept), lines=tuple(lines.values()))


def spent(rollout: Rollout, row: Row) -> str:
    """How the promise of false alarms was shared out to a check on a wave, for people; "" where it promises none."""
    share = _share(rollout, row)
    return "" if share is None else str(share)


def level_of(rollout: Rollout, row: Row) -> float | None:
    """The check's chance of a false alarm on the wave."""
    share = _share(rollout, row)
    return None if share is None else share.alpha


def _share(rollout: Rollout, row: Row) -> spending.Share | None:
    """Of the promise, to the row's check on its wave."""
    check = rollout.policy.checks.get(str(row["check"]))
    wave = next((one for one in rollout.waves if one.id == row["wave"]), None)
    if check is None or wave is None or not check.weight > 0:
        return None
    return spending.share(rollout, wave, check)


def sources(check: Check | None, row: Row) -> list[str]:
    """What was asked of the source: the queries that were saved with the look, else the counters."""
    said = numbers(row).get("queries")
    if isinstance(said, list) and said:
        return [str(one) for one in said]
    return [] if check is None else [counter_text(one) for one in counters_of(check)]


def counter_text(counter: Counter) -> str:
    """A counter as people write it: `http_requests_total{code=~"5.."} by account`."""
    matchers = ", ".join(f'{label}=~"{pattern}"' for label, pattern in sorted(counter.match.items()))
    return (
        f"{counter.name}{{{matchers}}} by {counter.account}"
        if matchers
        else f"{counter.name} by {counter.account}"
    )


def numbers(row: Row) -> Mapping[str, Any]:
    """What a look's verdict rests on."""
    found = row.get("numbers")
    return found if isinstance(found, Mapping) else {}


def _point(row: Row) -> Point:
    found = numbers(row)
    e, level = found.get("e"), found.get("level")
    return Point(
        at_us=int(row["at_us"]),
        e=float(e) if isinstance(e, int | float) else None,
        level=float(level) if isinstance(level, int | float) else None,
    )


def _stronger(one: Point, other: Point) -> Point:
    return other if other.nearness > one.nearness else one
