"""What checks can see, in words, as a table, and as findings: for `gate plan` and `plan`."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ringctl.cli.render import Block, Grid, cell, columns
from ringctl.cli.status import paragraph
from ringctl.cli.style import show
from ringctl.core.errors import Finding
from ringctl.core.policy import Count, Policy
from ringctl.core.timing import MINUTE, human
from ringctl.engine.outlook import Forecast, Rate

CANNOT: Final = "RC1002"
SHORT: Final = {
    "canary-vs-control": "control", "unchanged": "control, both ways", "before-vs-after": "before",
    "threshold": "fixed limit", "becomes-empty": "emptiness", "shift": "own shift",
}  # fmt: skip


def findings(policy: Policy, path: str, found: Sequence[Forecast]) -> list[Finding]:
    """RC1002 for each gate that cannot decide on some wave, with what would."""
    made = []
    kinds = dict.fromkeys((one.check, one.judged) for one in found)
    for check, judged in kinds:
        lines = [one for one in found if (one.check, one.judged) == (check, judged)]
        cannot = [one for one in lines if not one.decides]
        if not cannot:
            continue
        worst = max(cannot, key=lambda one: one.longest)
        made.append(
            Finding(
                code=CANNOT,
                message=f"gate `{check}` ({judged}) cannot decide within bake.max on {len(cannot)} of "
                f"{len(lines)} waves",
                path=path,
                line=policy.checks[check].line,
                column=1,
                items=tuple(map(_why, cannot)),
                hint=_way_out(worst),
            )
        )
    return made


def _why(one: Forecast) -> str:
    if one.note and one.passes is None:
        return f"{one.ring}, {one.wave}: {one.note}"
    seen, passed = _never(one.sees), _never(one.passes)
    return f"{one.ring}, {one.wave}: {one.accounts} accounts, seen {seen}, passed {passed}, max {span_of(one.most)}"


def _never(taken: float | None) -> str:
    return "never" if taken is None else minutes(taken)


def _way_out(one: Forecast) -> str:
    said = one.note.partition(": ")[2] if one.sees is None else ""
    if said:  # the harm cannot come at all: the note says what to ask for
        return said
    ways = []
    if one.larger is not None:
        ways.append(f"{one.larger} accounts in the wave")
    if one.longest < math.inf:
        ways.append(f"bake: {{max: {span_of(one.longest)}}}")
    if ways:
        return f"{' or '.join(ways)} would do in {one.ring}, {one.wave}"
    if one.judged == "before-vs-after":
        return (
            "a longer `baseline`, a source with a past, or a control that is kept until the last ring passes"
        )
    return "a larger harm in `fail_if` would do"


def span_of(taken: float) -> str:
    """Minutes as a policy has them, rounded up."""
    whole = math.ceil(taken - 1e-9)
    if taken < 1:
        return f"{math.ceil(60 * taken - 1e-9)}s"
    if whole < 2 * 60:
        return f"{whole}m"
    hours = -(-whole // 60)
    return f"{hours}h" if hours < 2 * 24 else f"{hours // 24}d" + (f"{hours % 24}h" if hours % 24 else "")


def rate(one: Rate) -> Mapping[str, object]:
    """A rate for machines; `--rates` takes it."""
    return {
        "events": one.events, "samples": one.samples, "phi": one.phi, "drift": one.drift,
        "past_minutes": one.past, "said": one.said,
    }  # fmt: skip


def record(one: Forecast) -> Mapping[str, object]:
    """A line of the plan for machines; times in minutes."""
    return {
        "ring": one.ring,
        "wave": one.wave,
        "check": one.check,
        "accounts": one.accounts,
        "equal_accounts": round(one.equal, 1),
        "control": one.control,
        "judged": one.judged,
        "false_alarm": one.alpha,
        "rate_known": one.known,
        "events_per_minute": one.events,
        "phi": one.phi,
        "harm": one.harm,
        "asked": one.asked,
        "seen_minutes": one.sees,
        "doubling_minutes": one.doubles,
        "smallest_ratio_seen": one.smallest,
        "pass_minutes": one.passes,
        "events_to_see": one.needs,
        "events_to_pass": one.clears,
        "bake_min_minutes": one.bake,
        "bake_max_minutes": one.most,
        "decides": one.decides,
        "accounts_that_would": one.larger,
        "note": one.note,
        "caution": one.caution,
    }


def blocks(found: Sequence[Forecast], rates: Mapping[str, Rate]) -> list[Block]:
    """The table, then a sentence for each gate and way of judging it."""
    heads = columns("RING", "WAVE", "~GATE", ">ACCOUNTS", ">CONTROL", "BY", ">SEEN", ">LEAST", ">PASSES")
    fixed = {name for name in _checks(found) if all(one.judged == "threshold" for one in _of(found, name))}
    rows = [
        [
            show(one.ring, 30), show(label, 30), show(one.check, 30), cell(one.accounts), cell(one.control),
            SHORT.get(one.judged, one.judged), _cell(one, one.sees),
            f"{one.smallest:.2f}x" if one.smallest else "-", _cell(one, one.passes),
        ]
        for label, one in _grouped([one for one in found if one.check not in fixed])
    ]  # fmt: skip
    made: list[Block] = [Grid(columns=heads, rows=rows, indent=0), ""] if rows else []
    for name in _checks(found):
        lines = _of(found, name)
        for judged in dict.fromkeys(one.judged for one in lines):
            made += paragraph(show(name, 40), sentence(next(one for one in lines if one.judged == judged)))
        for said in dict.fromkeys(one.caution for one in lines if one.caution):
            where = _places([one for one in lines if one.caution == said], lines)
            made += paragraph("", f"{show(where, 200)}: {said}")
        if name in rates and rates[name].said:
            made += paragraph("", f"rate: {show(rates[name].said, 300)}")
    return made


def summary(policy: Policy, found: Sequence[Forecast]) -> list[Block]:
    """For `plan`: how each check is judged, where, and what it takes at best, without any rate."""
    rows = []
    for name in _checks(found):
        lines = _of(found, name)
        for judged in dict.fromkeys(one.judged for one in lines):
            of_kind = [one for one in lines if one.judged == judged]
            where = _places(of_kind, lines)
            one = of_kind[0]
            rows.append(
                [
                    show(name, 30),
                    SHORT.get(judged, judged),
                    show(where, 200),
                    *_at_best(one),
                    _promised(policy, one),
                ]
            )
    if not rows:
        return []
    heads = ["GATE", "BY", "~WAVES", ">SEEN AFTER", ">PASSES AFTER", ">ACTIVITY SHOWS IT"]
    if all(row[-1] == "-" for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    said = "  At best, in events of a wave or in time; with the rates you have: ringctl gate plan"
    return ["", Grid(columns=columns(*heads), rows=rows), said]


def _at_best(one: Forecast) -> tuple[str, str]:
    if one.needs is not None and one.clears is not None:
        return f"{one.needs:,.0f} events", f"{one.clears:,.0f} events"
    seen, passed = ("-" if taken is None else minutes(taken) for taken in (one.sees, one.passes))
    return seen, passed


def _promised(policy: Policy, one: Forecast) -> str:
    """From which share of bad ones on the samples that `activity` promises show the harm."""
    activity = next((ring.bake.activity for ring in policy.rings if ring.name == one.ring), 0)
    if not activity or one.needs is None or isinstance(policy.checks[one.check].measure, Count):
        return "-"
    share = one.needs / activity
    return f"from {100 * share:.2g} % bad" if share < 1 else "never alone"


def _places(found: Sequence[Forecast], every: Sequence[Forecast]) -> str:
    """The waves of `found`, out of all that the check watches: whole rings by name alone."""
    here, there = _waves(found), _waves(every)
    if here == there:
        return "all"
    named = [f"{ring}: {', '.join(waves)}" if waves != there[ring] else ring for ring, waves in here.items()]
    return ", ".join(named)


def _waves(found: Sequence[Forecast]) -> Mapping[str, list[str]]:
    rings: dict[str, dict[str, None]] = {}
    for one in found:
        rings.setdefault(one.ring, {})[one.wave] = None
    return {ring: list(waves) for ring, waves in rings.items()}


def _checks(found: Sequence[Forecast]) -> list[str]:
    return list(dict.fromkeys(one.check for one in found))


def _of(found: Sequence[Forecast], check: str) -> list[Forecast]:
    return [one for one in found if one.check == check]


def _grouped(found: Sequence[Forecast]) -> list[tuple[str, Forecast]]:
    """The rows of the table: many lone waves of a ring are one, that of the slowest."""
    groups: dict[tuple[str, str, str, str], list[Forecast]] = {}
    for one in found:
        kind = one.wave.split()[0] if one.wave.startswith("lone ") else one.wave
        groups.setdefault((one.ring, kind, one.check, one.judged), []).append(one)
    rows = []
    for (_, kind, _, _), lines in groups.items():
        slowest = max(lines, key=lambda one: one.longest)
        rows.append((kind if len(lines) == 1 else f"{kind} ({len(lines)})", slowest))
    return rows


def sentence(one: Forecast) -> str:
    """What a wave can see, in words (GATE 5.7)."""
    accounts = f"{one.accounts} account{'' if one.accounts == 1 else 's'}"
    where = [accounts + (f", worth {one.equal:.1f} of one size" if one.equal < 0.8 * one.accounts else "")]
    where += [f"{one.events:.3g} events/min"] if one.events is not None else []
    where += [f"phi {one.phi:.1f}"] if one.phi is not None else []
    lead = f"with {one.ring} {one.wave} ({', '.join(where)})"
    said = _unknown(one) or _known(one)
    note = f"; {one.note}" if one.note else ""
    return f"{lead}: {said}{note}" if said else f"{lead}: {one.note}"


def _unknown(one: Forecast) -> str:
    """Without a rate: how many events it takes, at best."""
    if one.known or one.sees is not None or one.judged == "threshold":
        return ""
    if one.note and one.needs is None:  # it says why
        return ""
    way = f"no rate is known (--rate {one.check}=EVENTS)"
    if one.needs is None or one.clears is None:
        return way
    return (
        f"{harm_of(one)} is seen after {one.needs:.0f} events of the wave at best, PASS takes {one.clears:.0f} if "
        f"healthy; {way}"
    )


def _known(one: Forecast) -> str:
    if one.judged == "threshold" or (one.note and one.passes is None):
        return ""
    said = [f"{harm_of(one)} is {_within(one, one.sees)}"]
    if one.harm is not None and one.phi is not None:
        doubling = "a doubling" if one.harm > 1 else "a halving"
        if doubling != harm_of(one):
            said.append(f"{doubling} is {_within(one, one.doubles)}")
        way = "rise" if one.harm > 1 else "fall"
        least = f"a {way} to {one.smallest:.2f} times" if one.smallest else "nothing for certain"
        said.append(f"in its bake of {minutes(one.bake)} {least}")
    passes = (
        "PASS never comes" if one.passes is None else f"PASS takes about {minutes(one.passes)} if healthy"
    )
    return "; ".join([", ".join(said), passes])


def harm_of(one: Forecast) -> str:
    """The harm that is asked about, in words."""
    if one.harm is None:
        return one.asked
    named = {2.0: "a doubling", 0.5: "a halving"}
    return named.get(one.harm, f"a {'rise' if one.harm > 1 else 'fall'} to {one.harm:.3g} times")


def _within(one: Forecast, taken: float | None) -> str:
    if taken is None:
        return "never seen"
    return f"seen within {minutes(taken)}" + ("" if one.phi is None else " with 95 %")


def _cell(one: Forecast, taken: float | None) -> str:
    if taken is None:
        return "never" if one.known and one.judged != "threshold" else "-"
    return ("from " if not one.known else "") + minutes(taken)


def minutes(taken: float) -> str:
    """Minutes as people write them."""
    return human(round(taken * MINUTE))
