"""The SQLite file under a store: tables, sizes, and a copy taken while others write."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ringctl.cli.health.checks import Check, Database, Table, failed, passed, warned
from ringctl.core.errors import StoreUnavailable

_COUNT: Final = "select count(*) from TABLE"
LARGE_WAL: Final = 256 * 1024 * 1024
SLEEP_S: Final = 0.01
PAGES: Final = 1024
"""Pages copied at a time: in between others may write."""
NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs", "ceph"})


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A reading connection. Raises StoreUnavailable."""
    try:
        raw = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0, isolation_level=None
        )
        try:
            yield raw
        finally:
            raw.close()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}", code="RC5101") from error


def database(path: Path) -> Database:
    """What the file holds. Raises StoreUnavailable."""
    with _opened(path) as raw:
        names = [
            str(name)
            for (name,) in raw.execute(
                "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name"
            )
        ]
        sizes = _sizes(raw)
        quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
        tables = tuple(
            Table(
                name=name,
                rows=int(raw.execute(_COUNT.replace("TABLE", quoted[name])).fetchone()[0]),
                size=sizes.get(name),
            )
            for name in names
        )
        (pages,), (page,), (free,) = (
            raw.execute(f"pragma {name}").fetchone() for name in ("page_count", "page_size", "freelist_count")
        )
    return Database(
        engine="sqlite",
        size=pages * page,
        tables=tables,
        more={"free_bytes": free * page, "wal_bytes": wal_size(path)},
    )


def _sizes(raw: sqlite3.Connection) -> dict[str, int]:
    """Bytes by table, its indexes with it, where this SQLite was built to say so."""
    query = (
        "select m.tbl_name, sum(s.pgsize) from dbstat s join sqlite_master m on m.name = s.name"
        " where s.aggregate = 1 group by m.tbl_name"
    )
    try:
        return {str(name): int(size) for name, size in raw.execute(query)}
    except sqlite3.OperationalError:
        return {}


def wal_size(path: Path) -> int:
    """Bytes of the write-ahead log."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def checks(path: Path) -> Iterator[Check]:
    """What can be wrong with the file."""
    with _opened(path) as raw:
        mode = str(raw.execute("pragma journal_mode").fetchone()[0])
    yield writes(path)
    if mode == "wal":
        yield passed("journal", "write-ahead log, every commit synced")
    else:
        yield failed("journal", f"journal_mode is {mode}", "stop all nodes, then run: ringctl db migrate")
    size = wal_size(path)
    if size > LARGE_WAL:
        yield warned(
            "wal",
            f"the write-ahead log has {size >> 20} MiB: a reader has been open for long",
            "find and end the program that holds the file open",
        )
    kind = file_system(path)
    if kind in NETWORK:
        yield failed(
            "file-system",
            f"the state file is on {kind}: locks of a network file system are not to be trusted",
            "put it on a local disk, or use PostgreSQL for several hosts",
        )
    else:
        yield passed(
            "file-system", f"local file{f' ({kind})' if kind else ''}: all nodes must be on this host"
        )


def writes(path: Path) -> Check:
    """Whether the file can be written. Nothing changes; that others are writing says that it can."""
    try:
        raw = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.0, isolation_level=None
        )
        try:
            raw.execute("begin immediate")
            version = int(raw.execute("pragma user_version").fetchone()[0])
            raw.execute(
                f"pragma user_version = {version}"
            )  # the begin alone succeeds on a file that is read-only
            raw.execute("rollback")
        finally:
            raw.close()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            return failed(
                "writes",
                f"{path} cannot be written: {error} (RC5107)",
                "correct owner and permissions of the file and of its directory",
            )
    return passed("writes", "the file can be written")


def file_system(path: Path) -> str:
    """The type of the file system a path is on (Linux); "" where that is not known."""
    best, found = "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place = str(path.absolute().resolve())
    for line in mounts:
        _, point, kind, *_ = (*line.split(), "", "", "")
        point = point.replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, found = point, kind
    return found


def backup(path: Path, target: Path) -> int:
    """Copy the file while others write; synced and checked before it has its name. Returns its bytes.

    Raises StoreUnavailable when the source cannot be read, OSError when the target cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        part.touch(mode=0o600)
        copy = sqlite3.connect(part, isolation_level=None)
        try:
            with _opened(path) as raw:
                raw.backup(copy, pages=PAGES, sleep=SLEEP_S)
            copy.execute("pragma journal_mode = delete")  # one file, without a log beside it
            wrong = [str(row[0]) for row in copy.execute("pragma integrity_check")]
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the copy failed: {error}", code="RC5101") from error
        finally:
            copy.close()
        if wrong != ["ok"]:
            raise StoreUnavailable(f"the copy is not whole: {wrong[0]}", code="RC5101")
        _sync(part)
        part.replace(target)
        _sync(target.absolute().parent)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
