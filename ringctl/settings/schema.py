"""JSON Schema (draft-07) of the files, for editors. pydantic is imported only here."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from ringctl.settings.bundle_fields import BundleFields
from ringctl.settings.policy_fields import PolicyFields

DRAFT = "http://json-schema.org/draft-07/schema#"


def policy_schema() -> dict[str, object]:
    """The JSON Schema of policy files."""
    return _schema(PolicyFields, "ringctl policy")


def bundle_schema() -> dict[str, object]:
    """The JSON Schema of bundle files."""
    return _schema(BundleFields, "ringctl bundle")


def _schema(shape: type, title: str) -> dict[str, object]:
    generated = TypeAdapter(shape).json_schema(
        ref_template="#/definitions/{model}", schema_generator=GenerateJsonSchema
    )
    definitions = generated.pop("$defs", {})
    generated.update({"$schema": DRAFT, "title": title, "definitions": definitions})
    cleaned = _cleaned(generated)
    assert isinstance(cleaned, dict)
    return cleaned


def _cleaned(piece: Any) -> Any:
    """Without `null`: a key that is not wanted is left out, never given as nothing."""
    if isinstance(piece, list):
        return [_cleaned(one) for one in piece]
    if not isinstance(piece, dict):
        return piece
    kept = {key: _cleaned(value) for key, value in piece.items()}
    if kept.get("default", kept) is None:
        del kept["default"]
    if "title" in kept and isinstance(kept["title"], str) and not kept["title"].startswith("ringctl "):
        del kept["title"]
    options = kept.get("anyOf")
    if isinstance(options, list):
        kept["anyOf"] = options = [one for one in options if one != {"type": "null"}]
        if len(options) == 1:
            (only,) = options
            del kept["anyOf"]
            kept = {"allOf": [only], **kept} if "$ref" in only else {**only, **kept}
    return kept
