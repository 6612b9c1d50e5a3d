"""decide(rollout, facts, now) -> Step: pure and deterministic; the same picture gives the same answer everywhere.

Level-triggered: each call looks at the whole picture and moves at most what can move now; the engine calls
again until nothing moves. If unsure, it holds and says why.
"""

from dataclasses import replace

from ringctl.core import holds
from ringctl.core.decisions import Decided, Decision, Draw, LiftHold, OpenWave, PlaceHold, Step
from ringctl.core.facts import CheckState, Facts, WaveFacts
from ringctl.core.judging import GateState, gate
from ringctl.core.model import Hold, Rollout, Wave
from ringctl.core.policy import Bake, Check, looks_every
from ringctl.core.states import (
    OPEN_ROLLOUT_STATES,
    ROLLOUT_EDGES,
    WAVE_EDGES,
    RolloutState,
    Settle,
    Verdict,
    WaveKind,
    WaveState,
    step,
)
from ringctl.core.timing import SECOND, Instant, Span, human

RESERVE = "*reserve*"
"""Stands in `Rollout.drawn` for the reserve's waves."""

QUIET_LOOKS = 3
"""Looks without an answer, in declared intervals, after which a silent source holds the rollout."""


def decide(rollout: Rollout, facts: Facts, now_us: Instant) -> Step:
    """The next state of the rollout, the decisions that lead there, and when to look again."""
    if rollout.state not in OPEN_ROLLOUT_STATES:
        return Step(rollout=rollout)
    mind = _Mind(rollout, facts, now_us)
    mind.drift()
    wave = next((w for w in mind.rollout.current_waves() if not w.over), None)
    draw: Draw | None = None
    if wave is None:
        draw = mind.between_waves()
    elif wave.state is WaveState.PLANNED:
        mind.planned(wave)
    elif wave.state is WaveState.OPEN:
        mind.open(wave)
    elif wave.state is WaveState.BAKING:
        mind.baking(wave)
    return mind.step(draw)


def checks_of(rollout: Rollout, wave: Wave) -> tuple[Check, ...]:
    """The checks that watch a wave: its ring's; a requalification wave is watched by all of the policy."""
    policy = rollout.policy
    if wave.kind is WaveKind.REQUALIFICATION:
        names = dict.fromkeys(name for ring in policy.rings for name in ring.gates)
        return tuple(policy.checks[name] for name in names)
    return policy.checks_of(policy.ring(wave.ring))


def bake_of(rollout: Rollout, wave: Wave) -> Bake:
    """The bake a wave has to stand."""
    if wave.kind is WaveKind.REQUALIFICATION:
        return rollout.policy.requalify.bake
    return rollout.policy.ring(wave.ring).bake


def baseline_of(checks: tuple[Check, ...]) -> Span:
    """How long a wave's accounts are sampled before it opens: the longest baseline of its checks.

    The built-in source `steps` needs none: nothing ran before.
    """
    return max((check.baseline_us for check in checks if check.source != "steps"), default=0)


def interval_of(rollout: Rollout, wave: Wave) -> Span:
    """The time between two looks at a wave."""
    return looks_every(checks_of(rollout, wave), bake_of(rollout, wave))


