"""A double claim that a target saw: counted, journalled, and the rollout held.

It must never happen. If it does, the store or its clock gave one task to two holders, and nobody knows yet how many
more: so nothing new is claimed until a person has looked (`ringctl doctor`).
"""

from collections.abc import Mapping
from typing import Final

from ringctl.core import acts
from ringctl.core.errors import ConflictError, NotAllowed
from ringctl.engine.commands import change
from ringctl.engine.parts import Parts
from ringctl.ports.executor import Ran
from ringctl.ports.records import Claim

TALLY: Final = "double_claims"
EVIDENCE: Final = "double_claim"
"""Where an executor puts it in `Ran.numbers`."""
ACTOR: Final = "ringctl"


def note_double(parts: Parts, claim: Claim, step: str, ran: Ran) -> None:
    """Act on the evidence in a run's numbers; nothing without it. Raises ExternalError."""
    found = ran.numbers.get(EVIDENCE)
    if not isinstance(found, Mapping):
        return
    store = parts.store
    store.add_tally(TALLY)
    payload = {
        "code": "RC5120",
        "account": claim.account,
        "revision": f"r{claim.revision}",
        "step": step,
        **found,
    }
    store.record(claim.rollout, "double-claim", payload, actor=ACTOR)
    reason = f"RC5120: step {step} of {claim.account} ran under two claims at once"
    try:
        change(
            parts,
            claim.rollout,
            lambda rollout: acts.pause(rollout, actor=ACTOR, reason=reason, now_us=store.now_us()),
            actor=ACTOR,
        )
    except (NotAllowed, ConflictError):
        return  # the rollout is over, or moves so fast that the next double claim finds it
