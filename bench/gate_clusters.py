"""Tables of accounts that are not alike: S7, throughput (S6), and the incident of 2017 in small."""

from collections import Counter
from collections.abc import Iterator, Sequence

from bench.gate_peers import peers
from bench.gate_runs import STREAMS, Goals, Played, Sizes, Task, play_all, share
from bench.gate_streams import NO_HARM, Harm
from bench.gate_worlds import EDITED, OLD, S7, VSTS
from bench.tables import Table

OURS = "ringctl, everything learnt"
IN_ALL = Harm(factor=2)
HARMS = {
    "2x in all": IN_ALL,
    "5x in 30 %": Harm(factor=5, accounts=0.3),
    "30x in 5 %": Harm(factor=30, accounts=0.05),
    "100x in 5 %": Harm(factor=100, accounts=0.05),
}
INCIDENT_LOOKS = 20 * 10 + 60  # the last account is begun after 190 minutes
AT_6_H = 360
LEAST_HARMFUL = 6  # bakes, of which a median is taken


def tables(title: str, sizes: Sizes, cores: int, goals: Goals) -> Iterator[Table]:
    """All three."""
    yield clustered(title, sizes, cores, goals)
    yield throughput(title, sizes, cores)
    yield incident(title, sizes, cores, goals)


def clustered(title: str, sizes: Sizes, cores: int, goals: Goals) -> Table:
    """S7."""
    table = Table(
        f"{title}: accounts that differ and misbehave in bursts",
        "S7: 200 accounts of log-normal sizes, own rates with a coefficient of variation of 1 around 1 %, hourly "
        "bursts, "
        f"day and night. False alarms of {sizes.clustered} harmless bakes of 24 h; share of {sizes.caught} "
        "harmful ones "
        "that rang within 24 h, and the median minutes until then where it was half of them. x in 5 % hits each "
        "canary "
        "account with a chance of 5 %: only 23, 64, 92 % of those bakes hold a broken account.",
        ("judge", "canary accounts", "false alarms", *HARMS),
    )
    for stream in S7.values():
        found = [[*_bakes(stream.name, NO_HARM, sizes.clustered, cores)]]
        found += [[*_bakes(stream.name, harm, sizes.caught, cores)] for harm in HARMS.values()]
        rung = [one.failed for one in found[0]]
        goals.at_most(f"false alarms in 24 h, {stream.name}", 100 * _count(rung) / len(rung), 1.5, "%")
        rows = [(OURS, [[one.failed for one in played] for played in found])]
        rows += [
            (name, [[one.first[name] for one in played] for played in found]) for name in peers(stream.rate)
        ]
        for name, looks in rows:
            table.rows.append(
                (
                    name,
                    str(stream.canary),
                    share(_count(looks[0]), len(looks[0])),
                    *(_caught(one) for one in looks[1:]),
                )
            )
    return table


def throughput(title: str, sizes: Sizes, cores: int) -> Table:
    """S6: falls."""
    table = Table(
        f"{title}: throughput",
        "S6: requests themselves, by day and night, with noise of 15 % a cohort every five minutes; asked is a "
        "fall by "
        f"30 %. {sizes.harmless // 4} harmless bakes, {sizes.harmful // 4} of each harm.",
        ("judge", "false alarms in 24 h", "-30 % at 6 h, median minutes", "silent at 6 h"),
    )
    harmless = play_all([Task(stream="S6", seed=seed) for seed in range(sizes.harmless // 4)], cores)
    cells = [share(_count([one.failed for one in harmless]), len(harmless))]
    for harm in (Harm(factor=0.7, at=AT_6_H), Harm(factor=0.0, at=AT_6_H)):
        tasks = [Task(stream="S6", seed=seed, harm=harm) for seed in range(sizes.harmful // 4)]
        cells.append(_after([one.failed for one in play_all(tasks, cores)], AT_6_H))
    table.rows.append((OURS, *cells))
    return table


def incident(title: str, sizes: Sizes, cores: int, goals: Goals) -> Table:
    """The VSTS incident of 2017 in small."""
    harmful = max(sizes.incident // 4, LEAST_HARMFUL)
    table = Table(
        f"{title}: the incident of 2017 in small",
        "20 of 200 accounts of 2.5 answers a minute are upgraded, a start every ten minutes; while an account's "
        "upgrade "
        "lasts (40 minutes for the edited script, 2 for the old one) its answers are all empty, with status 200. "
        "Minutes "
        f"from the first start to the alarm: median / 95 %. {harmful} bakes of each of the two, "
        f"{sizes.incident} "
        "harmless ones of 24 h. The customer's report came after 45 minutes.",
        ("judge", "edited script", "old script", "false alarms in 24 h"),
    )
    harms = {
        name: play_all(
            [
                Task(stream=VSTS.name, seed=seed, harm=harm, peers=True, looks=INCIDENT_LOOKS)
                for seed in range(harmful)
            ],
            cores,
        )
        for name, harm in (("edited", EDITED), ("old", OLD))
    }
    harmless = play_all(
        [Task(stream=VSTS.name, seed=seed, peers=True) for seed in range(sizes.incident)], cores
    )
    ours = [[one.failed for one in played] for played in (*harms.values(), harmless)]
    rows = [(OURS, ours)]
    rows += [
        (name, [[one.first[name] for one in played] for played in (*harms.values(), harmless)])
        for name in peers(STREAMS[VSTS.name].rate)
    ]
    for name, (edited, old, none) in rows:
        table.rows.append((name, _soon(edited), _soon(old), share(_count(none), len(none))))
    by = Counter(one.judge for one in harms["edited"] if one.failed is not None)
    table.text += (
        f" Which of ringctl's judges: {', '.join(f'{name} {count}' for name, count in by.most_common())}."
    )
    goals.at_most("VSTS in small: median minutes", _median([_plus(one) for one in ours[0]]), 6)
    goals.at_most(f"VSTS in small: false alarms in {len(harmless)} bakes", _count(ours[2]), 0)
    return table


def _bakes(stream: str, harm: Harm, count: int, cores: int) -> Sequence[Played]:
    return play_all([Task(stream=stream, seed=seed, harm=harm, peers=True) for seed in range(count)], cores)


def _count(looks: Sequence[int | None]) -> int:
    return sum(one is not None for one in looks)


def _plus(look: int | None) -> int | None:
    return None if look is None else look + 1


def _median(minutes: Sequence[int | None], at: float = 0.5) -> int | None:
    """The value below which that share of all lies; None where fewer saw it."""
    ordered = sorted((one is None, one or 0) for one in minutes)
    missed, value = ordered[min(len(ordered) - 1, int(at * len(ordered)))]
    return None if missed else value


def _caught(looks: Sequence[int | None]) -> str:
    median = _median([_plus(one) for one in looks])
    return f"{_count(looks) / len(looks):.0%}" + (f", {median}" if median is not None else "")


def _after(looks: Sequence[int | None], at: int) -> str:
    early = sum(one is not None and one < at for one in looks)
    late = [None if one is None else one - at + 1 for one in looks if one is None or one >= at]
    median = _median(late)
    said = "missed" if median is None else str(median)
    return said + (f" (early {early / len(looks):.0%})" if early else "")


def _soon(looks: Sequence[int | None]) -> str:
    minutes = [_plus(one) for one in looks]
    half, most = _median(minutes), _median(minutes, 0.95)
    seen = f"{_count(looks) / len(looks):.0%}"
    return seen if half is None else f"{seen}, {half} / {'-' if most is None else most}"
