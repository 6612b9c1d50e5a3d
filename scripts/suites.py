"""Runs the test suites, two at a time; each prints its count and seconds; judges coverage.

Called by `./do test`. With arguments it is plain pytest. One lane takes the quick suites from the front of the order,
the other the long ones, which mostly wait for processes, from its back. The last line is the total, for CI.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
# The order of the suites, quick ones first; a folder not named here runs after them, by name.
ORDER = [
    *("tidy", "support", "core", "gates", "strategies", "ports", "settings", "registry", "net"),
    *("inventories", "metrics", "executors", "stores", "contracts", "engine", "cli", "testing"),
    *("sim", "model", "web", "demo", "docs", "upgrade", "incidents", "crash", "multinode", "e2e"),
]
# These start processes or run for long: what they reach is not counted.
WITHOUT_COVERAGE = {
    *("support", "tidy", "sim", "model", "docs", "upgrade", "incidents", "crash", "multinode", "e2e")
}
# Whose code runs in greenlets (the simulator's fibers). Not for all: a tracer that asks each greenlet for its place
# was seen to spin for ever in the collection of weak references, in a suite of thousands of threads.
FIBERS = {"testing"}
# Folders of ringctl -> least branch coverage in percent; the empty tuple is the whole package.
THRESHOLDS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("core", "gates", "strategies"), 100),
    ((), 90),
)
SUITE_SECONDS = int(os.environ.get("RINGCTL_SUITE_SECONDS", "1200"))
NO_TESTS_COLLECTED = 5


@dataclass
class Counts:
    """What one suite, or all of them, came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    broken: bool = False  # pytest itself went wrong, or the suite holds no test
    wanting: Counter[str] = field(default_factory=Counter)  # the reason of each skip for want of a program

    def add(self, other: "Counts") -> None:
        """Take another suite's counts into these."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.broken = self.broken or other.broken
        self.wanting.update(other.wanting)

    @property
    def tests(self) -> int:
        """How many tests there were."""
        return self.passed + self.failed + self.skipped


def main(arguments: list[str]) -> int:
    """Run everything, or exactly what `arguments` tell pytest."""
    os.chdir(ROOT)
    if arguments:
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
    started = time.monotonic()
    total = Counts()
    lines = []
    with tempfile.TemporaryDirectory(prefix="ringctl-suites-") as scratch:
        for counts, line in run_all(Path(scratch)):
            lines.append(line)
            total.add(counts)
        covered = judge_coverage(Path(scratch))
    print(f"\n== all suites, {time.monotonic() - started:.1f} s ==")
    print("\n".join(lines))
    for reason, count in sorted(total.wanting.items()):
        print(f"skipped: {count} tests {reason}")
    if total.tests == 0:
        print("error: no test ran at all")
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    good = covered and not total.failed and not total.broken and total.tests > 0
    return 0 if good else 1


def suites() -> list[str]:
    """The folders of tests/ that are suites."""
    found = {
        folder.name
        for folder in (ROOT / "tests").iterdir()
        if folder.is_dir() and not folder.name.startswith((".", "_")) and _is_suite(folder)
    }
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def _is_suite(folder: Path) -> bool:
    """Whether to run it: `support` only with tests in it, never `typing` and the like."""
    has_tests = any(folder.rglob("test_*.py"))
    return has_tests or (folder.name in ORDER and folder.name != "support")


def run_all(scratch: Path) -> Iterator[tuple[Counts, str]]:
    """Run every suite, on as many lanes as there are cores, at most two; what one printed comes when it has ended."""
    waiting = deque(suites())
    lanes = min(2, os.cpu_count() or 1, max(1, int(os.environ.get("RINGCTL_TEST_LANES", "2"))))
    done: Queue[tuple[Counts, str] | None] = Queue()

    def lane(take: Callable[[], str]) -> None:
        try:
            while True:
                try:
                    suite = take()
                except IndexError:
                    return
                done.put(run_suite(suite, scratch))
        except BaseException:
            # a lane that breaks must not look like suites that passed
            done.put((Counts(failed=1, broken=True), _said("error: a lane broke")))
            raise
        finally:
            done.put(None)

    for take in (waiting.popleft, waiting.pop)[:lanes]:
        threading.Thread(target=lane, args=(take,), daemon=True).start()
    while lanes:
        ended = done.get()
        if ended is None:
            lanes -= 1
        else:
            yield ended


def run_suite(suite: str, scratch: Path) -> tuple[Counts, str]:
    """Run one suite in a process of its own; its counts and the line to print."""
    report = scratch / f"{suite}.xml"
    print(f"-- suite {suite} begins", flush=True)
    command = [sys.executable]
    if suite not in WITHOUT_COVERAGE:
        command += ["-m", "coverage", "run", f"--data-file={scratch / 'coverage'}"]
        command += ["--concurrency=thread,greenlet"] if suite in FIBERS else []
    command += [
        "-m",
        "pytest",
        f"tests/{suite}",
        "-q",
        "--no-header",
        "-rfE",
        f"--junitxml={report}",
    ]
    started = time.monotonic()
    log = scratch / f"{suite}.log"
    status = _run_bounded(command, log)
    seconds = time.monotonic() - started
    with _PRINTING:
        print(f"\n== suite {suite} ==\n{log.read_text(errors='replace').rstrip()}", flush=True)
    counts = read_report(report)
    if status == NO_TESTS_COLLECTED:
        counts.broken = os.environ.get("RINGCTL_REQUIRE_ALL", "") not in {"", "0"}
        return counts, _said(f"suite {suite}: EMPTY, no test in tests/{suite}")
    if status != 0 and not counts.failed:
        counts.broken = True
    remark = f", {counts.failed} FAILED" if counts.failed else ""
    remark += f", {counts.skipped} skipped" if counts.skipped else ""
    remark += f", pytest ended with {status}" if counts.broken else ""
    return counts, _said(f"suite {suite}: {counts.tests} tests, {seconds:.1f} s{remark}")


_PRINTING = threading.Lock()


def _said(line: str) -> str:
    with _PRINTING:
        print(line, flush=True)
    return line


def _run_bounded(command: list[str], log: Path) -> int:
    """The exit status; past the limit the suite's whole process group is killed."""
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            return process.wait(timeout=SUITE_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"error: killed after {SUITE_SECONDS} s (RINGCTL_SUITE_SECONDS)", flush=True)
            return 124


