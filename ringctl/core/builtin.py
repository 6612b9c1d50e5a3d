"""Checks that need no setting: what was known early in 2017, and stopped nothing.

`overshoot`: a step that runs, or ran, more than 3 times as long as it took accounts of its size. It does not fail the
revision: it holds before the next account is claimed, until a person has looked and resumes. `recreated`: a step
failed because a key existed already, so something was made anew where it was only thought to be missing. It fails.

The size class: accounts done under the same revision, of the same size decade, at least three of them, the account
itself left out. Without such a class the nearest smaller decade stands in, else the nearest larger one; what it took
is scaled up with the size, and never down. Where nothing is known, nothing is said. Seconds are noise on a busy
machine, so a step is not over before it is 10 s over.

Both pass as soon as the wave's accounts are done: they object, and never wait for samples.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ringctl.core.facts import Lasted, StepClasses
from ringctl.core.judging import Judgement, JudgeState
from ringctl.core.model import Hold
from ringctl.core.policy import BUILTIN, Check, FailIf, StepMeasure
from ringctl.core.states import Verdict
from ringctl.core.timing import SECOND, Instant, human

OVERSHOOT: Final = "overshoot"
RECREATED: Final = "recreated"
DUPLICATES: Final = "duplicates"

TIMES: Final = 3.0
LEAST_OVER_S: Final = 10.0
CLASS: Final = 3
SHOWN: Final = 3

_NEW, _HELD, _ACCEPTED = range(3)


def checks(names: Iterable[str] = (OVERSHOOT, RECREATED)) -> dict[str, Check]:
    """The built-in checks of these names. They take no part in the false alarms promised: `weight` 0."""
    measures = {OVERSHOOT: StepMeasure(name=OVERSHOOT), RECREATED: StepMeasure(name=DUPLICATES)}
    return {
        name: Check(
            name=name,
            source="steps",
            measure=measures[name],
            compare=BUILTIN,
            fail_if=FailIf(),
            min_samples=0,
            baseline_us=0,
            weight=0.0,
            history_us=0,
        )
        for name in names
    }


def is_builtin(check: Check) -> bool:
    """Whether the check is one of these, and not one of the policy's own."""
    return check.compare == BUILTIN


def overshoot(
    state: JudgeState,
    elsewhere: StepClasses,
    lasted: Sequence[Lasted],
    *,
    hold: Hold | None,
    complete: bool,
    now_us: Instant,
) -> tuple[JudgeState, Judgement]:
    """One look. `elsewhere`: what steps took in the revision's other waves; `hold`: the one in force for this wave.

    State: `over`: "account/step" -> [status, seconds, seconds allowed, when it was first seen]. One that a hold has
    told people about is accepted when that hold is gone: it was resumed.
    """
    over = {name: list(row) for name, row in _rows(state.get("over")).items()}
    for row in over.values():
        if row[0] == _NEW and hold is not None and hold.since_us >= row[3]:
            row[0] = _HELD
        elif row[0] == _HELD and hold is None:
            row[0] = _ACCEPTED
    classes = _Classes(elsewhere, lasted)
    for one in lasted:
        name = f"{one.account}/{one.step}"
        seconds = ((now_us if one.ended_us is None else one.ended_us) - one.began_us) / SECOND
        usual = classes.usual(one) if seconds > LEAST_OVER_S and name not in over else None
        if usual is None:
            continue
        allowed = max(TIMES * usual, usual + LEAST_OVER_S)
        if seconds > allowed:
            over[name] = [_NEW, round(seconds, 3), round(allowed, 3), now_us]
    told = {name: row for name, row in over.items() if row[0] != _ACCEPTED}
    after: JudgeState = {"over": over} if over else {}
    if not told:
        return after, _calm(complete, f"no step ran more than {TIMES:g} times as long as its size class took")
    names = sorted(told, key=lambda name: (-told[name][1] / told[name][2], name))
    said = [_said(name, told[name]) for name in names[:SHOWN]]
    more = f"; and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return after, Judgement(
        verdict=Verdict.INCONCLUSIVE,
        reason=f"{'; '.join(said)}{more}",
        numbers={
            "judge": OVERSHOOT,
            "over": [[*name.rsplit("/", 1), told[name][1], told[name][2]] for name in names],
            "fresh": any(row[0] == _NEW for row in told.values()),
        },
        worst=tuple(dict.fromkeys(name.rsplit("/", 1)[0] for name in names)),
    )


