"""`gate backtest` and `gate check` as a user calls them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: gates}
inventory: {source: csv, path: accounts.csv, size: size}
metrics: {svc: {type: scrape, url: "http://127.0.0.1:PORT/metrics"}}
gates:
  errors:
    source: svc
    bad: {counter: requests_total, match: {code: "5.."}}
    all: {counter: requests_total}
    fail_if: {increase: 100%}
    every: 200ms
    min_samples: 50
  slow: {source: steps, value: duration, fail_if: {p95: 30s}}
rings: [{name: all, select: {ring: 0}, bake: {min: 1s, max: 1m}}]
"""


HUGE_POLICY = POLICY.replace("PORT", "9").replace(
    "  slow:",
    """  size:
    source: svc
    value: {ratio: [{counter: bytes_total}, {counter: answers_total}]}
    compare: unchanged
    fail_if: {shift: 50%, becomes_empty: true}
  requests:
    source: svc
    count: {counter: requests_total}
    fail_if: {decrease: 50%}
  slow:""",
)


def rows(harm: int) -> str:
    lines = [
        {"t": t, "account": one, "cohort": "canary" if one[0] == "c" else "control", "check": "errors", "n": 20,
         "y": harm if one[0] == "c" else (t + int(one[1])) % 2}
        for t in range(1, 121) for one in ("c1", "c2", "c3", *(f"k{n}" for n in range(8)))
    ]  # fmt: skip
    return "".join(json.dumps(one) + "\n" for one in lines)


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text(POLICY.replace("PORT", "9"))
    return path


def test_backtest_prints_a_line_a_look_and_the_end(ring, policy, tmp_path) -> None:
    (tmp_path / "s").write_text(rows(6))
    answer = ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "s", "-o", "ndjson")
    assert answer.code == 10
    *looks, last = answer.lines
    assert len(looks) == 120
    assert set(looks[0]) >= {"t", "verdict", "check", "judge", "e", "level", "missing"}
    assert last["final"] == "fail"
    assert last["at"] == next(one["t"] for one in looks if one["verdict"] == "fail")
    assert last["plan_minutes"]["errors"] > 1
    assert last["plan_rates"] == {"errors": "control"}
    assert "slow measures ringctl's own steps" in answer.err


def test_backtest_in_words_and_as_one_object(ring, policy, tmp_path) -> None:
    (tmp_path / "s").write_text("".join(rows(1).splitlines(keepends=True)[:30]))
    answer = ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "s", "-o", "json")
    assert answer.code == 11
    assert answer.json["schema"] == "ringctl/backtest/v1"
    words = ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "s", "--gate", "errors")
    assert "inconclusive" in words.out
    assert "with 95 %, at the rates of control" in words.out


def test_backtest_says_what_is_wrong_and_where(ring, policy, tmp_path) -> None:
    (tmp_path / "s").write_text(
        '{"t": 1, "account": "a", "cohort": "canary", "check": "erors", "n": 1, "y": 0}\n'
    )
    answer = ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "s")
    assert answer.code == 3
    assert "s:1:1" in answer.err
    assert "errors" in answer.err
    assert ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "none").code == 3
    answer = ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "s", "--gate", "erors")
    assert answer.code == 5
    assert "errors" in answer.err


def test_backtest_names_who_is_in_the_baseline_alone(ring, policy, tmp_path) -> None:
    whole = rows(1)
    (tmp_path / "b").write_text(whole.replace('"canary"', '"control"'))
    (tmp_path / "s").write_text("".join(one for one in whole.splitlines(True) if '"c2"' not in one))
    words = ("gate", "backtest", "--policy", policy, "--baseline", tmp_path / "b")
    answer = ring(*words, "--series", tmp_path / "s")
    assert (answer.code, "warning: c2 in the baseline and not in the series" in answer.err) == (0, True)
    started = json.dumps({"t": 0, "account": "c2", "event": "start"})
    (tmp_path / "e").write_text((tmp_path / "s").read_text() + started)
    answer = ring(*words, "--series", tmp_path / "e")
    assert (answer.code, "not in the series" in answer.err) == (11, False)
    assert "c2 had data and has been absent for" in answer.out


def test_backtest_without_a_canary_warns(ring, policy, tmp_path) -> None:
    (tmp_path / "s").write_text(rows(1).replace('"canary"', '"control"'))
    answer = ring("gate", "backtest", "--policy", policy, "--series", tmp_path / "s")
    assert answer.code == 11
    assert "nothing was touched" in answer.err


HUGE = {"n": 1e308, "y": 1e308, "value": 1e300}


