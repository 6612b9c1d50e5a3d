"""Values to rows and back. Sequences and maps inside a row are canonical JSON text."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ringctl.core.digests import canonical
from ringctl.core.facts import CheckState
from ringctl.core.model import Hold, Member, Revision, Rollout, Wave
from ringctl.core.states import (
    OPEN_ROLLOUT_STATES,
    EffectState,
    RolloutState,
    Settle,
    TaskState,
    Verdict,
    WaveKind,
    WaveState,
)
from ringctl.ports.records import Effect
from ringctl.stores.database import Row, Value

_HALF = 1 << 63


def rank_in(rank: int) -> int:
    """An unsigned 64-bit rank as the signed number a column holds, order kept."""
    return rank - _HALF


def rank_out(stored: int) -> int:
    """The rank of `rank_in`."""
    return stored + _HALF


def pairs_in(pairs: tuple[tuple[str, str], ...]) -> str:
    """Name-value pairs as JSON text; their order is kept."""
    return json.dumps(pairs, separators=(",", ":"), ensure_ascii=False)


def pairs_out(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs of `pairs_in`."""
    return tuple((name, value) for name, value in json.loads(text))


def list_out(text: str) -> list[str]:
    """A JSON list's text as a list of words."""
    found: list[str] = json.loads(text)
    return found


def mapping_out(text: str) -> Mapping[str, Any]:
    """A JSON object's text as a mapping."""
    found: Mapping[str, Any] = json.loads(text)
    return found


def rollout_in(rollout: Rollout, *, wake_at_us: int | None = None) -> dict[str, Value]:
    """The columns of a rollout's row that `apply` saves."""
    return {
        "release": rollout.release,
        "component": rollout.component,
        "state": rollout.state,
        "is_open": int(rollout.state in OPEN_ROLLOUT_STATES),
        "policy": canonical(rollout.policy.document),
        "holds": canonical([asdict(hold) for hold in rollout.holds]),
        "drawn": canonical(rollout.drawn),
        "plan_digest": rollout.plan_digest,
        "accounts": rollout.accounts,
        "ended_us": rollout.ended_us,
        "wake_at_us": wake_at_us,
    }


def holds_out(text: str) -> tuple[Hold, ...]:
    """The holds of a rollout's row."""
    return tuple(Hold(**fields) for fields in json.loads(text))


def revision_in(revision: Revision) -> dict[str, Value]:
    """A revision's columns, its bundle's left out."""
    return {
        "number": revision.number,
        "digest": revision.digest,
        "author": revision.author,
        "at_us": revision.at_us,
        "reason": revision.reason,
        "watcher": revision.watcher,
        "actor": revision.actor,
        "change": revision.change,
        "qualified_at_us": revision.qualified_at_us,
        "failed": int(revision.failed),
    }


def revision_out(row: Row) -> Revision:
    """A row of `revisions_of`."""
    number, digest, author, at_us, reason, watcher, actor, change, qualified, failed = row[:10]
    return Revision(
        number=number,
        digest=digest,
        author=author,
        at_us=at_us,
        reason=reason,
        watcher=watcher,
        actor=actor,
        change=change,
        qualified_at_us=qualified,
        failed=bool(failed),
    )


def admits(rollout: Rollout, wave: Wave) -> bool:
    """Whether a claim of the wave may begin: the one condition that holds, pauses and amendments take away."""
    return (
        wave.state is WaveState.OPEN
        and wave.settle is Settle.NONE
        and rollout.state in {RolloutState.RUNNING, RolloutState.REQUALIFYING}
        and wave.revision == rollout.revision.number
    )


def wave_in(rollout: Rollout, wave: Wave) -> dict[str, Value]:
    """A wave's columns under the rollout as it is being saved."""
    admitting = admits(rollout, wave)
    return {
        "id": wave.id,
        "ring": wave.ring,
        "kind": wave.kind,
        "revision": wave.revision,
        "accounts": wave.accounts,
        "state": wave.state,
        "settle": wave.settle,
        "parallel": wave.parallel,
        "failures": wave.failures,
        "largest": wave.largest,
        "opened_us": wave.opened_us,
        "baking_us": wave.baking_us,
        "ended_us": wave.ended_us,
        "admitting": int(admitting),
        "approved": wave.revision if admitting else 0,
    }


def wave_out(row: Row) -> Wave:
    """A row of `waves_of`."""
    (ident, ring, kind, revision, accounts, state, settle, parallel, failures, largest,
     opened, baking, ended) = row[:13]  # fmt: skip
    return Wave(
        id=ident,
        ring=ring,
        kind=WaveKind(kind),
        revision=revision,
        accounts=accounts,
        state=WaveState(state),
        settle=Settle(settle),
        parallel=parallel,
        failures=failures,
        largest=largest,
        opened_us=opened,
        baking_us=baking,
        ended_us=ended,
    )


def member_out(row: Row, ring: str) -> Member:
    """Columns (account, size, decade, reserve, rank, traits, columns) as a member of `ring`."""
    account, size, decade, reserve, rank, traits, columns = row
    return Member(
        account=account,
        ring=ring,
        size=size,
        decade=decade,
        reserve=bool(reserve),
        rank=rank_out(rank),
        traits=pairs_out(traits),
        columns=pairs_out(columns),
    )


def effect_out(row: Row) -> Effect:
    """Columns (step, digest, state, key, fence, began, ended, outcome) as an effect."""
    step, digest, state, key, fence, began, ended, outcome = row
    return Effect(
        step=step,
        digest=digest,
        state=EffectState(state),
        key=key,
        fence=fence,
        began_us=began,
        ended_us=ended,
        outcome=mapping_out(outcome),
    )


def check_in(state: CheckState) -> dict[str, Value]:
    """A verdict's columns."""
    return {
        "check_name": state.check,
        "verdict": state.verdict,
        "reason": state.reason,
        "at_us": state.at_us,
        "error": state.error,
        "failed": int(state.failed),
        "numbers": canonical(state.numbers),
    }


def check_out(row: Row) -> CheckState:
    """Columns (check, verdict, reason, at, error, failed, numbers) as the latest verdict of a check."""
    check, verdict, reason, at_us, error, failed, numbers = row
    return CheckState(
        check=check,
        verdict=Verdict(verdict),
        reason=reason,
        at_us=at_us,
        error=error,
        failed=bool(failed),
        numbers=mapping_out(numbers),
    )


def task_state(word: str | None) -> TaskState | None:
    """A state's word, or None where there is no task."""
    return None if word is None else TaskState(word)
