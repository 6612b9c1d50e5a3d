"""Small core values for tests, built directly: no policy file, no bundle directory, no settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ringctl.core.bundle import Bundle, StepSpec
from ringctl.core.digests import digest, rank
from ringctl.core.fleet import Selector, size_decade
from ringctl.core.model import Member, Revision, Rollout, Wave
from ringctl.core.policy import InventorySpec, Policy, RingPolicy
from ringctl.core.states import RolloutState, WaveKind
from ringctl.core.timing import MINUTE, SECOND, Instant
from ringctl.ports.records import NewRollout

NOON: Instant = 1_800_000_000_000_000
"""When tests begin."""


class TestClock:
    """A store's clock that moves when it is told to, and a microsecond each time it is read."""

    __test__ = False

    def __init__(self, now_us: Instant = NOON) -> None:
        self.now_us = now_us

    def __call__(self) -> Instant:
        """The time; it rises by a microsecond, so that what follows is later."""
        self.now_us += 1
        return self.now_us

    def pass_us(self, span_us: int) -> None:
        """Let time pass."""
        self.now_us += span_us


def a_bundle(*steps: str, version: str = "1") -> Bundle:
    """A bundle of no-op steps (default: `readers`, `encode`). Another `version` has another digest."""
    specs = tuple(
        StepSpec(
            id=name,
            executor="noop",
            options={},
            timeout_us=MINUTE,
            digest=digest([name, version]),
        )
        for name in steps or ("readers", "encode")
    )
    document = {"version": version, "steps": [spec.id for spec in specs]}
    return Bundle(
        name="builds",
        version=version,
        component="builds",
        author="ana",
        steps=specs,
        files={},
        document=document,
        digest=digest(document),
    )


def bundle_of(text: str) -> Bundle:
    """The bundle of `a_bundle` from its document's canonical JSON."""
    document = json.loads(text)
    return a_bundle(*document["steps"], version=document["version"])


def a_policy(*rings: str) -> Policy:
    """A policy of rings that select nothing themselves (default: `inner`, `early`, `rest`)."""
    names = rings or ("inner", "early", "rest")
    document = {"rings": list(names)}
    return Policy(
        name="test",
        owner="ops",
        inventory=InventorySpec(source="csv"),
        sources={},
        checks={},
        rings=tuple(RingPolicy(name=name, select=Selector()) for name in names),
        digest=digest(document),
        document=document,
        lease_us=15 * SECOND,
    )


def policy_of(document: Mapping[str, object]) -> Policy:
    """The policy of `a_policy` from its document."""
    rings = document["rings"]
    assert isinstance(rings, list)
    return a_policy(*rings)


def a_member(
    account: str,
    ring: str = "inner",
    *,
    size: float = 10.0,
    reserve: bool = False,
    traits: Mapping[str, str] | None = None,
) -> Member:
    """An account's place."""
    return Member(
        account=account,
        ring=ring,
        size=size,
        decade=size_decade(size),
        reserve=reserve,
        rank=rank("seed", account),
        traits=tuple((traits or {"edition": "std"}).items()),
        columns=(("database", f"{account}.db"),),
    )


def members_of(ring: str, count: int, *, first: int = 0) -> tuple[Member, ...]:
    """`count` members of a ring, named `inner-000` and on, sizes rising."""
    return tuple(
        a_member(f"{ring}-{number:06d}", ring, size=float(number + 1))
        for number in range(first, first + count)
    )


def a_wave(ident: int, members: Sequence[Member], **changes: object) -> Wave:
    """A planned wave of these members; by default one at a time would be too slow for tests: 8."""
    wave = Wave(
        id=ident,
        ring=members[0].ring,
        kind=WaveKind.CANARY,
        revision=1,
        accounts=len(members),
        parallel=8,
        failures=len(members),
        largest=max(member.size for member in members),
    )
    return replace(wave, **changes)  # type: ignore[arg-type]


def a_rollout(
    waves: Sequence[Wave] = (), *, ident: str = "ro-1", accounts: int = 0, bundle: Bundle | None = None
) -> Rollout:
    """A pending rollout of r1."""
    content = bundle or a_bundle()
    return Rollout(
        id=ident,
        release="builds 1",
        component="builds",
        state=RolloutState.PENDING,
        version=1,
        policy=a_policy(),
        bundle=content,
        revisions=(Revision(number=1, digest=content.digest, author="ana", at_us=NOON),),
        waves=tuple(waves),
        seed="seed",
        plan_digest=digest("plan"),
        fleet_digest=digest("fleet"),
        accounts=accounts,
        created_us=NOON,
        actor="ana",
    )


def a_new_rollout(
    placed: Mapping[int, Sequence[Member]],
    others: Sequence[Member] = (),
    *,
    ident: str = "ro-1",
    fields: Mapping[str, object] | None = None,
) -> NewRollout:
    """A rollout to create: wave id -> its members, and members of no wave yet. `fields`: of every wave."""
    waves = [a_wave(number, members, **(fields or {})) for number, members in placed.items()]
    drawn = {m.account: number for number, members in placed.items() for m in members}
    everyone = [*(m for members in placed.values() for m in members), *others]
    return NewRollout(
        rollout=a_rollout(waves, ident=ident, accounts=len(everyone)),
        members=iter(everyone),
        placed=drawn,
        actor="ana",
        payload={"reason": "test"},
    )
