"""Read models: plain JSON values for the CLI, for pipelines and (later) the API. Shapes of DESIGN 10."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ringctl.core.coverage import decade_label
from ringctl.core.decide import bake_of, baseline_of, checks_of
from ringctl.core.requalifying import seen_share
from ringctl.core.states import OPEN_ROLLOUT_STATES, TaskState, WaveKind, WaveState
from ringctl.core.timing import SECOND, human
from ringctl.engine.listing import JSONObject, at, reruns_of

if TYPE_CHECKING:  # named here only: `status` plans nothing
    from ringctl.core.facts import Facts, WaveFacts
    from ringctl.core.model import Hold, Rollout, Wave
    from ringctl.core.planning import Plan
    from ringctl.core.policy import Policy
    from ringctl.engine.commands import Planned
    from ringctl.engine.parts import Parts


def started(rollout: Rollout, *, attached: bool) -> JSONObject:
    """What `start -o json` prints."""
    return {
        "schema": "ringctl/start/v1",
        "id": rollout.id,
        "revision": rollout.revision.name,
        "state": str(rollout.state),
        "attached": attached,
    }


def status(parts: Parts, rollout_id: str) -> JSONObject:
    """`status ROLLOUT`."""
    rollout = parts.store.load(rollout_id)
    facts = parts.store.facts(rollout)
    return {
        "schema": "ringctl/status/v1",
        "id": rollout.id,
        "release": rollout.release,
        "component": rollout.component,
        "state": str(rollout.state),
        "created_at": at(rollout.created_us),
        "ended_at": at(rollout.ended_us),
        "revision": _revision(rollout),
        "revisions": [_one_revision(rollout, index) for index in range(len(rollout.revisions))],
        "holds": [hold_object(hold) for hold in rollout.holds],
        "rings": [_ring(rollout, facts, ring.name) for ring in rollout.policy.rings],
        "counts": counts(rollout, facts),
        "reruns": parts.store.tallies().get(reruns_of(rollout.id), 0),
        "exposure": _exposure_summary(parts, rollout),
        "next": next_object(rollout, facts),
    }


def _revision(rollout: Rollout) -> JSONObject:
    current = rollout.revision
    return {"name": current.name, "digest": current.digest, "author": current.author}


def _one_revision(rollout: Rollout, index: int) -> JSONObject:
    revision = rollout.revisions[index]
    return {
        "name": revision.name,
        "digest": revision.digest,
        "author": revision.author,
        "at": at(revision.at_us),
        "reason": revision.reason,
        "watcher": revision.watcher,
        "actor": revision.actor,
        "change": revision.change,
        "failed": revision.failed,
        "qualified_at": at(revision.qualified_at_us),
    }


def hold_object(hold: Hold) -> JSONObject:
    """A hold as JSON."""
    return {
        "code": hold.code,
        "error": hold.error,
        "reason": hold.reason,
        "owner": hold.owner,
        "since": at(hold.since_us),
        "next": hold.next,
        "ends_itself": hold.ends_itself,
    }


def wave_object(rollout: Rollout, wave: Wave, facts: WaveFacts) -> JSONObject:
    """A wave as JSON, its checks included."""
    return {
        "id": wave.id,
        "kind": str(wave.kind),
        "revision": f"r{wave.revision}",
        "state": str(wave.state),
        "accounts": wave.accounts,
        "waiting": facts.waiting + facts.pending,
        "running": facts.running,
        "done": facts.done,
        "failed": facts.failed,
        "unknown": facts.unknown,
        "cancelled": facts.cancelled,
        "opened_at": at(wave.opened_us),
        "passed_at": at(wave.ended_us) if wave.state is WaveState.PASSED else None,
        "bake": _bake(rollout, wave, facts),
        "checks": [
            {
                "check": state.check,
                "verdict": str(state.verdict),
                "reason": state.reason,
                "error": state.error,
                "at": at(state.at_us),
                "numbers": dict(state.numbers),
            }
            for state in facts.checks.values()
        ],
    }


def _bake(rollout: Rollout, wave: Wave, facts: WaveFacts) -> JSONObject:
    bake = bake_of(rollout, wave)
    return {
        "credited_seconds": facts.bake_us / SECOND,
        "min_seconds": bake.min_us / SECOND,
        "max_seconds": bake.max_us / SECOND,
        "activity": facts.activity,
        "activity_needed": bake.activity,
        "baseline_seconds": facts.baseline_us / SECOND,
        "baseline_needed_seconds": baseline_of(checks_of(rollout, wave)) / SECOND,
    }


def _ring(rollout: Rollout, facts: Facts, name: str) -> JSONObject:
    waves = [wave for wave in rollout.waves if wave.ring == name]
    return {
        "name": name,
        "state": _ring_state(rollout, name),
        "waves": [wave_object(rollout, wave, facts.wave(wave.id)) for wave in waves],
    }


def _ring_state(rollout: Rollout, name: str) -> str:
    waves = [wave for wave in rollout.current_waves() if wave.ring == name]
    number = rollout.revision.number
    mine = [wave for wave in rollout.waves if wave.ring == name and wave.revision == number]
    if any(wave.state is WaveState.WITHDRAWN and wave.kind is not WaveKind.RESERVE for wave in mine):
        return "withdrawn"  # aborted: what did not pass is not called passed
    if not waves:
        return "waiting" if name not in rollout.drawn else "passed"
    if any(wave.state in {WaveState.OPEN, WaveState.BAKING} for wave in waves):
        return "open"
    if any(wave.state is WaveState.FAILED for wave in waves):
        return "failed"
    main = [wave for wave in waves if wave.kind is not WaveKind.RESERVE]
    if all(wave.over for wave in main) and name in rollout.drawn:
        return "passed"
    return "open" if any(wave.over for wave in waves) else "waiting"


def counts(rollout: Rollout, facts: Facts) -> JSONObject:
    """Accounts by what became of them, over all revisions."""
    total: JSONObject = {"accounts": rollout.accounts}
    for key in ("done", "failed", "unknown", "running", "skipped"):
        total[key] = sum(getattr(facts.wave(wave.id), key) for wave in rollout.waves)
    total["to_go"] = facts.unfinished_accounts
    return total


def _exposure_summary(parts: Parts, rollout: Rollout) -> JSONObject:
    """Accounts on which a step of a revision was begun, whatever became of them later."""
    touched = parts.store.touched(rollout.id)
    return {revision.name: touched.get(revision.number, 0) for revision in rollout.revisions}


def next_object(rollout: Rollout, facts: Facts) -> JSONObject:
    """What the rollout waits for, whom, and the way on."""
    if rollout.state not in OPEN_ROLLOUT_STATES:
        return {"what": "nothing", "text": f"the rollout is {rollout.state}"}
    person = next((hold for hold in rollout.holds if not hold.ends_itself), None)
    hold = person or next(iter(rollout.holds), None)
    if hold is not None:
        return {
            "what": "hold",
            "text": hold.reason,
            "whom": hold.owner if person else "ringctl",
            "way": hold.next,
        }
    wave = next((w for w in rollout.current_waves() if not w.over), None)
    if wave is None:
        return {"what": "draw", "text": "the next waves are drawn", "whom": "ringctl", "way": ""}
    seen = facts.wave(wave.id)
    label = f"the {wave.kind} wave of ring {wave.ring} (r{wave.revision})"
    nodes = "" if facts.nodes else "; no node is alive: start `ringctl run`"
    if wave.state is WaveState.BAKING:
        bake = bake_of(rollout, wave)
        left = max(0, bake.min_us - seen.bake_us)
        return {
            "what": "bake",
            "text": f"{label} bakes, {human(left)} left{nodes}",
            "whom": "ringctl",
            "way": "",
        }
    left_count = seen.unfinished or wave.accounts
    return {"what": str(wave.state), "text": f"{label}: {left_count} account(s) to go{nodes}", "whom": "ringctl",
            "way": ""}  # fmt: skip


def why(parts: Parts, rollout_id: str) -> JSONObject:
    """`why ROLLOUT`: what it waits for, with the accounts that need somebody."""
    rollout = parts.store.load(rollout_id)
    facts = parts.store.facts(rollout)
    wave = next((w for w in rollout.current_waves() if not w.over), None)
    troubled = [TaskState.FAILED, TaskState.UNKNOWN]
    accounts = [
        {
            "account": row.account,
            "ring": row.ring,
            "revision": f"r{row.revision}",
            "state": str(row.state),
            "reason": row.reason,
        }
        for row in parts.store.tasks(rollout_id, states=troubled)
    ]
    return {
        "schema": "ringctl/why/v1",
        "id": rollout.id,
        "state": str(rollout.state),
        "next": next_object(rollout, facts),
        "holds": [hold_object(hold) for hold in rollout.holds],
        "wave": wave_object(rollout, wave, facts.wave(wave.id)) if wave else None,
        "accounts": accounts,
    }


def events(parts: Parts, rollout_id: str, *, after: int = 0) -> Iterator[JSONObject]:
    """`events`: one journal entry each."""
    for entry in parts.store.journal(rollout_id, after=after):
        yield {
            "schema": "ringctl/event/v1",
            "seq": entry.seq,
            "at": at(entry.at_us),
            "kind": entry.kind,
            "rollout": entry.rollout,
            "actor": entry.actor,
            "data": dict(entry.payload),
            "prev": entry.prev,
            "hash": entry.hash,
        }


def exposure(parts: Parts, rollout_id: str, *, revision: str = "") -> Iterator[JSONObject]:
    """`exposure`: account x revision x [from, to) x phase."""
    number = int(revision.removeprefix("r")) if revision else None
    for row in parts.store.exposure(rollout_id, revision=number):
        yield {
            "schema": "ringctl/exposure/v1",
            "account": row.account,
            "revision": row.revision,
            "from": at(row.from_us),
            "to": at(row.to_us),
            "phase": row.phase,
        }


def plan_document(planned: Planned) -> JSONObject:
    """`plan -o json` and `plan --out`."""
    made = planned.plan
    return {
        "schema": "ringctl/plan/v1",
        "release": planned.release,
        "digest": made.digest,
        "policy": {"name": planned.policy.name, "digest": made.policy_digest},
        "bundle": {"name": planned.loaded.bundle.name, "digest": made.bundle_digest},
        "fleet": {"digest": made.fleet_digest, "accounts": made.accounts, "unassigned": made.unassigned},
        "seed": made.seed,
        "rings": [_planned_ring(made, planned.policy, index) for index in range(len(made.rings))],
        "reserve": [
            {"ring": wave.ring, "accounts": len(wave.members), "members": _names(wave.members)}
            for wave in made.reserve
        ],
        "requalification": _requalification(planned),
        "unsafe": [_finding(finding) for finding in made.unsafe],
        "warnings": [_finding(finding) for finding in made.warnings],
    }


def _names(members: Any) -> list[str]:
    return [member.account for member in members]


def _planned_ring(made: Plan, policy: Policy, index: int) -> JSONObject:
    ring = made.rings[index]
    rules = policy.rings[index]
    return {
        "name": ring.name,
        "accounts": ring.accounts,
        "reserve": ring.reserve,
        "max_parallel": rules.max_parallel,
        "bake": {
            "min_seconds": rules.bake.min_us / SECOND,
            "activity": rules.bake.activity,
            "max_seconds": rules.bake.max_us / SECOND,
        },
        "gates": list(rules.gates),
        "waves": [
            {
                "kind": str(wave.kind),
                "accounts": len(wave.members),
                "largest": wave.largest,
                "meets": [f"{trait}={value}" for trait, value in wave.meets],
                "new_sizes": [decade_label(decade) for decade in wave.new_decades],
                "members": _names(wave.members),
            }
            for wave in ring.waves
        ],
    }


def _requalification(planned: Planned) -> JSONObject:
    """What a changed script would be forced back to, at most, were it changed after the first ring."""
    rules = planned.policy.requalify
    first = planned.plan.rings[0].accounts if planned.plan.rings else 0
    size = rules.cap(max(1, planned.plan.accounts - first))
    return {
        "accounts": size,
        "seen_share": round(seen_share(size), 4),
        "bake_seconds": rules.bake.min_us / SECOND,
    }


def _finding(finding: Any) -> Mapping[str, Any]:
    return {
        "code": finding.code,
        "message": finding.message,
        "items": list(finding.items),
        "hint": finding.hint,
        "severity": finding.severity,
    }