@pytest.mark.parametrize("wanted", ["n", "y", "value", "n y", "n y value"])
@pytest.mark.parametrize("share", [1, 7])
def test_backtest_of_numbers_that_no_arithmetic_holds(ring, tmp_path, wanted, share) -> None:
    """Every one, or one in seven, beyond any bound: missing, with a warning that names the line."""
    (tmp_path / "gates.yaml").write_text(HUGE_POLICY)
    lines = []
    for place, text in enumerate(rows(1).splitlines()):
        huge = {key: HUGE[key] for key in wanted.split()} if place % share == 0 else {}
        line = json.loads(text) | {"y": 1} | {key: number for key, number in huge.items() if key != "value"}
        lines += [line, {"t": line["t"], "account": line["account"], "cohort": line["cohort"], "check": "size",
                         "value": huge.get("value", 2.5)}]  # fmt: skip
        lines.append({**lines[-1], "check": "requests", "y": line["y"]})
        del lines[-1]["value"]
    (tmp_path / "s").write_text("".join(json.dumps(one) + "\n" for one in lines))
    answer = ring(
        "gate", "backtest", "--policy", tmp_path / "gates.yaml", "--series", tmp_path / "s", "-o", "ndjson"
    )
    assert answer.code in {0, 11}, answer.err
    assert "s:1: " in answer.err or "s:2: " in answer.err
    assert "taken as missing" in answer.err
    assert "Infinity" not in answer.out
    assert "NaN" not in answer.out
    if share == 1:
        assert answer.code == 11


def test_backtest_of_the_largest_numbers_that_are_read(ring, tmp_path) -> None:
    (tmp_path / "gates.yaml").write_text(HUGE_POLICY)
    lines = []
    for text in rows(1).splitlines():
        line = json.loads(text)
        place = {key: line[key] for key in ("t", "account", "cohort")}
        lines += [{**line, "n": 2.0**53, "y": 2.0**53 * line["y"]}, {**place, "check": "size", "value": 1e100},
                  {**place, "check": "requests", "y": 2.0**53}]  # fmt: skip
    (tmp_path / "s").write_text("".join(json.dumps(one) + "\n" for one in lines))
    answer = ring(
        "gate", "backtest", "--policy", tmp_path / "gates.yaml", "--series", tmp_path / "s", "-o", "ndjson"
    )
    assert answer.code in {0, 10, 11}, answer.err
    assert "missing" not in answer.err
    assert len(answer.lines) == 3 * 120 + 1


class Service:
    """Serves counters that move at each scrape: the canary's errors by `harm` a scrape."""

    def __init__(self, harm: int) -> None:
        self.scrapes = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.scrapes += 1
                body = "".join(service.lines(harm)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def lines(self, harm: int) -> Iterator[str]:
        for one in ("c1", "c2", *(f"k{n}" for n in range(6))):
            bad = self.scrapes * (harm if one[0] == "c" else 1)
            yield f'requests_total{{account="{one}",code="500"}} {bad}\n'
            yield f'requests_total{{account="{one}",code="200"}} {50 * self.scrapes}\n'


@pytest.fixture
def served(tmp_path):
    services = []

    def serve(harm):
        service = Service(harm)
        services.append(service)
        path = tmp_path / "live.yaml"
        path.write_text(POLICY.replace("PORT", str(service.server.server_address[1])))
        return path

    yield serve
    for one in services:
        one.server.shutdown()
        one.server.server_close()


CONTROL = ",".join(f"k{n}" for n in range(6))


@pytest.mark.parametrize(("harm", "code", "verdict"), [(20, 10, "fail"), (1, 0, "pass")])
def test_check_looks_until_it_knows(ring, served, tmp_path, harm, code, verdict) -> None:
    (tmp_path / "canary").write_text("c1\n\nc2\n")
    answer = ring(
        "gate", "check", "--policy", served(harm), "--canary", f"@{tmp_path / 'canary'}", "--control", CONTROL,
        "--timeout", "60s", "-o", "json",
    )  # fmt: skip
    assert (answer.code, answer.json["verdict"]) == (code, verdict)
    assert "errors inconclusive" in answer.err
    (gate,) = answer.json["gates"]
    assert gate["numbers"]["accounts"] == [2, 2]
    assert [one.split(":")[0] for one in gate["numbers"]["queries"]] == ["GET http"]


def test_check_without_data_is_inconclusive_and_names_who_is_unknown(ring, served, policy) -> None:
    answer = ring("gate", "check", "--policy", policy, "--canary", "c1", "--timeout", "1s")
    assert answer.code == 11
    assert "RC8001" in answer.err
    answer = ring(
        "gate", "check", "--policy", served(1), "--canary", "c1,zz", "--control", CONTROL, "--timeout", "1s"
    )
    assert answer.code == 11
    assert "know nothing of zz" in answer.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--canary", "@none"], "cannot read none"),
        (["--canary", ","], "names no account"),
        (["--canary", "a,b", "--control", "b"], "both name b"),
        (["--canary", "a", "--since", "yesterday"], "is no time"),
        (["--canary", "a", "--since", "2999-01-01T00:00:00Z"], "lies ahead"),
        (["--canary", "a", "--timeout", "soon"], "--timeout"),
        (["--canary", "a", "--gate", "slow"], "no gate is left"),
    ],
)
def test_check_says_what_is_wrong(ring, policy, given, said) -> None:
    answer = ring("gate", "check", "--policy", policy, *given)
    assert answer.code == 2
    assert said in answer.err
