"""Accounts whose only step is a program that will not go: it ignores TERM and has a child in a session of its own.
Both sign their account's book of life ten times a second. The first account of all is quick: it is the canary."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.fleet import Fleet, make_fleet, write_policy

BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: stay, version: "1", component: stay, author: ann}
steps:
  - id: stay
    command: [./stay.sh, "{account.target.notes}", "%s"]
    files: [stayed.sh]
    timeout: 60s
    probe: {command: [./stayed.sh, "{account.target.notes}"]}
"""
STAY = """\
#!/bin/sh
trap '' TERM
echo "start $RINGCTL_TASK_TOKEN $(date +%s.%N)" >> "$1"
over="$(dirname "$1")/over"
setsid sh -c 'trap "" TERM; while test ! -e "$1"; do date +%s.%N > "$0.child"; sleep 0.1; done' "$1" "$over" &
child=$!
left="$2"
mkdir "$(dirname "$1")/first" 2> /dev/null && left=2
while test "$left" -gt 0 -a ! -e "$over"; do date +%s.%N > "$1.step"; sleep 0.1; left=$((left - 1)); done
echo "done $RINGCTL_TASK_TOKEN $(date +%s.%N)" >> "$1"
kill -9 "$child"
"""
STAYED = """\
#!/bin/sh
test -f "$1" && grep -q '^done ' "$1" && exit 0
exit 1
"""


@dataclass(frozen=True, slots=True)
class Book:
    """What happened on the accounts, as their own books say. Times are seconds of this host's wall clock."""

    fleet: Fleet

    def close(self) -> None:
        """Let every body end by itself that a bug left running."""
        (self.fleet.directory / "targets" / "over").touch()

    def starts(self) -> dict[str, list[float]]:
        """When the step began, by account."""
        return {account: [at for _, at in self._lines(account, "start")] for account in self.fleet.accounts}

    def begun(self) -> set[str]:
        """Accounts on which it began."""
        return {account for account, times in self.starts().items() if times}

    def begun_after(self, moment: float) -> set[str]:
        """Accounts that were touched for the first time after that moment."""
        return {account for account, times in self.starts().items() if times and min(times) > moment}

    def done(self, account: str) -> int:
        """How often it ran to its end."""
        return len(self._lines(account, "done"))

    def last_sign(self, account: str) -> float:
        """The last sign of life of the step or its child; 0 for none."""
        notes = self.fleet.notes(account)
        return max(_read(Path(f"{notes}.step")), _read(Path(f"{notes}.child")))

    def alive(self) -> set[str]:
        """Accounts with a sign of life within the last 0.7 s."""
        now = time.time()
        return {account for account in self.fleet.accounts if now - self.last_sign(account) < 0.7}

    def tokens(self, account: str) -> list[int]:
        """Fences of the runs, in order."""
        return [token for token, _ in self._lines(account, "start")]

    def _lines(self, account: str, word: str) -> list[tuple[int, float]]:
        notes = self.fleet.notes(account)
        found = [line.split() for line in notes.read_text().splitlines()] if notes.exists() else []
        return [(int(token), float(at)) for first, token, at in found if first == word]


def _read(path: Path) -> float:
    try:
        return float(path.read_text() or 0)
    except (FileNotFoundError, ValueError):  # it is being written
        return path.stat().st_mtime if path.exists() else 0.0


def stay_fleet(directory: Path, *, tenths: int, accounts: int, parallel: int, lease: str = "2s") -> Book:
    """A fleet, its policy, and the bundle `b1` whose step stays for so many tenths of a second."""
    fleet = make_fleet(directory, inner=accounts, outer=1, builds=1)
    write_policy(fleet, canary=1, parallel=parallel, failures="100%", lease=lease)
    folder = directory / "b1"
    folder.mkdir()
    (folder / "bundle.yaml").write_text(BUNDLE % tenths)
    for name, text in {"stay.sh": STAY, "stayed.sh": STAYED}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return Book(fleet)
