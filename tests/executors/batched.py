"""Orders for batched steps."""

from pathlib import Path
from typing import Any

from ringctl.ports.executor import Order
from tests.executors.kit import order, spec

STATEMENT = (
    "UPDATE build SET times = times + 1, name = name || '%' WHERE build_id BETWEEN :lo AND :hi -- :lo\n"
)
# small batches with pauses: a kill lands in the work, not after it
KILLABLE = {"target_us": 5000, "max_rows": 25, "pause_us": 1000}


def batched_order(
    bundle: Path,
    target: str,
    *,
    statement: str = STATEMENT,
    batch: Any = None,
    table: str = "build",
    **changes: Any,
) -> Order:
    """An order over table `build`."""
    path = bundle / "02.sql"
    if not path.exists() or path.read_text() != statement:  # other processes read it meanwhile
        path.write_text(statement)
    options = {
        "file": "02.sql", "database": target, "table": table, "key": "build_id",
        "batch": {"target_us": 5000, "max_rows": 50, "pause_us": 0} if batch is None else batch,
    }  # fmt: skip
    return order(spec("batched_sql", options, bundle), bundle, **changes)
