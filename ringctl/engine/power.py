"""What one check can see on one wave, with the rates that are known: for `gate plan`, `plan` and `gate backtest`."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ringctl.core import controls
from ringctl.core.judging import Judge
from ringctl.core.learning import SETTLED, Learnt
from ringctl.core.policy import Check, Count, Ratio
from ringctl.core.timing import MINUTE
from ringctl.engine.outlook import Forecast, Pace, Rate, Stand
from ringctl.gates import absence, ideal, never_seen, own_past, power
from ringctl.gates.asked import counts_events, directions
from ringctl.gates.evidence import ALONE
from ringctl.gates.power import Ceiling, Margin, Scale
from ringctl.gates.scatter import UNLEARNT_PHI, caution
from ringctl.gates.split import Split
from ringctl.settings.gates import LEAST_CHANGE, MOST_CEILING

SPLIT_SHARE = Split.part
"""The least share of a check's level that its comparison of counts is left with by the other judges."""
BESIDE = ("canary-vs-control", "unchanged")
DRIFTS = "compared with no control: what moves all accounts alike is taken for harm"
OVER = 2.0
"""The multiple of a ceiling that is asked about: a limit asks for no size of harm."""
ROUNDING = 1e-9


def plan_minutes(check: Check, learnt: Learnt, pace: Pace) -> tuple[float | None, str]:
    """Minutes until the harm asked about is seen with 95 %, and from where the rates are that say so.

    What was learnt before goes first (`history`, `baseline`); else what control did meanwhile (`control`), at which
    rate the canary would have had its events without harm: its own hold the harm. None: never, or (no source of
    rates) not known. An account that becomes empty is seen in three looks.
    """
    if check.fail_if.becomes_empty:
        return 3 * check.every_us / MINUTE, ""
    harms = directions(check)
    if not counts_events(check) or not harms:
        return None, ""
    past, beside = 60 * learnt.hours, check.compare in BESIDE and pace.accounts[1] > 0
    if past > 0 and learnt.events[0] > 0 and (learnt.events[1] > 0 or not beside):
        (canary, control), source = (one / past for one in learnt.events), learnt.source
    else:
        (canary, control), source = pace.healthy, "control"
    if not canary > 0:
        return None, ""
    phi = _planned(learnt.phi, learnt.hours, round(pace.accounts[1]))
    scale = Scale(
        canary=canary, phi=phi, alpha=check.false_alarm * SPLIT_SHARE / len(harms), miss=check.miss,
        times=ALONE if pace.accounts[0] == 1 else 1.0,
    )  # fmt: skip
    if not beside:
        phi = max(phi, learnt.drift or UNLEARNT_PHI)
        scale = replace(scale, past=past or check.baseline_us / MINUTE, phi=phi, margin=own_past.MARGIN)
    else:
        each = control / pace.accounts[1]
        margin = Margin(
            before=learnt.events, accounts=pace.accounts, rate=each, watched=learnt.hours < SETTLED
        )
        scale = replace(scale, control=control, margin=1.0 if check.alike else margin)
    found = max(power.minutes_to_see(scale, harm, harm) for harm in harms)
    return (round(found, 1) if found < math.inf else None), source


def _planned(phi: float | None, hours: float, control: int) -> float:
    """What the judges will have for phi: with less than days of past, as far up as control's number leaves open.

    One without any past was given by a person, and stands.
    """
    if phi is not None and (hours >= SETTLED or not hours > 0):
        return phi
    wide = caution(control - 1) if control > 1 else 1.0
    return max(UNLEARNT_PHI, wide) if phi is None else phi * wide


def forecast(
    check: Check, stand: Stand, alpha: float, rate: Rate, judges: Mapping[str, Judge]
) -> Iterator[Forecast]:
    """What the check can see there, a line for each kind of harm that it asks about."""
    plan = _Plan(check, stand, alpha, rate, judges)
    if counts_events(check) and directions(check):
        yield plan.compared()
    if check.fail_if.ceiling is not None:
        yield plan.limited()
    if isinstance(check.measure, Ratio) and not check.measure.of_counts:
        yield from plan.values()
    if check.fail_if.above is not None or check.fail_if.p95 is not None:
        yield plan.fixed()


