"""Whatever call to the disk is the last one: what was acknowledged is there, and the rollout goes on from it.

A whole rollout with an amendment makes about 1,200 calls that write the store or ask for its durability, from its
first byte to the last checkpoint. In CI the points are spread evenly over them, at night it is every one.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.bugs import BUGS
from tests.crash.faults import KINDS, Zygote, zygote
from tests.support.scale import scaled
from tests.tidy.tree import ROOT

pytestmark = pytest.mark.needs("gcc")

EVERY = 1_000_000
POINTS = {"kill": 150, "torn": 60, "power": 40, "EIO": 80, "ENOSPC": 80}
LEAST = scaled(400, 5000)
LEAST_ACKNOWLEDGED = 20  # on average: points where nothing was at stake prove nothing
KILLED, GAVE_UP, TO_THE_END = -9, 3, 0


@pytest.fixture(scope="module")
def healthy(disk: Path) -> Iterator[Zygote]:
    """Crashes of the product as it is."""
    with zygote(disk) as made:
        yield made


@pytest.fixture(scope="module")
def counts(last_line: Callable[[str], None]) -> Iterator[Counter[str]]:
    """Points by kind, and what was acknowledged before them."""
    found: Counter[str] = Counter()
    yield found
    points = {kind: found[kind] for kind in KINDS if found[kind]}
    each = ", ".join(f"{kind} {count}" for kind, count in points.items())
    last_line(
        f"crash: {sum(points.values())} crash points ({each}), {found['acknowledged']} acknowledged acts, 0 lost, "
        f"0 effects twice, {found['bugs']} of {len(BUGS)} seeded bugs found"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_acknowledged_is_lost(healthy: Zygote, counts: Counter[str], kind: str) -> None:
    shift = list(KINDS).index(kind) / len(KINDS)
    ends: Counter[int] = Counter()
    for number, at in enumerate(healthy.points(scaled(POINTS[kind], EVERY), shift)):
        crash = healthy.crash(kind, at, patient=number % 2 == 1)
        assert crash.wrong == [], f"{kind} at call {at} of {healthy.calls}"
        ends[crash.status] += 1
        counts[kind] += 1
        counts["acknowledged"] += crash.acknowledged
    if kind in {"kill", "torn", "power"}:
        assert set(ends) == {KILLED}
    else:  # an error ends half of the processes, unless SQLite can do without the call
        assert set(ends) == {GAVE_UP, TO_THE_END}
        assert ends[GAVE_UP] >= counts[kind] // 4


def test_there_were_enough_points(counts: Counter[str]) -> None:
    points = sum(counts[kind] for kind in KINDS)
    assert points >= LEAST
    assert counts["EIO"] + counts["ENOSPC"] >= 150
    assert counts["kill"] + counts["torn"] + counts["power"] > points / 2
    assert counts["acknowledged"] >= LEAST_ACKNOWLEDGED * points


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_seen(disk: Path, counts: Counter[str], bug: str) -> None:
    _, kind, words = BUGS[bug]
    with zygote(disk, bug) as made:
        points = made.points(scaled(120, 400))
        assert any(words in line for at in points for line in made.crash(kind, at).wrong)
    counts["bugs"] += 1


@pytest.mark.needs("strace")
def test_the_failing_disk_misses_no_call(healthy: Zygote, tmp_path: Path) -> None:
    """Counted from outside, by strace: the same calls on the same files."""
    trace = tmp_path / "trace"
    store = tmp_path / "run" / "ringctl.db"
    calls = "pwrite64,pwritev,pwritev2,write,writev,fsync,fdatasync,sync_file_range,ftruncate,fallocate"
    program = (
        "import sys; from pathlib import Path; from tests.crash.rollout import Run, prepare; "
        "d = Path(sys.argv[1]); prepare(d); Run(d, 0).to_the_end(patient=False)"
    )
    files = [word for name in ("", "-wal", "-journal") for word in ("-P", f"{store}{name}")]
    command = ["strace", "-f", "-o", str(trace), "-e", f"trace={calls}", *files]
    subprocess.run(
        [*command, sys.executable, "-c", program, str(store.parent)], check=True, cwd=ROOT, timeout=120
    )
    lines = re.findall(r"^\d+ +\w+\(", trace.read_text(), re.MULTILINE)
    assert len(lines) == healthy.calls
