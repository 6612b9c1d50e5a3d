"""Where accounts come from."""

from pathlib import Path
from typing import Protocol

from ringctl.core.fleet import Fleet
from ringctl.core.policy import InventorySpec


class Inventory(Protocol):
    """Reads the whole fleet or raises: an incomplete read is an error, never a shorter fleet."""

    name: str

    def read(self, spec: InventorySpec, base: Path) -> Fleet:
        """Every account of the source, in source order. Relative paths are relative to `base`.

        Raises InvalidInput (RC7xxx with file:line:column) for a row that cannot be understood, an empty
        or duplicate id, a missing column; ExternalError when the source cannot be reached.
        """
        ...
