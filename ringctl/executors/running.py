"""Start and stop records of commands on this host: who runs a step here now, and who ran it before.

A file a step and account, named by the task's key. While a step's shim lives it holds a lock on it
(`flock`), whatever became of the node: a dead node's shim holds it until it has killed the step, and a frozen node
holds nothing. The lines say who started and who ended; a crash leaves a start without an end.
It sees this host only, and costs one small file. Where no file or lock can be had, nothing is detected.
"""

import contextlib
import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ringctl.executors.rivals import Rival
from ringctl.ports.executor import Order

FOLDER: Final = "running"
"""Beside the bundles' copies, which all nodes of this user and state on this host share."""
KEPT_BYTES: Final = 4096
"""A longer record is cut to its last lines."""
KEPT_LINES: Final = 10
MOST_FILES: Final = 48
"""Files kept in one of the 256 folders; the oldest that nobody holds are removed."""
_SHORT: Final = re.compile(r"[^A-Za-z0-9-]")
_TRIES: Final = 20


class Running:
    """One run's place in the record. Without a descriptor (`fd` < 0) nothing can be locked or written."""

    def __init__(self, path: Path | None = None, fd: int = -1, rival: Rival | None = None) -> None:
        self.path = path
        self.fd = fd
        self.rival = rival

    @property
    def stderr(self) -> int:
        """What the shim gets as its standard error, and with it the lock. The step gets another one there, so that
        it sees no file of ours."""
        return subprocess.DEVNULL if self.fd < 0 else self.fd

    def let_go(self) -> None:
        """Hold the lock no longer. To be called once the shim has started, or could not."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def ended(self, order: Order, outcome: str) -> None:
        """Write the stop record, if that is possible."""
        if self.path is not None and self.rival is None:
            with contextlib.suppress(OSError), self.path.open("ab", buffering=0) as record:
                record.write(_line("end", order, record.fileno(), outcome))


@contextlib.contextmanager
def running(order: Order) -> Iterator[Running]:
    """Lock the step's record and write the start; with `rival` set somebody else is, or was, here instead."""
    mine = _begun(order, order.files.parent / FOLDER)
    try:
        yield mine
    finally:
        mine.let_go()


def _begun(order: Order, folder: Path) -> Running:
    name = _SHORT.sub("", order.key) or "none"
    path = folder / name[:2] / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(path.parent, keep=name)
        fd = _opened(path)
    except OSError:
        return Running()
    try:
        return _locked(order, path, fd)
    except OSError:
        os.close(fd)
        return Running()


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _locked(order: Order, path: Path, fd: int) -> Running:
    """The lock and the start record; or, with the descriptor closed, who holds it or was here with a newer claim."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            rival = _last(order, _lines(fd), alive=True)
            os.close(fd)
            return Running(path, rival=rival)
        if _is_at(path, fd):
            break
        os.close(fd)  # it was swept away between opening and locking
        fd = _opened(path)
    lines = _lines(fd)
    rival = _last(order, lines, alive=False)
    if rival is not None:
        os.close(fd)
        return Running(path, rival=rival)
    if sum(map(len, lines)) > KEPT_BYTES:
        os.ftruncate(fd, 0)
        os.write(fd, b"".join(line + b"\n" for line in lines[-KEPT_LINES:]))
    os.write(fd, _line("start", order, fd))
    return Running(path, fd)


def _is_at(path: Path, fd: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def _line(word: str, order: Order, fd: int, outcome: str = "-") -> bytes:
    os.utime(fd)  # the record's own clock: that of its file system
    claim = _SHORT.sub("", order.claim) or "-"
    return f"{word} {claim} {order.fence} {os.fstat(fd).st_mtime:.6f} {outcome}\n".encode()


def _lines(fd: int) -> list[bytes]:
    return os.pread(fd, 16 * KEPT_BYTES, 0).splitlines()


def _last(order: Order, lines: list[bytes], *, alive: bool) -> Rival | None:
    """The run that stands against this one: the one that holds the lock, or one with a newer claim."""
    starts: dict[str, Rival] = {}
    for line in lines:
        word, _, rest = line.decode(errors="replace").partition(" ")
        fields = rest.split()
        if len(fields) != 4 or not fields[1].isdigit():
            continue  # cut off by a crash
        claim, fence, at, _ = fields
        began = starts[claim].started if word == "end" and claim in starts else at
        starts[claim] = Rival(
            claim=claim, fence=int(fence), rollout=order.rollout, started=began,
            ended=at if word == "end" else "", alive=alive,
        )  # fmt: skip
    if alive:
        # the lock is held though its start was not written yet, or was swept away: somebody, nobody knows who
        return (
            list(starts.values())[-1]
            if starts
            else Rival(claim="", fence=0, rollout=order.rollout, alive=True)
        )
    newer = [rival for rival in starts.values() if rival.fence > order.fence]
    return max(newer, key=lambda rival: rival.fence, default=None)


def _sweep(folder: Path, *, keep: str) -> None:
    """Remove the oldest records that nobody holds, when there are too many."""
    names = os.listdir(folder)
    if len(names) <= MOST_FILES:
        return
    aged: list[tuple[float, Path]] = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            aged.append(((folder / name).stat().st_mtime, folder / name))
    for _, path in sorted(aged)[: len(aged) - MOST_FILES // 2]:
        if path.name == keep:
            continue
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(fd)
