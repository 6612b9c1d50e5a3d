"""A status with everything in it, as people see it."""

from typing import Any

from ringctl.cli import status
from ringctl.cli.machine import junit
from ringctl.cli.render import plain
from ringctl.cli.style import Painter, width

WAIT = "2026-11-24T09:00:00.000000Z"


def wave(kind: str, state: str, **more: Any) -> dict[str, Any]:
    bake = {"credited_seconds": 61.0, "min_seconds": 900.0, "max_seconds": 9000.0, "activity": 12,
            "activity_needed": 200, "baseline_seconds": 0.0, "baseline_needed_seconds": 10.0}  # fmt: skip
    base = {"id": 1, "kind": kind, "revision": "r1", "state": state, "accounts": 10, "waiting": 0, "running": 2,
            "done": 8, "failed": 0, "unknown": 0, "cancelled": 0, "bake": bake, "checks": []}  # fmt: skip
    return {**base, **more}


def check(verdict: str, name: str = "errors", error: str = "") -> dict[str, Any]:
    return {"check": name, "verdict": verdict, "reason": f"because \x1b {verdict}", "error": error}


HOLD = {
    "code": "gate-failed", "error": "RC2002", "reason": "answers: empty " * 20, "owner": "ringctl", "since": WAIT,
    "next": "ringctl amend R", "ends_itself": False,
}  # fmt: skip
PASSING = {**HOLD, "code": "idle", "error": "", "next": "", "ends_itself": True}
DOCUMENT: dict[str, Any] = {
    "id": "build-1",
    "release": "2026.47\x1b",
    "state": "held",
    "created_at": WAIT,
    "revision": {"name": "r2", "digest": "sha256:0123456789", "author": "ann"},
    "holds": [HOLD, PASSING],
    "exposure": {"r1": 10, "r2": 3},
    "counts": {"accounts": 60, "done": 8, "running": 2, "failed": 1, "unknown": 1},
    "next": {"what": "hold", "text": "x"},
    "rings": [
        {
            "name": "inner", "state": "failed", "waves": [
                wave("canary", "failed", failed=1, unknown=1, checks=[check("fail"), check("pass", "slow")]),
                wave("requalification", "baking", checks=[check("inconclusive", error="RC8001")]),
            ],
        },
        {"name": "outer", "state": "waiting", "waves": [
            wave("canary", "planned", bake={**wave("x", "x")["bake"], "baseline_seconds": 4.0}),
            wave("expansion", "open"), wave("expansion", "planned"),
            wave("expansion", "withdrawn", checks=[check("fail")]),
        ]},
    ],
    "accounts": [{"account": "a\x1b1", "ring": "inner", "revision": "r1", "state": "failed", "reason": "exit 3"}],
}  # fmt: skip


def text(document: dict[str, Any], columns: int = 100) -> str:
    return "\n".join(plain(status.status_blocks(document), Painter(on=False), columns))


def test_a_held_rollout_shows_who_must_do_what() -> None:
    shown = text(DOCUMENT)
    assert "\x1b" not in shown
    assert "✘ HELD     started 2026-11-24 09:00:00Z" in shown
    assert "touched by revision: r1 10, r2 3" in shown
    assert "hold gate-failed [RC2002] since 2026-11-24 09:00:00Z" in shown
    assert "more     ringctl explain RC2002" in shown
    assert "(ends by itself)" in shown
    assert "1 fail, 1 pass" in shown
    assert " ".join(shown.split()).count("answers: empty") == 40
    assert "baked 1 m 01 s o…" in shown
    assert "FAILED  UNKNOWN" in shown
    calm = {**DOCUMENT, "rings": [{"name": "inner", "state": "open", "waves": [wave("canary", "baking")]}]}
    assert "baked 1 m 01 s of 15 m 00 s, 12 of 200 samples" in text(calm)
    assert "UNKNOWN" not in text(calm)
    assert "RC8001: because \\x1b inconclusive" in shown
    assert "a\\x1b1" in shown
    assert max(map(width, shown.splitlines())) <= 100


def test_a_narrow_terminal_gets_narrow_lines() -> None:
    assert max(map(width, text(DOCUMENT, 80).splitlines())) <= 80


def test_a_running_rollout_shows_what_comes_next() -> None:
    running = {
        **DOCUMENT, "state": "running", "holds": [], "next": {"what": "bake", "text": "it bakes"}, "rings": [],
        "exposure": {"r1": 1}, "accounts": [],
    }  # fmt: skip
    shown = text(running)
    assert "  next: it bakes" in shown
    assert "by revision" not in shown
    assert "no account is failed" in shown
    assert "next" not in text({**running, "next": {"what": "nothing", "text": "x"}})


def test_why_shows_wave_gates_and_accounts() -> None:
    why = {
        **DOCUMENT, "wave": DOCUMENT["rings"][0]["waves"][0], "next": {"what": "x", "text": "t", "way": "w"},
    }  # fmt: skip
    shown = "\n".join(plain(status._why_blocks(why), Painter(on=False), 100))
    assert "canary wave of r1, failed: 8 of 10 done" in shown
    assert "gate errors: fail\n    why      because" in shown
    assert "exit 3" in shown
    calm = "\n".join(
        plain(
            status._why_blocks({**why, "holds": [], "wave": wave("a", "open"), "accounts": []}),
            Painter(on=False),
        )
    )
    assert "waits    t" in calm


def test_junit_has_a_case_for_gates_and_accounts() -> None:
    xml = junit(status.suites(DOCUMENT))
    assert '<testsuite name="inner" tests="5" failures="2" errors="1" skipped="1">' in xml
    assert 'name="canary r1 accounts"' in xml
    assert "fail: because \\x1b fail" in xml
