"""Bundle bytes on disk: verified read-only copies to run from, and the origin they came from (DESIGN 12.2).

What runs is byte for byte what the store pinned (promise I3): a copy is written once from the store's bytes,
and every file a step may read is hashed again right before the step.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.core.bundle import Bundle
from ringctl.core.digests import sha256_hex
from ringctl.core.errors import InvalidInput
from ringctl.core.model import Rollout
from ringctl.ports.store import Store
from ringctl.settings import bundle_from_manifest, load_bundle


@dataclass(slots=True)
class Copies:
    """The copies of one process. Safe from several threads: a copy appears by an atomic rename."""

    store: Store
    root: Path
    bundles: dict[str, Bundle] = field(default_factory=dict)

    def bundle(self, digest: str) -> Bundle:
        """The pinned bundle of a digest, rebuilt from the store's manifest."""
        found = self.bundles.get(digest)
        if found is None:
            found = bundle_from_manifest(self.store.bundle_manifest(digest))
            self.bundles[digest] = found
        return found

    def directory(self, digest: str) -> Path:
        """Where the copy of a digest lies; written from the store when it is not there yet."""
        target = self.root / digest.removeprefix("sha256:")
        if not target.is_dir():
            self._write(target, self.store.bundle_files(digest))
        return target

    def _write(self, target: Path, files: Mapping[str, bytes]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="copy-", dir=self.root))
        try:
            for name, content in files.items():
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                # programs keep the right to be run; nothing keeps the right to be written
                path.chmod(0o555)
            scratch.chmod(0o755)
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def changed(self, bundle: Bundle, names: Iterable[str]) -> tuple[str, ...]:
        """Files of the copy whose bytes are not the pinned ones (a missing file counts)."""
        directory = self.directory(bundle.digest)
        return tuple(name for name in names if _hash(directory / name) != bundle.files[name])

    def rewrite(self, digest: str) -> None:
        """Throw a spoilt copy away; the next use writes it anew."""
        shutil.rmtree(self.root / digest.removeprefix("sha256:"), ignore_errors=True)


def _hash(path: Path) -> str:
    try:
        return sha256_hex(path.read_bytes())
    except OSError:
        return ""


@dataclass(slots=True)
class Origins:
    """Watches the directories that bundles came from. A stat signature spares the hashing when nothing moved."""

    host: str
    seen: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def changed(self, rollout: Rollout) -> tuple[str, ...] | None:
        """Files that differ from the pinned revision; empty when none does; None when the origin is not
        watched, is on another host, or is gone (shown, but no hold)."""
        if not rollout.origin or rollout.origin_host != self.host:
            return None
        root = Path(rollout.origin)
        signature = _signature(root)
        if signature is None:
            return None
        key = f"{rollout.revision.digest}:{signature}"
        known = self.seen.get(rollout.id)
        if known is None or known[0] != key:
            self.seen[rollout.id] = (key, _differences(root, rollout.bundle))
        return self.seen[rollout.id][1]


def _signature(root: Path) -> str | None:
    """Names, sizes, inodes and change times below a directory, or None when it is not there."""
    if not root.is_dir():
        return None
    rows = []
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                stat = os.stat(os.path.join(folder, name))
            except OSError:
                continue
            rows.append(f"{folder}/{name} {stat.st_size} {stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns}")
    return sha256_hex("\n".join(sorted(rows)).encode())


def _differences(root: Path, pinned: Bundle) -> tuple[str, ...]:
    """What differs between a directory and the pinned bundle. A bundle that no longer loads differs as well."""
    try:
        now = load_bundle(root).bundle
    except InvalidInput as error:
        return (f"bundle.yaml ({error.message})",)
    if now.digest == pinned.digest:
        return ()
    names = sorted(set(now.files) | set(pinned.files))
    files = tuple(name for name in names if now.files.get(name) != pinned.files.get(name))
    return files or ("bundle.yaml",)
