"""Gates: what is measured, with what it is compared, and whether it could fail at all."""

from collections.abc import Mapping
from dataclasses import dataclass

from ringctl.core.policy import Check, Count, FailIf, Measure, Ratio, SourceSpec, StepMeasure
from ringctl.core.timing import DAY, MILLISECOND, SECOND, Span
from ringctl.settings import units
from ringctl.settings.counters import NO_COUNTER, WITHOUT_LABELS, check_counts, check_value, read_counter
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node
from ringctl.settings.policy_fields import FailIfFields, GateFields, ValueFields
from ringctl.settings.report import (
    CANNOT_FAIL,
    CONTRADICTION,
    MISSING_KEY,
    OUT_OF_RANGE,
    UNKNOWN_NAME,
    WRONG_TYPE,
    Mistake,
    Report,
)

STEPS = "steps"
STEP_MEASURES = ("duration", "failures", "retries")
COMPARES = ("canary-vs-control", "before-vs-after", "unchanged", "threshold")

# what is measured -> comparison -> the limits that it can judge
LIMITS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "counts": {
        "canary-vs-control": ("increase", "ceiling"),
        "before-vs-after": ("increase", "ceiling"),
        "unchanged": ("increase", "ceiling"),
        "threshold": ("above", "ceiling"),
    },
    "count": {
        "canary-vs-control": ("increase", "decrease"),
        "before-vs-after": ("increase", "decrease"),
        "unchanged": ("increase",),
    },
    "value": {
        "canary-vs-control": ("becomes_empty", "shift"),
        "before-vs-after": ("becomes_empty", "shift"),
        "unchanged": ("becomes_empty", "shift"),
        "threshold": ("above",),
    },
    STEPS: {"threshold": ("above", "p95")},
}
USUAL = {
    "counts": "canary-vs-control",
    "count": "canary-vs-control",
    "value": "before-vs-after",
    STEPS: "threshold",
}

LIMIT_KEYS = ("increase", "decrease", "ceiling", "above", "p95", "shift")

_SAME_HARM = "a fall of the good share is a rise of the bad one"
OTHER_EVENTS = f"count the other events: `good` instead of `bad`, with `increase` ({_SAME_HARM})"
BAD_RISES = f"`increase`: beside `good` it is the rise of the others ({_SAME_HARM})"

LEAST_CHANGE = 0.05
"""Of a rate: two groups of accounts differ by less without any harm, whatever is learnt."""
MOST_CEILING = 0.5
MOST_RISE = 100.0
"""A hundred times more: what is worse than that is seen by asking for less."""

_every = units.within(units.duration, 100 * MILLISECOND, DAY, "100ms to 1d")
_false_alarm = units.within(units.share, 0.000001, 0.5, "0.0001% to 50%")
_some = units.within(units.count, 1, units.MOST, "at least 1")
_shift = units.within(units.share, 0.000001, 1000.0, "more than 0%")
_ceiling = units.within(units.share, 0.000001, MOST_CEILING, "0.0001% to 50%")
_miss = units.within(units.share, 0.0001, 0.5, "0.01% to 50%")
_history = units.within(units.duration, 0, 30 * DAY, "0s to 30d")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDefaults:
    """What a gate takes over when it does not say otherwise."""

    every_us: Span
    false_alarm: float


def read_defaults(keys: Keys) -> GateDefaults:
    """The gates' part of `defaults`."""
    return GateDefaults(
        every_us=keys.read("every", _every, 60 * SECOND),
        false_alarm=keys.read("false_alarm", _false_alarm, 0.01),
    )


def read_gate(
    name: str, node: Node, report: Report, sources: Mapping[str, SourceSpec], defaults: GateDefaults
) -> Check:
    """One gate of the policy."""
    keys = Keys(node, GateFields, report, f"gates.{name}")
    source = keys.read("source", units.text, "")
    if keys.sound("source") and source != STEPS and source not in sources:
        message = f"there is no source `{source}`"
        report.unknown(UNKNOWN_NAME, keys.place("source"), message, {*sources, STEPS})
        keys.spoil("source")
    labelled = source not in sources or sources[source].type not in WITHOUT_LABELS
    kind, measure = _measure(keys, source, labelled=labelled)
    compare = keys.read("compare", units.one_of(*COMPARES), USUAL[kind])
    without = keys.read("without_control", units.one_of("before-vs-after", "threshold"), "")
    fail_if, given = _fail_if(keys, kind, measure)
    if keys.sound("compare", "source", "value", "bad", "good", "all", "without_control"):
        _check_limits(keys, kind, compare, without, given)
    every = keys.read("every", _every, defaults.every_us)
    return Check(
        name=name,
        source=source,
        measure=measure,
        compare=compare,
        fail_if=fail_if,
        min_samples=keys.read("min_samples", _some, 1 if kind == STEPS else 200),
        every_us=every,
        baseline_us=keys.read(
            "baseline", units.within(units.duration, every, 30 * DAY, "`every` to 30d"), 10 * every
        ),
        false_alarm=keys.read("false_alarm", _false_alarm, defaults.false_alarm),
        without_control=without,
        silence=keys.read("silence", units.one_of("hold", "fail"), "hold"),
        miss=keys.read("miss", _miss, 0.05),
        weight=keys.read("weight", _weight, 1.0),
        alike=keys.read("cohorts", units.one_of("learnt", "alike"), "learnt") == "alike",
        history_us=keys.read("history", _history, 14 * DAY),
        line=node.line,
    )


