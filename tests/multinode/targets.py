"""Accounts for the torture: each step leaves in its target what a second run of it would double.

`mark` and `tail` are SQL in the account's own SQLite file, under the ledger. `note` and `bare` are programs that
write their start and stop into the account's book; what became of `note` can be asked (probe), of `bare` not:
killed in it, an account is unknown until a person looks. It comes last, so that `--as done` is true of the account;
`note` comes first, because it takes long: two claims of one account meet in it.
"""

import csv
import random
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.multinode.oracle import START, Line, book_lines, open_bodies

STEPS = ("note", "bare")
# No overshoot: nodes are frozen here for longer than any step should take, and it would hold for a person.
POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {{name: torture, owner: tests}}
inventory: {{source: csv, path: accounts.csv, id: account_id, size: size, target: [database, book, work]}}
defaults: {{builtin: []}}
gates: {{slow: {{source: steps, value: duration, compare: threshold, fail_if: {{p95: 10m}}, every: 1s}}}}
rings:
  - name: all
    select: {{ring: 0}}
    canary: {{accounts: 3}}
    waves: [100%]
    max_parallel: {parallel}
    max_failures: 100%
    bake: {{min: 100ms, max: 5m}}
    gates: [slow]
limits: {{size_factor: 100}}
requalify: {{accounts: 5, share: 50%, bake: {{min: 100ms, max: 5m}}, reserve: 0%}}
lease: {lease}
"""
BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {{name: {name}, version: "1", component: {name}, author: ann}}
steps:
  - id: note
    command: [./body.sh, "{{account.target.book}}", note, "{{account.target.work}}"]
    files: [asked.sh]
    timeout: 30s
    probe: {{command: [./asked.sh, "{{account.target.book}}", note]}}
  - {{id: mark, sql: mark.sql, database: "{{account.target.database}}", timeout: 20s}}
  - {{id: tail, sql: tail.sql, database: "{{account.target.database}}", timeout: 20s}}
  - {{id: bare, command: [./body.sh, "{{account.target.book}}", bare, "0"], timeout: 30s}}
"""
BODY = """\
#!/bin/sh
# Appends to the account's own book: start and stop, by which claim and process and when. Having begun, it looks
# whether another body of the account that began and did not stop is still alive.
book="$1" step="$2" work="$3"
read -r stat < /proc/$$/stat
set -- $stat
born="${22}"
write() {
  read -r up rest < /proc/uptime
  echo "$1 $RINGCTL_TASK_TOKEN $RINGCTL_ROLLOUT $step $$ $born $up" >> "$book"
}
write start
echo "body $RINGCTL_TASK_TOKEN $step starts"
stopped=" "
while read -r kind token rollout of pid since at; do
  [ "$kind" = stop ] && stopped="$stopped$pid.$since "
done < "$book"
while read -r kind token rollout of pid since at; do
  [ "$kind" = start ] || continue
  [ "$pid.$since" = "$$.$born" ] && continue
  case "$stopped" in *" $pid.$since "*) continue ;; esac
  stat=""
  read -r stat 2> /dev/null < "/proc/$pid/stat" || continue
  set -- $stat
  [ "${22}" = "$since" ] && [ "$3" != Z ] && write overlap
done < "$book"
[ "$work" = 0 ] || sleep "$work"
echo "body $RINGCTL_TASK_TOKEN $step stops"
write stop
"""
ASKED = """\
#!/bin/sh
grep -q "^stop [0-9]* $RINGCTL_ROLLOUT $2 " "$1" && exit 0
exit 1
"""


@dataclass(frozen=True, slots=True)
class Targets:
    """The accounts and their files, below a directory."""

    directory: Path
    accounts: tuple[str, ...]

    @classmethod
    def make(
        cls, directory: Path, count: int, *, dice: random.Random, long: float, parallel: int, lease: str
    ) -> "Targets":
        """Write the databases, accounts.csv and policy.yaml. The share `long` of the accounts works for seconds."""
        made = cls(directory, tuple(f"a{n:04d}" for n in range(1, count + 1)))
        (directory / "targets").mkdir(parents=True)
        (directory / "policy.yaml").write_text(POLICY.format(parallel=parallel, lease=lease))
        with (directory / "accounts.csv").open("w", newline="") as sink:
            writer = csv.writer(sink, lineterminator="\n")
            writer.writerow(("account_id", "ring", "size", "database", "book", "work"))
            for account in made.accounts:
                work = dice.uniform(1.0, 4.0) if dice.random() < long else dice.uniform(0.1, 1.0)
                row = (account, 0, 10, made.database(account), made.book(account))
                writer.writerow((*row, f"{work:.2f}"))
                raw = sqlite3.connect(made.database(account))
                raw.executescript("pragma journal_mode = wal; create table effect (bundle text, step text);")
                raw.close()
        return made

    def bundle(self, name: str) -> str:
        """Write a bundle of that name and component; returns the name."""
        folder = self.directory / name
        folder.mkdir()
        (folder / "bundle.yaml").write_text(BUNDLE.format(name=name))
        for step in ("mark", "tail"):
            (folder / f"{step}.sql").write_text(f"INSERT INTO effect VALUES ('{name}', '{step}')")
        for file, text in (("body.sh", BODY), ("asked.sh", ASKED)):
            (folder / file).write_text(text)
            (folder / file).chmod(0o755)
        return name

    def database(self, account: str) -> Path:
        return self.directory / "targets" / f"{account}.db"

    def book(self, account: str) -> Path:
        return self.directory / "targets" / f"{account}.book"

    def lines(self, account: str) -> list[Line]:
        """The account's book."""
        book = self.book(account)
        return book_lines(book.read_text()) if book.exists() else []

    def at_work(self, bodies: Collection[str]) -> dict[str, int]:
        """account -> the token under which one of these bodies is at work there."""
        found = {}
        for account in self.accounts:
            book = self.lines(account)
            still = set(open_bodies(book)) & set(bodies)
            tokens = [line.token for line in book if line.kind == START and line.body in still]
            if tokens:
                found[account] = tokens[-1]
        return found

    def is_taken_over(self, held: Mapping[str, int]) -> bool:
        """Whether a body under a newer token is at work on one of these accounts."""
        for account, token in held.items():
            book = self.lines(account)
            alive = set(open_bodies(book))
            if any(line.kind == START and line.body in alive and line.token > token for line in book):
                return True
        return False

    def effects(self, account: str) -> dict[tuple[str, str], int]:
        """(bundle, step) -> how often its SQL took effect."""
        raw = sqlite3.connect(self.database(account), timeout=20)
        try:
            return {
                (bundle, step): count
                for bundle, step, count in raw.execute(
                    "select bundle, step, count(*) from effect group by 1, 2"
                )
            }
        finally:
            raw.close()

    def twice_by_ledger(self, account: str) -> list[str]:
        """Steps that the target's own records of runs say were done twice."""
        raw = sqlite3.connect(self.database(account), timeout=20)
        try:
            if not raw.execute("select 1 from sqlite_master where name = 'ringctl_runs'").fetchone():
                return []
            asked = (
                "select component, step from ringctl_runs where outcome = 'done'"
                " group by component, step, digest having count(*) > 1"
            )
            return [f"{step} of {component} was done twice" for component, step in raw.execute(asked)]
        finally:
            raw.close()
