"""Small core values for the tests of decide, planning and requalifying."""

from dataclasses import replace

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.facts import CheckState, Facts, WaveFacts
from ringctl.core.fleet import Account, Fleet, Selector, Term
from ringctl.core.model import Revision, Rollout, Wave
from ringctl.core.policy import (
    Amount,
    Bake,
    Canary,
    Check,
    Counter,
    FailIf,
    InventorySpec,
    Policy,
    Ratio,
    Requalify,
    RingPolicy,
    SourceSpec,
)
from ringctl.core.states import RolloutState, Verdict, WaveKind, WaveState
from ringctl.core.timing import SECOND

NOW = 1_800_000_000 * SECOND

ERRORS = Check(
    name="errors",
    source="app",
    measure=Ratio(y=Counter(name="bad"), n=Counter(name="all"), of_counts=True),
    compare="canary-vs-control",
    fail_if=FailIf(increase=1.0),
    every_us=SECOND,
    baseline_us=5 * SECOND,
)


def ring(name: str, number: int, **changes) -> RingPolicy:
    base = RingPolicy(
        name=name,
        select=Selector((Term(column="ring", op="eq", operand=number),)),
        canary=Canary(accounts=Amount(count=2)),
        waves=(Amount(share=0.5), Amount(share=1.0)),
        bake=Bake(min_us=10 * SECOND, activity=100, max_us=100 * SECOND),
        gates=("errors",),
    )
    return replace(base, **changes)


def policy(rings: tuple[RingPolicy, ...] | None = None, **changes) -> Policy:
    base = Policy(
        name="p",
        owner="team",
        inventory=InventorySpec(source="csv", path="accounts.csv", traits=("region",), target=("database",)),
        sources={"app": SourceSpec(name="app", type="scrape")},
        checks={"errors": ERRORS},
        rings=rings or (ring("first", 0), ring("second", 1), ring("third", 2)),
        requalify=Requalify(bake=Bake(min_us=20 * SECOND, max_us=200 * SECOND)),
        digest="sha256:policy",
        document={},
    )
    return replace(base, **changes)


def account(name: str, ring_number: int, size: float = 10, region: str = "eu") -> Account:
    columns = {"ring": str(ring_number), "region": region, "database": f"{name}.db"}
    return Account(id=name, size=size, columns=columns)


def fleet(*accounts: Account) -> Fleet:
    return Fleet(accounts=accounts, traits=("region",), target=("database",))


def bundle(name: str = "one", **changes) -> Bundle:
    steps = tuple(StepSpec(id=step, executor="noop", options={}, digest=f"{name}-{step}") for step in "abc")
    base = Bundle(
        name=name,
        version="1",
        component="build",
        author="ann",
        steps=steps,
        files={},
        document={},
        digest=f"sha256:{name}",
    )
    return replace(base, **changes)


def wave(wave_id: int, ring_name: str = "first", kind: WaveKind = WaveKind.CANARY, **changes) -> Wave:
    base = Wave(id=wave_id, ring=ring_name, kind=kind, revision=1, accounts=2, parallel=4)
    return replace(base, **changes)


def rollout(*waves: Wave, **changes) -> Rollout:
    base = Rollout(
        id="ro-1",
        release="one-1",
        component="build",
        state=RolloutState.RUNNING,
        version=3,
        policy=policy(),
        bundle=bundle(),
        revisions=(Revision(number=1, digest="sha256:one", author="ann", at_us=NOW),),
        waves=waves,
        drawn=("first", "second", "third", "*reserve*"),
        seed="s",
        plan_digest="sha256:plan",
        fleet_digest="sha256:fleet",
        accounts=10,
        created_us=NOW,
    )
    return replace(base, **changes)


def verdict(answer: Verdict, **changes) -> CheckState:
    base = CheckState(
        check="errors", verdict=answer, reason="because", at_us=NOW, failed=answer is Verdict.FAIL
    )
    return replace(base, **changes)


def seen(answer: Verdict | None = None, **changes) -> WaveFacts:
    checks = {"errors": verdict(answer)} if answer else {}
    base = WaveFacts(baseline_us=60 * SECOND, last_look_us=NOW, last_answer_us=NOW, checks=checks)
    return replace(base, **changes)


def facts(waves: dict[int, WaveFacts], **changes) -> Facts:
    return replace(Facts(waves=waves, nodes=1), **changes)


__all__ = [
    "NOW", "SECOND", "Verdict", "WaveKind", "WaveState", "account", "bundle", "facts", "fleet", "policy",
    "ring", "rollout", "seen", "verdict", "wave",
]  # fmt: skip
