"""Source `prometheus` before a real Prometheus that scrapes a small exporter, and what can go wrong on the way."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ringctl.core.errors import SourceUnavailable
from ringctl.core.observing import Watch, fold
from ringctl.core.policy import Check, Counter, FailIf, Ratio
from ringctl.core.timing import SECOND
from ringctl.metrics.exposition import escaped
from ringctl.metrics.prometheus import Prometheus
from ringctl.ports.metrics import RangeSource, Track
from ringctl.testing.source_suite import CASES, EVERY, Case, Fault, Rows, Stage
from tests.metrics import stages
from tests.metrics.faulty import Answer, Asked, FaultServer, Handler, relay, success
from tests.support.prometheus import PrometheusServer, scrape_config

pytestmark = pytest.mark.needs("prometheus")
REQUESTS = Counter(name="requests_total")
AGED = Counter(name="aged_total")
GRID = SECOND // 10
WAYS = ("all", "matchers", "cohort")


@dataclass(kw_only=True)
class Rig:
    """The exporter, a Prometheus that scrapes it, and a server before that which may break."""

    exporter: FaultServer
    real: PrometheusServer
    front: FaultServer
    folder: Path
    generation: int = 0

    def source(self, way: str = "all", **options: object) -> Prometheus:
        given = {"url": self.front.url, "token": {"file": "token"}, "accounts": way, **options}
        return Prometheus("p", given, folder=self.folder)

    def show(self, rows: Rows, *, cohort: tuple[str, ...] = (), rest: str = "") -> None:
        """Export these rows; returns when they have been scraped."""
        self.generation += 1
        info = "".join(
            f'ringctl_cohort_info{{rollout="r1",account="{escaped(name)}",cohort="canary"}} 1\n'
            f'ringctl_cohort_info{{rollout="r2",account="{escaped(name)}",cohort="control"}} 1\n'
            for name in cohort
        )
        body = (
            f"{stages.exposition(rows)}{info}{rest}generation{{account='{{g}}'}} {self.generation}\n".replace(
                "'{g}'", '"g"'
            )
        )
        self.exporter.handler = lambda _: Answer(
            body=body, headers={"Content-Type": "text/plain; version=0.0.4"}
        )
        mark, asked = Counter(name="generation"), Prometheus("mark", {"url": self.real.url})
        deadline = time.monotonic() + 30
        while asked.read([mark], 5).values[mark] != {"g": float(self.generation)}:
            assert time.monotonic() < deadline, "not scraped"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text(stages.SECRET)
    with FaultServer(lambda _: Answer()) as exporter:
        configuration = scrape_config({"x": [exporter.url.removeprefix("http://")]}, every="200ms")
        with PrometheusServer(folder, configuration) as real, FaultServer(relay(real.url)) as front:
            yield Rig(exporter=exporter, real=real, front=front, folder=folder)


def stage(rig: Rig, way: str) -> Stage:
    def show(rows: Rows) -> None:
        rig.show(rows, cohort=tuple(name for name, _ in rows)[::3])

    @contextmanager
    def frozen() -> Iterator[None]:
        os.kill(rig.real.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(rig.real.pid, signal.SIGCONT)

    source: Any = rig.source(way)
    if way == "cohort":
        source = stages.AskedForAll(source)
    faults = {
        **stages.prometheus_faults(rig.front),
        "frozen": Fault(code="RC8004", happen=frozen, timeout_s=0.4),
    }
    can = EVERY - {"nothing", "twice"}  # Prometheus itself keeps one of two lines for a series
    return Stage(source=source, show=show, can=can, faults=faults, secret=stages.SECRET)


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_conformance(rig: Rig, way: str, case: Case) -> None:
    case(stage(rig, way))


def test_no_query_of_a_cohort_lists_names(rig: Rig) -> None:
    rows = [(f"a{place}", float(place)) for place in range(2000)]
    names = [name for name, _ in rows]
    rig.show([*rows, ("stranger", 5.0)], cohort=tuple(names))
    rig.front.asked.clear()
    source = rig.source("cohort", cohort={"match": {"rollout": "r1"}})
    reading = source.read([REQUESTS], 10, accounts=names)
    assert dict(reading.values[REQUESTS]) == dict(rows)
    assert reading.warnings == ()
    assert len(rig.front.asked) == 4
    assert max(len(asked.form["query"]) for asked in rig.front.asked) < 200
    rig.show(rows, cohort=tuple(names[1:]))  # just drawn, and not exported yet
    rig.front.asked.clear()
    reading = source.read([REQUESTS], 10, accounts=names)
    assert dict(reading.values[REQUESTS]) == dict(rows)
    assert "1 of 2000 accounts have no series" in reading.warnings[0]
    named = [asked.form["query"] for asked in rig.front.asked if "a0" in asked.form["query"]]
    assert named == [
        'min by (account) (timestamp(requests_total{account=~"a0"}))',
        'sum by (account) (requests_total{account=~"a0"})',
    ]


def test_a_cohort_that_is_not_exported_is_no_empty_answer(rig: Rig) -> None:
    rig.show([("a", 1.0)])
    reading = rig.source("cohort").read([REQUESTS], 5)
    assert reading.partial
    assert "does this Prometheus scrape ringctl?" in reading.warnings[0]
    assert rig.source("cohort").read([REQUESTS], 5, accounts=["a"]).values == {REQUESTS: {"a": 1.0}}
    with pytest.raises(SourceUnavailable) as refused:
        list(past(rig.source("cohort"), None))
    assert refused.value.code == "RC8006"


def test_a_cohort_joins_a_counter_with_another_label(rig: Rig) -> None:
    tenant = Counter(name="tenants_total", account="tenant")
    name = 'a"\\\n|b'
    rest = f'tenants_total{{tenant="{escaped(name)}"}} 4\ntenants_total{{tenant="other"}} 5\n'
    rig.show([], cohort=(name,), rest=rest)
    assert rig.source("cohort").read([tenant], 5).values == {tenant: {name: 4.0}}


def test_thousands_are_asked_for_in_pieces(rig: Rig) -> None:
    rows = [(f"a.{place}|", float(place)) for place in range(1201)]
    rig.show(rows)
    rig.front.asked.clear()
    reading = rig.source("matchers").read([REQUESTS], 10, accounts=[name for name, _ in rows])
    assert dict(reading.values[REQUESTS]) == dict(rows)
    assert len(rig.front.asked) == 1 + 2 * 3
    assert len({asked.form.get("time") for asked in rig.front.asked[1:]}) == 1, "not one moment"
    assert reading.queries[0].endswith("# and 1198 more names")


def past(
    source: Prometheus, accounts: list[str] | None, *, seconds: int = 3, counter: Counter = REQUESTS
) -> Iterator[Track]:
    now = round(time.time() * SECOND / GRID) * GRID
    return source.history(
        [counter],
        accounts=accounts,
        from_us=now - seconds * SECOND,
        to_us=now,
        step_us=GRID,
        timeout_s=10,
    )


@pytest.mark.parametrize("way", WAYS)
def test_the_past_is_what_was_scraped(rig: Rig, way: str) -> None:
    source = rig.source(way)
    assert isinstance(source, RangeSource)
    mine, odd = f"a-{way}", f"b-{way}"  # the past of other tests is there too
    for value in (10.0, 20.0, 5.0):  # a reset
        rig.show([(mine, value), ("other", value), (odd, float("nan"))], cohort=(mine, odd))
    rig.show([(mine, 6.0)], cohort=(mine, odd))
    deadline = time.monotonic() + 10
    values: list[float] = []
    tracks: dict[str, Track] = {}
    while 6.0 not in values:  # the grid ends a moment before now
        assert time.monotonic() < deadline, values
        tracks = {track.account: track for track in past(source, [mine, odd, "gone"], seconds=5)}
        assert set(tracks) <= {mine}, "not the stranger, not NaN, not what never was"
        values = [value for _, value in tracks[mine].points]
    assert [value for value, _ in itertools.groupby(values)] == [10, 20, 5, 6]
    times = [at for at, _ in tracks[mine].points]
    assert all(later - earlier == GRID for earlier, later in itertools.pairwise(times))
    assert all(at % GRID == 0 for at in times), "not on the grid"


def test_a_gap_stays_a_gap(rig: Rig) -> None:
    rig.show([("gone", 1.0)])
    rig.show([])
    began = time.time()
    rig.show([])
    ended = time.time()
    rig.show([("gone", 2.0)])
    (track,) = past(rig.source(), ["gone"], seconds=5)
    assert {value for _, value in track.points} >= {1.0}
    assert [at for at, _ in track.points if began * SECOND <= at <= ended * SECOND] == []


def test_samples_that_are_old_are_no_points(rig: Rig) -> None:
    """Prometheus itself goes on with the last sample for five minutes where nothing tells it that a series ended."""
    body = 'aged_total{account="old"} 1 %d\n'
    stamp = round(time.time() * 1000)
    rig.show([], rest=body % stamp)
    young, old = rig.source(), rig.source(max_age_us=SECOND)
    time.sleep(max(0.0, stamp / 1000 + 1.2 - time.time()))
    assert young.read([AGED], 5).values == {AGED: {"old": 1.0}}
    reading = old.read([AGED], 5)
    assert reading.values == {AGED: {}}
    assert "RC8007" in reading.warnings[0]
    (track,) = past(old, ["old"], counter=AGED)
    (longer,) = past(young, ["old"], counter=AGED)
    assert max(at for at, _ in track.points) <= stamp * 1000 + SECOND
    assert max(at for at, _ in longer.points) > stamp * 1000 + SECOND


@pytest.mark.parametrize(("off_s", "code"), [(95, "RC8008"), (-95, "RC8008"), (5, "")])
def test_a_clock_that_is_off_is_seen_by_the_fold(rig: Rig, off_s: int, code: str) -> None:
    rig.show([("a", 1.0)])

    def later(asked: Asked, before: Handler) -> Answer:
        if asked.form.get("query") == "time()":
            now = time.time() + off_s
            return success("scalar", [now, str(now)])
        return before(replace(asked, form={**asked.form, "time": str(float(asked.form["time"]) - off_s)}))

    check = Check(
        name="errors", source="p", measure=Ratio(y=REQUESTS, n=REQUESTS, of_counts=True), compare="threshold",
        fail_if=FailIf(above=0.5),
    )  # fmt: skip
    with rig.front.answering(later):
        reading = rig.source(max_age_us=300 * SECOND).read([REQUESTS], 5)
    assert reading.at_us is not None
    _, evidence = fold(check, {}, reading, Watch(touched={"a": None}), round(time.time() * SECOND))
    assert evidence.error == code
    if not code:
        assert reading.values == {REQUESTS: {"a": 1.0}}


def test_the_past_in_part_is_refused(rig: Rig) -> None:
    rig.show([("a", 1.0)])

    def in_part(asked: Asked, before: Handler) -> Answer:
        return (
            stages.beside(warnings=["a store is gone"])(asked, before)
            if "range" in asked.path
            else before(asked)
        )

    with rig.front.answering(in_part), pytest.raises(SourceUnavailable) as refused:
        list(past(rig.source(), ["a"]))
    assert (refused.value.code, "a store is gone" in refused.value.message) == ("RC8006", True)
    assert len(list(past(rig.source(), ["a"]))) == 1


@pytest.mark.parametrize("name", sorted(stages.HTTP_FAULTS))
def test_the_past_has_the_same_faults(rig: Rig, name: str) -> None:
    code, change = stages.HTTP_FAULTS[name]
    rig.show([("a", 1.0)])

    def ranges(asked: Asked, before: Callable[[Asked], Answer]) -> Answer:
        return change(asked, before) if "range" in asked.path else before(asked)

    with rig.front.answering(ranges), pytest.raises(SourceUnavailable) as refused:
        list(past(rig.source(), ["a"]))
    assert refused.value.code == code
