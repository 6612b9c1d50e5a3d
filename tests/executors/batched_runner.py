"""A process that runs one batched order, for tests that kill it: `python -m ... TARGET BUNDLE FENCE`."""

import sys
from pathlib import Path

from ringctl.executors.batched_sql import BatchedSqlExecutor
from tests.executors.batched import KILLABLE, batched_order
from tests.executors.kit import Hand


def main() -> None:
    target, bundle, fence = sys.argv[1:]
    BatchedSqlExecutor().run(batched_order(Path(bundle), target, fence=int(fence), batch=KILLABLE), Hand())


if __name__ == "__main__":
    main()
