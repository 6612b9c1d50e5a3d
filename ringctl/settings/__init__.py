"""Policies and bundles: files of people turned into core values, or refused with positions.

Everything that is wrong comes as one InvalidInput with the full list of findings.
"""

from pathlib import Path

from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.policy import Policy
from ringctl.settings.bundle import (
    LoadedBundle,
    bundle_from_manifest,
    load_bundle,
    manifest_text,
)
from ringctl.settings.policy import policy_from_document, policy_from_text
from ringctl.settings.report import UNREADABLE
from ringctl.settings.yaml12 import MAX_BYTES

__all__ = [
    "LoadedBundle",
    "bundle_from_manifest",
    "bundle_schema",
    "lint_policy",
    "load_bundle",
    "load_policy",
    "manifest_text",
    "policy_from_document",
    "policy_from_text",
    "policy_schema",
]


def load_policy(path: Path) -> Policy:
    """The policy of a file. Raises InvalidInput with every mistake."""
    return lint_policy(path)[0]


def lint_policy(path: Path) -> tuple[Policy, tuple[Finding, ...]]:
    """The policy of a file, and warnings: what loads and still deserves a second look."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"the policy cannot be read: {reason}"
        raise InvalidInput([Finding(code=UNREADABLE, message=message, path=str(path))]) from None
    return policy_from_text(content, str(path))


def policy_schema() -> dict[str, object]:
    """The JSON Schema (draft-07) of policy files."""
    from ringctl.settings import schema  # noqa: PLC0415 - pydantic costs 80 ms, only the schema needs it

    return schema.policy_schema()


def bundle_schema() -> dict[str, object]:
    """The JSON Schema (draft-07) of bundle files."""
    from ringctl.settings import schema  # noqa: PLC0415 - as above

    return schema.bundle_schema()