def _measure(keys: Keys, source: str, *, labelled: bool) -> tuple[str, Measure]:
    """What kind of thing is measured, and the measure."""
    if source == STEPS:
        _no_counters(keys, "the source `steps` has no counters", "count")
        if not keys.has("value"):
            return STEPS, _missing_measure(keys, "`value: duration`, `failures` or `retries`")
        measure = keys.read("value", units.one_of(*STEP_MEASURES), "duration")
        return STEPS, StepMeasure(name=measure)
    if keys.has("value"):
        _no_counters(keys, "either `value`, or `count`, or `bad` and `all`", "count")
        return "value", _value(keys, labelled=labelled)
    if keys.has("count"):
        _no_counters(keys, "either `count`, or `bad` and `all`")
        of = read_counter(keys.place("count"), keys.report, keys.path("count"), labelled=labelled)
        return "count", Count(of=of)
    if not any(keys.has(key) for key in ("bad", "good", "all")):
        wanted = "`bad` (or `good`) and `all`, or `count`, or `value: {ratio: [...]}`"
        return "counts", _missing_measure(keys, wanted)
    return "counts", _counts(keys, labelled=labelled)


def _counts(keys: Keys, *, labelled: bool) -> Ratio:
    good = keys.has("good")
    if good and keys.has("bad"):
        message = f"`{keys.path('good')}`: either `bad` or `good`"
        keys.report.add(CONTRADICTION, keys.node.entries["good"].key, message)
        keys.spoil("good")
    counters = []
    for key in ("good" if good else "bad", "all"):
        if not keys.has(key):
            message = (
                f"`{key}` is missing in {keys.where}: a ratio of counts needs `bad` (or `good`) and `all`"
            )
            keys.report.add(MISSING_KEY, keys.node, message, known=(key,))
            keys.spoil(key)
            counters.append(NO_COUNTER)
        else:
            counters.append(read_counter(keys.place(key), keys.report, keys.path(key), labelled=labelled))
    ratio = Ratio(y=counters[0], n=counters[1], of_counts=True, good=good)
    check_counts(keys, ratio, labelled=labelled)
    return ratio


def _no_counters(keys: Keys, message: str, *more: str) -> None:
    for key in ("bad", "good", "all", *more):
        if keys.has(key):
            place = keys.node.entries[key].key
            keys.report.add(CONTRADICTION, place, f"`{keys.path(key)}`: {message}")
            keys.spoil(key)


def _missing_measure(keys: Keys, wanted: str) -> Measure:
    if keys.whole:
        message = f"{keys.where} does not say what it measures"
        keys.report.add(MISSING_KEY, keys.node, message, hint=wanted)
    keys.spoil("value")
    return StepMeasure(name="duration")


def _value(keys: Keys, *, labelled: bool) -> Measure:
    node = keys.place("value")
    if isinstance(node.value, str):
        known = ("ratio",)
        if node.value in STEP_MEASURES:
            message = f"`{keys.path('value')}`: `{node.value}` is measured by the source `steps`"
            keys.report.add(CONTRADICTION, node, message, hint="source: steps")
        else:
            message = f"`{keys.path('value')}` must be a mapping"
            keys.report.add(WRONG_TYPE, node, message, known=known, hint=ValueFields.HINT)
        keys.spoil("value")
        return StepMeasure(name="duration")
    below = Keys(node, ValueFields, keys.report, keys.path("value"))
    items = below.items("ratio")
    if below.sound("ratio") and len(items) != 2:
        message = f"`{below.path('ratio')}` must name two counters, here are {len(items)}"
        keys.report.add(OUT_OF_RANGE, below.place("ratio"), message, hint=ValueFields.HINT)
    counters = [
        read_counter(item, keys.report, f"{below.path('ratio')}[{place}]", labelled=labelled)
        for place, item in enumerate(items)
    ]
    while len(counters) < 2:
        counters.append(NO_COUNTER)
    ratio = Ratio(y=counters[0], n=counters[1], of_counts=False)
    check_value(below, ratio)
    return ratio


