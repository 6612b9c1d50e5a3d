"""A fleet of real SQLite accounts, a bundle whose double runs show, and a policy that needs no metrics server.

Every step leaves what a second run of it would double: a row (`mark`), a number per build (`tally`), a line
in a file of the account's own (`note`). Nothing of this asks ringctl.
"""

import csv
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ringctl.executors import ledger
from ringctl.executors.targets import open_database

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {{name: proofs, owner: tests}}
inventory: {{source: csv, path: accounts.csv, id: account_id, size: size, target: [database, notes]}}
gates: {{slow: {{source: steps, value: duration, compare: threshold, fail_if: {{p95: 10m}}, every: 1s}}}}
rings:
  - name: inner
    select: {{ring: 0}}
    canary: {{accounts: {canary}}}
    waves: [100%]
    max_parallel: {parallel}
    max_failures: {failures}
    bake: {{min: 100ms, max: 5m}}
    gates: [slow]
  - name: outer
    select: {{ring: {{gte: 1}}}}
    canary: {{accounts: {canary}}}
    waves: [100%]
    max_parallel: {parallel}
    max_failures: {failures}
    bake: {{min: 100ms, max: 5m}}
    gates: [slow]
limits: {{size_factor: 100}}
requalify: {{accounts: 5, share: 50%, bake: {{min: 100ms, max: 5m}}, reserve: {reserve}}}
lease: {lease}
"""
STEPS = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {{name: proof, version: "1", component: proof, author: ann}}
steps:
  - {{id: mark, sql: mark.sql, database: "{{account.target.database}}", timeout: 20s}}
  - id: tally
    batched_sql: tally.sql
    database: "{{account.target.database}}"
    table: build
    key: build_id
    batch: {{target: 50ms, max_rows: {rows}, pause: {pause}}}
    timeout: 2m
  - id: note
    command: [./note.sh, "{{account.target.notes}}", "{work}"]
    files: [noted.sh]
    timeout: 20s
    probe: {{command: [./noted.sh, "{{account.target.notes}}"]}}
"""
MARK = "INSERT INTO mark (step) VALUES ('{word}')"
TALLY = "UPDATE build SET tally = tally + 1 WHERE build_id BETWEEN :lo AND :hi"
NOTE = """\
#!/bin/sh
echo "start $RINGCTL_TASK_TOKEN $RINGCTL_REVISION" >> "$1"
sleep "$2"
echo "done $RINGCTL_TASK_TOKEN $RINGCTL_REVISION" >> "$1"
"""
NOTED = """\
#!/bin/sh
test -f "$1" || exit 1
grep -q '^done ' "$1"
"""
FILES = {"tally.sql": TALLY, "note.sh": NOTE, "noted.sh": NOTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is in one account, read from the account itself."""

    account: str
    marks: tuple[str, ...]
    tallies: tuple[int, ...]
    starts: int
    dones: int
    ledger: dict[str, str]
    doubles: tuple[tuple[str, ...], ...]

    @property
    def untouched(self) -> bool:
        """Whether no step took effect."""
        return not self.marks and self.tallies == (0,) and not self.dones

    @property
    def once(self) -> bool:
        """Whether every step took effect exactly once."""
        return self.once_but_for(())

    def once_but_for(self, refused: Iterable[str]) -> bool:
        """The same, where the late runs of `refused` claims do not count as double ones."""
        whole = {"mark": "done", "tally": "done"}
        effects = (len(self.marks), self.tallies, self.dones)
        doubles = [pair for pair in self.doubles if pair[3] not in refused]
        return effects == (1, (1,), 1) and self.ledger == whole and not doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Accounts below a directory, in which the command line is called."""

    directory: Path
    accounts: tuple[str, ...]

    def database(self, account: str) -> Path:
        return self.directory / "targets" / f"{account}.db"

    def notes(self, account: str) -> Path:
        return self.directory / "targets" / f"{account}.notes"

    def found(self, account: str) -> Found:
        """Read one account."""
        raw = sqlite3.connect(self.database(account), timeout=10)
        try:
            marks = tuple(word for (word,) in raw.execute("SELECT step FROM mark ORDER BY 1"))
            tallies = tuple(n for (n,) in raw.execute("SELECT DISTINCT tally FROM build ORDER BY 1"))
            tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
            asked = "SELECT step, state FROM ringctl_ledger"
            rows = dict(raw.execute(asked)) if "ringctl_ledger" in tables else {}
        finally:
            raw.close()
        notes = self.notes(account)
        words = [line.split()[0] for line in notes.read_text().splitlines()] if notes.exists() else []
        database = open_database(str(self.database(account)))
        try:
            doubles = ledger.double_runs(database)
        finally:
            database.close()
        return Found(
            account=account,
            marks=marks,
            tallies=tallies,
            starts=words.count("start"),
            dones=words.count("done"),
            ledger={step: state for step, state in rows.items() if not step.startswith("close_window")},
            doubles=doubles,
        )

    def everything(self) -> list[Found]:
        """Read every account."""
        return [self.found(account) for account in self.accounts]

    def not_once(self, *, refused: Iterable[str] = ()) -> list[Found]:
        """Accounts on which not every step took effect exactly once."""
        late = frozenset(refused)
        return [found for found in self.everything() if not found.once_but_for(late)]


def make_fleet(directory: Path, *, inner: int, outer: int, builds: int = 40) -> Fleet:
    """Write targets and accounts.csv."""
    (directory / "targets").mkdir(parents=True)
    rings = {f"a{n:03d}": 0 for n in range(1, inner + 1)}
    rings |= {f"b{n:03d}": 1 for n in range(1, outer + 1)}
    fleet = Fleet(directory=directory, accounts=tuple(rings))
    with (directory / "accounts.csv").open("w", newline="") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(("account_id", "ring", "size", "database", "notes"))
        for account, ring in rings.items():
            writer.writerow((account, ring, builds, fleet.database(account), fleet.notes(account)))
    for account in rings:
        raw = sqlite3.connect(fleet.database(account))
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("CREATE TABLE mark (step TEXT NOT NULL)")
        raw.execute("CREATE TABLE build (build_id INTEGER PRIMARY KEY, tally INTEGER NOT NULL DEFAULT 0)")
        raw.executemany("INSERT INTO build (build_id) VALUES (?)", [(n,) for n in range(1, builds + 1)])
        raw.commit()
        raw.close()
    return fleet


def write_policy(
    fleet: Fleet,
    *,
    canary: int = 1,
    parallel: int = 8,
    failures: str = "0",
    reserve: str = "0%",
    lease: str = "2s",
) -> None:
    """Write policy.yaml."""
    text = POLICY.format(canary=canary, parallel=parallel, failures=failures, reserve=reserve, lease=lease)
    (fleet.directory / "policy.yaml").write_text(text)


def write_bundle(
    fleet: Fleet,
    name: str,
    *,
    word: str = "mark",
    rows: int = 10,
    pause: str = "5ms",
    work: str = "0",
    more: str = "",
    files: dict[str, str] | None = None,
) -> Path:
    """Write a bundle; `more` follows its steps, `files` stand over the usual ones."""
    folder = fleet.directory / name
    folder.mkdir(exist_ok=True)
    (folder / "bundle.yaml").write_text(STEPS.format(rows=rows, pause=pause, work=work) + more)
    for file, text in {"mark.sql": MARK.format(word=word), **FILES, **(files or {})}.items():
        (folder / file).write_text(text)
        if file.endswith(".sh"):
            (folder / file).chmod(0o755)
    return folder
