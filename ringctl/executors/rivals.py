"""What a target's own record says of another run of the same step, and when that is a double claim.

Stale runs are nothing new: a frozen node wakes up and is refused. Two claims that hold *at the same time* must
never be. The one certain sign is seen by the older of the two: its own right to run still holds, and the target
knows a run of the same rollout under a newer claim. A run whose right has ended says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ringctl.executors.watch import ended
from ringctl.ports.executor import Control, Order

REPORT = "double_claim"
"""The key in `Ran.numbers` under which the engine finds the evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another run of the step, as the target recorded it. Times are the target's; "" where it knows none.

    `alive`: its processes are there now, whatever its claim is worth: two at once for certain.
    """

    claim: str
    fence: int
    rollout: str
    started: str = ""
    ended: str = ""
    alive: bool = False


def double_claim(order: Order, control: Control, rival: Rival | None) -> Mapping[str, object]:
    """The evidence for `Ran.numbers`, or nothing when this is no double claim (or cannot be told)."""
    if rival is None or rival.claim == order.claim or rival.rollout != order.rollout:
        return {}
    newer = rival.fence > order.fence
    if not (newer or rival.alive) or ended(control) is not None:
        return {}
    return {
        REPORT: {
            "claim": order.claim, "fence": order.fence, "other_claim": rival.claim, "other_fence": rival.fence,
            "other_started": rival.started, "other_ended": rival.ended, "other_alive": rival.alive,
        }
    }  # fmt: skip
