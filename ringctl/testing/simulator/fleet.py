"""The files of one world: policy, accounts, bundles. Small, and drawn from the seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.settings import load_bundle
from ringctl.testing.simulator.chance import Chance
from ringctl.testing.simulator.oracle import Oracle

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {{name: p, owner: team}}
inventory: {{source: csv, path: accounts.csv, id: account_id, size: size, traits: [region], target: [database]}}
metrics:
  app: {{type: scrape, url: "http://127.0.0.1:9/metrics"}}
gates:
  errors:
    source: app
    bad: {{counter: bad}}
    all: {{counter: all}}
    compare: canary-vs-control
    fail_if: {{increase: 100%}}
    min_samples: 20
    baseline: 8s
defaults: {{every: 4s, gates: [errors]}}
rings:
{rings}
requalify: {{accounts: 2, share: 50%, bake: {{min: 12s, max: 120s}}, reserve: 20%}}
"""
RING = """\
  - name: {name}
    select: {{ring: {number}}}
    canary: {{accounts: {canary}}}
    waves: [100%]
    bake: {{min: 12s, max: 120s}}
    max_parallel: {parallel}
    max_failures: {failures}
"""
BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {{name: up, version: "{version}", component: build, author: ann}}
steps:
"""
STEP = "  - {{id: {name}, command: [./{name}.sh, '{{account.id}}'], timeout: {timeout}s{more}}}\n"
PROBE = ", probe: {command: [./probe.sh, '{account.id}']}"
RINGS = ("inner", "outer", "rest")


@dataclass(slots=True)
class Files:
    """The directory of one world. `harmful`: digests of steps that do harm where they took effect."""

    directory: Path
    random: Chance
    oracle: Oracle
    steps: tuple[str, ...] = ("a", "b")
    probed: tuple[str, ...] = ("a", "b")
    close: bool = False
    idempotent: bool = False
    timeout_s: int = 40
    version: int = 0
    harmful: set[str] = field(default_factory=set)
    contents: dict[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def drawn(cls, directory: Path, random: Chance, oracle: Oracle) -> Files:
        """Steps as the seed has it: two or three, most with a probe, some with a closing step."""
        steps = ("a", "b", "c")[: random.choice([2, 2, 3])]
        return cls(
            directory=directory,
            random=random,
            oracle=oracle,
            steps=steps,
            probed=tuple(step for step in steps if random.random() < 0.8),
            close=random.random() < 0.4,
            idempotent=random.random() < 0.2,
            timeout_s=random.choice([40, 90]),
        )

    def fleet(self) -> list[str]:
        """Write policy and accounts; the accounts' names."""
        random = self.random
        count = random.choice([2, 2, 3])
        rings, rows, names = "", ["account_id,ring,size,region,database"], []
        for number, name in enumerate(RINGS[:count]):
            rings += RING.format(
                name=name,
                number=number,
                canary=random.choice([1, 2]),
                parallel=random.choice([1, 2, 4]),
                failures=random.choice([0, 1, 2]),
            )
            for index in range(random.choice([4, 5, 6, 9])):
                account = f"{name[0]}{index + 1}"
                region = random.choice(["eu", "eu", "us"])
                names.append(account)
                rows.append(f"{account},{number},{10 + index},{region},{account}.db")
        self.policy.write_text(POLICY.format(rings=rings.rstrip("\n")))
        (self.directory / "accounts.csv").write_text("\n".join(rows) + "\n")
        return names

    @property
    def policy(self) -> Path:
        """The policy's path."""
        return self.directory / "policy.yaml"

    def bundle(self, *, harmful: bool = False, half: bool = False) -> Path:
        """Write the next version, which changes step b; `half`: it says how half-done accounts go on."""
        self.version += 1
        folder = self.directory / f"v{self.version}"
        folder.mkdir()
        manifest = BUNDLE.format(version=self.version)
        for name in self.steps:
            more = PROBE if name in self.probed else ""
            more += ", idempotent: true" if self.idempotent and name == "a" else ""
            manifest += STEP.format(name=name, timeout=self.timeout_s, more=more)
        manifest += (
            "close_window: {sql: close.sql, database: '{account.target.database}'}\n" if self.close else ""
        )
        if half:
            manifest += "from_step: {" + ", ".join(f"{name}: b" for name in self.steps) + "}\n"
        texts = {f"{name}.sh": f"exec true {name}\n" for name in self.steps}
        texts |= {"b.sh": f"exec true b {self.version}\n", "probe.sh": "exit 0\n", "close.sql": "select 1;\n"}
        self.contents[folder.name] = {"bundle.yaml": manifest, **texts}
        self.restore(folder.name)
        bundle = load_bundle(folder).bundle
        for spec in (*bundle.steps, *([bundle.close_window] if bundle.close_window else [])):
            self.oracle.pin(spec.digest, {path: texts[path].encode() for path in spec.files})
        if harmful:
            self.harmful.add(bundle.step("b").digest)
        return folder

    def edit(self, name: str) -> None:
        """Somebody edits a script in place (promise I3)."""
        (self.directory / name / "b.sh").write_text("exec false\n")

    def restore(self, name: str) -> None:
        """Put a version's bytes back."""
        for path, text in self.contents[name].items():
            (self.directory / name / path).write_text(text)
