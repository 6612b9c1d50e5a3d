"""From a policy file to `ringctl.core.policy.Policy`, or to the full list of what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ringctl.core import builtin
from ringctl.core.digests import digest
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.policy import (
    Check,
    InventorySpec,
    Limits,
    Policy,
    Requalify,
    RingPolicy,
    SourceSpec,
)
from ringctl.core.timing import MINUTE, SECOND, Span
from ringctl.settings import units
from ringctl.settings.gates import read_defaults, read_gate
from ringctl.settings.keys import Keys
from ringctl.settings.nodes import Node
from ringctl.settings.policy_fields import (
    DefaultFields,
    InventoryFields,
    LimitFields,
    PolicyFields,
    PolicyMetadata,
    RequalifyBake,
    RequalifyFields,
)
from ringctl.settings.report import ALTERED, DUPLICATE_NAME, OUT_OF_RANGE, Mistake, Report
from ringctl.settings.rings import read_bake, read_rings, ring_gates
from ringctl.settings.smells import policy_smells
from ringctl.settings.sources import read_inventory, read_source
from ringctl.settings.undecidable import undecidable_checks
from ringctl.settings.values import Misfit, from_plain, to_plain
from ringctl.settings.yaml12 import parse

API_VERSION = "ringctl/v1"

_lease = units.within(units.duration, SECOND, 10 * MINUTE, "1s to 10m")
_most = units.within(units.count, 1, units.MOST, "at least 1")
_share = units.within(units.share, 0.000001, 1.0, "more than 0% and at most 100%")
_reserve = units.within(units.share, 0.0, 0.9, "0% to 90%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a policy says, less its digest; `Policy.document` is this as plain JSON."""

    name: str
    owner: str = ""
    inventory: InventorySpec
    sources: Mapping[str, SourceSpec]
    checks: Mapping[str, Check]
    rings: tuple[RingPolicy, ...]
    requalify: Requalify = field(default_factory=Requalify)
    limits: Limits = field(default_factory=Limits)
    lease_us: Span = 15 * SECOND


def policy_from_text(content: bytes, path: str) -> tuple[Policy, tuple[Finding, ...]]:
    """The policy in a file's bytes and its warnings. Raises InvalidInput with every mistake."""
    node, report = parse(content, path)
    settings = _read(node, report)
    report.finish()
    policy = _policy(to_plain(settings))
    policy_smells(policy, report)
    undecidable_checks(policy, report)
    return policy, report.finish()


def policy_from_document(document: Mapping[str, object]) -> Policy:
    """The policy again from its stored `document`. Raises InvalidInput when it is none."""
    return _policy(dict(document))


def _policy(document: object) -> Policy:
    try:
        settings = from_plain(Settings, document)
        pinned = digest(_without_lines(document))
    except ValueError as error:
        kind = "a stored policy" if isinstance(error, Misfit) else "JSON values"
        message = f"the document is not {kind}: {error}"
        raise InvalidInput([Finding(code=ALTERED, message=message)]) from None
    assert isinstance(document, dict)
    return Policy(
        name=settings.name,
        owner=settings.owner,
        inventory=settings.inventory,
        sources=settings.sources,
        checks=settings.checks,
        rings=settings.rings,
        requalify=settings.requalify,
        limits=settings.limits,
        lease_us=settings.lease_us,
        digest=pinned,
        document=document,
    )


def _without_lines(document: object) -> object:
    """The document less the positions, which have no part in the digest. Its shape is checked before."""
    assert isinstance(document, dict)

    def bare(value: object) -> object:
        return {key: one for key, one in value.items() if key != "line"} if isinstance(value, dict) else value

    return {
        **document,
        "inventory": bare(document["inventory"]),
        "checks": {name: bare(one) for name, one in document["checks"].items()},
        "rings": [bare(one) for one in document["rings"]],
    }


def _read(node: Node, report: Report) -> Settings:
    keys = Keys(node, PolicyFields, report, "")
    keys.constant("apiVersion", API_VERSION)
    keys.constant("kind", "Policy")
    metadata = keys.below("metadata", PolicyMetadata)
    inventory = keys.below("inventory", InventoryFields)
    sources = {
        keys.parse("metrics", entry.key, units.name, name): read_source(name, entry.node, report)
        for name, entry in keys.mapping("metrics")
    }
    defaults = keys.below("defaults", DefaultFields)
    gate_defaults = read_defaults(defaults)
    checks = {
        keys.parse("gates", entry.key, _gate_name, name): read_gate(
            name, entry.node, report, sources, gate_defaults
        )
        for name, entry in keys.mapping("gates")
    }
    usual = ring_gates(defaults, sorted(checks), sorted(checks))
    watching = builtin.checks(defaults.names("builtin", units.one_of(*builtin.checks())))
    rings = read_rings(keys, sorted({**checks, **watching}), usual)
    return Settings(
        name=metadata.read("name", units.name, ""),
        owner=metadata.read("owner", units.text, ""),
        inventory=read_inventory(inventory),
        sources=sources,
        checks={**checks, **watching},
        rings=tuple(replace(ring, gates=tuple(dict.fromkeys((*ring.gates, *watching)))) for ring in rings),
        requalify=_requalify(keys.below("requalify", RequalifyFields)),
        limits=_limits(keys.below("limits", LimitFields)),
        lease_us=keys.read("lease", _lease, 15 * SECOND),
    )


def _gate_name(node: Node) -> str:
    name = units.name(node)
    if name in builtin.checks():
        hint = "another name; `defaults: {builtin: [...]}` says which of the built-in checks are on"
        raise Mistake(DUPLICATE_NAME, f"`{name}` is a built-in check", hint=hint)
    return name


def _requalify(keys: Keys) -> Requalify:
    return Requalify(
        accounts=keys.read("accounts", _most, 5),
        share=keys.read("share", _share, 0.01),
        bake=read_bake(keys, "bake", RequalifyBake),
        reserve=keys.read("reserve", _reserve, 0.2),
    )


def _limits(keys: Keys) -> Limits:
    return Limits(
        size_factor=keys.read("size_factor", _factor, 4.0),
        control_min=keys.read("control_min", _most, 5),
    )


def _factor(node: Node) -> float:
    factor = units.number(node)
    if not 1 < factor <= 1_000_000:
        raise Mistake(OUT_OF_RANGE, "must be more than 1", hint="4 lets accounts grow fourfold")
    return factor
