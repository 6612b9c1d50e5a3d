"""Bigger numbers at night: `RINGCTL_TEST_SCALE=nightly` (what `./do nightly` sets)."""

import os


def scaled(normal: int, nightly: int) -> int:
    """How many seeds, accounts or rounds this run shall take."""
    name = os.environ.get("RINGCTL_TEST_SCALE", "normal")
    sizes = {"normal": normal, "nightly": nightly}
    if name not in sizes:
        raise ValueError(f"RINGCTL_TEST_SCALE={name!r} is unknown; known: {', '.join(sizes)}")
    return sizes[name]
