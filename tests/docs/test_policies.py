"""Every shipped policy loads, has only the warnings that are meant, and plans a fleet."""

import json
from pathlib import Path

import pytest

from ringctl.__main__ import main
from ringctl.core.states import WaveKind
from ringctl.settings import policy_from_text
from tests.docs.fleets import write_bundle, write_fleet
from tests.tidy.tree import ROOT

POLICIES = sorted((ROOT / "policies").glob("*.yaml"))
EMPTINESS = "no gate would notice answers that have become empty"
WARNINGS = {"smallest": [EMPTINESS], "saas-three-rings": []}


def test_every_policy_is_known_here() -> None:
    assert {path.stem for path in POLICIES} == WARNINGS.keys()


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_has_only_the_warnings_that_are_meant(path: Path) -> None:
    policy, findings = policy_from_text(path.read_bytes(), path.name)
    assert [finding.message for finding in findings] == WARNINGS[path.stem]
    assert policy.rings


@pytest.mark.parametrize("count", [60, 1200])
@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_lints_and_plans_a_fleet(
    path: Path,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RINGCTL_STATE", "RINGCTL_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    write_fleet(tmp_path, count)
    bundle = write_bundle(tmp_path)
    assert main(["policy", "lint", str(copy)]) == 0
    capsys.readouterr()
    # nine accounts in ring 0 cannot hold every edition in a size that goes in company: one goes ahead, alone
    fix = ["--fix"] if count < 100 else []
    assert main(["plan", "--policy", str(copy), "--bundle", str(bundle), "-o", "json", *fix]) == 0
    plan = json.loads(capsys.readouterr().out)
    waves = [wave for ring in plan["rings"] for wave in ring["waves"]]
    assert [ring["waves"][0]["kind"] for ring in plan["rings"]] == ["canary"] * len(plan["rings"])
    assert waves[-1] == {**waves[-1], "kind": str(WaveKind.LONE), "accounts": 1}, "the giant goes last, alone"