@dataclass(frozen=True, slots=True)
class _Plan:
    """One check on one wave."""

    check: Check
    stand: Stand
    alpha: float
    rate: Rate
    judges: Mapping[str, Judge]

    def level(self, judge: str) -> float:
        """A judge's part of the check's level, as the panel shares it out."""
        parts = {name: one.part for name, one in self.judges.items() if one.applies(self.check)}
        total = sum(parts.values())
        return self.alpha * parts[judge] / total if parts.get(judge, 0) > 0 else self.alpha

    def line(self, judged: str, note: str = "") -> Forecast:
        stand = self.stand
        weights = [self.rate.weights.get(name, 1.0) for name in stand.members]
        return Forecast(
            ring=stand.ring, wave=stand.wave, check=self.check.name, accounts=stand.accounts,
            equal=power.effective(weights if self.rate.weights else stand.sizes) or float(stand.accounts),
            control=stand.left, judged=judged, alpha=self.alpha, bake=stand.bake_us / MINUTE,
            most=stand.most_us / MINUTE, note=note, caution=self.caution(judged),
        )  # fmt: skip

    def caution(self, judged: str) -> str:
        """Of judges that know the accounts' own past alone: of counts where they are asked for or left, of a shift
        where nobody is left to show that all moved alike."""
        if judged == "before-vs-after" or (judged == "shift" and not self.beside):
            return DRIFTS
        return ""

    @property
    def beside(self) -> bool:
        """Whether there is a control."""
        return self.stand.left >= controls.enough(self.stand.fleet, self.stand.control_min)

    @property
    def judged(self) -> str:
        """How a comparison is made with the control that is left (DESIGN 12.22)."""
        if self.check.compare not in BESIDE or self.beside:
            return self.check.compare
        return self.check.without_control

    @property
    def weight(self) -> float:
        """The wave in accounts of the mean rate."""
        return sum(self.rate.weights.get(name, 1.0) for name in self.stand.members)

    @property
    def times(self) -> float:
        return ALONE if self.stand.accounts == 1 else 1.0

    @property
    def past(self) -> float:
        """Minutes that are known from before."""
        return max(self.rate.past, self.check.baseline_us / MINUTE)

    def samples(self, weight: float) -> float:
        """Minutes until the wave has `min_samples`; 0 where their rate is not known."""
        rate = 1.0 if isinstance(self.check.measure, Count) else self.rate.samples
        return self.check.min_samples / (rate * weight) if rate and weight > 0 else 0.0

    # -- counts -----------------------------------------------------------------------------------
    def scale(self, weight: float, events: float, *, best: bool = False) -> Scale:
        """The scale of a wave of so many mean accounts. `best`: with nothing that is still to be learnt."""
        check, stand = self.check, self.stand
        phi = 1.0 if best else self.phi
        canary = events * weight
        beside = self.judged in BESIDE
        left = stand.left + stand.accounts - weight
        control = events * min(left, max(controls.LEAST, controls.RATIO * weight), controls.MOST)
        if not beside:
            return Scale(
                canary=canary, past=self.past, phi=max(phi, self.rate.drift or UNLEARNT_PHI), times=self.times,
                margin=own_past.MARGIN, miss=check.miss,
                # without control it is `split` that goes on by the accounts' own past
                alpha=self.level("split" if check.compare in BESIDE else own_past.NAME) / len(directions(check)),
            )  # fmt: skip
        margin: float | Margin = 1.0
        if not best and not check.alike:
            margin = Margin(
                before=(canary * self.past, control * self.past), accounts=(weight, control / events),
                rate=events, watched=self.past < 60 * SETTLED,
            )  # fmt: skip
        return Scale(
            canary=canary, control=control, phi=phi, margin=margin, times=self.times,
            alpha=self.level("split") / len(directions(check)), miss=check.miss,
        )  # fmt: skip

    @property
    def phi(self) -> float:
        return _planned(self.rate.phi, self.rate.past / 60, self.stand.left)

    def compared(self) -> Forecast:
        """Beside control, or beside the accounts' own past."""
        judged, harms, events = self.judged, directions(self.check), self.rate.events
        if judged == "threshold":
            return self.fixed()
        line = replace(self.line(judged), harm=harms[0])
        if judged in BESIDE:
            best = self.scale(self.weight, 1.0, best=True)
            slow = max(power.minutes_to_see(best, harm, harm) for harm in harms) * best.canary
            clear = max(power.minutes_to_pass(best, harm) for harm in harms) * best.canary
            line = replace(line, needs=_finite(slow), clears=_finite(clear))
        if events is None:
            return line
        if not events > 0:
            return self.never(replace(line, events=0.0, needs=None, clears=None))
        full = next((harm for harm in harms if not self.room(harm)), None)
        if full is not None:
            return replace(
                line, known=True, events=events * self.weight, harm=full, needs=None, clears=None,
                note=f"{self.cannot(full)}: {self.instead()}",
            )  # fmt: skip
        scale = self.scale(self.weight, events)
        slowest = max(harms, key=lambda one: power.minutes_to_see(scale, one, one))
        twice = 2.0 if slowest > 1 else 0.5
        found = replace(
            line,
            known=True,
            events=scale.canary,
            phi=scale.phi,
            harm=slowest,
            sees=self.taken(power.minutes_to_see(scale, slowest, slowest)),
            doubles=self.taken(power.minutes_to_see(scale, twice, slowest)),
            smallest=power.smallest_seen(scale, line.bake, slowest),
            passes=self.taken(self.passing(self.weight, events, harms)),
        )
        if found.smallest is not None and not self.room(found.smallest):
            found = replace(found, smallest=None)
        if not self.room(twice):
            note = self.cannot(twice) if found.passes is not None else ""
            found = replace(found, doubles=None, note=note)

        def enough(size: int) -> bool:
            weight = size * self.weight / self.stand.accounts
            one = self.scale(weight, events)
            seen = power.minutes_to_see(one, slowest, slowest)
            return max(seen, self.passing(weight, events, harms)) <= line.most

        return self.with_way_out(found, enough)

    def never(self, line: Forecast) -> Forecast:
        """Of what never happened there is no rate to compare with: `never-seen` sees the second one, and PASS comes
        when enough samples rule out what is worth a hold (`absence.of_anything`), unless a fall is asked about."""
        if min(directions(self.check)) < 1:
            said = (
                "never had one, and what has none cannot fall: ask for a rise alone, or count another thing"
            )
            return replace(line, known=True, note=said)
        few = self.samples(self.weight)
        trials = max(self.check.min_samples, math.log(1 / self.check.miss) / absence.NEGLIGIBLE)
        passes = self.taken(few * trials / self.check.min_samples) if few > 0 else None
        judge = self.judges.get(never_seen.NeverSeen.name)
        clean = self.past >= 60 * never_seen.LEAST_HOURS and self.stand.left > 0
        if judge is not None and judge.applies(self.check) and clean:
            said = "never had one: the second one fails, and none in enough samples passes"
            return replace(line, known=passes is not None, passes=passes, sees=0.0, note=said)
        return replace(
            line, passes=passes, note="never had one, so no rise is planned; none in enough samples passes"
        )

    @property
    def share(self) -> float | None:
        """The share of bad ones when nothing is wrong, where it is known."""
        events, samples = self.rate.events, self.rate.samples
        if isinstance(self.check.measure, Count) or events is None or not samples:
            return None
        return min(1.0, events / samples)

    def room(self, ratio: float) -> bool:
        """Whether the rate can rise so far: of all events no more than all are bad."""
        return self.share is None or self.share * ratio <= 1 + ROUNDING

    def cannot(self, ratio: float) -> str:
        rise = "double" if ratio == OVER else f"rise to {ratio:.3g} times"
        return f"a rate of {100 * (self.share or 0.0):.3g} % cannot {rise}"

    def instead(self) -> str:
        """What to ask for where the harm asked about cannot come. A ceiling is at most 50 %."""
        measure, share = self.check.measure, self.share or 0.0
        ways = ["a smaller `increase`"] if share * (1 + LEAST_CHANGE) <= 1 else []
        if share < MOST_CEILING:
            return f"ask for {', or '.join([*ways, 'a `ceiling`'])}"
        other = (
            "`bad` instead of `good`"
            if isinstance(measure, Ratio) and measure.good
            else "`good` instead of `bad`"
        )
        asked = f"ask for {ways[0]}, or " if ways else ""
        return f"{asked}count the other events ({other})"

    def taken(self, minutes: float) -> float | None:
        """Never less than a look takes."""
        return _finite(max(minutes, self.stand.every_us / MINUTE))

    def passing(self, weight: float, events: float, harms: tuple[float, ...]) -> float:
        scale = self.scale(weight, events)
        return max(self.samples(weight), *(power.minutes_to_pass(scale, harm) for harm in harms))

    def with_way_out(self, found: Forecast, enough: Callable[[int], bool]) -> Forecast:
        if found.decides:
            return found
        most = (self.stand.accounts + self.stand.left) // 2
        return replace(found, larger=power.fewest(most, enough))

    # -- a ceiling --------------------------------------------------------------------------------
    def limited(self) -> Forecast:
        """A ceiling, judged so that it may be looked at at any time."""
        limit = self.check.fail_if.ceiling
        assert limit is not None
        line = replace(self.line("ceiling"), asked=f"twice the ceiling of {100 * limit:g} %")
        events, samples = self.rate.events, self.rate.samples
        if events is None or not samples:
            return line
        share = min(1.0, events / samples)
        if share >= limit:
            said = f"{100 * share:.3g} % are bad now, the ceiling is {100 * limit:g} %: it can only fail"
            return replace(line, known=True, events=events * self.weight, sees=0.0, note=said)
        bad = min(OVER * limit, (1 + limit) / 2)

        def ceiling(weight: float) -> Ceiling:
            return Ceiling(
                trials=samples * weight, share=share, limit=limit, phi=self.phi, times=self.times,
                alpha=self.level("limit"), miss=self.check.miss,
            )  # fmt: skip

        def seen(weight: float) -> float:
            one = ceiling(weight)
            return power.until(lambda minutes: power.sees_share_by(one, minutes, bad))

        def passed(weight: float) -> float:
            one = ceiling(weight)
            return max(self.samples(weight), power.until(lambda minutes: power.passes_limit_by(one, minutes)))

        def enough(size: int) -> bool:
            weight = size * self.weight / self.stand.accounts
            return max(seen(weight), passed(weight)) <= line.most

        found = replace(
            line, known=True, events=events * self.weight, phi=self.phi, sees=self.taken(seen(self.weight)),
            passes=self.taken(passed(self.weight)),
        )  # fmt: skip
        return self.with_way_out(found, enough)

    # -- values and fixed limits ------------------------------------------------------------------
    def values(self) -> Iterator[Forecast]:
        """What is judged by looks: the judges are asked how many they need at least."""
        for name, asked in (("becomes-empty", "becomes_empty"), ("shift", "shift")):
            limit = getattr(self.check.fail_if, asked)
            if limit:
                only = replace(self.check.fail_if, becomes_empty=False, shift=None)
                yield self.by_looks(name, replace(self.check, fail_if=replace(only, **{asked: limit})))

    def by_looks(self, name: str, check: Check) -> Forecast:
        said = "an account that answers with nothing"
        if check.fail_if.shift is not None:
            said = f"a shift of {100 * check.fail_if.shift:g} %"
        judge = self.judges.get(name)
        if judge is None:
            return replace(self.line(name), asked=said, note=f"no judge is installed that sees {said}")
        line = replace(self.line(name), asked=said)
        beside = self.judged in BESIDE
        stand = self.stand
        stage = ideal.stage(check, stand.accounts, stand.every_us, self.level(name), control=beside)
        fail, done = _looks(check, _Named(name, judge), stage)
        minutes = self.stand.every_us / MINUTE
        answers = (self.rate.samples or 0.0) * minutes
        look = minutes / (1 - math.exp(-answers)) if answers > 0 else minutes
        known = self.rate.samples is not None
        samples = self.samples(self.weight)
        return replace(
            line,
            known=known or fail is None or done is None,
            sees=None if fail is None else fail * look,
            passes=None if done is None else max(samples, done * look),
            note="" if known else "at best, with an answer in every look",
        )

    def fixed(self) -> Forecast:
        """A fixed threshold: no promise, nothing to plan but the samples."""
        return self.line(
            "threshold", "a fixed threshold: no promise about false alarms, nor about what it sees"
        )


@dataclass(frozen=True, slots=True)
class _Named:
    """A judge that is told apart by its name."""

    name: str
    judge: Judge = field(compare=False)


@lru_cache(maxsize=256)  # waves of a ring are alike, and a ring may have a thousand
def _looks(check: Check, named: _Named, stage: ideal.Stage) -> tuple[int | None, int | None]:
    judges = {named.name: named.judge}
    return ideal.looks_to_fail(check, judges, stage), ideal.looks_to_pass(check, judges, stage)


def _finite(minutes: float) -> float | None:
    return round(minutes, 2) if minutes < math.inf else None
