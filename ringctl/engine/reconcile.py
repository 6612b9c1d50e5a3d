"""load -> decide -> apply, until nothing moves. No leader: whoever commits first wins, the other reads again."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ringctl.core import holds
from ringctl.core.coverage import Exercised
from ringctl.core.decide import RESERVE, decide
from ringctl.core.decisions import AddWave, Decided, Decision, Draw, PlaceHold, Step
from ringctl.core.drawing import PlannedWave, covered_ring_waves
from ringctl.core.errors import VersionConflict
from ringctl.core.facts import Facts
from ringctl.core.model import Member, Rollout, Wave
from ringctl.core.planning import reserve_waves
from ringctl.core.policy import Policy, RingPolicy
from ringctl.core.requalifying import Candidate, drawable, requalification_waves, resume_at
from ringctl.core.states import OPEN_ROLLOUT_STATES, WaveKind
from ringctl.core.timing import Instant
from ringctl.engine.copies import Origins
from ringctl.engine.parts import Parts

MOVES = 64
"""Most moves in one pass; what is left moves in the next one."""


RESERVE_FIRST_FROM = 3
"""The revision from which on requalification draws from the reserve first (DESIGN 12.6)."""

MEMBERS_SHOWN = 100
"""Most members that a journal entry names; the store has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Where a rollout stands after a pass, and when to look again (None: on news)."""

    rollout: Rollout
    facts: Facts
    wake_at_us: Instant | None


@dataclass(slots=True)
class Reconciler:
    """Decides for one process. Keeps nothing that matters: everything is read anew."""

    parts: Parts
    origins: Origins = field(init=False)

    def __post_init__(self) -> None:
        self.origins = Origins(host=self.parts.host)

    def reconcile(self, rollout_id: str) -> Reconciled:
        """Move the rollout as far as it goes now."""
        store = self.parts.store
        for _ in range(MOVES):
            rollout = store.load(rollout_id)
            if rollout.state not in OPEN_ROLLOUT_STATES:
                break
            self._watch_origin(rollout)
            facts = store.facts(rollout)
            step = decide(rollout, facts, store.now_us())
            if step.draw is not None:
                step = draw(self.parts, step, step.draw, facts)
            if step.rollout == rollout and not step.decisions:
                return Reconciled(rollout=rollout, facts=facts, wake_at_us=step.wake_at_us)
            try:
                store.apply(step, expected=rollout.version, actor="ringctl")
            except VersionConflict:
                continue
        rollout = store.load(rollout_id)
        return Reconciled(rollout=rollout, facts=store.facts(rollout), wake_at_us=store.now_us())

    def _watch_origin(self, rollout: Rollout) -> None:
        changed = self.origins.changed(rollout)
        if changed and rollout.hold("drift") is None:
            self.parts.store.set_drift(rollout.id, rollout.origin, changed)


def draw(parts: Parts, step: Step, what: Draw, facts: Facts) -> Step:
    """Carry out a Draw: stream the candidates, choose, and answer with a Step that adds the waves."""
    rollout = step.rollout
    if what.what == "requalification":
        planned, resumes = _requalification(parts, rollout)
        if not planned:
            return _nothing_to_requalify(parts, step, facts)
        drawn: tuple[str, ...] = rollout.drawn
    else:
        planned, resumes = _rings(parts, rollout)
        drawn = everything(rollout.policy)
    first = parts.store.next_wave_ids(len(planned)) if planned else 0
    waves = tuple(_wave(rollout, wave, first + index) for index, wave in enumerate(planned))
    decisions: list[Decision] = list(step.decisions)
    for wave, source in zip(waves, planned, strict=True):
        names = tuple(member.account for member in source.members)
        decisions.append(
            AddWave(
                wave=wave,
                members=names,
                resume_at={name: resumes[name] for name in names if name in resumes},
                payload=_drawn(wave, names),
            )
        )
    if not planned:
        decisions.append(Decided(kind="nothing-left", payload={"what": what.what}))
    after = replace(rollout, waves=(*rollout.waves, *waves), drawn=drawn)
    return Step(rollout=after, decisions=tuple(decisions), wake_at_us=step.wake_at_us)


def _drawn(wave: Wave, names: tuple[str, ...]) -> dict[str, object]:
    """How a drawn wave is journalled: its members too, where they are few."""
    return {**wave.label, "members": list(names)} if len(names) <= MEMBERS_SHOWN else dict(wave.label)


def _wave(rollout: Rollout, planned: PlannedWave, wave_id: int) -> Wave:
    return plan_wave(
        rollout.policy.ring(planned.ring), planned, wave_id=wave_id, revision=rollout.revision.number
    )


def plan_wave(ring: RingPolicy, planned: PlannedWave, *, wave_id: int, revision: int) -> Wave:
    """A planned wave as the row of a rollout. Canary, requalification and lone waves have no failure budget."""
    careful = planned.kind in {WaveKind.CANARY, WaveKind.REQUALIFICATION, WaveKind.LONE}
    count = len(planned.members)
    return Wave(
        id=wave_id,
        ring=planned.ring,
        kind=planned.kind,
        revision=revision,
        accounts=count,
        parallel=ring.max_parallel,
        failures=0 if careful else ring.max_failures.budget(count),
        largest=planned.largest,
    )


def _requalification(parts: Parts, rollout: Rollout) -> tuple[tuple[PlannedWave, ...], dict[str, str]]:
    store = parts.store
    from_step = rollout.bundle.from_step
    half: list[Candidate] = []

    def stream() -> Iterator[Candidate]:
        for member, state, last_step in store.candidates(rollout):
            candidate = Candidate(member=member, state=state, last_step=last_step)
            if candidate.half_done and drawable(candidate, from_step):
                half.append(candidate)
            yield candidate

    largest = store.largest_touched(rollout.id)
    planned = requalification_waves(
        rollout.policy,
        stream(),
        from_step,
        largest=largest,
        reserve_first=rollout.revision.number >= RESERVE_FIRST_FROM,
    )
    return planned, resume_at(half, from_step)


def everything(policy: Policy) -> tuple[str, ...]:
    """`Rollout.drawn` when all rings and the reserve are drawn."""
    return (*(ring.name for ring in policy.rings), RESERVE)


def _rings(parts: Parts, rollout: Rollout) -> tuple[tuple[PlannedWave, ...], dict[str, str]]:
    """Every ring anew, canary first, over its accounts still to go; the reserve's waves last."""
    store = parts.store
    policy = rollout.policy
    from_step = rollout.bundle.from_step
    number = rollout.revision.number
    traits, decades = store.done_traits(rollout.id, number)
    exercised = Exercised(traits=traits, decades=decades, largest=store.largest_done(rollout.id, number))
    planned: list[PlannedWave] = []
    reserve: dict[str, list[Member]] = {}
    half: list[Candidate] = []
    for ring in policy.rings:
        rows = store.candidates(rollout, ring=ring.name)
        candidates = [Candidate(member=m, state=s, last_step=last) for m, s, last in rows]
        usable = [c for c in candidates if drawable(c, from_step)]
        half += [c for c in usable if c.half_done]
        members = sorted((c.member for c in usable), key=lambda member: member.rank)
        reserve[ring.name] = [member for member in members if member.reserve]
        going = [member for member in members if not member.reserve]
        if going:
            waves, exercised = covered_ring_waves(
                ring, going, exercised, factor=policy.limits.size_factor, choose=parts.choose
            )
            planned += waves
    return (*planned, *reserve_waves(policy, reserve)), resume_at(half, from_step)


def _nothing_to_requalify(parts: Parts, step: Step, facts: Facts) -> Step:
    """No account can be drawn: finished already, or exhausted and waiting for people."""
    rollout = step.rollout
    if facts.unfinished_accounts:
        hold = holds.exhausted(rollout, parts.store.now_us())
        held = replace(rollout, holds=(*rollout.holds, hold))
        held = replace(held, state=held.active_state)
        return Step(rollout=held, decisions=(*step.decisions, PlaceHold(hold=hold)))
    current = replace(rollout.revision, qualified_at_us=parts.store.now_us())
    done = replace(rollout, revisions=(*rollout.revisions[:-1], current), drawn=everything(rollout.policy))
    said = Decided(kind="nothing-left", payload={"what": "requalification", "revision": current.name})
    return Step(rollout=done, decisions=(*step.decisions, said))
