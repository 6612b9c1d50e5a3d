"""Synthetic fleets for the shipped policies."""

import csv
from pathlib import Path

REGIONS = ("eu", "us", "apac")
EDITIONS = ("free", "team", "enterprise")
SIZES = (40, 900, 12_000)


def write_fleet(folder: Path, count: int) -> Path:
    """`accounts.csv` in the folder: three rings, every trait value and size in each, one giant in the last."""
    path = folder / "accounts.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["account_id", "ring", "rows", "region", "edition", "contract", "database", "url"])
        for number in range(count):
            ring = 0 if number < count * 0.15 else 1 if number < count * 0.4 else 2
            size = 3_000_000 if number == count - 1 else SIZES[(number + number // 3) % 3] + number % 7
            rows.writerow([
                f"acc-{number:04}", ring, size, REGIONS[number % 3], EDITIONS[number // 3 % 3],
                "gold" if number % 50 == 7 else "standard", f"db/acc-{number:04}.db", f"http://127.0.0.1/{number}",
            ])  # fmt: skip
    return path


def write_bundle(folder: Path) -> Path:
    """A bundle of one step that does nothing."""
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "bundle.yaml").write_text(
        'apiVersion: ringctl/v1\nkind: Bundle\nmetadata: {name: nothing, version: "1", component: app}\n'
        "steps:\n  - {id: go, noop: {}}\n"
    )
    return bundle
