"""Counters of a gate: what must match, a histogram's bucket, and whether one can be a part of the other."""

import re
from typing import Final, Literal

from ringctl.core.policy import Counter, Ratio
from ringctl.settings import units
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node
from ringctl.settings.policy_fields import CounterFields
from ringctl.settings.report import CANNOT_FAIL, CONTRADICTION, OUT_OF_RANGE, Mistake, Report

NO_COUNTER: Final = Counter(name="")
WITHOUT_LABELS: Final = ("sql", "http")
"""Types of sources whose counters are named in the source: `match` is refused there."""

BUCKET: Final = "_bucket"
BOUND: Final = "le"
_BOUND_HINT: Final = 'such as match: {le: "0.5"}; the bounds that there are stand in the metrics'
_DOT_ZERO: Final = "([.]0)?"
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|\+Inf", re.ASCII)
_PLAIN = re.compile(r"[\w./ |-]*")  # of fixed length, so that comparing them takes no time
_ANY = ".*"

Relation = Literal["", "same", "wider", "apart"]


def read_counter(node: Node, report: Report, where: str, *, labelled: bool) -> Counter:
    """One counter; one without a name where anything about it is refused. `labelled`: its source knows labels."""
    keys = Keys(node, CounterFields, report, where)
    account = keys.read("account", units.label, "account")
    name = keys.read("counter", units.metric, "")
    bucket = labelled and name.endswith(BUCKET)
    match: dict[str, str] = {}
    for label, entry in keys.mapping("match"):
        keys.parse("match", entry.key, units.label, "")
        if label == account:
            message = f"`{keys.path('match')}`: `{label}` is the label of the account"
            report.add(CONTRADICTION, entry.key, message)
            keys.spoil("match")
        parser = _bound if bucket and label == BOUND else units.expression
        match[label] = keys.parse("match", entry.node, parser, "")
    if bucket and keys.sound("match") and BOUND not in match:
        message = f"`{where}`: `{name}` without `{BOUND}` adds up all buckets, which count the same events"
        report.add(CONTRADICTION, keys.place("counter"), message, hint=_BOUND_HINT)
        keys.spoil("match")
    sound = keys.sound("counter", "account", "match")
    return Counter(name=name, account=account, match=match) if sound else NO_COUNTER


def _bound(node: Node) -> str:
    """The bound of one bucket, as an expression for nothing else: 1.5 is not 105, and +Inf is no expression."""
    bound = units.text(node)
    if len(bound) > 50 or not _NUMBER.fullmatch(bound):
        message = f"`{BOUND}` must name one bucket: a number or +Inf, not an expression"
        raise Mistake(OUT_OF_RANGE, message, hint=_BOUND_HINT)
    whole = bound.removesuffix(".0")  # the same bound is exposed as 1 and as 1.0
    return whole + _DOT_ZERO if whole.isdigit() else bound.replace(".", "[.]").replace("+", "[+]")


def check_counts(keys: Keys, ratio: Ratio, *, labelled: bool) -> None:
    """Refuse a ratio of counts whose `bad` (or `good`) is all of `all`, or none of it."""
    key = "good" if ratio.good else "bad"
    relation, label = _relation(ratio.y, ratio.n)
    if relation == "same":
        message = f"{keys.where} cannot tell good from bad: `{key}` counts the same as `all`"
        hint = f"`{key}` lacks the `match` that tells its events from the others, {_example(ratio)}"
        if not labelled:
            hint = f"name another counter in `{key}`: that of the {key} events alone"
        keys.report.add(CANNOT_FAIL, keys.place(key), message, hint=hint)
    elif relation == "wider":
        message = f"{keys.where} cannot tell good from bad: `{key}` counts all that `all` does, and more"
        hint = f"`{key}` and `all` the other way round, or a `match` in `{key}`, {_example(ratio)}"
        keys.report.add(CANNOT_FAIL, keys.place(key), message, hint=hint)
    elif relation == "apart":
        here, there = ratio.y.match[label], ratio.n.match[label]
        message = f"`{keys.path(key)}` is no part of `all`: `{label}` is {here} here and {there} there"
        hint = f"leave `{label}` out of `all`"
        keys.report.add(CONTRADICTION, keys.place(key), message, hint=hint)


def check_value(keys: Keys, ratio: Ratio) -> None:
    """Refuse a value that is always 1."""
    if _relation(ratio.y, ratio.n)[0] == "same":
        message = f"`{keys.path('ratio')}` cannot fail: a counter divided by itself is always 1"
        keys.report.add(CANNOT_FAIL, keys.place("ratio"), message, hint=CounterFields.HINT)


def _example(ratio: Ratio) -> str:
    if ratio.y.name.endswith(BUCKET):
        return 'such as match: {le: "0.5"}'
    return f'such as match: {{code: "{"2.." if ratio.good else "5.."}"}}'


def _relation(part: Counter, whole: Counter) -> tuple[Relation, str]:
    """What is certain about two selections of one counter; of `apart` the label that keeps them so."""
    if not part.name or (part.name, part.account) != (whole.name, whole.account):
        return "", ""
    here, there = ({k: v for k, v in one.match.items() if v != _ANY} for one in (part, whole))
    least, most = 0.0, 0.0
    if (
        part.name.endswith(BUCKET) and BOUND in here and BOUND in there
    ):  # a bucket holds all that are below it
        least, most = (_value(one.pop(BOUND)) for one in (here, there))
    for label in sorted(here.keys() & there.keys()):
        if _apart(here[label], there[label]):
            return "apart", label
    if least < most or not here.items() <= there.items():
        return "", ""
    return ("same" if here == there and least == most else "wider"), ""


def _value(bound: str) -> float:
    return float(re.sub(r"[\[\]]", "", bound.removesuffix(_DOT_ZERO)))


def _apart(one: str, other: str) -> bool:
    """Whether no value can match both, where one of them is a literal and the other easily read."""
    if not (_PLAIN.fullmatch(one) and _PLAIN.fullmatch(other)):
        return False
    literal, pattern = (one, other) if not set(one) & {".", "|"} else (other, one)
    return not set(literal) & {".", "|"} and not re.fullmatch(pattern, literal)
