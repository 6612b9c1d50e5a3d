"""The trial's accounts, policy and bundle, and the book in which each account's runs write what they do.

A book is a file per account, written by the step itself: a line `start TOKEN` and a line `done TOKEN`, in the order
in which things happened. ringctl writes nothing there, so that its word and the book's can be compared.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BODY: Final = """\
#!/bin/sh
echo "start $RINGCTL_TASK_TOKEN" >> "$1"
sleep "$2"
echo "done $RINGCTL_TASK_TOKEN" >> "$1"
"""
DONE: Final = """\
#!/bin/sh
test -f "$1" || exit 1
grep -q '^done ' "$1"
"""
POLICY: Final = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {{name: {name}, owner: doctor}}
inventory: {{source: csv, path: accounts.csv, id: account_id, size: size, target: [book]}}
gates: {{slow: {{source: steps, value: duration, compare: threshold, fail_if: {{p95: 10m}}, every: 1s}}}}
rings:
  - name: all
    select: {{ring: 0}}
    canary: {{accounts: 1}}
    waves: [100%]
    max_parallel: {parallel}
    max_failures: 100%
    bake: {{min: 100ms, max: 5m}}
    gates: [slow]
limits: {{size_factor: 100}}
requalify: {{accounts: 5, share: 50%, bake: {{min: 100ms, max: 5m}}, reserve: 0%}}
lease: {lease_s}s
"""
BUNDLE: Final = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {{name: {name}, version: "1", component: {name}, author: doctor}}
steps:
  - id: body
    command: [./body.sh, "{{account.target.book}}", "{body_s:.2f}"]
    files: [done.sh]
    timeout: 30s
    probe: {{command: [./done.sh, "{{account.target.book}}"]}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What one account's book says: (word, token) in order."""

    account: str
    lines: tuple[tuple[str, int], ...]

    @property
    def tokens(self) -> frozenset[int]:
        """Fences under which something was begun."""
        return frozenset(token for word, token in self.lines if word == "start")

    @property
    def done(self) -> int:
        """How often the step came to its end."""
        return sum(word == "done" for word, _ in self.lines)

    @property
    def doubled(self) -> bool:
        """Whether it ran twice: came to its end twice, or was begun anew while another run still went on."""
        if self.done > 1:
            return True
        first = next((token for word, token in self.lines if word == "done"), None)
        begun = False
        for word, token in self.lines:
            if word == "done":
                return False
            if begun and token != first:
                return True
            begun = begun or token == first
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The trial's files in a directory of its own."""

    directory: Path
    name: str
    accounts: tuple[str, ...]

    @property
    def policy(self) -> Path:
        """The policy's file."""
        return self.directory / "policy.yaml"

    @property
    def bundle(self) -> Path:
        """The bundle's directory."""
        return self.directory / "bundle"

    def path(self, account: str) -> Path:
        """The account's book."""
        return self.directory / "books" / account

    def book(self, account: str) -> Book:
        """Read an account's book; a line that a kill cut off is none."""
        try:
            text = self.path(account).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            text = ""
        lines = []
        for line in text.splitlines():
            word, _, token = line.partition(" ")
            if word in {"start", "done"} and token.isdigit():
                lines.append((word, int(token)))
        return Book(account=account, lines=tuple(lines))

    def books(self) -> tuple[Book, ...]:
        """All books."""
        return tuple(map(self.book, self.accounts))


def write_material(
    directory: Path, *, name: str, tasks: int, parallel: int, lease_s: int, body_s: float
) -> Material:
    """Write everything that `start` reads. The step runs for `body_s` seconds."""
    accounts = tuple(f"{name}-{number:05d}" for number in range(1, tasks + 1))
    material = Material(directory=directory, name=name, accounts=accounts)
    material.bundle.mkdir()
    (directory / "books").mkdir()
    with (directory / "accounts.csv").open("w", newline="", encoding="utf-8") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(("account_id", "ring", "size", "book"))
        writer.writerows((account, 0, 1, material.path(account)) for account in accounts)
    material.policy.write_text(POLICY.format(name=name, parallel=parallel, lease_s=lease_s), encoding="utf-8")
    texts = {"bundle.yaml": BUNDLE.format(name=name, body_s=body_s), "body.sh": BODY, "done.sh": DONE}
    for file, text in texts.items():
        (material.bundle / file).write_text(text, encoding="utf-8")
        (material.bundle / file).chmod(0o755)
    return material
