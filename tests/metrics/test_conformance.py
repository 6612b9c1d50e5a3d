"""Every built-in source keeps what the suite asks for; the suite sees those that do not."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringctl.core.errors import SourceUnavailable
from ringctl.ports.metrics import Reading
from ringctl.testing import source_suite
from ringctl.testing.source_suite import CASES, Fault, Rows, Stage
from tests.metrics import stages
from tests.metrics.faulty import Answer, FaultServer
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy

STAGES = {
    "scrape": stages.scrape,
    "http": stages.http,
    "prometheus": stages.prometheus("all"),
    "prometheus-by-name": stages.prometheus("matchers"),
    "prometheus-by-cohort": stages.prometheus("cohort"),
    "sqlite": stages.sqlite,
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(lambda _: Answer()) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", STAGES)
def test_source(kind: str, case: source_suite.Case, server: FaultServer, tmp_path: Path) -> None:
    case(STAGES[kind](server, tmp_path))


@pytest.mark.postgres
@pytest.mark.parametrize("case", CASES, ids=lambda one: one.__name__)
def test_postgresql(
    case: source_suite.Case, postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    with Proxy(("127.0.0.1", postgres.port)) as proxy:
        case(stages.postgresql(postgres_database, proxy, tmp_path))


# -- sources with a mistake ---------------------------------------------------------------------------
class Memory:
    """A right source over a list. Each of those below has one mistake."""

    name = "memory"

    def __init__(self) -> None:
        self.rows: Rows = []
        self.error: SourceUnavailable | None = None

    def read(self, counters, timeout_s, *, accounts=None):
        if timeout_s <= 0:
            raise SourceUnavailable("no time", code="RC8004", hint="more")
        if self.error is not None:
            raise self.error
        found: dict[str, float] = {}
        bad: set[str] = set()
        for name, value in self.rows:
            if self.unusable(value) or found.get(name, value) != value:
                bad.add(name)
            else:
                found[name] = value
        values = {name: self.changed(value) for name, value in found.items() if name not in bad}
        if accounts is not None:
            values = {name: value for name, value in values.items() if self.wanted(name, accounts)}
        return Reading(at_us=None, values=dict.fromkeys(counters, values), warnings=self.warned(bad))

    def unusable(self, value):
        return value is None or not math.isfinite(value) or value < 0

    def changed(self, value):
        return value

    def wanted(self, name, accounts):
        return name in accounts

    def warned(self, bad):
        return tuple(sorted(bad))


class NegativeIsFine(Memory):
    def unusable(self, value):
        return value is None or not math.isfinite(value)


class NaNIsZero(Memory):
    def read(self, counters, timeout_s, *, accounts=None):
        self.rows = [
            (name, 0.0 if value is None or math.isnan(value) else value) for name, value in self.rows
        ]
        return super().read(counters, timeout_s, accounts=accounts)


class ZeroIsAbsent(Memory):
    def unusable(self, value):
        return super().unusable(value) or value == 0


class HidesResets(Memory):
    def __init__(self) -> None:
        super().__init__()
        self.most = 0.0

    def changed(self, value):
        self.most = max(self.most, value)
        return self.most


class Rounds(Memory):
    def changed(self, value):
        return float(f"{value:.6g}")


class SaysNothing(Memory):
    def warned(self, bad):
        return ()


class TakesNamesForPatterns(Memory):
    def wanted(self, name, accounts):
        return any(
            re.fullmatch(one.replace("\\", "/"), name, re.DOTALL) for one in accounts if one[:1] != "*"
        )


class LastOneWins(Memory):
    def read(self, counters, timeout_s, *, accounts=None):
        self.rows = list(dict(self.rows).items())
        return super().read(counters, timeout_s, accounts=accounts)


class NeverLate(Memory):
    def read(self, counters, timeout_s, *, accounts=None):
        return super().read(counters, 1.0, accounts=accounts)


class EmptyForAnError(Memory):
    def read(self, counters, timeout_s, *, accounts=None):
        try:
            return super().read(counters, timeout_s, accounts=accounts)
        except SourceUnavailable:
            return Reading(at_us=None, values={counter: {} for counter in counters})


class NeverRecovers(Memory):
    def read(self, counters, timeout_s, *, accounts=None):
        try:
            return super().read(counters, timeout_s, accounts=accounts)
        except SourceUnavailable:
            self.rows = []
            raise


def stage(source: Memory, *, error: SourceUnavailable | None = None) -> Stage:
    def show(rows: Rows) -> None:
        source.rows = list(rows)

    class Down:
        def __enter__(self):
            source.error = error or SourceUnavailable("gone", code="RC8001", hint="start it")

        def __exit__(self, *_: object):
            source.error = None

    return Stage(
        source=source, show=show, faults={"down": Fault(code="RC8001", happen=Down)}, secret="s3cret"
    )


def failing(stage: Stage) -> set[str]:
    """The cases that a stage does not pass."""
    found = set()
    for case in CASES:
        try:
            case(stage)
        except (AssertionError, SourceUnavailable):
            found.add(case.__name__)
    return found


def test_the_right_one_passes() -> None:
    assert failing(stage(Memory())) == set()


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (NegativeIsFine, "what_is_no_count_is_left_out"),
        (NaNIsZero, "what_is_no_count_is_left_out"),
        (ZeroIsAbsent, "zero_is_a_value_and_absence_is_none"),
        (HidesResets, "a_reset_is_passed_on"),
        (Rounds, "large_counts_are_exact"),
        (SaysNothing, "values_that_disagree_are_left_out"),
        (TakesNamesForPatterns, "those_wanted_are_never_left_out"),
        (LastOneWins, "values_that_disagree_are_left_out"),
        (NeverLate, "no_time_is_a_time_out"),
        (EmptyForAnError, "faults_have_their_code_and_pass"),
        (NeverRecovers, "faults_have_their_code_and_pass"),
    ],
)
def test_a_mistake_is_seen(wrong: type[Memory], seen: str) -> None:
    assert seen in failing(stage(wrong()))


@pytest.mark.parametrize(
    "error",
    [
        SourceUnavailable("gone", code="RC8005", hint="start it"),
        SourceUnavailable("gone", code="RC8001"),
        SourceUnavailable("gone, with s3cret", code="RC8001", hint="start it"),
        SourceUnavailable("gone\x1b[2J", code="RC8001", hint="start it"),
        SourceUnavailable("gone" * 500, code="RC8001", hint="start it"),
    ],
)
def test_a_wrong_error_is_seen(error: SourceUnavailable) -> None:
    assert failing(stage(Memory(), error=error)) == {"faults_have_their_code_and_pass"}
