"""What the commands that need no store ask of plug-ins: a policy's accounts, the checks of a bundle's steps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ringctl import bootstrap
from ringctl.core.errors import InvalidInput
from ringctl.core.fleet import Account, Fleet
from ringctl.core.planning import assign
from ringctl.core.policy import Policy


def read_fleet(policy: Policy, policy_path: Path) -> Fleet:
    """Every account of the policy's inventory; relative paths are the policy file's."""
    return bootstrap.read_fleet(policy.inventory, policy_path.resolve().parent)


def assigned(
    policy: Policy, fleet: Fleet, path: str
) -> tuple[Mapping[str, Sequence[Account]], Sequence[Account]]:
    """(accounts by ring, accounts in no ring). Raises InvalidInput that names the policy's file."""
    try:
        return assign(policy, fleet)
    except InvalidInput as error:
        placed = [one if one.path else replace(one, path=path) for one in error.findings]
        raise InvalidInput(placed) from error
