"""Fleets for the judges that object: accounts that differ, what they did before, and a bake of some looks."""

import json
import math
import random
from dataclasses import dataclass, field, replace

from ringctl.core.judging import Cell, Evidence
from ringctl.core.learning import HISTORY, Learnt, Owns
from ringctl.core.policy import Check, Counter, FailIf, Ratio
from ringctl.core.states import Verdict
from ringctl.core.timing import HOUR, MINUTE

START = 1_800_000_000_000_000 // (24 * HOUR) * (24 * HOUR)
BAD = Ratio(y=Counter(name="bad"), n=Counter(name="all"), of_counts=True)
VALUES = replace(BAD, of_counts=False)
ERRORS = Check(
    name="errors", source="bench", measure=BAD, compare="canary-vs-control", fail_if=FailIf(increase=1.0)
)


def owns(rows):
    """Account -> (n, y, minutes) of its past."""
    return Owns({name: (n, y, 0, 0, minutes, -1.0, -1, 0.0, 0.0) for name, (n, y, minutes) in rows.items()})


def poisson(rng, mean):
    if mean > 50:
        return max(0.0, float(round(rng.gauss(mean, math.sqrt(mean)))))
    count, left, product = 0, math.exp(-mean), rng.random()
    while product > left:
        count += 1
        product *= rng.random()
    return float(count)


@dataclass(kw_only=True)
class Fleet:
    """Accounts of unequal sizes and rates, with bursts of an hour; `every`: minutes of a look."""

    seed: int
    canary: int = 10
    control: int = 60
    per: float = 5.0  # trials a minute
    rate: float = 0.02
    every: int = 15
    apart: int = 0  # minutes from one intent to the next
    alike: bool = False
    harm: dict[str, float] = field(default_factory=dict)  # account -> factor

    def __post_init__(self):
        self.rng = random.Random(self.seed)
        names = [f"c{one:02d}" for one in range(self.canary)] + [f"k{one:03d}" for one in range(self.control)]
        self.starts = {name: place * self.apart for place, name in enumerate(names[: self.canary])}
        self.own = {}
        for name in names:
            size = 1.0 if self.alike else math.exp(self.rng.gauss(-0.5, 1.0))
            rate = 1.0 if self.alike else self.rng.gammavariate(1.0, 1.0)
            self.own[name] = (self.per * size, min(0.4, self.rate * rate))

    def learnt(self):
        days = 14 * 1440
        rows = {}
        for name, (per, rate) in self.own.items():
            n = per * days
            rows[name] = (n, poisson(self.rng, n * rate), days)
        events = [
            sum(y for name, (_, y, _) in rows.items() if (name in self.starts) is side)
            for side in (True, False)
        ]
        return Learnt(
            source=HISTORY, note="made up", phi=1.5, hours=336.0, events=tuple(events), own=owns(rows)
        )

    def looks(self, minutes=1440):
        learnt = self.learnt()
        burst = {}
        for minute in range(self.every, minutes + 1, self.every):
            if minute % 60 <= self.every or not burst:
                burst = {name: 1.0 if self.alike else self.rng.gammavariate(0.5, 2.0) for name in self.own}
            cells = []
            for name, (per, rate) in self.own.items():
                after = name in self.starts and minute - self.every >= self.starts[name]
                n = poisson(self.rng, per * self.every)
                worse = self.harm.get(name, 1.0) if after else 1.0
                y = min(n, poisson(self.rng, n * min(1.0, rate * burst[name] * worse)))
                cells.append(Cell(account=name, n=n, y=y, after=after))
            yield Evidence(
                at_us=START + minute * MINUTE,
                interval_us=self.every * MINUTE,
                touched=tuple(cells[: self.canary]),
                control=tuple(cells[self.canary :]),
                expected=self.canary,
                complete=minute - self.every >= max(self.starts.values()),
                intents={
                    name: START + at * MINUTE if at < minute else None for name, at in self.starts.items()
                },
                learnt=learnt,
            )


def told(judge, check, looks, *, saved=False):
    """The judgement of every look; with `saved` the state goes through JSON in between."""
    state = {}
    for evidence in looks:
        state, judgement = judge.look(check, state, evidence)
        if saved:
            state = json.loads(json.dumps(state, allow_nan=False))
        yield judgement


def failed_at(judge, check, looks):
    """Minutes from the start to the FAIL, and the judgement; (None, the last one) without."""
    judgement, state = None, {}
    for evidence in looks:
        state, judgement = judge.look(check, state, evidence)
        if judgement.verdict is Verdict.FAIL:
            return (evidence.at_us - START) // MINUTE, judgement
    return None, judgement


def only_objects(judge, check, looks):
    """What a judge that only objects keeps: no PASS, no word without data, a FAIL that lasts, no shared states."""
    looks = list(looks)
    straight = list(told(judge, check, looks))
    assert straight == list(told(judge, check, looks, saved=True)), "saving the state changed something"
    turned = [replace(one, touched=one.touched[::-1], control=one.control[::-1]) for one in looks]
    assert [one.verdict for one in told(judge, check, turned)] == [one.verdict for one in straight]
    verdicts = [one.verdict for one in straight]
    assert Verdict.PASS not in verdicts
    assert Verdict.FAIL in verdicts, "a judge that cannot object"
    first = verdicts.index(Verdict.FAIL)
    assert set(verdicts[first:]) == {Verdict.FAIL}, "a FAIL that did not last"
    assert all(one.abstains for one in straight[:first])
    assert all(one.reason and "\n" not in one.reason for one in straight)
    assert all(
        {"judge", "e", "level"} <= one.numbers.keys() for one in straight if one.verdict is Verdict.FAIL
    )
    for one in straight:
        json.dumps(dict(one.numbers), allow_nan=False)
    _keeps_its_state(judge, check, looks, first)
    for unknown in (None, math.nan, math.inf, -1.0):
        blank = [_blanked(one, unknown) for one in looks]
        assert {one.verdict for one in told(judge, check, blank)} == {Verdict.INCONCLUSIVE}, (
            f"evidence of {unknown}"
        )


def _keeps_its_state(judge, check, looks, first):
    state = {}
    for place, evidence in enumerate(looks):
        text = json.dumps(state, sort_keys=True)
        after, _ = judge.look(check, state, evidence)
        assert json.dumps(state, sort_keys=True) == text, "the look changed the state it was handed"
        gone = replace(evidence, touched=(), control=(), error="RC8001", reason="gone")
        same, judgement = judge.look(check, after, gone)
        assert same == after
        assert (judgement.verdict is Verdict.FAIL) is (place >= first), "an error changed the verdict"
        state = after


def _blanked(evidence, unknown):
    def blank(cells):
        return tuple(cell._replace(n=unknown, y=unknown) for cell in cells)

    return replace(evidence, touched=blank(evidence.touched), control=blank(evidence.control))
