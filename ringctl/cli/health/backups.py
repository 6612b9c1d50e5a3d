"""A copy of the state in one file, while nodes go on."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from ringctl import bootstrap
from ringctl.core.errors import ExternalError, UsageError


def backup(url: str, target: Path, *, force: bool) -> int:
    """Copy the state to `target`; its bytes. The file has its name only when it is whole.

    Raises UsageError when it is there already or cannot be written, ExternalError when the copy fails.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a directory", hint="name a file")
    if target.exists() and not force:
        raise UsageError(f"{target} is there already", hint="name another file, or --force")
    scheme, _, rest = url.partition("://")
    try:
        if scheme != "sqlite":
            return _dumped(url, target)
        from ringctl.cli.health import sqlite

        source = bootstrap.state_path(rest)
        if target.exists() and target.samefile(source):
            raise UsageError(f"{target} is the state itself")
        return sqlite.backup(source, target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot write {target}: {reason}") from error


def how_to_restore(url: str, target: Path) -> str:
    """One line on the way back."""
    file = shlex.quote(str(target))
    if url.startswith("sqlite:"):
        _, _, rest = url.partition("://")
        state = shlex.quote(str(bootstrap.state_path(rest)))
        return f"restore: stop all nodes, then rm -f {state}-wal {state}-shm && cp {file} {state}"
    return (
        f"restore: stop all nodes, then pg_restore --clean --if-exists -d {shlex.quote(_bare(url)[0])} {file}"
    )


def _bare(url: str) -> tuple[str, str]:
    """(how to connect, without the password; the password)."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    password = given.pop("password", "")
    return make_conninfo(**given), password


def _dumped(url: str, target: Path) -> int:
    bare, password = _bare(url)
    part = target.with_name(f"{target.name}.part")
    line = ["pg_dump", "--format=custom", "--schema=ringctl", f"--file={part}", f"--dbname={bare}"]
    program = shutil.which("pg_dump")
    if program is None:
        shown = shlex.join([*line[:3], f"--file={target}", line[4]])
        raise UsageError("pg_dump is not installed here", hint=f"run it where it is: {shown}")
    environ = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        done = subprocess.run(  # noqa: S603 - the program found, words of our own
            [program, *line[1:]], check=False, capture_output=True, text=True, errors="replace", env=environ
        )
        if done.returncode:
            said = done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}"
            raise ExternalError(
                f"pg_dump failed: {said}", hint="its version must not be older than the server's"
            )
        fd = os.open(part, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size
