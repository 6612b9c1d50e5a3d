"""`gate backtest --from`: a source's past is judged, kept, and judged again."""

import pytest

from ringctl import bootstrap
from ringctl.core.timing import rfc3339
from tests.engine.remembering import CANARY, CONTROL, ZERO, Live, Remembering, steady

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: gates}
inventory: {source: csv, path: accounts.csv, size: size}
metrics: {svc: {type: prometheus, url: "http://127.0.0.1:9"}}
gates:
  errors:
    source: svc
    bad: {counter: requests_total, match: {code: "5.."}}
    all: {counter: requests_total}
    fail_if: {increase: 100%}
    min_samples: 50
    history: 2d
rings: [{name: all, select: {ring: 0}, bake: {min: 1s, max: 1m}}]
"""


def at(minutes):
    return rfc3339(ZERO + minutes * 60_000_000)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    (tmp_path / "gates.yaml").write_text(POLICY)

    def words(source, *more):
        monkeypatch.setattr(bootstrap, "metric_source", lambda _folder, _made, _spec: source)
        return (
            "gate", "backtest", "--policy", "gates.yaml", "--from", at(0), "--to", at(120), "--since", at(30),
            "--canary", ",".join(CANARY), "--control", ",".join(CONTROL), "-o", "ndjson", *more,
        )  # fmt: skip

    return words


def test_the_past_is_judged_and_kept(asked, ring, tmp_path) -> None:
    source = Remembering(steady(6, since=30), least=-20_000)
    answer = ring(*asked(source, "--record", "kept"))
    assert answer.code == 10
    assert answer.lines[-1]["final"] == "fail"
    assert answer.lines[-1]["at"] > 30
    assert "recorded 1,323 lines" in answer.err  # 120 minutes of 11 accounts, and 3 starts
    assert "--baseline kept.baseline.ndjson" in answer.err
    again = ring(
        "gate", "backtest", "--policy", "gates.yaml", "--series", "kept", "--baseline", "kept.baseline.ndjson",
        "-o", "ndjson",
    )  # fmt: skip
    assert (again.code, again.out) == (answer.code, answer.out)
    healthy = ring(*asked(Remembering(steady(), least=-20_000)))
    assert (healthy.code, healthy.lines[-1]["final"]) == (0, "pass")


def test_a_past_of_less_than_an_hour_is_kept_and_judged_again(asked, ring, tmp_path) -> None:
    (tmp_path / "kept.baseline.ndjson").write_text("of another day\n")
    answer = ring(*asked(Remembering(steady(6, since=30), least=-20), "--record", "kept"))
    assert answer.code == 10
    assert "--series kept --baseline kept.baseline.ndjson --policy FILE" in answer.err
    assert not (tmp_path / "kept.baseline.ndjson").read_text()
    words = ("gate", "backtest", "--policy", "gates.yaml", "--series", "kept", "-o", "ndjson")
    again = ring(*words, "--baseline", "kept.baseline.ndjson")
    assert (again.code, again.out) == (answer.code, answer.out)
    (tmp_path / "kept.baseline.ndjson").unlink()
    given = ring(*asked(Remembering(steady(6, since=30)), "--record", "kept", "--baseline", "kept"))
    assert not (tmp_path / "kept.baseline.ndjson").exists()
    assert "and the same --baseline" in given.err


def test_a_source_that_does_not_remember(asked, ring) -> None:
    answer = ring(*asked(Live(steady())))
    assert (answer.code, "knows no past" in answer.err) == (2, True)
    broken = Remembering(steady())
    broken.broken = "too slow"
    answer = ring(*asked(broken))
    assert (answer.code, "RC8004" in answer.err) == (69, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --series FILE, or --from"),
        (("--series", "x", "--canary", "a"), "give --series FILE, or --from"),
        (("--from", at(0)), "--canary"),
        (("--canary", "a"), "--from TIME"),
        (("--from", "soon", "--canary", "a"), "--from soon is no time"),
        (("--from", "2023-11-14T22:13:20", "--canary", "a"), "is no time"),
        (("--from", "2999-01-01T00:00:00Z", "--canary", "a"), "lies ahead"),
        (("--from", at(9), "--to", at(3), "--canary", "a"), "out of order"),
        (("--from", at(0), "--to", at(3), "--since", at(4), "--canary", "a"), "out of order"),
        (("--from", at(0), "--canary", "a,b", "--control", "b"), "both name b"),
        (("--series", "x", "--every", "0s"), "more than nothing"),
    ],
)
def test_what_is_wrong_is_said(asked, ring, words, said) -> None:
    asked(None)
    answer = ring("gate", "backtest", "--policy", "gates.yaml", *words)
    assert answer.code == 2
    assert said in answer.err


def test_the_level_of_a_ring_and_an_interval(asked, ring) -> None:
    asked(None)
    line = '{{"t": {}, "account": "{}", "cohort": "{}", "check": "errors", "n": 20, "y": 1}}\n'
    with open("s", "w", encoding="utf-8") as file:
        for t in range(1, 61):
            file.writelines(
                line.format(t, one, "canary" if one in CANARY else "control") for one in CANARY + CONTROL
            )
    words = ("gate", "backtest", "--policy", "gates.yaml", "--series", "s", "-o", "ndjson")
    whole, part = ring(*words).lines[0], ring(*words, "--ring", "all").lines[0]
    assert part["level"] > 2 * whole["level"]
    assert [one["t"] for one in ring(*words, "--every", "15m").lines[:-1]] == [15, 30, 45, 60]
    assert ring(*words, "--ring", "al").code == 5
