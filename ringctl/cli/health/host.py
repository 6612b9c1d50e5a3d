"""The host: work directory, disk, and whether the shim keeps its promise here."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringctl.cli.health.checks import Check, failed, passed, warned
from ringctl.executors.supervised import Command, supervise
from ringctl.ports.clock import Clock

GRACE_S: Final = 1.0
RIGHT_S: Final = 0.5
SLACK_S: Final = 3.0
LITTLE: Final = 1 << 30
TOO_LITTLE: Final = 100 << 20
# it ignores the friendly signal, so that only KILL ends it, and leaves a child behind
STUBBORN: Final = "#!/bin/sh\ntrap '' TERM\nsleep 60 &\necho started\nwhile :; do sleep 60; done\n"


@dataclass(slots=True)
class _Right:
    """A right to run that ends soon and is never renewed."""

    until: float
    said: str = ""

    def deadline(self) -> float:
        """When it ends."""
        return self.until

    def step_deadline(self) -> float:
        """Later than that."""
        return self.until + 60.0

    def stop_requested(self) -> bool:
        """Never: the end of the right is what is tried."""
        return False

    def log(self, text: str) -> None:
        """What the step said."""
        self.said += text

    def sleep(self, seconds: float) -> None:
        """Not called by a command."""


def work_dir(path: Path) -> Iterator[Check]:
    """Whether bundle copies can be written, and programs run from there."""
    place = existing(path)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix="doctor-"):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        yield failed(
            "work-dir", f"{path} cannot be written: {reason}", "set RINGCTL_WORK to a directory of this user"
        )
        return
    yield passed("work-dir", f"{path} can be written")
    yield disk("disk-work", place)


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there: `doctor` makes none."""
    return next((place for place in (path, *path.parents) if place.is_dir()), path)


def disk(name: str, path: Path) -> Check:
    """Whether there is room."""
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    text = f"{free >> 20} MiB free at {path}"
    if free < TOO_LITTLE:
        return failed(name, text, "make room: a full disk stops everything")
    if free < LITTLE:
        return warned(name, text, "make room soon")
    return passed(name, text)


def shim(path: Path, clock: Clock) -> Check:
    """Whether a step that does not want to end is killed when its right ends, its children too."""
    try:
        with tempfile.TemporaryDirectory(dir=existing(path), prefix="doctor-") as folder:
            return _tried(Path(folder), clock)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return failed(
            "shim", f"no step can be started: {reason}", "ringctl needs fork and /proc; see the hint above"
        )


def _tried(folder: Path, clock: Clock) -> Check:
    script = folder / "stubborn.sh"
    script.write_text(STUBBORN, encoding="ascii")
    script.chmod(0o755)
    right = _Right(clock.monotonic() + RIGHT_S)
    command = Command(
        argv=("./stubborn.sh",), env={"PATH": "/usr/bin:/bin"}, cwd=folder, output=folder / "out",
        cap_bytes=4096, grace_s=GRACE_S,
    )  # fmt: skip
    end = supervise(command, right)
    late = clock.monotonic() - right.until
    if end.noexec:
        return failed(
            "shim",
            f"programs cannot be run from the work directory: {end.noexec}",
            "mount it without noexec, or set RINGCTL_WORK",
        )
    if end.killed != "lease" or alive(end.started) or late > GRACE_S + SLACK_S:
        what = f"killed: {end.killed or 'no'}, {late:.1f} s after its right had ended"
        return failed("shim", f"a step outlived its right ({what})", "do not run commands here; report this")
    return passed("shim", f"a step that ignores TERM was killed {late:.1f} s after its right had ended")


def alive(group: int) -> bool:
    """Whether anything of a process group lives. The dead that nobody has collected yet do not (Linux)."""
    if group <= 0:
        return False
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    found = [fields for fields in map(_stat, Path("/proc").glob("[0-9]*/stat")) if fields]
    return not found or any(fields[2] == str(group) and fields[0] not in {"Z", "X"} for fields in found)


def _stat(path: Path) -> list[str]:
    """State, parent, group and more of a process; nothing when it is gone."""
    with contextlib.suppress(OSError):
        return path.read_bytes().rpartition(b")")[2].decode(errors="replace").split()
    return []
