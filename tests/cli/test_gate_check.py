"""`gate check`: a look a line, an interruption, and what is learnt from before."""

import json

import pytest

from ringctl import bootstrap
from ringctl.core.timing import SECOND, rfc3339
from tests.cli.test_gate_memory import POLICY
from tests.engine.remembering import CANARY, CONTROL, Live, Remembering, steady

QUICK = POLICY.replace("history: 2d", "every: 200ms\n    baseline: 1s")


@pytest.fixture
def check(tmp_path, monkeypatch, ring):
    (tmp_path / "gates.yaml").write_text(QUICK)

    def call(source, *more):
        monkeypatch.setattr(bootstrap, "metric_source", lambda _folder, _made, _spec: source)
        return ring(
            "gate", "check", "--policy", "gates.yaml", "--canary", ",".join(CANARY), "--control", ",".join(CONTROL),
            *more,
        )  # fmt: skip

    return call


def source(kind=Live, harm=1.0, since=0.0, began=None):
    """A thousand times as much traffic as one a minute; its harm begins at a minute of that."""
    clock = bootstrap.SystemClock()
    value = steady(harm, since=since)
    began = clock.now_us() if began is None else began
    return kind(lambda counter, account, t: value(counter, account, t * 1000), now=clock.now_us, zero=began)


@pytest.mark.parametrize(("harm", "code", "verdict"), [(1.0, 0, "pass"), (6.0, 10, "fail")])
def test_a_line_a_look_and_the_answer(check, harm, code, verdict) -> None:
    answer = check(source(harm=harm), "--timeout", "60s", "-o", "ndjson")
    *looks, last = answer.lines
    assert (answer.code, last["verdict"], looks[-1]["verdict"]) == (code, verdict, verdict)
    assert set(looks[0]) >= {"at", "check", "verdict", "judge", "e", "level", "missing", "error", "reason"}
    assert answer.err.count("errors inconclusive") == len(looks) - 1


def test_a_name_that_is_mistyped_is_no_pass(check) -> None:
    live = source()
    value = live.value
    live.value = lambda counter, account, t: None if account == "zz9" else value(counter, account, t)
    answer = check(live, "--canary", ",".join((*CANARY, "zz9")), "--timeout", "5s", "-o", "json")
    assert (answer.code, answer.json["unknown_accounts"]) == (11, ["zz9"])
    (gate,) = answer.json["gates"]
    assert gate["reason"].endswith("zz9 never had data that can be used")
    assert gate["numbers"]["accounts"] == [3, 4]


def test_an_interruption_loses_nothing(check, monkeypatch) -> None:
    whole = bootstrap.SystemClock.sleep
    slept = []

    def sleep(self, seconds):
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        whole(self, seconds)

    monkeypatch.setattr(bootstrap.SystemClock, "sleep", sleep)
    answer = check(source(), "--timeout", "60s", "-o", "json")
    assert answer.code == 130
    assert json.loads(answer.out)["verdict"] in {"inconclusive", "pass"}
    assert "interrupted" in answer.err


def test_the_past_decides_at_once(check) -> None:
    now = bootstrap.SystemClock().now_us()
    one = source(Remembering, harm=6.0, since=1000 * 40 / 60, began=now - 60 * SECOND)
    answer = check(one, "--since", rfc3339(now - 20 * SECOND), "--timeout", "1s", "-o", "ndjson")
    assert (answer.code, len(answer.lines)) == (10, 2)
    assert "nothing is learnt from before: the source has no history" in answer.err


def test_an_interval_and_a_gate_that_are_wrong(check) -> None:
    assert check(source(), "--every", "0s").code == 2
    answer = check(source(), "--gate", "erors")
    assert (answer.code, "did you mean `errors`" in answer.err) == (5, True)
