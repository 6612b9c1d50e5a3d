"""`ringctl policy`: lint, schema, show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ringctl.cli import linting
from ringctl.cli.render import Block, Grid, Line, View, cell, columns, emit
from ringctl.cli.style import show
from ringctl.core.errors import Finding, InvalidInput, UsageError
from ringctl.core.fleet import Fleet
from ringctl.core.policy import Bake, Check, Count, Policy, Ratio, RingPolicy
from ringctl.core.timing import SECOND, human

DEFAULT = "policy.yaml"


def lint(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help=f"Policies; default: {DEFAULT}.")
    ] = None,
) -> int:
    """Check policies and the accounts they name; exit 3 when anything is refused.

    Every mistake is shown with file, line and column, what is known there, and the way out.
    """
    paths = files or [DEFAULT]
    if not files and not Path(DEFAULT).is_file():
        raise UsageError(f"no {DEFAULT} here: name the policies to check", hint="ringctl policy lint FILE")
    return linting.report([_linted(path) for path in paths])


def _linted(path: str) -> linting.Linted:
    from ringctl.cli.fleet import assigned, read_fleet
    from ringctl.settings import lint_policy

    found: Sequence[Finding] = ()
    digest = ""
    try:
        policy, found = lint_policy(Path(path))
        digest = policy.digest
        fleet = read_fleet(policy, Path(path))
        assigned(policy, fleet, path)
        found = (*found, *_undecidable(policy, fleet, path))
    except InvalidInput as error:
        found = (*found, *error.findings)
    return linting.Linted(path=path, findings=tuple(found), digest=digest)


def _undecidable(policy: Policy, fleet: Fleet, path: str) -> Sequence[Finding]:
    """RC1002 for gates that cannot decide on a wave of this fleet, whatever the rates are."""
    from ringctl import bootstrap
    from ringctl.cli import forecasts
    from ringctl.engine.foresight import foresee, planned

    made = planned(policy, fleet, bootstrap.choose)
    return forecasts.findings(policy, path, foresee(policy, made, {}, bootstrap.Judges()))


def schema() -> None:
    """Print the JSON Schema of a policy (draft-07, for editors)."""
    from ringctl.settings import policy_schema

    linting.print_schema(policy_schema())


def show_policy(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="The policy.")] = DEFAULT,
) -> None:
    """Show a policy as it is understood, defaults filled in."""
    from ringctl.settings import load_policy

    policy = load_policy(Path(file))
    emit(View(document=lambda: document(policy), blocks=lambda: _blocks(policy)))


def document(policy: Policy) -> dict[str, object]:
    """The resolved policy as an object; spans in seconds, shares as fractions."""
    return {
        "schema": "ringctl/policy/v1",
        "name": policy.name,
        "owner": policy.owner,
        "digest": policy.digest,
        "inventory": {
            "source": policy.inventory.source, "path": policy.inventory.path, "id": policy.inventory.id,
            "size": policy.inventory.size, "traits": list(policy.inventory.traits),
            "target": list(policy.inventory.target), "unassigned": policy.inventory.unassigned,
        },
        "metrics": [{"name": one.name, "type": one.type} for one in policy.sources.values()],
        "gates": [_check(one) for one in policy.checks.values()],
        "rings": [_ring(one) for one in policy.rings],
        "requalify": {
            "accounts": policy.requalify.accounts, "share": policy.requalify.share,
            "reserve": policy.requalify.reserve, "bake": _bake(policy.requalify.bake),
        },
        "limits": {"size_factor": policy.limits.size_factor, "control_min": policy.limits.control_min},
    }  # fmt: skip


def _bake(bake: Bake) -> dict[str, object]:
    return {
        "min_seconds": bake.min_us / SECOND,
        "activity": bake.activity,
        "max_seconds": bake.max_us / SECOND,
    }


def _ring(ring: RingPolicy) -> dict[str, object]:
    return {
        "name": ring.name,
        "select": [{"column": t.column, "op": t.op, "value": t.operand} for t in ring.select.terms],
        "canary": {"accounts": str(ring.canary.accounts), "at_most": ring.canary.at_most},
        "waves": [str(wave) for wave in ring.waves],
        "bake": _bake(ring.bake),
        "max_parallel": ring.max_parallel,
        "max_failures": str(ring.max_failures),
        "gates": list(ring.gates),
        "promote": ring.promote,
    }


def _check(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "source": check.source,
        "measure": _measure(check),
        "compare": check.compare,
        "fail_if": _fail_if(check),
        "min_samples": check.min_samples,
        "every_seconds": check.every_us / SECOND,
        "baseline_seconds": check.baseline_us / SECOND,
        "false_alarm": check.false_alarm,
        "miss": check.miss,
        "weight": check.weight,
        "cohorts": "alike" if check.alike else "learnt",
        "history_seconds": check.history_us / SECOND,
        "without_control": check.without_control,
        "silence": check.silence,
    }


def _measure(check: Check) -> str:
    if isinstance(check.measure, Ratio):
        good = "1 - " if check.measure.good else ""
        return f"{good}{check.measure.y.name} / {check.measure.n.name}"
    return f"{check.measure.of.name} a minute" if isinstance(check.measure, Count) else check.measure.name


def _fail_if(check: Check) -> Mapping[str, object]:
    said = {
        "increase": check.fail_if.increase, "decrease": check.fail_if.decrease, "ceiling": check.fail_if.ceiling,
        "above": check.fail_if.above, "p95": check.fail_if.p95,
        "becomes_empty": check.fail_if.becomes_empty, "shift": check.fail_if.shift,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None and value is not False}


_RING_COLUMNS = (
    "RING",
    "~SELECT",
    "CANARY",
    "WAVES",
    "BAKE",
    ">ACTIVITY",
    ">PARALLEL",
    ">FAILURES",
    "~GATES",
)


def _blocks(policy: Policy) -> list[Block]:
    rings = [
        [
            show(ring.name), " and ".join(_term(t.column, t.op, t.operand) for t in ring.select.terms) or "all",
            str(ring.canary.accounts) + (f" (at most {ring.canary.at_most})" if ring.canary.at_most else ""),
            " / ".join(map(str, ring.waves)), _span(ring.bake),
            cell(ring.bake.activity), cell(ring.max_parallel), str(ring.max_failures),
            show(", ".join(ring.gates)) or "-",
        ]
        for ring in policy.rings
    ]  # fmt: skip
    gates = [
        [
            show(check.name), show(check.source), show(_measure(check)), check.compare,
            show(", ".join(_limit(name, value) for name, value in _fail_if(check).items())),
            human(check.every_us),
        ]
        for check in policy.checks.values()
    ]  # fmt: skip
    again = policy.requalify
    origin = [
        f"{policy.inventory.source} {policy.inventory.path}",
        f"traits {', '.join(policy.inventory.traits)}",
    ]
    return [
        Line(text=f"Policy {show(policy.name)}     {show(policy.owner)}     {policy.digest[:19]}", style="bold"),
        "  accounts from " + ", ".join(map(show, origin)),
        "",
        Grid(
            columns=columns(*_RING_COLUMNS),
            rows=rings,
        ),
        "",
        Grid(
            columns=columns("GATE", "SOURCE", "~MEASURE", "COMPARE", "~FAILS IF", ">EVERY"),
            rows=gates,
        ),
        "",
        f"  a changed bundle requalifies on at most {again.accounts} accounts, baked {_span(again.bake)}",
        f"  an account may be {policy.limits.size_factor:g} times the largest done before",
    ]  # fmt: skip


def _limit(name: str, value: object) -> str:
    """A limit as people write it: relative changes are shares."""
    if name in {"increase", "decrease", "ceiling", "shift"} and isinstance(value, float):
        return f"{name} {100 * value:g}%"
    return name if value is True else f"{name} {cell(value)}"


def _span(bake: Bake) -> str:
    return f"{human(bake.min_us)} to {human(bake.max_us)}"


def _term(column: str, op: str, operand: object) -> str:
    sign = {"eq": "=", "in": "in", "not": "not", "gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}[op]
    value = ", ".join(map(str, operand)) if isinstance(operand, tuple) else str(operand)
    return show(f"{column} {sign} {value}")


COMMANDS = {"policy lint": lint, "policy schema": schema, "policy show": show_policy}
