"""A file read from its first byte to its last while nobody changes it, or an error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ringctl.core.errors import ExternalError
from ringctl.inventories.rows import UNREADABLE, bad_bytes, refused


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The file's text, without a byte order mark.

    Raises InvalidInput when it cannot be read or is not UTF-8, and ExternalError when it changed
    meanwhile: half of an old and half of a new file is not a fleet.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            before = _signature(file)
            yield file
            after = _signature(file)
    except UnicodeDecodeError:
        raise bad_bytes(path) from None
    except OSError as error:
        raise refused(path, UNREADABLE, f"the accounts cannot be read: {error.strerror}") from None
    if before != after:
        message = f"{path}: the file changed while it was read"
        raise ExternalError(message, code=UNREADABLE, hint="run this again once it is written")


def _signature(file: TextIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
