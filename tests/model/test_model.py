"""The protocol as a model, every interleaving of it: no promise is broken, and each seeded bug breaks one.

`claim.pml` says what is modelled; `docs/explanation/model.md` what each bug shows.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.spin import MODEL, Checker, Size
from tests.support.scale import scaled

pytestmark = pytest.mark.needs("spin", "gcc")

ALONE = Size(nodes=1, claims=3, holds=1, crashes=1)
"""One node and everything: two steps of two revisions, a hold, an amendment, a crash."""
CONTENDING = Size(nodes=2, claims=2, steps=1, amends=0)
"""Two nodes, one revision of one step."""
AMENDED = Size(nodes=2, claims=2, steps=1)
"""Two nodes: the one may sit on a claim of r1 while the other runs r2."""
FAIR = Size(nodes=1, claims=2, crashes=1)

# name: (bounds, fewest states: fewer means that the model has lost something)
RIGHT = {
    "alone": (ALONE, 1_200_000),
    "contending": (replace(CONTENDING, crashes=1), 2_300_000),
    "amended": (AMENDED, 4_400_000),
}
if scaled(0, 1):
    RIGHT |= {
        "three claims": (replace(CONTENDING, claims=3), 4_000_000),
        "two steps": (replace(CONTENDING, steps=2), 2_400_000),
        "four claims": (replace(ALONE, claims=4, crashes=2), 2_500_000),
        "amended, a crash": (replace(AMENDED, crashes=1), 11_000_000),
    }
PROMISES = {"cancel_ends": 220_000, "drawn_in_the_end": 230_000}

# bug: (bounds, a piece of the condition that is found broken; 5, 3 and 4 are NONE, TOOK and INTENT)
NEVER = {
    "BUG_NO_CLAIM_ID": (CONTENDING, "claim[t]==mine"),
    "BUG_CLAIM_IS_NOT_GUARDED": (CONTENDING, "effect[((2*t)+s)]==5"),
    "BUG_LATE_DEADLINE": (CONTENDING, "came==3"),
    "BUG_NO_START_CHECK": (CONTENDING, "came==3"),
    "BUG_NO_SHIM": (CONTENDING, "came==3"),
    "BUG_NO_GRACE": (CONTENDING, "came==3"),
    "BUG_NO_INTENT": (ALONE, "effect[child_of[n]]==4"),
    "BUG_BLIND_RETRY": (ALONE, "applied["),
    "BUG_CLAIM_LOOKS_EARLIER": (ALONE, "!(held)"),
    "BUG_RENEW_AFTER_EXPIRY": (ALONE, "!(cleared[n])"),
    "BUG_RESCUE_IGNORES_STATE": (ALONE, "!(((state["),
    "BUG_HALF_IS_CANCELLED": (ALONE, "!((((effect[(2*0)]==3)"),
    "BUG_AMENDMENT_FORGETS": (ALONE, "applied["),
    "BUG_DRAWN_WHILE_IT_RUNS": (ALONE, "effect[2]==5"),
}
# bug: the promise that it breaks
IN_THE_END = {"BUG_ONLY_THE_HOLDER_CANCELS": "cancel_ends", "BUG_STRANGE_CLAIMS_STAY": "cancel_ends"}
BUGS = re.findall(r"\bBUG_[A-Z_]*[A-Z]\b", MODEL.read_text())

# Lines that stand in the model twice (a block for both revisions, or for every end) and can be met in one place only.
NEVER_MET = ("tried[t] = 1", "state[1] = ", "D_STEP")


@pytest.fixture(scope="module")
def counts(last_line: Callable[[str], None]) -> Iterator[dict[str, int]]:
    """What was searched and found, for the last line."""
    found: dict[str, int] = {}
    yield found
    right = {name: states for name, states in found.items() if not name.startswith("BUG_")}
    last_line(
        f"model: {sum(right.values()):,} states in {len(right)} searches without an error, "
        f"{len(found) - len(right)} of {len(set(BUGS))} seeded bugs found"
    )


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_forbidden_happens(tmp_path: Path, counts: dict[str, int], name: str) -> None:
    size, floor = RIGHT[name]
    found = Checker(tmp_path, size).search()
    assert found.error == ""
    assert found.states >= floor
    counts[name] = found.states
    if size is ALONE:  # every line of the model was met: nothing holds because nothing happens
        assert [line for line in found.unreached if not line.startswith(NEVER_MET)] == []


def test_what_was_promised_happens(tmp_path: Path, counts: dict[str, int]) -> None:
    """A cancelled task ends, and its account goes to the new revision: under weak fairness, whatever crashes."""
    checker = Checker(tmp_path, FAIR, fair=True)
    for promise, floor in PROMISES.items():
        found = checker.search(promise)
        assert found.error == ""
        assert found.states >= floor
        counts[promise] = found.states


@pytest.mark.parametrize("bug", NEVER)
def test_a_seeded_bug_lets_something_forbidden_happen(
    tmp_path: Path, counts: dict[str, int], bug: str
) -> None:
    size, broken = NEVER[bug]
    found = Checker(tmp_path, size, bug=bug, optimise="-O0").search()  # compiling takes longer than searching
    assert found.error.startswith("assertion violated")
    assert broken in found.error
    counts[bug] = found.states


@pytest.mark.parametrize("bug", IN_THE_END)
def test_a_seeded_bug_keeps_a_promise_from_coming_true(
    tmp_path: Path, counts: dict[str, int], bug: str
) -> None:
    found = Checker(tmp_path, FAIR, bug=bug, fair=True, optimise="-O0").search(IN_THE_END[bug])
    assert found.error == "acceptance cycle"
    counts[bug] = found.states


def test_every_seeded_bug_is_looked_for() -> None:
    assert {*NEVER, *IN_THE_END} == set(BUGS)
