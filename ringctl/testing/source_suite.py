"""The metric sources' conformance suite: what every source must keep, ours and those of others.

    from ringctl.testing.source_suite import CASES, Stage

    @pytest.mark.parametrize("case", CASES, ids=lambda one: one.__name__)
    def test_mine(case):
        case(Stage(source=Mine(...), show=put_these_rows_where_mine_reads))

A case raises AssertionError, saying what is wrong. Nothing here needs pytest itself.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.ports.metrics import MetricSource, Reading

Rows = Sequence[tuple[str, float | None]]

HOSTILE: Final = (
    'a"} or up{"', "a|b", ".*", "a\\", "a'; DROP TABLE x; --", "line\nbreak", "{{x}}", "é ü 漢", "a/b~1", "$1", "-",
)  # fmt: skip
UNUSABLE: Final[Mapping[str, float | None]] = {
    "nan": math.nan,
    "infinite": math.inf,
    "minus-infinite": -math.inf,
    "negative": -1.0,
    "nothing": None,
}
EVERY: Final = frozenset({*UNUSABLE, "twice"})
LATE_S: Final = 1.5
REQUESTS: Final = Counter(name="requests_total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong while it is entered. `code`: what the source says then; none: the reading is `partial`."""

    code: str
    happen: Callable[[], AbstractContextManager[object]]
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A source, and what it reads.

    `show` puts rows (account, value) where it reads them, in place of those before, and returns when a reading would
    have them. `can` names the odd rows that can be put there at all: `nan`, `infinite`, `minus-infinite`, `negative`,
    `nothing` (an account without a value) and `twice` (an account with two values). `secret` is shown to nobody.
    """

    source: MetricSource
    show: Callable[[Rows], None]
    counter: Counter = REQUESTS
    can: frozenset[str] = EVERY
    names: tuple[str, ...] = HOSTILE
    faults: Mapping[str, Fault] = field(default_factory=dict)
    secret: str = ""
    timeout_s: float = 10.0

    def read(self, accounts: Sequence[str] | None = None) -> Reading:
        """One reading of the counter."""
        return self.source.read([self.counter], self.timeout_s, accounts=accounts)

    def values(self, accounts: Sequence[str] | None = None) -> dict[str, float]:
        """What it says of the accounts."""
        reading = self.read(accounts)
        assert not reading.partial, f"partial: {reading.warnings}"
        return dict(reading.values[self.counter])


def accounts_are_mapped_by_name(stage: Stage) -> None:
    """Every account has its own value, whatever its name is made of; nobody else has one."""
    rows = [(name, float(place)) for place, name in enumerate(stage.names)]
    stage.show(rows)
    assert stage.values() == dict(rows)


def zero_is_a_value_and_absence_is_none(stage: Stage) -> None:
    """An account at zero is there, one without a series is not, and no series at all is no error."""
    stage.show([("idle", 0.0), ("busy", 7.0)])
    found = stage.values(["idle", "busy", "gone"])
    assert found.get("idle") == 0.0, found
    assert "gone" not in found, found
    stage.show([("busy", 7.0)])
    assert stage.values() == {"busy": 7.0}


def large_counts_are_exact(stage: Stage) -> None:
    """Up to 2^53, where floating point ends."""
    rows = [("a", 2.0**53), ("b", 2.0**53 - 1), ("c", 0.125)]
    stage.show(rows)
    assert stage.values() == dict(rows)


def what_is_no_count_is_left_out(stage: Stage) -> None:
    """NaN, infinities, values below zero and nothing: the account is absent, and a warning names it."""
    odd = [(f"odd-{kind}", value) for kind, value in UNUSABLE.items() if kind in stage.can]
    stage.show([("sound", 3.0), *odd])
    reading = stage.read()
    found = dict(reading.values[stage.counter])
    assert found == {"sound": 3.0}, found
    said = "\n".join(reading.warnings)
    silent = [name for name, value in odd if value is not None and name not in said]
    assert not silent, f"no warning about {silent}: {said}"


def values_that_disagree_are_left_out(stage: Stage) -> None:
    """Which of two is right is not known; two that agree are one."""
    if "twice" in stage.can:
        stage.show([("sound", 3.0), ("split", 1.0), ("split", 2.0)])
        reading = stage.read()
        assert dict(reading.values[stage.counter]) == {"sound": 3.0}, reading
        assert "split" in "\n".join(reading.warnings), reading.warnings


def a_reset_is_passed_on(stage: Stage) -> None:
    """A value lower than before is answered as it is: differences are not the source's business."""
    stage.show([("a", 1000.0)])
    assert stage.values() == {"a": 1000.0}
    stage.show([("a", 4.0)])
    assert stage.values() == {"a": 4.0}


