"""(d) Start-up: CPU against bare Python, in turns, and what is imported."""

import statistics
import subprocess
import sys
from pathlib import Path

from bench.processes import environment, python
from bench.tables import Table, spread
from bench.worlds import ONE_RING, write_world

COMMANDS = (
    ("--version",), ("--help",), ("completion", "bash"), ("status", "-o", "json"), ("status", "last", "-o", "json"),
    ("status",), ("plan", "--help"),
)  # fmt: skip
COUNT = """
import sys
sys.argv = ["ringctl", *sys.argv[1:]]
from ringctl.__main__ import main
main()
names = {name.split(".")[0] for name in sys.modules}
others = sorted(names - sys.stdlib_module_names - {"ringctl", "_distutils_hack", "__main__"})
print(len(sys.modules), " ".join(others), file=sys.stderr)
"""


def start_up(folder: Path, runs: int) -> Table:
    """CPU of a start as a ratio to `python -c pass`."""
    table = Table(
        "start-up",
        "User and system CPU of a whole process as a ratio to `python -c pass`, measured in "
        "turns. Targets: `--help` 1.5, "
        "`status -o json` about 7 (tests count the modules, so that this page is no test).",
        ("command", "CPU to bare Python", "CPU ms", "modules", "of third parties"),
    )
    world = write_world(folder / "start", 200, traits=2, rings=ONE_RING)
    python(("-m", "ringctl", "start", "--policy", "policy.yaml", "--bundle", "bundle"), world)
    for words in COMMANDS:
        python(("-m", "ringctl", *words), world)  # writes the byte code
        ratios, costs = [], []
        for _ in range(runs):
            bare = python(("-c", "pass"), world).cpu
            costs.append(python(("-m", "ringctl", *words), world).cpu)
            ratios.append(costs[-1] / bare)
        count, others = _modules(world, words)
        ms = statistics.median(costs) * 1000
        table.rows.append(
            (f"`ringctl {' '.join(words)}`", spread(ratios, 1), f"{ms:.0f}", count, others or "none")
        )
    return table


def _modules(world: Path, words: tuple[str, ...]) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *words],
        cwd=world,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    count, _, others = done.stderr.splitlines()[-1].partition(" ")
    return count, others
