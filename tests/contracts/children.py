"""Processes that a test starts on one SQLite file, and may kill: `python -m tests.contracts.children WHAT PATH ...`.

Each prints one line per committed act, so that the test knows what was acknowledged.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ringctl.core.decisions import Decided, Step
from ringctl.core.errors import VersionConflict
from ringctl.core.states import EffectState, TaskState
from ringctl.core.timing import MINUTE
from ringctl.ports.records import Claim
from ringctl.stores.sqlite import SQLiteStore
from ringctl.testing.values import bundle_of, policy_of


def open_store(path: str | Path) -> SQLiteStore:
    return SQLiteStore(path, decode_policy=policy_of, decode_bundle=bundle_of, patience_ms=60_000)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def unguarded_claim(store: SQLiteStore) -> Iterator[None]:
    """Octopus 2023.3: the claim without its write lock and without its look at the state."""
    take = store.statements["take_task"]
    guard = "and state = 'pending'"
    assert guard in take
    with store.statements.override(
        begin_write="pragma busy_timeout = 20000", commit="select 1", take_task=take.replace(guard, "")
    ):
        yield


def claim_all(path: str, name: str, bug: str = "") -> None:
    """Claim wave 1 to its end in batches of ten; one line per claim."""
    store = open_store(path)
    session = store.open_session(name, lease_us=60 * MINUTE)
    say("ready")
    sys.stdin.readline()
    with unguarded_claim(store) if bug else contextlib.nullcontext():
        rollout = store.load("ro-1")
        while claims := store.claim(session, rollout, rollout.wave(1), limit=10):
            say("\n".join(f"{claim.task} {claim.fence} {claim.id}" for claim in claims))
            time.sleep(
                0.002
            )  # the work, outside any transaction: SQLite's lock is not fair to who asks at once
    store.close()


def write(path: str, name: str, count: str) -> None:
    """A busy writer: entries, decisions and sessions."""
    store = open_store(path)
    for number in range(int(count)):
        store.record("ro-1", "signal", {"from": name, "number": number}, actor=name)
        rollout = store.load("ro-1")
        with contextlib.suppress(VersionConflict):
            step = Step(rollout=rollout, decisions=(Decided(kind="tick"),))
            store.apply(step, expected=rollout.version, actor=name)
        store.close_session(store.open_session(name, lease_us=MINUTE))
    store.close()
    say("done")


def churn(path: str) -> None:
    """Work until killed: claims, steps, ends, give-backs, entries."""
    store = open_store(path)
    session = store.open_session("churn", lease_us=60 * MINUTE)
    say("ready")
    number = 0
    while True:
        rollout = store.load("ro-1")
        store.rescue(grace_us=0)
        for claim in store.claim(session, rollout, rollout.wave(1), limit=5):
            _work(store, claim)
            store.record("ro-1", "ack", {"number": number}, actor="churn")
            number += 1
            say("ack")
        if rollout.version % 7 == 0:
            rollout = replace(rollout, drawn=(*rollout.drawn[-3:], f"d{number}"))
        decisions = tuple(Decided(kind="tick", payload={"n": n}) for n in range(20))
        store.apply(Step(rollout=rollout, decisions=decisions), expected=rollout.version, actor="churn")


def _work(store: SQLiteStore, claim: Claim) -> None:
    done = {effect.step for effect in claim.effects if effect.state is EffectState.DONE}
    for step in ("readers", "encode"):
        if step not in done:
            store.intent(claim, step, "d", f"{claim.task}-{step}", deadline_us=MINUTE)
            store.result(claim, step, EffectState.DONE, {"rows": 1}, lines=["one", "two"])
    ends = (TaskState.DONE, TaskState.PENDING, TaskState.FAILED, TaskState.PENDING)
    store.finish(claim, ends[claim.task % 4] if claim.attempt < 3 else TaskState.DONE, lines=["end"])


COMMANDS: dict[str, Callable[..., None]] = {"claim": claim_all, "write": write, "churn": churn}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
