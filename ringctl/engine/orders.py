"""What an executor is told of a step: its order, with placeholders, key and the digests that a ledger may carry."""

from dataclasses import dataclass

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.digests import digest
from ringctl.core.model import Rollout
from ringctl.engine.copies import Copies
from ringctl.ports.executor import Order
from ringctl.ports.records import Claim


@dataclass(frozen=True, slots=True)
class Orders:
    """Makes the orders of one claimed task."""

    copies: Copies
    rollout: Rollout
    claim: Claim

    def bundle(self) -> Bundle:
        """The bundle of the task's revision."""
        if self.claim.revision == self.rollout.revision.number:
            return self.rollout.bundle
        return self.copies.bundle(self._revision_digest(self.claim.revision))

    def _revision_digest(self, number: int) -> str:
        return next(rev.digest for rev in self.rollout.revisions if rev.number == number)

    def order(self, bundle: Bundle, spec: StepSpec) -> Order:
        """Everything the executor needs for one step under this claim."""
        claim = self.claim
        key = digest([claim.rollout, claim.account, spec.id, spec.digest]).removeprefix("sha256:")
        return Order(
            rollout=claim.rollout,
            account=claim.account,
            component=bundle.component,
            revision=f"r{claim.revision}",
            step=spec,
            key=key,
            claim=claim.id,
            fence=claim.fence,
            placeholders=placeholders(self.rollout, claim, key),
            files=self.copies.directory(bundle.digest),
            accepts=self._accepts(bundle, spec),
        )

    def _accepts(self, bundle: Bundle, spec: StepSpec) -> frozenset[str]:
        """Step digests of earlier revisions that a ledger row may carry: those of the same step id, when
        `from_step` says that half-done accounts go on at this step or before it."""
        if not bundle.from_step or spec.id not in {s.id for s in bundle.steps}:
            return frozenset()
        first = min(bundle.index(step) for step in bundle.from_step.values())
        if bundle.index(spec.id) < first:
            return frozenset()
        accepted: set[str] = set()
        for revision in self.rollout.revisions:
            if revision.number < self.claim.revision:
                earlier = self.copies.bundle(revision.digest)
                accepted.update(s.digest for s in earlier.steps if s.id == spec.id)
        return frozenset(accepted - {spec.digest})


def placeholders(rollout: Rollout, claim: Claim, key: str) -> dict[str, str]:
    """The closed set of DESIGN 11 with this task's values."""
    inventory = rollout.policy.inventory
    values = {
        "account.id": claim.account,
        "account.size": f"{claim.size:g}",
        "rollout.id": claim.rollout,
        "revision": f"r{claim.revision}",
        "task.key": key,
        "task.token": str(claim.fence),
    }
    for name in inventory.traits:
        values[f"account.traits.{name}"] = claim.columns.get(name, "")
    for name in inventory.target:
        values[f"account.target.{name}"] = claim.columns.get(name, "")
    return values
