"""Made-up fleets, policies and bundles on disk: the same bytes for the same numbers, no randomness."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

TRAITS = (
    "region",
    "edition",
    "plan",
    "language",
    "currency",
    "engine",
    "tls",
    "storage",
    "backup",
    "sso",
    "beta",
    "support",
)
VALUES = (8, 4, 5, 24, 12, 3, 2, 6, 4, 2, 2, 3)
ROLLOUT_TRAITS = 2

BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: up, version: "1", component: bench, author: ann}
steps:
  - {id: one, noop: {}}
"""
POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: bench, owner: bench}
inventory: {source: csv, path: accounts.csv, id: account_id, size: size, traits: [TRAITS]}
GATES
"""
CAREFUL = "max_parallel: 256, bake: {min: 1ms, max: 1m}, gates: [NAMES]"
THREE_RINGS = (
    "rings:\n"
    + "".join(
        f"  - {{name: {name}, select: {{ring: {ring}}}, canary: {{accounts: 40}}, waves: [25%, 100%], {CAREFUL}}}\n"
        for ring, name in enumerate(("inner", "early", "rest"))
    )
    + "limits: {size_factor: 10}\n"
)
ONE_RING = f"""\
rings:
  - {{name: all, select: {{ring: {{gte: 0}}}}, canary: {{accounts: 40}}, waves: [100%], max_failures: 100%,
     {CAREFUL}}}
limits: {{size_factor: 1000000}}
"""


def policy_text(traits: int, gates: str = "", names: str = "", *, rings: str = THREE_RINGS) -> str:
    """A policy with this many traits; `gates` is its `gates:` block, `names` the gates of every ring."""
    text = (POLICY + rings).replace("TRAITS", ", ".join(TRAITS[:traits]))
    return text.replace("GATES\n", gates).replace("NAMES", names)


def rows(accounts: int) -> Iterator[tuple[str, int, int, list[str]]]:
    """The rows of the fleet: skewed rings (1 %, 9 %, 90 %), sizes over four decades."""
    for number in range(accounts):
        bits = int.from_bytes(hashlib.blake2b(str(number).encode(), digest_size=16).digest(), "big")
        ring = 0 if number % 100 == 0 else 1 if number % 100 < 10 else 2
        size = 1 + (bits % 10 ** (1 + number % 4))
        cells = []
        for values in VALUES:
            bits, value = divmod(bits, 61)
            cells.append(f"v{min(value % 17, value) % values}")
        yield f"acct-{number:07d}", ring, size, cells


def write_world(
    folder: Path,
    accounts: int,
    *,
    traits: int = len(TRAITS),
    gates: str = "",
    names: str = "",
    rings: str = THREE_RINGS,
) -> Path:
    """Write accounts.csv, policy.yaml and bundle/ into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.yaml").write_text(policy_text(traits, gates, names, rings=rings))
    (folder / "bundle").mkdir(exist_ok=True)
    (folder / "bundle" / "bundle.yaml").write_text(BUNDLE)
    with (folder / "accounts.csv").open("w", newline="") as file:
        file.write(f"account_id,ring,size,{','.join(TRAITS)}\n")
        for name, ring, size, cells in rows(accounts):
            file.write(f"{name},{ring},{size},{','.join(cells)}\n")
    return folder
