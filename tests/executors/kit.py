"""What the executor tests share: orders, a scripted control, target databases."""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ringctl.core.bundle import StepSpec, step_digest
from ringctl.core.digests import sha256_hex
from ringctl.ports.executor import Order
from ringctl.testing.executor_suite import ScriptedControl


class Hand(ScriptedControl):
    """The public scripted control, with calls of a test at each sleep."""

    def __init__(self, *, lease_s: float = 60.0, step_s: float = 60.0) -> None:
        super().__init__(lease_s=lease_s, step_s=step_s)
        self.on_sleep: list[Any] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        for call in self.on_sleep:
            call()
        self.stop.wait(min(seconds, 0.05))


def spec(
    executor: str, options: Mapping[str, object], folder: Path, *, step: str = "encode", **more: Any
) -> StepSpec:
    """A step whose files are all those in `folder`, with its digest."""
    files = {
        path.relative_to(folder).as_posix(): sha256_hex(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    plain = StepSpec(id=step, executor=executor, options=options, files=tuple(files), **more)
    return replace(plain, digest=step_digest(plain, files))


def order(step: StepSpec, folder: Path, **changes: Any) -> Order:
    """An order for account a1, claim c1, fence 10."""
    values = {
        "account.id": "a1", "account.size": "10", "rollout.id": "ro1", "revision": "r1",
        "task.key": "key-1", "task.token": "c1.10", **changes.pop("placeholders", {}),
    }  # fmt: skip
    plain = Order(
        rollout="ro1", account="a1", component="build", revision="r1", step=step, key="key-1", claim="c1",
        fence=10, placeholders=values, files=folder,
    )  # fmt: skip
    return replace(plain, **changes)


def sqlite_build_table(path: Path, rows: int, *, gap: int = 1) -> str:
    """A file with table `build` (build_id, name, times); every `gap`-th key is used."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE build (build_id INTEGER PRIMARY KEY, name TEXT, times INT DEFAULT 0)"
        )
        connection.executemany(
            "INSERT INTO build (build_id, name) VALUES (?, ?)",
            ((number * gap, f"build {number}") for number in range(1, rows + 1)),
        )
    connection.close()
    return str(path)


def postgres_build_table(url: str, rows: int, *, gap: int = 1) -> str:
    """The same in PostgreSQL."""
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE build (build_id bigint PRIMARY KEY, name text, times int DEFAULT 0)")
        connection.execute(
            "INSERT INTO build (build_id, name) SELECT n * %s, 'build ' || n FROM generate_series(1, %s) n",
            (gap, rows),
        )
    return url


def rows_of(target: str, query: str) -> list[tuple[Any, ...]]:
    """What a query reads in either engine."""
    if "://" in target and not target.startswith("sqlite"):
        import psycopg

        with psycopg.connect(target) as connection:
            return [tuple(row) for row in connection.execute(query.encode()).fetchall()]
    file = sqlite3.connect(target.removeprefix("sqlite:///"))
    try:
        return [tuple(row) for row in file.execute(query).fetchall()]
    finally:
        file.close()


def times_of(target: str) -> list[tuple[int, int]]:
    """How many rows were transformed how many times."""
    return [
        tuple(row) for row in rows_of(target, "SELECT times, count(*) FROM build GROUP BY times ORDER BY 1")
    ]


def wait_until(true: Any, seconds: float = 10.0) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return bool(true())