class _Mind:
    """One decision in the making: the rollout as it will be, and the decisions so far."""

    def __init__(self, rollout: Rollout, facts: Facts, now_us: Instant) -> None:
        self.rollout = rollout
        self.facts = facts
        self.now = now_us
        self.decisions: list[Decision] = []
        self.wake: Instant | None = None

    # -- the end of it ----------------------------------------------------------------------------
    def step(self, draw: Draw | None) -> Step:
        """The Step, with the rollout's state settled from holds and qualification."""
        state = self.rollout.state
        if state in OPEN_ROLLOUT_STATES:
            wanted = self.rollout.active_state
            if wanted is not state:
                self.rollout = replace(self.rollout, state=step(ROLLOUT_EDGES, state, wanted))
        return Step(rollout=self.rollout, decisions=tuple(self.decisions), draw=draw, wake_at_us=self.wake)

    # -- tools ------------------------------------------------------------------------------------
    def say(self, kind: str, **payload: object) -> None:
        self.decisions.append(Decided(kind=kind, payload=payload))

    def put(self, wave: Wave, state: WaveState, **changes: object) -> Wave:
        moved = replace(wave, state=step(WAVE_EDGES, wave.state, state), **changes)  # type: ignore[arg-type]
        self.rollout = self.rollout.with_wave(moved)
        return moved

    def hold(self, hold: Hold) -> None:
        """Place a hold unless one of its code is in force already."""
        if self.rollout.hold(hold.code) is None:
            self.rollout = replace(self.rollout, holds=(*self.rollout.holds, hold))
            self.decisions.append(PlaceHold(hold=hold))

    def lift(self, code: str) -> None:
        if self.rollout.hold(code) is not None:
            kept = tuple(hold for hold in self.rollout.holds if hold.code != code)
            self.rollout = replace(self.rollout, holds=kept)
            self.decisions.append(LiftHold(code=code))

    def wake_in(self, wave: Wave) -> None:
        self.wake = self.now + interval_of(self.rollout, wave)

    def person_holds(self) -> bool:
        return any(not hold.ends_itself for hold in self.rollout.holds)

    # -- what may be wrong at any time ------------------------------------------------------------
    def drift(self) -> None:
        drift = self.facts.drift
        if drift is None or self.rollout.hold("drift"):
            return
        self.hold(holds.drift(self.rollout, drift, self.now))
        self.settle_open(Settle.CLOSE)

    def settle_open(self, how: Settle) -> None:
        for wave in self.rollout.waves:
            if wave.state in {WaveState.OPEN, WaveState.BAKING} and wave.settle is Settle.NONE:
                self.rollout = self.rollout.with_wave(replace(wave, settle=how))

    # -- a wave's life ----------------------------------------------------------------------------
    def planned(self, wave: Wave) -> None:
        """Open it when nothing holds and its baseline is recorded."""
        checks = checks_of(self.rollout, wave)
        facts = self.facts.wave(wave.id)
        self.silence(wave, checks, facts)
        needed = baseline_of(checks)
        if facts.baseline_us < needed:
            self.wake_in(wave)
            self.hold(holds.baseline(wave, needed, self.now))
            return
        self.lift("baseline")
        if self.rollout.holds:
            return
        opened = self.put(wave, WaveState.OPEN, opened_us=self.now)
        self.decisions.append(OpenWave(wave=opened.id, payload=opened.label))
        self.wake_in(wave)

    def open(self, wave: Wave) -> None:
        """Watch it while its accounts are upgraded; to the bake when all have ended within the budget."""
        checks = checks_of(self.rollout, wave)
        facts = self.facts.wave(wave.id)
        self.wake_in(wave)
        state = gate(checks, facts)
        if state.verdict is Verdict.FAIL:
            self.fail(wave, state)
            return
        self.silence(wave, checks, facts)
        self.overshoot(wave, facts)
        lost = facts.failed + facts.unknown - facts.settling
        # an unknown account within the budget is nobody's to wait for: it is settled before the wave is judged
        stuck = not facts.unfinished and facts.unknown > facts.settling
        if lost > wave.failures or stuck:
            self.accounts(wave, facts)
            return
        self.lift("accounts")
        self.resume_settled(wave)
        if not facts.unfinished and not facts.unknown:
            self.put(wave, WaveState.BAKING, baking_us=self.now)
            self.say("wave-baking", **wave.label)

    def resume_settled(self, wave: Wave) -> None:
        """A wave told to settle takes accounts again once the last hold is gone."""
        if wave.settle is not Settle.NONE and not self.rollout.holds:
            self.rollout = self.rollout.with_wave(replace(wave, settle=Settle.NONE))

    def baking(self, wave: Wave) -> None:
        """Pass it on positive evidence only: time and activity credited, every check's PASS."""
        checks = checks_of(self.rollout, wave)
        facts = self.facts.wave(wave.id)
        bake = bake_of(self.rollout, wave)
        self.wake_in(wave)
        state = gate(checks, facts)
        if state.verdict is Verdict.FAIL:
            self.fail(wave, state)
            return
        if facts.unfinished:
            self.put(wave, WaveState.OPEN, baking_us=None)
            return
        self.silence(wave, checks, facts)
        self.overshoot(wave, facts)
        self.resume_settled(wave)
        missing = _bake_missing(bake, facts, state)
        if missing:
            self.idle(wave, bake, missing)
            return
        self.lift("idle")
        if self.rollout.holds:
            return
        passed = self.put(self.rollout.wave(wave.id), WaveState.PASSED, ended_us=self.now)
        self.say("wave-passed", **passed.label, bake_us=facts.bake_us, activity=facts.activity)
        self.wake = self.now

    # -- holds ------------------------------------------------------------------------------------
    def fail(self, wave: Wave, state: GateState) -> None:
        """A check failed: final for the revision. Close the open windows, hold, wait for an amendment."""
        failed = self.put(wave, WaveState.FAILED, settle=Settle.CLOSE, ended_us=self.now)
        current = replace(self.rollout.revision, failed=True)
        self.rollout = replace(self.rollout, revisions=(*self.rollout.revisions[:-1], current))
        self.say("gate-failed", **failed.label, checks=[_check(check) for check in state.failed])
        for code in ("baseline", "gate-silent", "idle", "accounts", "overshoot"):
            self.lift(code)
        self.hold(holds.gate_failed(self.rollout, wave, state, self.now))
        self.wake = self.now

    def silence(self, wave: Wave, checks: tuple[Check, ...], facts: WaveFacts) -> None:
        """Hold while a source gives no answer; lift when all answer again (promise I5)."""
        watched = [check for check in checks if check.source != "steps"]
        silent = [s for s in facts.checks.values() if s.error]
        every = max((check.every_us for check in watched), default=0)
        last = facts.last_answer_us
        quiet = last is not None and self.now - last > QUIET_LOOKS * every
        if not silent:
            self.lift("gate-silent")
            return
        if last is not None and not quiet:
            return
        self.hold(holds.silent(wave, silent, self.now))

    def overshoot(self, wave: Wave, facts: WaveFacts) -> None:
        """Hold while a step takes far too long, before the next account is claimed. `fresh`: people have not been
        told of all of it yet; what a hold has told them and they have resumed is not held for again."""
        state = facts.checks.get("overshoot")
        if state is None or state.numbers.get("fresh") is not True:
            return
        hold = holds.overshoot(self.rollout, wave, state, self.now)
        before = self.rollout.hold(hold.code)
        if before is not None and before.reason == hold.reason:
            return
        self.lift(hold.code)
        self.hold(hold)

    def accounts(self, wave: Wave, facts: WaveFacts) -> None:
        """More accounts failed or unknown than the budget has, or unknown ones are all that is left."""
        if wave.settle is Settle.NONE:
            self.rollout = self.rollout.with_wave(replace(wave, settle=Settle.FINISH))
        self.hold(holds.accounts(self.rollout, wave, facts, self.now))

    def idle(self, wave: Wave, bake: Bake, missing: str) -> None:
        """At the bake's ceiling: hold, never pass."""
        began = wave.baking_us if wave.baking_us is not None else self.now
        if self.now - began < bake.max_us:
            return
        self.hold(holds.idle(wave, bake, missing, self.now))

    # -- between waves ----------------------------------------------------------------------------
    def between_waves(self) -> Draw | None:
        """All drawn waves of the current revision are over: qualify, draw what comes next, or finish."""
        for code in ("baseline", "gate-silent", "idle"):
            self.lift(code)
        if not self.unaccounted():
            self.lift("accounts")
        if self.person_holds():
            return None
        if not self.rollout.qualified:
            return self.requalify()
        if RESERVE not in self.rollout.drawn:
            return self.settled_draw(Draw(what="rings"))
        self.finish()
        return None

    def settled_draw(self, draw: Draw) -> Draw | None:
        """Draw only when no task of an earlier revision runs any more."""
        current = self.rollout.revision.number
        running = sum(self.facts.wave(w.id).running for w in self.rollout.waves if w.revision != current)
        if running:
            self.wake = self.now + SECOND
            return None
        return draw

    def requalify(self) -> Draw | None:
        passed = [w for w in self.rollout.current_waves() if w.kind is WaveKind.REQUALIFICATION]
        if not passed:
            return self.settled_draw(Draw(what="requalification"))
        asked = sum(wave.accounts for wave in passed)
        if self.facts.proven < asked:
            self.hold(holds.unproven(self.rollout, asked, self.facts.proven, self.now))
            return None
        current = replace(self.rollout.revision, qualified_at_us=self.now)
        self.rollout = replace(self.rollout, revisions=(*self.rollout.revisions[:-1], current))
        self.say("requalified", revision=current.name, digest=current.digest,
                 accounts=asked)  # fmt: skip
        self.wake = self.now
        return None

    def unaccounted(self) -> int:
        """Accounts not done that neither failed within a budget nor were skipped: half done, or dropped."""
        if RESERVE not in self.rollout.drawn:
            return 0
        seen = [self.facts.wave(wave.id) for wave in self.rollout.waves]
        known = sum(wave.failed + wave.skipped for wave in seen)
        return max(self.facts.half_done, self.facts.unfinished_accounts - known)

    def finish(self) -> None:
        """Every wave passed. Done, partial, or waiting for a person about accounts that nobody settled."""
        left = self.unaccounted()
        if left:
            self.hold(holds.half_done(self.rollout, left, self.now))
            return
        whole = self.facts.unfinished_accounts == 0
        state = RolloutState.SUCCEEDED if whole else RolloutState.PARTIAL
        before = self.rollout.state
        if before is not RolloutState.RUNNING:
            before = step(ROLLOUT_EDGES, before, RolloutState.RUNNING)
        self.rollout = replace(self.rollout, state=step(ROLLOUT_EDGES, before, state), ended_us=self.now)
        self.say("finished", state=str(state), unfinished=self.facts.unfinished_accounts)


def _bake_missing(bake: Bake, facts: WaveFacts, state: GateState) -> str:
    """What a baking wave still lacks, in words; empty when it lacks nothing."""
    lacks = []
    if facts.bake_us < bake.min_us:
        lacks.append(f"{human(bake.min_us - facts.bake_us)} of bake")
    if facts.activity < bake.activity:
        lacks.append(f"{bake.activity - facts.activity} samples of activity{_forecast(bake, facts)}")
    if state.verdict is not Verdict.PASS:
        names = [check.check for check in state.undecided] + list(state.missing)
        lacks.append(f"a verdict of {', '.join(names)}")
    return ", ".join(lacks)


def _forecast(bake: Bake, facts: WaveFacts) -> str:
    """How much longer the activity takes at the rate so far, in words; empty while there is no rate to go by."""
    if not (facts.activity > 0 and facts.bake_us > 0):
        return ", of which there are none so far" if facts.bake_us > 0 else ""
    left = (bake.activity - facts.activity) * facts.bake_us // facts.activity
    return f" (about {human(left)} more at the rate so far)"


def _check(state: CheckState) -> dict[str, object]:
    """How a failed check is journalled."""
    return {"check": state.check, "reason": state.reason, "numbers": dict(state.numbers)}
