"""The same with less known from before: a source without history has minutes or hours, not 14 days."""

import statistics
from collections.abc import Iterator

from bench.gate_runs import Goals, Sizes, Task, play_all, share
from bench.gate_streams import Harm
from bench.gate_worlds import S7, SMALL
from bench.tables import Table

CLUSTERED = S7[20].name
UNEQUAL = SMALL.name
KNOWN = {"nothing": 0, "10 minutes": 10, "3 hours": 180, "a day": 1440}


def tables(title: str, sizes: Sizes, cores: int, goals: Goals) -> Iterator[Table]:
    """One."""
    table = Table(
        f"{title}: with less known from before",
        f"False alarms in 24 h of {sizes.harmless // 5} harmless bakes ({sizes.clustered // 3} of S7, "
        f"{sizes.harmless} of the last stream), and the median minutes until a doubling is seen. The last stream has "
        "30 accounts like those of S7, 8 of them canary, 2 % errors.",
        ("known", "S1", "S1 2x", "S3", "S3 2x", CLUSTERED, UNEQUAL),
    )
    few = sizes.harmless // 5
    counts = {"S1": few, "S3": few, CLUSTERED: sizes.clustered // 3, UNEQUAL: sizes.harmless}
    for label, minutes in KNOWN.items():
        row = [label]
        for stream in ("S1", "S3", CLUSTERED, UNEQUAL):
            count = max(2, counts[stream])
            played = play_all([Task(stream=stream, seed=seed, known=minutes) for seed in range(count)], cores)
            rung = sum(one.failed is not None for one in played)
            row.append(share(rung, count))
            limit = 1.5 if stream in {CLUSTERED, UNEQUAL} else 1.0
            goals.at_most(f"false alarms in 24 h, {stream}, {label} known", 100 * rung / count, limit, "%")
            if stream in {"S1", "S3"}:
                row.append(_median(stream, minutes, sizes.harmful // 4, cores))
        table.rows.append(tuple(row))
    yield table


def _median(stream: str, minutes: int, count: int, cores: int) -> str:
    tasks = [Task(stream=stream, seed=seed, known=minutes, harm=Harm(factor=2)) for seed in range(count)]
    found = [one.failed + 1 if one.failed is not None else 10**6 for one in play_all(tasks, cores)]
    median = statistics.median_low(found)
    return "missed" if median == 10**6 else f"{median}"
