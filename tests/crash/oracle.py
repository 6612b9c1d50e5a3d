"""What has to hold after a crash, asked of the file itself and of the two files beside it."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ringctl import settings
from ringctl.stores.sqlite import SQLiteStore
from tests.crash.rollout import INNER, OUTER, read

Ask = Callable[..., object]
"""One value out of the store; None when there is no row."""


def problems(directory: Path, reference: dict[int, int]) -> list[str]:
    """Everything that is wrong. `reference`: how far the journal goes with each version of the rollout, in a run
    that nothing disturbs; a state that is saved without its entry falls behind it."""
    path = directory / "ringctl.db"
    facts = read(directory / "acknowledged")
    wrong = [f"took effect {n} times: {effect}" for effect, n in effects(directory).items() if n > 1]
    if not path.exists():
        return wrong + [f"acknowledged, and there is no file: {fact}" for fact in facts]
    with sqlite3.connect(path) as raw:
        integrity = raw.execute("pragma integrity_check").fetchall()
        if integrity != [("ok",)]:
            return [*wrong, f"integrity_check: {integrity}"]

        def ask(statement: str, *values: object) -> object:
            row = raw.execute(statement, values).fetchone()
            return row[0] if row else None

        made = ask("select count(*) from sqlite_master where name = 'rollout'")
        if not made:
            return wrong + [f"acknowledged, and there is no schema: {fact}" for fact in facts]
        wrong += [
            f"acknowledged, not stored: {fact}" for fact in facts if ask(HELD[fact[0]], *fact[1:]) is None
        ]
        version, seq = ask("select version from rollout"), ask("select journal_seq from rollout")
        if isinstance(version, int) and isinstance(seq, int) and seq < reference.get(version, 0):
            wrong.append(f"version {version} is saved with {seq} entries, not {reference[version]}")
        unsent = "select count(*) from effect where state = 'done'"
        if int(str(ask(unsent))) > len(effects(directory)):
            wrong.append("a step is done that took no effect")
    raw.close()
    store = SQLiteStore(
        path, decode_policy=settings.policy_from_document, decode_bundle=settings.bundle_from_manifest
    )
    wrong += store.verify()
    store.close()
    return wrong


def unfinished(directory: Path) -> list[str]:
    """What a rollout that has succeeded did not do: the first step once, the second in either form, everywhere."""
    done = effects(directory)
    places = {step: {account for account, name, _ in done if name == step} for step in ("a", "b")}
    return [
        f"{step} took effect on {sorted(accounts)} only"
        for step, accounts in places.items()
        if len(accounts) != INNER + OUTER
    ]


def effects(directory: Path) -> Counter[tuple[str, ...]]:
    """How often each (account, step, bytes) took effect."""
    return Counter(tuple(line) for line in read(directory / "effects"))


# kind of fact: the question whose answer is a row as long as the store holds it, or what came after it
HELD = {
    "schema": "select 1 from migration",
    "bundle": "select 1 from bundle where digest = ?",
    "rollout": "select 1 from rollout where id = ?",
    "session": "select 1 from node_session where id = ?",
    "entry": "select 1 from rollout r join journal j on j.rollout = r.key where r.id = ? and seq = ? and hash = ?",
    "version": "select 1 from rollout where id = ? and version >= ? and journal_seq >= ?",
    "look": "select 1 from wave where id = ? and looks >= ?",
    "claim": "select 1 from task where id = ? and fence >= ?",
    "intent": "select 1 from effect where task = ? and step = ? and idem_key = ?",
    "step-done": "select 1 from effect where task = ? and step = ? and state = 'done'",
    "task-done": "select 1 from task where id = ? and state = 'done'",
}
