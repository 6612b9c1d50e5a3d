"""The bytes of a bundle: every regular file below its directory, read once, bounded, links refused."""

import os
import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.core.closest import did_you_mean
from ringctl.core.digests import sha256_hex
from ringctl.core.errors import Finding, InvalidInput
from ringctl.settings.nodes import Node, clipped
from ringctl.settings.report import (
    OUTSIDE_BUNDLE,
    TOO_LARGE,
    UNREADABLE,
    Mistake,
    Report,
    Source,
)
from ringctl.settings.units import text

MANIFEST = "bundle.yaml"
MAX_TOTAL = 64 * 1024 * 1024
MAX_FILES = 10_000
IGNORED = "__pycache__"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFiles:
    """Bundle path -> bytes, the manifest left out. Paths are relative, with `/`."""

    contents: Mapping[str, bytes]
    digests: Mapping[str, str] = field(default_factory=dict)

    def path(self, node: Node) -> str:
        """The bundle path that a value names. Raises Mistake when there is no such file."""
        written = text(node)
        path = bundle_path(written)
        if path not in self.contents:
            hidden = any(part.startswith(".") for part in path.split("/"))
            hint = "hidden files are not part of a bundle" if hidden else ""
            near = "" if hidden else did_you_mean(path, self.contents)
            message = f"there is no file `{clipped(path)}` in the bundle"
            raise Mistake(UNREADABLE, message, known=sorted(self.contents)[:20], hint=hint or near)
        return path


def bundle_path(written: str) -> str:
    """A path of the manifest in its one spelling. Raises Mistake when it leads out of the bundle."""
    if written.startswith(("/", "~")) or "\\" in written or (len(written) > 1 and written[1] == ":"):
        raise Mistake(OUTSIDE_BUNDLE, "not a path inside the bundle", hint="relative, with /")
    path = posixpath.normpath(written)
    if path == ".." or path.startswith("../"):
        raise Mistake(OUTSIDE_BUNDLE, "leads out of the bundle directory")
    return path


def read_files(directory: Path) -> tuple[bytes, BundleFiles]:
    """The manifest's bytes and all other files. Raises InvalidInput with every file that is refused."""
    reader = _Reader(directory)
    reader.walk(directory, "")
    reader.report.finish()
    manifest = reader.contents.pop(MANIFEST, None)
    if manifest is None:
        finding = Finding(
            code=UNREADABLE,
            message=f"there is no {MANIFEST} in the directory",
            path=str(directory),
            known=tuple(sorted(reader.contents)[:20]),
            hint="is that the bundle's directory?",
        )
        raise InvalidInput([finding])
    digests = {path: sha256_hex(content) for path, content in reader.contents.items()}
    return manifest, BundleFiles(contents=reader.contents, digests=digests)


class _Reader:
    """Walks the directory without following a link, within the bounds."""

    def __init__(self, directory: Path) -> None:
        self.report = Report(Source(path=str(directory)))
        self.contents: dict[str, bytes] = {}
        self._total = 0

    def walk(self, directory: Path, prefix: str) -> None:
        """Read everything below a directory."""
        try:
            with os.scandir(directory) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self._refuse(UNREADABLE, prefix, f"cannot be read: {error.strerror}")
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name == IGNORED:
                continue
            path = f"{prefix}{entry.name}"
            if not entry.name.isprintable() or "\\" in entry.name:
                self._refuse(OUTSIDE_BUNDLE, ascii(path), "has a name that is not plain UTF-8 text")
            elif entry.is_symlink():
                self._refuse(OUTSIDE_BUNDLE, path, "is a symbolic link: its target is not pinned")
            elif entry.is_dir(follow_symlinks=False):
                self.walk(Path(entry.path), f"{path}/")
            elif self._within(entry, path):
                self._read(entry.path, path)

    def _within(self, entry: "os.DirEntry[str]", path: str) -> bool:
        """Whether the bounds allow one more file; said once when they do not."""
        if self._total > MAX_TOTAL or len(self.contents) > MAX_FILES:
            return False
        self._total += entry.stat(follow_symlinks=False).st_size
        if self._total > MAX_TOTAL:
            self._refuse(TOO_LARGE, path, f"makes the bundle larger than {MAX_TOTAL // 2**20} MiB")
        elif len(self.contents) == MAX_FILES:
            self._refuse(TOO_LARGE, path, f"is one more than {MAX_FILES} files")
        return self._total <= MAX_TOTAL and len(self.contents) < MAX_FILES

    def _read(self, name: str, path: str) -> None:
        try:
            # a link or a pipe may have taken the file's place since it was listed
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    self._refuse(OUTSIDE_BUNDLE, path, "is not a regular file")
                    return
                content = file.read(MAX_TOTAL + 1)
        except OSError as error:
            self._refuse(UNREADABLE, path, f"cannot be read: {error.strerror}")
            return
        if len(content) > MAX_TOTAL:
            self._refuse(TOO_LARGE, path, f"is larger than {MAX_TOTAL // 2**20} MiB")
        self.contents[path] = content

    def _refuse(self, code: str, path: str, message: str) -> None:
        where = f"{self.report.source.path}/{path}" if path else self.report.source.path
        subject = f"`{path}`" if path else "the directory"
        self.report.findings.append(Finding(code=code, message=f"{subject} {message}", path=where))
