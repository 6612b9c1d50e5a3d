"""The oracle put to what a torture left: the targets' own records, the journal, the store's rows."""

import json
from dataclasses import dataclass

from ringctl.core.states import TaskState
from tests.multinode import oracle
from tests.multinode.targets import STEPS
from tests.multinode.torture import LEASE_S, Torture

ORPHAN_S = LEASE_S + 1.5
"""A body is gone so long after its node could renew last: the lease, the shim's kill, and a busy machine."""
SQL_STEPS = ("mark", "tail")


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong, by the promise that it breaks; and how much was looked at."""

    effects: tuple[str, ...]
    overlaps: tuple[str, ...]
    states: tuple[str, ...]
    orphans: tuple[str, ...]
    decisions: tuple[str, ...]
    store: tuple[str, ...]
    logs: tuple[str, ...]
    nodes: tuple[str, ...]
    bodies: int
    takeovers: int

    @property
    def wrong(self) -> dict[str, tuple[str, ...]]:
        """Only what is wrong."""
        kinds = ("effects", "overlaps", "states", "orphans", "decisions", "store", "logs", "nodes")
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}


def targets_alone(torture: Torture) -> tuple[list[str], list[str]]:
    """(double effects, overlapping or belated bodies), from the targets only: ringctl is not asked."""
    effects: list[str] = []
    overlaps: list[str] = []
    for account in torture.targets.accounts:
        book = torture.targets.lines(account)
        found = oracle.doubled(book) + torture.targets.twice_by_ledger(account)
        counts = torture.targets.effects(account)
        found += [f"{step} of {name}: {n} rows" for (name, step), n in counts.items() if n > 1]
        effects += [f"{account}: {what}" for what in found]
        overlaps += [f"{account}: {what}" for what in oracle.overlapping(book) + oracle.backwards(book)]
    return effects, overlaps


def nodes_amazed(torture: Torture) -> list[str]:
    """Nodes that met what cannot be."""
    said = {node.pid: node.said() for node in torture.started}
    return [f"node {pid}: {text[-300:]}" for pid, text in said.items() if "Traceback" in text]


def logs_disordered(torture: Torture, rollout: str) -> list[str]:
    """What is wrong with the logs of the rollout's tasks."""
    wrong = []
    for account in torture.targets.accounts:
        lines = oracle.disordered(list(torture.parts.store.task_log(rollout, account)))
        wrong += [f"{rollout} {account}: {what}" for what in lines]
    return wrong


def judge(torture: Torture) -> Found:
    """Everything. The rollouts have ended and the nodes are idle."""
    effects, overlaps = targets_alone(torture)
    store = torture.parts.store
    states: list[str] = []
    logs: list[str] = []
    marks: list[str] = []
    broken = list(store.verify())
    for rollout, name in torture.rollouts.items():
        states += _states(torture, rollout, name)
        logs += logs_disordered(torture, rollout)
        marks += [str(entry.payload["mark"]) for entry in store.journal(rollout) if entry.kind == "noted"]
        answer = torture.ringctl("audit", "verify", rollout, "-o", "json")
        if answer.code != 0 or not json.loads(answer.out)["ok"]:
            broken.append(f"audit verify {rollout}: {answer.out}{answer.err}")
    books = [torture.targets.lines(account) for account in torture.targets.accounts]
    seen = torture.watch.stop()
    return Found(
        effects=tuple(effects),
        overlaps=tuple(overlaps),
        states=tuple(states),
        orphans=tuple(oracle.orphans(seen, torture.losses, within_s=ORPHAN_S)),
        decisions=tuple(oracle.lost_decisions(torture.acted, marks)),
        store=tuple(broken),
        logs=tuple(logs),
        nodes=tuple(nodes_amazed(torture)),
        bodies=sum(line.kind == oracle.START for book in books for line in book),
        takeovers=sum(len(list(oracle.open_bodies(book))) for book in books),
    )


def _states(torture: Torture, rollout: str, name: str) -> list[str]:
    wrong = []
    rows = list(torture.parts.store.tasks(rollout))
    if sorted(row.account for row in rows) != sorted(torture.targets.accounts):
        wrong.append(f"{rollout}: {len(rows)} tasks, {len(torture.targets.accounts)} accounts")
    for row in rows:
        effects = {effect.step: str(effect.state) for effect in row.steps}
        book = torture.targets.lines(row.account)
        found = oracle.unlike_states(book, rollout, str(row.state), STEPS, effects)
        counts = torture.targets.effects(row.account)
        for step in SQL_STEPS:
            if row.state is TaskState.DONE and counts.get((name, step), 0) != 1:
                found.append(f"is done, and {step} took effect {counts.get((name, step), 0)} times")
        untouched = not effects and not counts.get((name, "mark"))
        if row.state is not TaskState.DONE and not (rollout in torture.by_hand and untouched):
            found.append(f"is {row.state}: {row.reason}")
        wrong += [f"{rollout} {row.account}: {what}" for what in found]
    return wrong