def recreated(
    state: JudgeState, duplicates: Mapping[str, float], *, complete: bool
) -> tuple[JudgeState, Judgement]:
    """One look. `duplicates`: account -> steps that failed because a key existed. Any fails, and that is final."""
    seen = {account: count for account, count in duplicates.items() if count > 0}
    kept = {**_counts(state.get("seen")), **seen}
    if not kept:
        return {}, _calm(complete, "no step met a key that existed already")
    worst = sorted(kept, key=lambda one: (-kept[one], one))
    named = ", ".join(worst[:SHOWN]) + (f" and {len(worst) - SHOWN} more" if len(worst) > SHOWN else "")
    return {"seen": kept}, Judgement(
        verdict=Verdict.FAIL,
        reason=f"a step failed because a key existed already, on {named}: something was created twice",
        numbers={"judge": RECREATED, "duplicates": kept},
        worst=tuple(worst),
    )


def _calm(complete: bool, said: str) -> Judgement:
    if complete:
        return Judgement(verdict=Verdict.PASS, reason=said)
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"{said} so far; not all accounts are done")


def _said(name: str, row: Sequence[float]) -> str:
    account, _, step = name.rpartition("/")
    seconds, allowed = (human(round(value * SECOND)) for value in (row[1], row[2]))
    return f"{account}: step {step} has taken {seconds}, at most {allowed} was to be expected of its size"


class _Classes:
    """What steps took by decade: elsewhere, and in this wave."""

    def __init__(self, elsewhere: StepClasses, lasted: Sequence[Lasted]) -> None:
        self.elsewhere = elsewhere
        self.lasted = lasted
        self.own: dict[str, dict[int, list[float]]] | None = None

    def usual(self, one: Lasted) -> float | None:
        """Seconds that are usual for a step of an account of this size; None when nothing is known."""
        rows = dict(self.elsewhere.get(one.step, {}))
        for decade, (count, seconds, sizes) in self._of_wave(one.step).items():
            before = rows.get(decade, (0, 0.0, 0.0))
            rows[decade] = (before[0] + int(count), before[1] + seconds, before[2] + sizes)
        if one.ended_us is not None:  # itself left out
            count, seconds, sizes = rows[one.decade]
            rows[one.decade] = (count - 1, seconds - (one.ended_us - one.began_us) / SECOND, sizes - one.size)
        known = {decade: row for decade, row in rows.items() if row[0] >= CLASS}
        if not known:
            return None
        if one.decade in known:
            count, seconds, _ = known[one.decade]
            return seconds / count
        below = [decade for decade in known if decade < one.decade]
        count, seconds, sizes = known[max(below) if below else min(known)]
        usual = sizes / count
        return seconds / count * (max(1.0, one.size / usual) if usual > 0 else 1.0)

    def _of_wave(self, step: str) -> dict[int, list[float]]:
        if self.own is None:
            self.own = {}
            for one in self.lasted:
                if one.ended_us is not None:
                    row = self.own.setdefault(one.step, {}).setdefault(one.decade, [0, 0.0, 0.0])
                    row[0] += 1
                    row[1] += (one.ended_us - one.began_us) / SECOND
                    row[2] += one.size
        return self.own.get(step, {})


def _rows(value: object) -> Mapping[str, Sequence[float]]:
    return value if isinstance(value, Mapping) else {}


def _counts(value: object) -> Mapping[str, float]:
    return value if isinstance(value, Mapping) else {}
