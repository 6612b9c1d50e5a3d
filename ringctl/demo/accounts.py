"""Who lives in the demo: accounts, their sizes, rings and traits, and the names they gave to things.

Everything here follows from the number of accounts alone, so that what was seeded can be told again
later, and a name that got lost or bent on the way is seen.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MIN_ACCOUNTS = 14
DEFAULT_ACCOUNTS = 60
SMALLEST, LARGEST = 40, 4_000
GIANT = 25_000
# Of 60 accounts: 8 in ring 0, 16 in ring 1, the others in ring 2.
RING_0_SHARE, RING_1_SHARE = 8 / 60, 16 / 60
RING_0_MIN, RING_1_MIN = 6, 5

# The smallest account of each decade of sizes, in every ring: together they have every trait value.
FIRST_OF_DECADE = {1: ("eu", "basic"), 2: ("us", "enterprise"), 3: ("ap", "basic")}
REGIONS = ("eu", "us", "ap")
EDITIONS = ("basic", "enterprise")

HOSTILE_NAMES = (
    "O'Brien's build",
    'the "quoted" one',
    "C:\\src\\main\\",
    "100% done, %s %d",
    "~0 already escaped? ~5~~1",
    "Übersetzung 翻訳 ✓",
    "trailing blanks   ",
    "   leading blanks",
    "a/b//c",
    "'; DROP TABLE build; --",
    ":lo and :hi and ?",
    "new\nline and\ttab",
    "cafe\u0301 is not caf\u00e9",
    "\U0001f600 beyond the basic plane",
)
PLAIN_NAMES = ("Nightly", "Continuous", "Release", "Pull requests", "Packages", "Documentation")
STATUSES = ("succeeded", "succeeded", "succeeded", "failed", "stopped")
PEOPLE = ("ana", "bo", "chidi", "dae", "eva")

# The stored form of a name: each character on the left as the two on the right, the tilde first. The
# bundles do the same in SQL; a tilde never stands for itself, so decoding the other way round is exact.
ESCAPES = (("~", "~0"), ("\\", "~1"), ("/", "~2"), ("'", "~3"), ('"', "~4"), (" ", "~5"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """One account of the demo: where its database is and how much was put into it."""

    id: str
    ring: int
    builds: int
    definitions: int
    region: str
    edition: str
    database: str = ""

    @property
    def giant(self) -> bool:
        """Whether this is the one account that is larger than everything before it."""
        return self.builds >= GIANT


def shape(accounts: int = DEFAULT_ACCOUNTS) -> tuple[DemoAccount, ...]:
    """The accounts of a fleet of that many, ring by ring, smallest first; the giant is the last one.

    ValueError under 14: three rings with canary, reserve and all decades of sizes need that many.
    """
    if accounts < MIN_ACCOUNTS:
        raise ValueError(f"the demo needs at least {MIN_ACCOUNTS} accounts, not {accounts}")
    first = max(RING_0_MIN, round(accounts * RING_0_SHARE))
    second = max(RING_1_MIN, round(accounts * RING_1_SHARE))
    fleet: list[DemoAccount] = []
    for ring, count in enumerate((first, second, accounts - first - second)):
        sizes = [*_sizes(ring, count - 1), GIANT] if ring == 2 else _sizes(ring, count)
        traits = _traits(ring, sizes)
        for size, (region, edition) in zip(sizes, traits, strict=True):
            fleet.append(
                DemoAccount(
                    id=f"acc-{len(fleet) + 1:03d}",
                    ring=ring,
                    builds=size,
                    definitions=min(60, 8 + size // 40),
                    region=region,
                    edition=edition,
                )
            )
    return tuple(fleet)


def encoded(name: str) -> str:
    """A name as the upgraded product stores it."""
    for plain, escape in ESCAPES:
        name = name.replace(plain, escape)
    return name


def definition_names(account: DemoAccount) -> tuple[str, ...]:
    """The names of an account's build definitions, by id from 1: every second one is a hostile one."""
    start = zlib.crc32(account.id.encode())
    names = []
    for number in range(1, account.definitions + 1):
        pool = HOSTILE_NAMES if number % 2 else PLAIN_NAMES
        names.append(f"{number:02d} {pool[(start + number // 2) % len(pool)]}")
    return tuple(names)


def builds(account: DemoAccount) -> Iterator[tuple[int, int, str, str, str]]:
    """(build_id, definition_id, name, status, requested_for) of everything seeded, by id from 1."""
    names = definition_names(account)
    draw = random.Random(account.id)
    for number in range(1, account.builds + 1):
        definition = draw.randrange(len(names))
        # the number stands in front: blanks at the end of a name stay at the end
        name = f"20170929.{number} {names[definition]}"
        yield number, definition + 1, name, draw.choice(STATUSES), draw.choice(PEOPLE)


def _sizes(ring: int, count: int) -> list[int]:
    """Sizes from 40 to 4,000, evenly over the decades, both ends included; a little different in each ring."""
    draw = random.Random(ring)
    steps = max(1, count - 1)
    exact = [SMALLEST * (LARGEST / SMALLEST) ** (place / steps) for place in range(count)]
    jitter = [1.0 if ring == 0 else draw.uniform(0.9, 1.1) for _ in exact]
    sized = (round(size * factor) for size, factor in zip(exact, jitter, strict=True))
    return sorted(min(LARGEST, max(SMALLEST, size)) for size in sized)


def _traits(ring: int, sizes: list[int]) -> list[tuple[str, str]]:
    draw = random.Random(100 + ring)
    met: set[int] = set()
    traits = []
    for size in sizes:
        decade = len(str(size)) - 1
        if decade in FIRST_OF_DECADE and decade not in met:
            traits.append(FIRST_OF_DECADE[decade])
        else:
            traits.append((draw.choice(REGIONS), draw.choice(EDITIONS)))
        met.add(decade)
    return traits
