"""`ringctl` as a node that is wrong in one way: `python -m tests.multinode.torture_node HOW --state ...`.

HOW is `shifted:HOURS` (this node's wall clock is off by so much; that must not matter), or a seeded bug that the
torture's oracle must catch: `unguarded` (the claim without its exclusiveness, as in Octopus Server 2023.3) or
`unfenced` (no write asks whether the claim is still the current one). The bugs live here alone.
"""

import re
import sys
import time
from collections.abc import Sequence

from ringctl.__main__ import main
from ringctl.stores.statements import Statements

FENCE = re.compile(r"\band (?:\w+\.)?claim = (?::claim|g\.claim)\b")
NOT_A_HOLDERS = {"rescue_task"}
EXCLUSIVE = ("for update skip locked", "and state = 'pending'", "for no key update")


def shifted(hours: float) -> None:
    """Move what this process takes for the time of day."""
    seconds = hours * 3600.0
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + seconds
    time.time_ns = lambda: wall_ns() + int(seconds * 1e9)


def rewrite(change):
    """Every store of this process gets its statements changed (dict in place)."""
    load = Statements.load

    def changed(engine):
        found = load(engine)
        texts = {name: found[name] for name in found}
        change(texts)
        return Statements(texts)

    Statements.load = changed


def unfenced(texts: dict[str, str]) -> None:
    """No write of a worker asks whose the claim is."""
    hit = 0
    for name, text in texts.items():
        if name not in NOT_A_HOLDERS and "update task" in text and "= 'running'" in text:
            texts[name], count = FENCE.subn("", text)
            hit += count
    assert hit >= 4, "the guards to remove were not found"


def unguarded(texts: dict[str, str]) -> None:
    """On PostgreSQL: a claim locks nothing and looks at nothing again, after a pause as a busy server makes it."""
    for name in ("lock_admitting_wave", "claim_tasks"):
        before = texts[name]
        for words in EXCLUSIVE:
            head, found, tail = texts[name].rpartition(words)  # the last one: the outer look at the state
            texts[name] = head + tail if found else texts[name]
        assert texts[name] != before, f"{name} has no guard to remove"
    pause = "with flight as materialized (\n  select pg_sleep(0.2),"
    assert "with flight as materialized (\n  select" in texts["claim_tasks"]
    texts["claim_tasks"] = texts["claim_tasks"].replace("with flight as materialized (\n  select", pause)


def run(how: str, words: Sequence[str]) -> int:
    """A node that is wrong in this way."""
    kind, _, value = how.partition(":")
    if kind == "shifted":
        shifted(float(value))
    elif kind == "unfenced":
        rewrite(unfenced)
    elif kind == "unguarded" and any(word.startswith("postgresql:") for word in words):
        rewrite(unguarded)
    elif kind == "unguarded":
        from tests.incidents import contending_node

        return contending_node.run("unguarded", words)
    else:
        raise SystemExit(f"{how}: known are shifted:HOURS, unfenced, unguarded")
    return main(list(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