def _fail_if(keys: Keys, kind: str, measure: Measure) -> tuple[FailIf, tuple[str, ...]]:
    """The limits, and the keys of those that are given."""
    node = keys.get("fail_if")
    if node is None:
        return FailIf(), ()
    below = Keys(node, FailIfFields, keys.report, keys.path("fail_if"))
    seconds = isinstance(measure, StepMeasure) and measure.name == "duration"
    ceiling = _seconds if seconds else units.number
    fail_if = FailIf(
        increase=below.read("increase", _increase, None),
        decrease=below.read("decrease", _decrease, None),
        ceiling=below.read("ceiling", _ceiling, None),
        above=below.read("above", units.share if kind == "counts" else ceiling, None),
        p95=below.read("p95", ceiling, None),
        becomes_empty=below.read("becomes_empty", units.flag, fallback=False),
        shift=below.read("shift", _shift, None),
    )
    given = tuple(key for key in below.node.entries if key in LIMIT_KEYS)
    if fail_if.becomes_empty:
        given += ("becomes_empty",)
    sound = below.sound(*LIMIT_KEYS, "becomes_empty")
    if sound and not given and not any(key not in FailIfFields.__slots__ for key in node.entries):
        message = f"{keys.where} cannot fail: `fail_if` names no limit"
        keys.report.add(CANNOT_FAIL, node, message, known=sorted(FailIfFields.__slots__))
    if sound and kind == "counts" and fail_if.above is not None and fail_if.above >= 1:
        message = f"{keys.where} cannot fail: a ratio of counts never exceeds 100%"
        keys.report.add(CANNOT_FAIL, below.place("above"), message, hint="such as 5%")
    if sound and fail_if.shift is not None and fail_if.shift >= 1:
        message = f"{keys.where} cannot fail on a loss: nothing falls by more than 100%"
        keys.report.add(CANNOT_FAIL, below.place("shift"), message, hint="such as 50%")
    if not below.whole or not sound:
        keys.spoil("fail_if")
    return fail_if, given


def _increase(node: Node) -> float:
    rise = units.share(node)
    if not LEAST_CHANGE <= rise <= MOST_RISE:
        hint = "50% is half as much again, 100% twice as much"
        if rise > MOST_RISE:
            hint = "100% is twice as much; a limit that needs no comparison is a `ceiling`, or `above`"
        raise Mistake(OUT_OF_RANGE, "must be 5% to 10000%", hint=hint)
    return rise


def _decrease(node: Node) -> float:
    fall = units.share(node)
    if not LEAST_CHANGE <= fall < 1:
        hint = "50% is half as much" if fall < 1 else "nothing falls by more than 100%: 50% is half as much"
        raise Mistake(OUT_OF_RANGE, "must be at least 5% and less than 100%", hint=hint)
    return fall


def _seconds(node: Node) -> float:
    return units.duration(node) / SECOND


def _check_limits(keys: Keys, kind: str, compare: str, without: str, given: tuple[str, ...]) -> None:
    """Refuse limits that the comparison cannot judge, saying which it could."""
    said = {"counts": "a ratio of counts", "count": "a count", "value": "a value"}.get(
        kind, "the source `steps`"
    )
    possible = LIMITS[kind]
    if compare not in possible:
        message = f"{keys.where}: {said} cannot be compared by `{compare}`"
        keys.report.add(CONTRADICTION, keys.place("compare"), message, known=tuple(possible))
        return
    useful = set(possible[compare])
    if compare != "threshold" and without == "threshold":
        useful.add("above")
        if "above" not in given:
            message = f"{keys.where} cannot fail without control: there is no `fail_if.above`"
            place = keys.place("without_control")
            keys.report.add(CANNOT_FAIL, place, message, hint="add fail_if: {above: ...}")
    fail_if = keys.place("fail_if")
    for key in given:
        if key not in useful:
            entry = fail_if.entries[key]
            other = [name for name, limits in possible.items() if key in limits]
            hint = f"compare: {other[0]}" if other else ""
            if kind == "counts" and key == "decrease":
                hint = OTHER_EVENTS if keys.has("bad") else BAD_RISES
            message = f"{keys.where}: `{compare}` of {said} cannot judge `{key}`"
            keys.report.add(CONTRADICTION, entry.key, message, known=sorted(useful), hint=hint)
    if keys.sound("fail_if") and given and set(given) == {"above"} and compare != "threshold":
        message = f"{keys.where} cannot fail by `{compare}`: only `above` is given"
        keys.report.add(CANNOT_FAIL, fail_if, message, known=possible[compare])


def _weight(node: Node) -> float:
    weight = units.number(node)
    if not 0.001 <= weight <= 1000:
        raise Mistake(OUT_OF_RANGE, "must be 0.001 to 1000", hint="1 is an equal share")
    return weight
