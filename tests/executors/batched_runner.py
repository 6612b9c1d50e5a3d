"""A process that runs one batched order, for tests that kill it: `python -m ... TARGET BUNDLE FENCE`."""

import sys
from pathlib import Path

from ringctl.executors.batched_sql import BatchedSqlExecutor
from tests.executors.batched import batched_order
from tests.executors.kit import Hand


def main() -> None:
    target, bundle, fence = sys.argv[1:]
    ran = BatchedSqlExecutor().run(batched_order(Path(bundle), target, fence=int(fence)), Hand())
    print(ran.outcome, ran.reason, dict(ran.numbers), flush=True)


if __name__ == "__main__":
    main()
