"""What the engine works with, handed in by `ringctl.bootstrap`. The engine itself names no concrete part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only named here: a command that reads a list imports none of it
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ringctl.core.drawing import Chooser
    from ringctl.core.fleet import Fleet
    from ringctl.core.judging import Judge
    from ringctl.core.policy import InventorySpec, SourceSpec
    from ringctl.ports.clock import Clock
    from ringctl.ports.executor import Executor
    from ringctl.ports.metrics import MetricSource
    from ringctl.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The composed parts of one process.

    `executors` answers with the names that `executor` knows (none: the built-in ones); `executor` and `source`
    raise for an unknown one; `judges` are all registered ones; `new_id` gives random text that is never
    issued twice; `work_dir` holds verified bundle copies.
    """

    store: Store
    clock: Clock
    executor: Callable[[str], Executor]
    source: Callable[[SourceSpec], MetricSource]
    judges: Mapping[str, Judge]
    choose: Chooser
    read_fleet: Callable[[InventorySpec, Path], Fleet]
    new_id: Callable[[], str]
    work_dir: Path
    host: str
    actor: str
    environ: Mapping[str, str]
    executors: Callable[[], tuple[str, ...]] = tuple

    def close(self) -> None:
        """Give back what is held open."""
        self.store.close()
