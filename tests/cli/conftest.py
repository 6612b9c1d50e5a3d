"""A small fleet on disk, and the command line called in this process."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ringctl.__main__ import main
from ringctl.cli import invocation

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: first, owner: me}
inventory: {source: csv, path: accounts.csv, id: account_id, size: size, traits: [region]}
gates: {slow: {source: steps, value: duration, compare: threshold, fail_if: {p95: 30s}, every: 1s}}
rings:
  - {name: inner, select: {ring: 0}, waves: [100%], bake: {min: 1s, max: 1m}, gates: [slow]}
  - {name: outer, select: {ring: {gte: 1}}, waves: [100%], bake: {min: 1s, max: 1m}, gates: [slow]}
"""
BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: up, version: "1", component: build, author: ann}
steps:
  - {id: one, noop: {}}
"""
ACCOUNTS = "account_id,ring,size,region\na1,0,10,eu\na2,0,20,eu\nb1,1,30,eu\nb2,1,40,eu\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Ring = Callable[..., Answer]


def write_fleet(directory: Path) -> Path:
    (directory / "policy.yaml").write_text(POLICY)
    (directory / "accounts.csv").write_text(ACCOUNTS)
    (directory / "b1").mkdir()
    (directory / "b1" / "bundle.yaml").write_text(BUNDLE)
    (directory / "b2").mkdir()
    (directory / "b2" / "bundle.yaml").write_text(BUNDLE.replace("id: one", "id: one, timeout: 5s"))
    return directory


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the developer's environment, and nothing left behind."""
    for name in ("RINGCTL_STATE", "RINGCTL_OUTPUT", "RINGCTL_ACTOR", "RINGCTL_NO_INPUT", "NO_COLOR", "FORCE_COLOR",
                 "CLICOLOR_FORCE", "CI"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    invocation.use(invocation.Invocation())


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """The directory that commands run in, with a policy, four accounts and two bundles."""
    return write_fleet(tmp_path)


@pytest.fixture
def ring(capsys: pytest.CaptureFixture[str]) -> Ring:
    """Call `ringctl WORDS`."""

    def call(*words: str) -> Answer:
        capsys.readouterr()
        code = main([str(one) for one in words])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture
def begun(fleet: Path, ring: Ring) -> str:
    """The id of a rollout that was started and that no node serves."""
    return str(ring("start", "--policy", "policy.yaml", "--bundle", "b1", "-o", "json").json["id"])
