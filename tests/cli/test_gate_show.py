"""`gate show`: looks, and the evidence against its boundary."""

import sys

import pytest

from ringctl import bootstrap
from ringctl.cli.spark import BARS, PLAIN, bars_for, spark
from ringctl.core.facts import CheckState
from ringctl.core.states import Verdict
from ringctl.core.timing import MINUTE
from ringctl.engine import evidence_line
from ringctl.engine.evidence_line import Line, Point, strongest
from ringctl.ports.records import LookRecord

NOON = 1_700_000_000_000_000


def row(look, e, *, level=1000.0, verdict="inconclusive", wave=1, check="errors", phase="bake", **more):
    return {
        "wave": wave, "ring": "inner", "wave_kind": "canary", "revision": "r1", "look": look, "phase": phase,
        "at_us": NOON + look * MINUTE, "check": check, "verdict": verdict, "reason": "because", "error": "",
        "failed": False, "numbers": {"e": e, "level": level, **more},
    }  # fmt: skip


@pytest.fixture
def looked(begun, ring):
    """A rollout whose first wave was looked at 30 times; its evidence rose, and fell again."""
    with bootstrap.open_parts() as parts:
        rollout = parts.store.load(begun)
        wave = rollout.waves[0]
        for number in range(1, 31):
            e = 1.5 ** (number if number <= 15 else 30 - number)
            judges = {
                "split": {"verdict": "inconclusive", "e": e, "level": 1000.0, "ratio": 1.5, "canary": [3, 40]}
            }
            verdict = CheckState(
                check="slow", verdict=Verdict.FAIL if number == 30 else Verdict.INCONCLUSIVE, reason="it rose",
                at_us=NOON + number * MINUTE, failed=number == 30,
                numbers={"judge": "split", "e": e, "level": 1000.0, "e_pass": 4.0, "level_pass": 20.0,
                         "judges": judges, "worst": ["a2", "a\x1b1"], "missing": ["a9"], "missing_count": 3,
                         "learnt": "2 h watched", "queries": ["sum by (account) (x)"]},
            )  # fmt: skip
            parts.store.add_look(
                LookRecord(
                    wave=wave.id,
                    number=number,
                    at_us=NOON + number * MINUTE,
                    phase="bake",
                    credit_us=0,
                    activity=0,
                    answered=True,
                    verdicts=(verdict,),
                )
            )
    return begun


def test_the_evidence_in_json(looked, ring) -> None:
    found = ring("gate", "show", looked, "slow", "-o", "json").json
    (gate,) = found["gates"]
    assert (gate["check"], gate["verdict"], gate["looks"], gate["worst"]) == (
        "slow",
        "fail",
        30,
        ["a2", "a\x1b1"],
    )
    assert gate["evidence"][0] == {"at": "2023-11-14T22:14:20.000000Z", "e": 1.5, "level": 1000.0}
    assert [point["e"] for point in gate["evidence"]][14] == max(point["e"] for point in gate["evidence"])
    assert gate["sources"] == ["sum by (account) (x)"]
    assert 0 < gate["false_alarm"] < 0.01
    assert len(found["looks"]) == 30
    assert [one["look"] for one in ring("gate", "show", looked, "-o", "ndjson", "--limit", "2").lines] == [
        29,
        30,
    ]


def test_the_evidence_for_people(looked, ring, monkeypatch) -> None:
    text = ring("gate", "show", looked).out
    assert "slow on inner canary r1: fail (30 looks)" in text
    line = next(one for one in text.splitlines() if "evidence" in one)
    assert "1 of 1,000 (split)" in line
    bars = line.split()[1].rstrip("|")
    assert len(bars) == 30
    assert set(bars) <= set(BARS)
    assert bars.index(max(bars, key=BARS.index)) == 14
    assert "highest: 437.9 of 1,000 at 22:28:20" in text
    for said in ("4 of 20 to pass", "a2, a\\x1b1", "a9 and 2 more", "2 h watched", "sum by (account) (x)",
                 "1 % for the whole rollout"):  # fmt: skip
        assert said in text
    monkeypatch.setattr("ringctl.cli.gate_show.bars_for", lambda: PLAIN)
    assert "evidence _" in ring("gate", "show", looked).out
    assert "slow on inner" in ring("gate", "show", looked, "-o", "markdown").out


def test_one_look_with_all_its_numbers(looked, ring) -> None:
    text = ring("gate", "show", looked, "--look", "7").out
    assert "(look 7)" in text
    assert "canary [3 40]" in text
    assert "JUDGE" in text
    found = ring("gate", "show", looked, "--look", "7", "-o", "json").json
    assert [one["look"] for one in found["looks"]] == [7]
    answer = ring("gate", "show", looked, "--look", "31")
    assert (answer.code, "no wave has a look 31" in answer.err) == (5, True)
    assert ring("gate", "show", looked, "--look", "0").code == 2


def test_very_many_looks_keep_their_peak() -> None:
    rows = [row(number, 900.0 if number == 4321 else 2.0) for number in range(1, 10_001)]
    (line,) = evidence_line.tell(rows, last=5).lines
    assert line.looks == 10_000
    assert len(line.points) <= evidence_line.MOST_POINTS
    assert max(line.points, key=lambda one: one.nearness).at_us == NOON + 4321 * MINUTE
    assert [point.at_us for point in line.points] == sorted(point.at_us for point in line.points)


def test_waves_and_checks_are_told_apart() -> None:
    rows = [row(1, 2.0), row(1, 3.0, check="items"), row(1, 4.0, wave=2, phase="before")]
    told = evidence_line.tell(rows, last=2)
    assert [(line.newest["wave"], line.newest["check"]) for line in told.lines] == [
        (1, "errors"), (1, "items"), (2, "errors")
    ]  # fmt: skip
    assert [one["wave"] for one in told.looks] == [1, 2]
    assert len(evidence_line.tell(rows, last=9, check="items").lines) == 1


@pytest.mark.parametrize(
    ("e", "level", "nearness"),
    [(1.0, 100.0, 0), (10.0, 100.0, 0.5), (100.0, 100.0, 1), (0.0, 100.0, 0), (None, 100.0, -1), (5.0, None, -1),
     (5.0, 1.0, -1), (float("nan"), 100.0, -1)],
)  # fmt: skip
def test_how_near_evidence_is(e, level, nearness) -> None:
    assert Point(0, e, level).nearness == pytest.approx(nearness)


def test_a_line_of_bars() -> None:
    assert spark([0, 0.5, 0.999, 1, 2, -1], 10) == "▁▄▇██ "
    assert spark([0] * 99 + [1] + [0] * 100, 10).count("█") == 1
    assert len(spark([0.5] * 97, 10)) == 10
    assert spark([0, 1], 10, PLAIN) == "_#"
    assert strongest([Point(at, e, 10.0) for at, e in enumerate((1.0, 5.0, 2.0))], 2)[0].e == 5.0
    assert Line(newest={}).points == []


def test_bars_that_the_output_can_write(monkeypatch) -> None:
    class Stream:
        def __init__(self, encoding):
            self.encoding = encoding

    assert [bars_for(Stream(one)) for one in ("utf-8", "ascii", None, "what")] == [BARS, PLAIN, PLAIN, PLAIN]
    monkeypatch.setattr(sys, "stdout", Stream("latin-1"))
    assert bars_for() == PLAIN
