"""Real PostgreSQL for the tests: the demo's own server, made to crash, and a primary with its standby."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psycopg

from ringctl.demo.postgres import PostgresServer, PostgresUnavailable, installed_programs
from ringctl.demo.processes import free_port

__all__ = [
    "PostgresServer",
    "PostgresUnavailable",
    "ReplicatedPair",
    "Server",
    "Standby",
    "free_port",
    "installed_programs",
    "other_servers",
]

POLL_S = 0.02
STANDBY = "standby"


def other_servers() -> dict[str, Path]:
    """Major version -> programs of PostgreSQLs installed beside the wheel's (Debian's layout)."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return {folder.parent.name: folder for folder in folders if (folder / "initdb").exists()}


def until(holds: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first true answer; TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(POLL_S)
    return answer


def living(pid: int) -> bool:
    """Whether a process is there and more than a zombie that nobody has collected yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in {b"Z", b"X"}


def children(pid: int) -> list[int]:
    """Process ids of the direct children."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Server(PostgresServer):
    """A server that a test may crash, and ask."""

    def kill(self, *, children_too: bool = False) -> None:
        """kill -9 of the postmaster; returns when its children are gone, so that `start` finds nobody.

        `children_too`: they are killed as well, as when the machine is lost. Without that they notice by themselves
        that their postmaster is gone, and what they were doing meanwhile may still have been done.
        """
        postmaster = self.pid
        family = children(postmaster)
        os.kill(postmaster, signal.SIGKILL)
        self._running = False
        if children_too:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        everybody = [postmaster, *family]
        until(lambda: not any(living(pid) for pid in everybody), "the killed server's processes are gone")
        if Path(f"/proc/{postmaster}").exists():
            # nobody has collected it yet, and PostgreSQL takes a zombie's number for a running postmaster
            (self.data / "postmaster.pid").unlink()

    def crash(self) -> None:
        """kill -9 and start again on the same port: recovery from the log."""
        self.kill()
        self.start()
        self.wait_ready()

    def answers(self) -> bool:
        """Whether it takes connections and answers now."""
        try:
            with psycopg.connect(self.dsn(), connect_timeout=2, autocommit=True) as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def wait_ready(self, seconds: float = 30.0) -> None:
        """Wait until it answers."""
        until(self.answers, "the server answers", seconds)

    def ask(self, statement: str, *, dbname: str = "postgres") -> Any:
        """The first value of a statement, run and committed by itself; None without a row."""
        with psycopg.connect(self.dsn(dbname), connect_timeout=5, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def set(self, name: str, value: str) -> None:
        """Change a setting that a reload brings into force."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            literal = psycopg.sql.Literal(value)
            connection.execute(psycopg.sql.SQL("alter system set {} = {}").format(
                psycopg.sql.Identifier(name), literal))  # fmt: skip
            connection.execute("select pg_reload_conf()")
        until(lambda: self.ask(f"show {name}") == value, f"{name} is {value}")

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.ask("show server_version_num")) // 10000

    @property
    def timeline(self) -> int:
        """The timeline it writes on; a promoted standby begins a new one."""
        return int(str(self.ask("select pg_walfile_name(pg_current_wal_lsn())"))[:8], 16)


class Standby(Server):
    """A streaming copy of another server, which `promote` makes a primary."""

    def __init__(self, primary: Server, *, programs: Path | None = None) -> None:
        self._primary = primary
        super().__init__(programs=programs)

    def _fill(self) -> None:
        self._prepare()
        self._run(
            "pg_basebackup",
            *("-D", str(self.data), "-d", self._primary.dsn(), "-X", "stream", "-c", "fast", "--no-sync"),
        )
        self.password = self._primary.password
        source = f"{self._primary.dsn()}?application_name={STANDBY}"
        self._settings["primary_conninfo"] = f"'{source}'"
        signal_file = self.data / "standby.signal"
        signal_file.touch()
        owner = self.data.stat()
        os.chown(signal_file, owner.st_uid, owner.st_gid)

    def promote(self) -> None:
        """Make it a primary; returns when it takes writes."""
        self._pg_ctl("promote")
        until(lambda: self.ask("select not pg_is_in_recovery()"), "the standby is a primary")


class ReplicatedPair:
    """A primary and its streaming standby on loopback.

    `synchronous`: a commit is answered when the standby has it on its disk. Else what was answered may be lost
    by a fail-over: `pause_sending` makes that sure.
    """

    def __init__(self, *, synchronous: bool, programs: Path | None = None) -> None:
        self.synchronous = synchronous
        self._paused: list[int] = []
        self.primary = Server(programs=programs, settings={"max_wal_senders": "4"})
        try:
            self.standby = Standby(self.primary, programs=programs)
            until(self.senders, "the standby streams")
            if synchronous:
                self.primary.set("synchronous_standby_names", STANDBY)
                asked = "select sync_state from pg_stat_replication"
                until(lambda: self.primary.ask(asked) == "sync", "the standby is synchronous")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def dsn(self, dbname: str = "postgres") -> str:
        """The writer's endpoint: both servers, of which a client takes the one that takes writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        password = self.primary.password
        return f"postgresql://postgres:{password}@{hosts}/{dbname}?target_session_attrs=read-write"

    def senders(self) -> list[int]:
        """Processes of the primary that stream to a standby."""
        with psycopg.connect(self.primary.dsn(), autocommit=True) as connection:
            rows = connection.execute("select pid from pg_stat_replication where state = 'streaming'")
            return [int(pid) for (pid,) in rows]

    def pause_sending(self) -> None:
        """Stop the primary's WAL senders: the standby falls behind; a synchronous commit waits."""
        self._paused = until(self.senders, "the standby streams")
        for pid in self._paused:
            os.kill(pid, signal.SIGSTOP)

    def resume_sending(self) -> None:
        """Let the WAL senders go on."""
        for pid in self._paused:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._paused = []

    def caught_up(self) -> bool:
        """Whether the standby has replayed everything the primary has written."""
        there = self.primary.ask("select pg_current_wal_lsn()")
        return bool(self.standby.ask(f"select pg_last_wal_replay_lsn() >= '{there}'"))

    def fail_over(self) -> Server:
        """Lose the primary's machine and promote the standby, which is returned."""
        self.primary.kill(children_too=True)
        self._paused = []
        self.standby.promote()
        return self.standby

    def bring_back(self) -> Server:
        """The old primary again, as it comes back when nobody fenced it: it takes writes on the old timeline."""
        self.primary.start()
        with contextlib.suppress(psycopg.OperationalError):
            if self.synchronous:  # nobody confirms any more; a person would say so
                self.primary.set("synchronous_standby_names", "")
        self.primary.wait_ready()
        return self.primary

    def stop(self) -> None:
        """Stop both; a second call does nothing."""
        self.resume_sending()
        for server in (getattr(self, "standby", None), self.primary):
            if server is not None:
                server.stop("immediate")
