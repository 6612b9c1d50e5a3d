"""When healthy bakes pass, and how often harmful ones do."""

from collections.abc import Iterator, Sequence

from bench.gate_runs import STREAMS, Goals, Sizes, Task, play_all, share
from bench.gate_streams import NO_HARM, Harm, Plain
from bench.tables import Table
from ringctl.core.states import Verdict

MISS = 0.05
RATIOS = (1.0, 1.3, 2.0, 3.0)
PASSING = ("S1", "S2")
ENDS = (Verdict.FAIL, Verdict.PASS)


def tables(title: str, sizes: Sizes, cores: int, goals: Goals) -> Iterator[Table]:
    """One."""
    table = Table(
        f"{title}: PASS",
        f"Harm asked about: 2x; `miss` {MISS:.0%}. {sizes.passing} bakes of up to 24 h each, everything learnt; a "
        "bake "
        "ends with its first FAIL or PASS. Minutes until PASS: median and 95 %, of those that passed.",
        (
            "stream",
            "canary events/min",
            "true ratio",
            "PASS",
            "minutes, median / 95 %",
            "FAIL",
            "neither in 24 h",
        ),
    )
    for name in PASSING:
        stream = STREAMS[name]
        assert isinstance(stream, Plain)
        for ratio in RATIOS:
            harm = Harm(factor=ratio) if ratio > 1 else NO_HARM
            tasks = [Task(stream=name, seed=seed, harm=harm, until=ENDS) for seed in range(sizes.passing)]
            played = play_all(tasks, cores)
            passed = sorted(one.passed + 1 for one in played if one.passed is not None)
            failed = sum(one.failed is not None for one in played)
            count = len(played)
            table.rows.append(
                (name, f"{stream.per[0] * stream.rate:g}", f"{ratio:g}", share(len(passed), count), _times(passed),
                 share(failed, count), share(count - len(passed) - failed, count))
            )  # fmt: skip
            if ratio == 2:
                goals.at_most(f"PASS of a harmful 2x, {name}", 100 * len(passed) / count, 100 * MISS, "%")
            elif ratio == 1 and name == "S1":
                lost = 100 * (count - len(passed)) / count
                goals.at_most("healthy bakes that do not pass within 24 h, S1", lost, 1, "%")
                goals.at_most("minutes until a healthy bake passes, S1, median", _at(passed, 0.5), 30)
    yield table


def _at(minutes: Sequence[int], share_of: float) -> int | None:
    return minutes[min(len(minutes) - 1, int(share_of * len(minutes)))] if minutes else None


def _times(minutes: Sequence[int]) -> str:
    return f"{_at(minutes, 0.5)} / {_at(minutes, 0.95)}" if minutes else "-"