def read_report(report: Path) -> Counts:
    """Count pytest's own report; a crash that leaves none counts as one failure."""
    if not report.exists():
        return Counts(failed=1, broken=True)
    counts = Counts()
    for case in ET.parse(report).getroot().iter("testcase"):
        outcomes = {child.tag: child for child in case if child.tag in {"failure", "error", "skipped"}}
        if outcomes.keys() & {"failure", "error"}:
            counts.failed += 1
        elif "skipped" in outcomes:
            counts.skipped += 1
            reason = outcomes["skipped"].get("message") or ""
            if re.match(r"needs? ", reason):
                counts.wanting[reason] += 1
        else:
            counts.passed += 1
    return counts


def judge_coverage(scratch: Path) -> bool:
    """Combine what the suites measured and hold it against the thresholds."""
    if not list(scratch.glob("coverage.*")):
        print("\ncoverage: nothing measured")
        return True
    coverage = [sys.executable, "-m", "coverage"]
    data = f"--data-file={scratch / 'coverage'}"
    subprocess.run([*coverage, "combine", "-q", data], check=True)
    shutil.copy(scratch / "coverage", ROOT / ".coverage")  # for `coverage html` and the like
    good = True
    for folders, least in THRESHOLDS:
        there = [name for name in folders if any((ROOT / "ringctl" / name).rglob("*.py"))]
        if folders and not there:
            continue
        include = ",".join(f"ringctl/{name}/*" for name in there) or "ringctl/*"
        print(f"\n== coverage of {include}: at least {least} % of lines and branches ==", flush=True)
        done = subprocess.run(
            [*coverage, "report", data, f"--include={include}", f"--fail-under={least}"],
            check=False,
        )
        good = good and done.returncode == 0
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
