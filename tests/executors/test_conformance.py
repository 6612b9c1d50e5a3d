"""Every built-in executor against the public suite."""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from ringctl.core.bundle import StepSpec
from ringctl.executors.batched_sql import BatchedSqlExecutor
from ringctl.executors.command import CommandExecutor
from ringctl.executors.http import HttpExecutor
from ringctl.executors.noop import NoopExecutor
from ringctl.executors.sql import SqlExecutor
from ringctl.ports.executor import Executor, Fencing, Order, Outcome, Probed
from ringctl.testing.executor_suite import ExecutorSuite, Workbench
from tests.executors.kit import Hand, order, postgres_build_table, spec, sqlite_build_table, times_of
from tests.executors.test_http import Service
from tests.support.postgres import free_port


def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    path.mkdir()
    return path


class SqlBench(ExecutorSuite):
    """Both SQL executors over one table; every row once is one effect."""

    executor: ClassVar[Executor] = SqlExecutor()
    ROWS = 120

    def target(self, tmp_path: Path) -> str:
        return sqlite_build_table(tmp_path / "t.db", self.ROWS)

    def nowhere(self, tmp_path: Path) -> str:
        return str(tmp_path / "gone.db")

    def step(self, bundle: Path, target: str, text: str) -> StepSpec:
        (bundle / "x.sql").write_text(text)
        return spec("sql", {"file": "x.sql", "database": target}, bundle)

    def workbench(self, tmp_path: Path) -> Workbench:
        bundle, target = folder(tmp_path), self.target(tmp_path)
        bad = self.step(bundle, target, "UPDATE nowhere SET a = 1 WHERE b BETWEEN :lo AND :hi")
        failing = replace(order(bad, bundle), files=folder(tmp_path / "bundle"))
        (failing.files / "x.sql").write_text((bundle / "x.sql").read_text())
        good = self.step(bundle, target, self.statement())

        def effects() -> int:
            counted = dict(times_of(target))
            assert len(counted) == 1, counted
            return next(iter(counted))

        away = replace(good, options={**good.options, "database": self.nowhere(tmp_path)})
        return Workbench(
            executor=self.executor, order=order(good, bundle), effects=effects, failing=failing,
            unreachable=order(away, bundle),
        )  # fmt: skip

    def statement(self) -> str:
        return "UPDATE build SET times = times + 1"


class TestSqlOnSqlite(SqlBench):
    pass


class TestBatchedOnSqlite(SqlBench):
    executor = BatchedSqlExecutor()

    def step(self, bundle: Path, target: str, text: str) -> StepSpec:
        (bundle / "x.sql").write_text(text)
        options = {"file": "x.sql", "database": target, "table": "build", "key": "build_id"}
        return spec("batched_sql", options, bundle)

    def statement(self) -> str:
        return "UPDATE build SET times = times + 1 WHERE build_id BETWEEN :lo AND :hi"


class PostgresBench(SqlBench):
    url = ""

    @pytest.fixture(autouse=True)
    def _database(self, postgres_database: str) -> None:
        self.url = postgres_database

    def target(self, tmp_path: Path) -> str:
        return postgres_build_table(self.url, self.ROWS)

    def nowhere(self, tmp_path: Path) -> str:
        return f"postgresql://postgres@127.0.0.1:{free_port()}/x"


class TestSqlOnPostgres(PostgresBench):
    pass


class TestBatchedOnPostgres(PostgresBench, TestBatchedOnSqlite):
    pass


class TestCommand(ExecutorSuite):
    def workbench(self, tmp_path: Path) -> Workbench:
        bundle = folder(tmp_path)
        (bundle / "do.sh").write_text(f"#!/bin/sh\necho x >> {tmp_path}/effects\n")
        (bundle / "do.sh").chmod(0o755)
        (bundle / "is.sh").write_text(f"#!/bin/sh\ntest -e {tmp_path}/effects\n")
        (bundle / "is.sh").chmod(0o755)

        def effects() -> int:
            path = tmp_path / "effects"
            return len(path.read_text().split()) if path.exists() else 0

        probe = {"command": ["./is.sh"]}
        step = spec("command", {"argv": ["./do.sh", "{account.id}"], "env": []}, bundle, probe=probe)
        failing = spec("command", {"argv": ["false"]}, bundle)
        return Workbench(
            executor=CommandExecutor(kill_grace_s=0.2), order=order(step, bundle), effects=effects,
            failing=order(failing, bundle), unreachable=order(step, tmp_path / "gone"),
        )  # fmt: skip


class TestHttp(ExecutorSuite):
    service: Service

    @pytest.fixture(autouse=True)
    def _service(self) -> Iterator[None]:
        with Service() as self.service:
            thread = threading.Thread(target=self.service.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield
            self.service.shutdown()
            thread.join()

    def workbench(self, tmp_path: Path) -> Workbench:
        bundle = folder(tmp_path)
        probe = {"http": self.service.url + "/status/500"}
        step = spec("http", {"url": self.service.url + "/x/{account.id}"}, bundle, probe=probe)
        failing = spec("http", {"url": self.service.url + "/status/404"}, bundle)
        away = spec("http", {"url": f"http://127.0.0.1:{free_port()}/x"}, bundle)

        def effects() -> int:
            return sum(path.startswith("/x/") for _, path, _, _ in self.service.seen)

        return Workbench(
            executor=HttpExecutor(), order=order(step, bundle), effects=effects,
            failing=order(failing, bundle), unreachable=order(away, bundle),
        )  # fmt: skip


def test_noop_does_nothing(bundle: Path) -> None:
    task: Order = order(spec("noop", {}, bundle), bundle)
    executor = NoopExecutor()
    assert executor.run(task, Hand()).outcome is Outcome.DONE
    assert executor.probe(task, Hand()) is Probed.DID_NOT
    assert (executor.check(task.step), executor.fencing) == ((), Fencing.NONE)
    assert [found.code for found in executor.check(spec("noop", {"x": 1}, bundle))] == ["RC6002"]
    hand = Hand()
    hand.stop.set()
    assert executor.run(task, hand).outcome is Outcome.STOPPED


def test_suite_notices_an_executor_that_runs_twice(tmp_path: Path) -> None:
    """Seeded bug: an executor without its ledger does not pass."""

    class Careless(SqlExecutor):
        def run(self, order: Order, control: object) -> object:  # type: ignore[override]
            with sqlite3.connect(str(order.step.options["database"])) as connection:
                connection.execute("UPDATE build SET times = times + 1")
            connection.close()
            return super().run(order, control)  # type: ignore[arg-type]

    class Suite(SqlBench):
        executor = Careless()  # type: ignore[assignment]

    with pytest.raises(AssertionError):
        Suite().test_ledger_runs_a_step_once_whoever_asks(tmp_path)
