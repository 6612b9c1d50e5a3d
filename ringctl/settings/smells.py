"""Warnings: a policy or bundle that loads, and still deserves a second look."""

from ringctl.core import builtin
from ringctl.core.bundle import Bundle
from ringctl.core.errors import Finding
from ringctl.core.policy import Amount, Policy, RingPolicy
from ringctl.settings.report import SMELL, Report

GROWTH = 10


def policy_smells(policy: Policy, report: Report) -> None:
    """Add the policy's warnings to the report."""
    own = {name: check for name, check in policy.checks.items() if not builtin.is_builtin(check)}
    for ring in policy.rings:
        if own.keys().isdisjoint(ring.gates):
            message = f"no gate watches ring `{ring.name}`: only time and failed steps can stop it"
            _warn(report, ring.line, message, "name gates in `rings` or `defaults`")
        _growth(ring, report)
        for check in policy.checks_of(ring):
            if not builtin.is_builtin(check) and ring.bake.max_us < check.every_us:
                message = f"ring `{ring.name}` bakes at most shorter than gate `{check.name}` looks"
                _warn(report, ring.line, message, "raise `bake.max` or lower `every`")
    watched = {name for ring in policy.rings for name in ring.gates}
    for name, check in own.items():
        if name not in watched:
            _warn(report, check.line, f"gate `{name}` watches no ring", "name it in `gates` of a ring")
    if own and not any(one.fail_if.becomes_empty for one in own.values()):
        message = "no gate would notice answers that have become empty"
        _warn(report, 0, message, "add a gate with fail_if: {becomes_empty: true}")
    off = [name for name in builtin.checks() if name not in policy.checks]
    if off:
        message = f"built-in checks are switched off: {', '.join(off)}"
        _warn(report, 0, message, "leave `defaults.builtin` out")
    if not policy.inventory.size:
        message = "accounts have no size: the largest ones cannot be kept for last"
        _warn(report, policy.inventory.line, message, "name a column in `inventory.size`")


def _growth(ring: RingPolicy, report: Report) -> None:
    earlier: Amount | None = None
    for wave in ring.waves:
        if earlier is not None and _ratio(earlier, wave) > GROWTH:
            message = f"ring `{ring.name}` grows from {earlier} to {wave}: over {GROWTH} times"
            _warn(report, ring.line, message, "put a wave between")
        earlier = wave


def _ratio(before: Amount, wave: Amount) -> float:
    if before.share is not None and wave.share is not None:
        return wave.share / before.share
    if before.count is not None and wave.count is not None:
        return wave.count / before.count
    return 0.0


def bundle_smells(bundle: Bundle, report: Report) -> None:
    """Add the bundle's warnings to the report."""
    opener = bundle.live.new_from
    if opener and bundle.close_window is None and bundle.index(opener) < len(bundle.steps) - 1:
        line = bundle.step(opener).line
        message = f"accounts are between two versions from the end of `{opener}` on"
        _warn(report, line, message, "add `close_window`, which brings them out when the rollout stops")
    if bundle.window_us is not None and bundle.close_window is None:
        _warn(report, 0, "`budget.window` has no `close_window` to spend it on", "")
    for step in bundle.steps:
        blind = step.executor in {"command", "http"} and not step.idempotent and step.probe is None
        if blind:
            message = f"nobody can find out whether step `{step.id}` took effect when it is interrupted"
            _warn(report, step.line, message, "give it a `probe`, or say `idempotent: true`")


def _warn(report: Report, line: int, message: str, hint: str) -> None:
    warning = Finding(
        code=SMELL,
        message=message,
        path=report.source.path,
        line=line,
        column=1 if line else 0,
        source_line=report.source.line(line),
        hint=hint,
        severity="warning",
    )
    report.findings.append(warning)
