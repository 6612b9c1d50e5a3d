"""The sources against a server that can be faulty, and against a real Prometheus."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ringctl.core.errors import SourceUnavailable
from ringctl.core.policy import Counter
from ringctl.core.timing import SECOND
from ringctl.metrics.prometheus import Prometheus
from ringctl.metrics.promql import queries, selector
from ringctl.metrics.scrape import Scrape
from ringctl.ports.metrics import MetricSource
from tests.metrics.faulty import Answer, Asked, FaultServer, success
from tests.support.prometheus import PrometheusServer, scrape_config

BAD = Counter(name="http_requests_total", match={"code": "5.."})
ALL = Counter(name="http_requests_total")
NOW = 1_700_000_000.25


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(lambda _: Answer()) as running:
        yield running


def code_of(source: MetricSource, timeout_s: float = 5.0) -> str:
    with pytest.raises(SourceUnavailable) as refused:
        source.read([ALL], timeout_s)
    assert "s3cret" not in str(refused.value)
    return refused.value.code


# -- scrape ------------------------------------------------------------------------------------------
def page(text: str, **headers: str) -> Callable[[Asked], Answer]:
    return lambda _: Answer(body=text, headers=headers)


def test_scrape_adds_up_series_per_account_where_the_expressions_hold(server: FaultServer) -> None:
    server.handler = page(
        'http_requests_total{account="a",code="200"} 10\n'
        'http_requests_total{account="a",code="500"} 2\n'
        'http_requests_total{account="a",code="1500"} 64\n'
        'http_requests_total{account="b",code="503"} 3\n'
        'http_requests_total{account="c"} 1\n'
        'http_requests_total{code="500"} 100\n'
        'http_requests_total{account="",code="500"} 100\n'
        'other_total{account="a",code="500"} 100\n'
    )
    reading = Scrape("s", {"urls": [f"{server.url}/1", f"{server.url}/2"]}).read([BAD, ALL, BAD], 5)
    assert reading.values == {BAD: {"a": 4.0, "b": 6.0}, ALL: {"a": 152.0, "b": 6.0, "c": 2.0}}
    assert (reading.at_us, reading.oldest_us, reading.partial) == (None, None, False)
    assert reading.queries == (f"GET {server.url}/1", f"GET {server.url}/2")
    assert any("no label account" in warning for warning in reading.warnings)
    assert {asked.method for asked in server.asked} == {"GET"}


def test_scrape_matches_an_absent_label_as_the_empty_text(server: FaultServer) -> None:
    server.handler = page('x{account="a"} 1\nx{account="b",code="1\\n2"} 2\n')
    absent, lines = Counter(name="x", match={"code": ""}), Counter(name="x", match={"code": "1.2"})
    assert Scrape("s", {"url": server.url}).read([absent, lines], 5).values == {
        absent: {"a": 1.0},
        lines: {"b": 2.0},
    }


def test_scrape_leaves_out_accounts_with_a_value_that_is_none(server: FaultServer) -> None:
    server.handler = page(
        'x{account="a",i="1"} NaN\nx{account="a",i="2"} 5\nx{account="b"} +Inf\nx{account="c"} 1\n'
        'x{account="d"} 1\nx{account="d"} 2\n'
    )
    x = Counter(name="x")
    reading = Scrape("s", {"url": server.url}).read([x], 5)
    assert reading.values == {x: {"c": 1.0}}
    assert len(reading.warnings) == 3


def test_scrape_leaves_out_stale_samples_by_the_endpoints_own_clock(server: FaultServer) -> None:
    server.handler = page(
        'x{account="a"} 1 1700000000000\nx{account="b"} 1 1699999930000\nx{account="c"} 1\n'
        'x{account="ahead"} 1 1700000030000\nx{account="future"} 1 1700003605000\n',
        Date="Tue, 14 Nov 2023 22:13:25 GMT",  # 1,700,000,005
    )
    x = Counter(name="x")
    reading = Scrape("s", {"url": server.url, "max_age_us": 60 * SECOND}).read([x], 5)
    assert reading.values == {x: {"a": 1.0, "c": 1.0, "ahead": 1.0}}
    assert reading.oldest_us == 1_700_000_000 * SECOND
    assert len(reading.warnings) == 2


@pytest.mark.parametrize("headers", [{}, {"Date": "never"}])
def test_scrape_leaves_out_samples_of_unknown_age(server: FaultServer, headers: dict[str, str]) -> None:
    server.handler = page('x{account="a"} 1 1700000000000\nx{account="c"} 1\n', **headers)
    x = Counter(name="x")
    reading = Scrape("s", {"url": server.url}).read([x], 5)
    assert (reading.values, reading.oldest_us) == ({x: {"c": 1.0}}, None)
    assert "of unknown age" in reading.warnings[0]


def test_scrape_reads_openmetrics_and_says_when_a_counter_is_none(server: FaultServer) -> None:
    server.handler = page(
        '# TYPE x gauge\nx{account="a"} 1 1700000000.5\n# EOF\n',
        **{
            "Content-Type": "application/openmetrics-text; version=1.0.0",
            "Date": "Tue, 14 Nov 2023 22:13:25 GMT",
        },
    )
    reading = Scrape("s", {"url": server.url}).read([Counter(name="x")], 5)
    assert reading.oldest_us == 1_700_000_000_500_000
    assert "x is a gauge" in reading.warnings[0]


SCRAPE_FAULTS = {
    "malformed": (Answer(body="x{ 1\n"), "RC8003"),
    "cut short": (Answer(body="x 1\n", length=100), "RC8003"),
    "not let in": (Answer(status=401), "RC8002"),
    "forbidden": (Answer(status=403), "RC8002"),
    "error": (Answer(status=500, body="<h1>no</h1>"), "RC8005"),
    "not found": (Answer(status=404), "RC8005"),
    "redirect": (Answer(status=302, headers={"Location": "/elsewhere"}), "RC8005"),
    "no content": (Answer(status=204), "RC8005"),
}


@pytest.mark.parametrize("name", SCRAPE_FAULTS)
def test_scrape_faults(server: FaultServer, name: str) -> None:
    answer, code = SCRAPE_FAULTS[name]
    server.handler = lambda asked: answer if asked.path == "/2" else Answer(body="x 1\n")
    assert code_of(Scrape("s", {"urls": [f"{server.url}/1", f"{server.url}/2"]})) == code
    assert code_of(Scrape("s", {"url": f"{server.url}/2"})) == code


def unused() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("kind", [Scrape, Prometheus])
def test_unreachable_and_slow(server: FaultServer, kind: type[Scrape] | type[Prometheus]) -> None:
    assert code_of(kind("s", {"url": unused()})) == "RC8001"
    server.handler = lambda _: Answer(delay_s=2.0)
    began = time.monotonic()
    assert code_of(kind("s", {"url": server.url}), timeout_s=0.2) == "RC8004"
    assert code_of(kind("s", {"url": server.url, "timeout_us": SECOND // 5})) == "RC8004"
    assert time.monotonic() - began < 1.5
    assert code_of(kind("s", {"url": server.url}), timeout_s=0.0) == "RC8004"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Scrape, {}),
        (Scrape, {"urls": []}),
        (Scrape, {"urls": ["http://a", "http://a"]}),
        (Scrape, {"url": "http://a", "token": {"env": "X"}}),
        (Scrape, {"url": "http://a", "timeout_us": 0}),
        (Scrape, {"url": "http://a", "timeout_us": "10s"}),
        (Scrape, {"url": "http://a", "timeout_us": True}),
        (Prometheus, {"url": ""}),
        (Prometheus, {"url": "http://a", "urls": ["http://a"]}),
        (Prometheus, {"url": "http://a", "max_age": 5}),
    ],
)
def test_wrong_options(kind: type[Scrape] | type[Prometheus], options: dict[str, object]) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        kind("s", options)
    assert refused.value.code == "RC8010"


@pytest.mark.parametrize("kind", [Scrape, Prometheus])
@pytest.mark.parametrize(
    "counter",
    [
        Counter(name="x} or up{"),
        Counter(name="x", account='a) (up) or sum by ("'),
        Counter(name="x", match={"a b": "c"}),
        Counter(name="x", match={"a": "("}),
    ],
)
def test_counters_that_are_none(kind: type[Scrape] | type[Prometheus], counter: Counter) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        kind("s", {"url": "http://127.0.0.1:1"}).read([counter], 1)
    assert refused.value.code == "RC8010"


def test_an_address_that_cannot_be_asked() -> None:
    assert code_of(Scrape("s", {"url": "ftp://127.0.0.1/metrics"})) == "RC8010"


# -- prometheus --------------------------------------------------------------------------------------
def series(value: str, **labels: str) -> dict[str, object]:
    return {"metric": labels, "value": [NOW, value]}


def api(
    values: list[dict[str, object]], times: list[dict[str, object]], **beside: object
) -> Callable[[Asked], Answer]:
    def answer(asked: Asked) -> Answer:
        query = asked.form["query"]
        if query == "time()":
            return success("scalar", [NOW, str(NOW)])
        return success("vector", times if "timestamp(" in query else values, **beside)

    return answer


def test_prometheus_asks_by_post_at_one_time_and_maps_by_the_account(server: FaultServer) -> None:
    server.handler = api(
        [series("12", account="a"), series("7", account="b"), series("1"), series("NaN", account="c"),
         series("+Inf", account="d"), series("1", account="e"), series("2", account="e"),
         series("3", account="old"), series("4", account="ageless"),
         series("5", account="future")],
        [*(series(str(NOW - 2), account=one) for one in "abcde"), series(str(NOW - 61), account="old"),
         series(str(NOW + 61), account="future")],
    )  # fmt: skip
    reading = Prometheus("p", {"url": f"{server.url}/"}).read([BAD, ALL], 5)
    assert reading.values == {BAD: {"a": 12.0, "b": 7.0}, ALL: {"a": 12.0, "b": 7.0}}
    assert (reading.at_us, reading.oldest_us) == (1_700_000_000_250_000, 1_699_999_998_250_000)
    assert not reading.partial
    said = "\n".join(reading.warnings)
    for word in (
        "no label account",
        "c is NaN",
        "d is NaN",
        "e is there twice",
        "old is 61 s old",
        "ageless is of unknown age",
        "future is 61 s in the future",
    ):
        assert word in said
    assert {asked.method for asked in server.asked} == {"POST"}
    assert {asked.path for asked in server.asked} == {"/api/v1/query"}
    assert {asked.form.get("time") for asked in server.asked} == {None, "1700000000.250"}
    assert len(server.asked) == 5
    assert reading.queries == (*queries(BAD), *queries(ALL))
    assert reading.queries_of((ALL,)) == queries(ALL)


def test_expressions_are_quoted() -> None:
    counter = Counter(name="x", account="t", match={"b": 'q"\\d\n}', "a": "5.."})
    assert selector(counter) == 'x{a=~"5..",b=~"q\\"\\\\d\\n}"}'
    assert queries(counter)[0] == f"sum by (t) ({selector(counter)})"


def test_warnings_make_the_reading_partial_and_infos_do_not(server: FaultServer) -> None:
    good = [series("1", account="a")], [series(str(NOW), account="a")]
    server.handler = api(*good, warnings=["a store is gone"], infos="not a list")
    reading = Prometheus("p", {"url": server.url}).read([ALL], 5)
    assert reading.partial
    assert reading.warnings == ("a store is gone", "not a list")
    server.handler = api(*good, infos=["by the way"], warnings=[])
    reading = Prometheus("p", {"url": server.url}).read([ALL], 5)
    assert (reading.partial, reading.warnings) == (False, ("by the way",))


def body(**fields: object) -> str:
    return json.dumps(fields)


PROMETHEUS_FAULTS = {
    "error": (Answer(body=body(status="error", errorType="execution", error="no")), "RC8005"),
    "timeout": (Answer(body=body(status="error", errorType="timeout", error="slow")), "RC8004"),
    "503 timeout": (Answer(status=503, body=body(status="error", errorType="timeout")), "RC8004"),
    "bad query": (Answer(status=400, body=body(status="error", errorType="bad_data")), "RC8005"),
    "500": (Answer(status=500, body="oops"), "RC8005"),
    "401": (Answer(status=401, body="who?"), "RC8002"),
    "truncated": (Answer(body='{"status":"success","data":{"resultTy'), "RC8003"),
    "cut short": (Answer(body='{"status":"succ', length=1000), "RC8003"),
    "not JSON": (Answer(body="<html>sign in</html>"), "RC8003"),
    "deep": (Answer(body="[" * 100_000), "RC8003"),
    "a list": (Answer(body="[]"), "RC8003"),
    "no status": (Answer(body="{}"), "RC8003"),
    "no data": (Answer(body=body(status="success")), "RC8003"),
    "no time": (success("scalar", [NOW, "NaN"]), "RC8003"),
    "odd time": (success("scalar", ["x"]), "RC8003"),
    "a time of a string": (success("string", [NOW, "1"]), "RC8003"),
}


@pytest.mark.parametrize("name", PROMETHEUS_FAULTS)
def test_prometheus_faults(server: FaultServer, name: str) -> None:
    answer, code = PROMETHEUS_FAULTS[name]
    server.handler = lambda _: answer
    assert code_of(Prometheus("p", {"url": server.url})) == code


@pytest.mark.parametrize(
    "result",
    [
        success("matrix", []),
        success("vector", {}),
        success("vector", ["x"]),
        success("vector", [{"metric": {}, "value": [1]}]),
        success("vector", [{"metric": {}, "value": [1, 2]}]),
        success("vector", [{"metric": [], "value": [1, "2"]}]),
        success("vector", [{"metric": {}, "histogram": [1, {}]}]),
    ],
)
def test_results_that_are_no_vector(server: FaultServer, result: Answer) -> None:
    server.handler = lambda asked: (
        success("scalar", [NOW, str(NOW)]) if asked.form["query"] == "time()" else result
    )
    assert code_of(Prometheus("p", {"url": server.url})) == "RC8003"


def test_an_odd_value_is_left_out(server: FaultServer) -> None:
    server.handler = api([series("many", account="a")], [series(str(NOW), account="a")])
    assert Prometheus("p", {"url": server.url}).read([ALL], 5).values == {ALL: {}}


def test_the_token_is_read_anew_each_time(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.handler = api([], [])
    (tmp_path / "token").write_text("s3cret-1\n")
    by_file = Prometheus("p", {"url": server.url, "token": {"file": "token"}}, folder=tmp_path)
    by_file.read([ALL], 5)
    (tmp_path / "token").write_text("s3cret-2\n")
    by_file.read([ALL], 5)
    monkeypatch.setenv("PROM_TOKEN", "s3cret-3")
    Prometheus("p", {"url": server.url, "token": {"env": "PROM_TOKEN"}}).read([ALL], 5)
    assert [asked.headers["authorization"] for asked in server.asked[::3]] == [
        f"Bearer s3cret-{number}" for number in (1, 2, 3)
    ]
    server.handler = lambda _: Answer(status=401)
    assert code_of(by_file) == "RC8002"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ({"file": "gone"}, "RC8002"),
        ({"file": "empty"}, "RC8002"),
        ({"file": "two-lines"}, "RC8002"),
        ({"env": "RINGCTL_TEST_NOT_SET"}, "RC8002"),
        ({}, "RC8010"),
        ({"vault": "x"}, "RC8010"),
        ("s3cret", "RC8010"),
    ],
)
def test_tokens_that_are_none(tmp_path: Path, token: object, code: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two-lines").write_text("s3cret\nInjected: s3cret")
    source = Prometheus("p", {"url": "http://127.0.0.1:1", "token": token}, folder=tmp_path)
    assert code_of(source) == code


def test_sources_may_be_read_from_several_threads(server: FaultServer) -> None:
    server.handler = api([series("1", account="a")], [series(str(NOW), account="a")])
    source = Prometheus("p", {"url": server.url})
    with ThreadPoolExecutor(8) as pool:
        readings = list(pool.map(lambda _: source.read([ALL], 10), range(16)))
    assert all(reading == readings[0] for reading in readings)


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_says_the_same_as_the_endpoint(server: FaultServer, tmp_path: Path) -> None:
    text = "".join(
        f'http_requests_total{{account="{account}",code="{code}"}} {value}\n'
        for account, code, value in (
            ("a", "200", 10), ("a", "500", 2), ('q\\"uote\\\\d', "503", 5), ("c", "1500", 1),
        )
    )  # fmt: skip
    server.handler = page(text, **{"Content-Type": "text/plain; version=0.0.4"})
    direct = Scrape("s", {"url": server.url}).read([BAD, ALL], 5)
    with PrometheusServer(tmp_path, scrape_config({"x": [server.url.removeprefix("http://")]})) as real:
        source = Prometheus("p", {"url": real.url})
        deadline = time.monotonic() + 20
        while (reading := source.read([BAD, ALL], 5)).values != direct.values:
            assert time.monotonic() < deadline, reading
            time.sleep(0.1)
        assert direct.values[ALL] == {"a": 12.0, 'q"uote\\d': 5.0, "c": 1.0}
        assert not reading.partial
        assert reading.warnings == ()
        assert reading.at_us is not None
        assert abs(reading.at_us - time.time() * SECOND) < 5 * SECOND
        assert reading.oldest_us is not None
        assert 0 <= reading.at_us - reading.oldest_us < 10 * SECOND
        server.handler = lambda _: Answer(status=500)  # series of a target that is gone are gone too
        while source.read([ALL], 5).values != {ALL: {}}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert code_of(source) == "RC8001"
