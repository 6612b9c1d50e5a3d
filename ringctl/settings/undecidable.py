"""Checks of values that need more looks than a ring ever gives them: refused before anything is touched.

The judges themselves are asked (`gates.ideal`). Counts may decide in one look where it is rich enough, so that only
rates can tell: `ringctl gate plan` asks for them.
"""

from typing import Final

from ringctl.core.builtin import is_builtin
from ringctl.core.errors import Finding
from ringctl.core.judging import Judge
from ringctl.core.policy import Check, Policy, Ratio, RingPolicy, looks_every
from ringctl.core.spending import planned_share
from ringctl.core.timing import MINUTE, SECOND, Span
from ringctl.gates import ideal
from ringctl.gates.becomes_empty import BecomesEmpty
from ringctl.gates.shift import Shift
from ringctl.settings.report import UNDECIDABLE, Report

SOME: Final = 3
"""Accounts of a canary whose size is a share."""


def undecidable_checks(policy: Policy, report: Report) -> None:
    """Add an error for each check that cannot fail, or cannot pass, within a ring's bake."""
    for ring in policy.rings:
        for check in policy.checks_of(ring):
            if isinstance(check.measure, Ratio) and not check.measure.of_counts and not is_builtin(check):
                _look(policy, ring, check, report)


def _look(policy: Policy, ring: RingPolicy, check: Check, report: Report) -> None:
    every = looks_every(policy.checks_of(ring), ring.bake)
    judges: dict[str, Judge] = {one.name: one for one in (BecomesEmpty(), Shift())}
    if not any(judge.applies(check) for judge in judges.values()):
        return
    alpha = planned_share(policy, ring.name, 1 + len(ring.waves), check).alpha
    stage = ideal.stage(check, ring.canary.accounts.count or SOME, every, alpha)
    for done, looks in (
        ("fail", ideal.looks_to_fail(check, judges, stage)),
        ("pass", ideal.looks_to_pass(check, judges, stage)),
    ):
        needed = None if looks is None else looks * every
        if needed is None or needed > ring.bake.max_us:
            _refuse(report, check, _said(ring, check, done, looks, every), _way_out(needed, stage))


def _said(ring: RingPolicy, check: Check, done: str, looks: int | None, every: Span) -> str:
    what = f"gate `{check.name}` can never {done} on the canary of ring `{ring.name}`"
    if looks is None:
        return f"{what}: no number of looks up to {ideal.MOST} is enough"
    return (
        f"{what}: it needs {looks} looks, {_span(every)} apart, and `bake.max` is {_span(ring.bake.max_us)}"
    )


def _way_out(needed: Span | None, stage: ideal.Stage) -> str:
    if needed is not None:
        return f"bake: {{max: {_span(needed)}}}, or look more often"
    return (
        "canary: {accounts: 3}"
        if stage.accounts < SOME
        else "a longer `baseline`, or a larger change in `fail_if`"
    )


def _span(span_us: Span) -> str:
    """A span as a policy has it, rounded up."""
    if span_us % MINUTE == 0:
        return f"{span_us // MINUTE}m"
    return f"{-(-span_us // SECOND)}s"


def _refuse(report: Report, check: Check, message: str, hint: str) -> None:
    report.findings.append(
        Finding(
            code=UNDECIDABLE,
            message=message,
            path=report.source.path,
            line=check.line,
            column=1,
            source_line=report.source.line(check.line),
            hint=hint,
        )
    )
