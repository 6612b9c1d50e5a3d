"""`./do bench [NAMES] [--runs N] [--quick]`: prints tables, writes their sections of the page."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import exclusive, gate, judging, planning, rolling, starting
from bench.processes import ROOT
from bench.tables import Table, document, machine, plain

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"


def main() -> int:
    """Run what was named, or all."""
    parser = argparse.ArgumentParser(prog="./do bench", description="The benchmarks.")
    parser.add_argument(
        "names",
        nargs="*",
        help="plan, start-up, rollout, facts, gates, create; default: all of them. exclusive, gate: when named only",
    )
    parser.add_argument("--runs", type=int, default=5, help="paired runs of each (default 5)")
    parser.add_argument("--quick", action="store_true", help="smaller fleets; the page is not written")
    parser.add_argument("--dir", default="", help="where the files lie: this decides which disk is measured")
    asked = parser.parse_args()
    small = 10 if asked.quick else 1
    runs = asked.runs
    every: dict[str, Callable[[Path], Table | Iterable[Table]]] = {
        "start-up": lambda folder: starting.start_up(folder, max(3, runs) if asked.quick else max(15, runs)),
        "plan": lambda folder: planning.plan(folder, runs, million=not asked.quick),
        "create": lambda folder: planning.create(folder, runs, 100_000 // small),
        "rollout": lambda folder: rolling.rollout(folder, runs, 20_000 // small),
        "facts": lambda folder: rolling.facts(folder, runs, (1_000, 10_000, 100_000 // small)),
        "gates": lambda folder: judging.gates(folder, runs, 10_000 // small),
    }
    alone: dict[str, Callable[[Path], Table | Iterable[Table]]] = {
        "exclusive": lambda folder: exclusive.exclusive(folder, min(3, runs), quick=asked.quick),
        "gate": lambda folder: gate.gate(folder, quick=asked.quick),
    }
    known = every | alone
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    folder = Path(tempfile.mkdtemp(prefix="ringctl-bench-", dir=asked.dir or None))
    tables = []
    print(machine(), flush=True)
    try:
        for name in asked.names or every:
            made = known[name](folder)
            for table in [made] if isinstance(made, Table) else made:
                print("\n" + plain(table), flush=True)
                tables.append(table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not asked.quick:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        PAGE.write_text(document(tables, before), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
