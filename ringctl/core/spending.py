"""How one promise of false alarms is spent over a rollout's revisions, rings, waves and checks (DESIGN 12.10).

`false_alarm` is the chance that a rollout with nothing wrong fails by its gates at all. It is spent by a union bound,
so that nothing need be independent, and in shares that are known when a wave is drawn, however the rollout goes on:
    revision k          1/2^k: there may be any number of amendments
    of it               reserve waves 1/5; requalification waves 2/5 (from the second revision on); rings the rest
    ring                equal shares; the reserve likewise
    wave                equal shares of the waves drawn together with it
    check               weight / sum of weights of the ring's checks
The price is small: evidence grows exponentially while harm lasts, so a level ten times stricter takes ln 10 more of
it (a doubling of a 1 % error rate: 98, 119, 140 minutes at 1 %, 0.1 %, 0.01 %; GATE 5.5).
"""

from dataclasses import dataclass
from typing import Final

from ringctl.core.model import Rollout, Wave
from ringctl.core.policy import Check, Policy
from ringctl.core.states import WaveKind

RESERVE: Final = 0.2
REQUALIFICATION: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A check's level on one wave, and how it came about. All but `promised` are fractions."""

    promised: float
    revision: float
    ring: float
    wave: float
    check: float

    @property
    def alpha(self) -> float:
        """The level: the chance of a false alarm of this check on this wave."""
        return self.promised * self.revision * self.ring * self.wave * self.check

    def __str__(self) -> str:
        parts = f"revision {self.revision:.3g}, ring {self.ring:.3g}, wave {self.wave:.3g}, check {self.check:.3g}"
        return f"{100 * self.promised:g} % for the whole rollout, of it {parts}: {100 * self.alpha:.2g} %"


def share(rollout: Rollout, wave: Wave, check: Check) -> Share:
    """A check's part in the promise, on one wave of the rollout."""
    slot = _slot(wave.kind)
    together = sum(
        one.revision == wave.revision and _slot(one.kind) == slot and slot_ring(one) == slot_ring(wave)
        for one in rollout.waves
    )
    rings = max(1, len(rollout.policy.rings))
    return Share(
        promised=check.false_alarm,
        revision=0.5**wave.revision,
        ring=_ring_share(slot, wave.revision, rings),
        wave=1 / max(1, together),
        check=weight(rollout.policy, wave.ring, check),
    )


def planned_share(policy: Policy, ring: str, waves: int, check: Check) -> Share:
    """The same before anything is drawn: a ring of so many waves, under the first revision."""
    return Share(
        promised=check.false_alarm,
        revision=0.5,
        ring=_ring_share("ring", 1, max(1, len(policy.rings))),
        wave=1 / max(1, waves),
        check=weight(policy, ring, check),
    )


def weight(policy: Policy, ring: str, check: Check) -> float:
    """The check's share among the checks that watch a ring."""
    total = sum(one.weight for one in policy.checks_of(policy.ring(ring)))
    return check.weight / total if total > 0 else 1.0


def slot_ring(wave: Wave) -> str:
    """Waves drawn together: those of a ring; requalification waves are drawn for the revision."""
    return "" if wave.kind is WaveKind.REQUALIFICATION else wave.ring


def _slot(kind: WaveKind) -> str:
    return kind.value if kind in {WaveKind.RESERVE, WaveKind.REQUALIFICATION} else "ring"


def _ring_share(slot: str, revision: int, rings: int) -> float:
    if slot == WaveKind.REQUALIFICATION.value:
        return REQUALIFICATION
    if slot == WaveKind.RESERVE.value:
        return RESERVE / rings
    return (1 - RESERVE - (REQUALIFICATION if revision > 1 else 0.0)) / rings