def those_wanted_are_never_left_out(stage: Stage) -> None:
    """`accounts` may narrow what is asked for, by their names and by nothing that these look like."""
    rows = [*((name, float(place)) for place, name in enumerate(stage.names)), ("other", 99.0)]
    stage.show(rows)
    everybody = stage.values()
    alone = [[name] for name in stage.names]
    for wanted in (*alone, [], ["other"], list(stage.names), [*stage.names[::2], "gone", "gone", ""]):
        found = stage.values(wanted)
        lost = [name for name in wanted if name in everybody and found.get(name) != everybody[name]]
        assert not lost, f"asked for {wanted}, lost {lost}"
        strange = {name: value for name, value in found.items() if everybody.get(name) != value}
        assert not strange, f"asked for {wanted}, there is {strange}"


def a_counter_may_be_named_twice(stage: Stage) -> None:
    """It is one counter."""
    stage.show([("a", 5.0)])
    reading = stage.source.read([stage.counter, stage.counter], stage.timeout_s)
    assert {key: dict(value) for key, value in reading.values.items()} == {stage.counter: {"a": 5.0}}


def threads_do_not_meet(stage: Stage) -> None:
    """Eight at a time get the same answer."""
    rows = [(f"a{place}", float(place)) for place in range(50)]
    stage.show(rows)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stage.values(), range(16)))
    assert all(answer == dict(rows) for answer in answers)


def no_time_is_a_time_out(stage: Stage) -> None:
    """Nothing is asked without time for it: RC8004."""
    answer = _answer(stage, 0.0)
    assert isinstance(answer, SourceUnavailable), f"a reading without any time for it: {answer}"
    assert answer.code == "RC8004", answer


def faults_have_their_code_and_pass(stage: Stage) -> None:
    """Each fault is an error with its code and a way out, in time and without the secret; then all is well again."""
    stage.show([("a", 5.0), ("b", 6.0)])
    before = stage.values()
    assert before == {"a": 5.0, "b": 6.0}
    for name, fault in stage.faults.items():
        with fault.happen():
            _happens(stage, name, fault)
        assert stage.values() == before, f"after {name}"


def _answer(stage: Stage, timeout_s: float) -> Reading | SourceUnavailable:
    try:
        return stage.source.read([stage.counter], timeout_s)
    except SourceUnavailable as error:
        return error


def _happens(stage: Stage, name: str, fault: Fault) -> None:
    began = time.monotonic()
    answer = _answer(stage, fault.timeout_s)
    spent = time.monotonic() - began
    if isinstance(answer, SourceUnavailable):
        said = f"{answer.message} {answer.hint}"
        assert answer.code == fault.code, f"{name}: wanted {fault.code or 'partial'}: {answer.code} {said}"
        assert answer.message, f"{name}: no message"
        assert answer.hint, f"{name}: no way out: {said}"
        assert not stage.secret or stage.secret not in said, f"{name}: the secret is shown"
        assert len(said) < 1000, f"{name}: {len(said)} characters"
        assert said.isprintable(), f"{name}: control characters: {said!r}"
    else:
        assert not fault.code, f"{name}: wanted {fault.code}, got {answer}"
        assert answer.partial, f"{name}: not partial: {answer}"
        assert answer.warnings, f"{name}: partial, and no word why"
    assert spent < fault.timeout_s + LATE_S, f"{name}: {spent:.1f} s, {fault.timeout_s} s were given"


Case = Callable[[Stage], None]
CASES: Final[tuple[Case, ...]] = (
    accounts_are_mapped_by_name,
    zero_is_a_value_and_absence_is_none,
    large_counts_are_exact,
    what_is_no_count_is_left_out,
    values_that_disagree_are_left_out,
    a_reset_is_passed_on,
    those_wanted_are_never_left_out,
    a_counter_may_be_named_twice,
    threads_do_not_meet,
    no_time_is_a_time_out,
    faults_have_their_code_and_pass,
)
